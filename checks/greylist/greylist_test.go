package greylist

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/internal/store"
	"milterd/message"
	"milterd/spf"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What the other checks say in these tests.
type (
	dkimSays []dkim.Result
	spfSays  spf.Result
)

func (d dkimSays) DKIM() []dkim.Result             { return d }
func (s spfSays) SPF() (mailFrom, helo spf.Result) { return spf.Result(s), spf.Result{} }

func signed(domains ...string) checks.Result {
	var all dkimSays
	for _, d := range domains {
		domain, err := message.ParseDomain(d)
		if err != nil {
			panic(err)
		}
		all = append(all, dkim.Result{Status: dkim.Pass, Domain: domain})
	}
	return checks.Result{Check: "dkim", Detail: all}
}

func spfPass(domain string) checks.Result {
	return checks.Result{Check: "spf", Detail: spfSays{Status: spf.Pass, Domain: domain}}
}

// A site is one or more hosts with greylisting on, a store that they share, and a
// clock. Each host reads the clock of its own.
type site struct {
	tb    testing.TB
	now   time.Time // as hosts see it
	since time.Duration
	store *flaky
	reg   *prometheus.Registry
	h     *checktest.Harness
}

// flaky is a store that may be down, or full: then it can be read, and that is all.
type flaky struct {
	store.Store
	down, full bool
}

func (f *flaky) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	if f.down {
		return nil, store.ErrBusy
	}
	return f.Store.Get(ctx, space, keys...)
}

func (f *flaky) Apply(ctx context.Context, space string, ops ...store.Op) error {
	switch {
	case f.down:
		return store.ErrBusy
	case f.full:
		return store.ErrFull
	}
	return f.Store.Apply(ctx, space, ops...)
}

func (f *flaky) Post(space string, ops ...store.Op) error {
	if f.down {
		return store.ErrBusy
	}
	return f.Store.Post(space, ops...)
}

func newSite(tb testing.TB, config string) *site {
	s := &site{tb: tb, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	clock := store.NewClock(func() time.Time { return s.now }, func() time.Duration { return s.since })
	s.store = &flaky{Store: store.NewMemory(clock.Now, 64<<20)}
	s.host(config)
	return s
}

// host makes the site's next messages pass through a host of its own.
func (s *site) host(config string) {
	s.reg = prometheus.NewRegistry()
	s.h = checktest.New(s.tb, Spec(), config, checks.Env{Store: s.store, Now: func() time.Time { return s.now }, Registerer: s.reg})
}

func (s *site) pass(d time.Duration) { s.now, s.since = s.now.Add(d), s.since+d }

func (s *site) count(outcome string) int {
	s.tb.Helper()
	m := s.h.Check().(*check).metrics
	return int(testutil.ToFloat64(m.senders.WithLabelValues(outcome)))
}

// send is the way of a message: Run, the verdict of a message that is undecided
// otherwise, Record. It returns the action.
func (s *site) send(mail checktest.Mail) message.Action { return s.sendAs(mail, "", "") }

// sendAs sends a message of which others say something (otherwise: empty is
// undecided), in a mode.
func (s *site) sendAs(mail checktest.Mail, otherwise message.Action, mode message.Mode) message.Action {
	s.tb.Helper()
	if mail.Text == "" {
		mail.Text = "From: " + "joe@sender.test\n\nhello\n"
	}
	res := s.h.Run(mail)
	v := message.Verdict{Action: message.Accept, Mode: mode}
	switch {
	case otherwise != "":
		v.Action = otherwise
	case res.Demand != nil:
		v.Action = res.Demand.Action
	}
	if mode == message.Observe && v.Action != message.Accept {
		v.Action, v.Would = message.Accept, v.Action
	}
	m := mail.Message(s.tb)
	defer m.Body.Release()
	prior := checks.Prior{"greylist": &res}
	if err := s.h.Check().(checks.Recorder).Record(s.tb.Context(), &checks.Input{Message: m, Prior: prior}, &v); err != nil && !s.store.full {
		s.tb.Errorf("Record: %v", err)
	}
	return v.Action
}

func (s *site) want(want message.Action, mail checktest.Mail) {
	s.tb.Helper()
	if got := s.send(mail); got != want {
		s.tb.Errorf("%s at %v: %s, want %s", mail.Client, s.since, got, want)
	}
}

func (s *site) counts(wantAsked, ham, spam, lost int) {
	s.tb.Helper()
	got := fmt.Sprint(s.count(asked), s.count(returnedHam), s.count(returnedSpam), s.count(never))
	if want := fmt.Sprint(wantAsked, ham, spam, lost); got != want {
		s.tb.Errorf("asked, back with ham, with spam, never: %s, want %s", got, want)
	}
}

var unproven = checktest.Mail{Client: "192.0.2.1"}

// TestJourney is the life of one sender without proof.
func TestJourney(t *testing.T) {
	s := newSite(t, "")
	s.want(message.Greylist, unproven)
	s.pass(299 * time.Second)
	s.want(message.Greylist, unproven)
	s.pass(time.Second)
	s.counts(1, 0, 0, 0)
	s.want(message.Accept, unproven)
	s.counts(1, 1, 0, 0)
	s.want(message.Accept, unproven)
	s.counts(1, 1, 0, 0)
	s.pass(34 * 24 * time.Hour)
	s.want(message.Accept, unproven) // and is known for 35 days more
	s.pass(34 * 24 * time.Hour)
	s.want(message.Accept, unproven)
	s.pass(35*24*time.Hour + time.Millisecond)
	s.want(message.Greylist, unproven)
	s.counts(2, 1, 0, 0)
	s.pass(48*time.Hour + time.Millisecond) // too late
	s.want(message.Greylist, unproven)
	s.counts(3, 1, 0, 0)
	s.pass(2 * time.Hour)
	s.want(message.Accept, unproven)
	s.counts(3, 2, 0, 1) // the second one, whose time was over two hours ago
}

// TestReply: the sender is told when to come back, never before it is true.
func TestReply(t *testing.T) {
	s := newSite(t, "delay: 90s")
	says := func(want string) {
		t.Helper()
		mail := unproven
		mail.Text = "From: a@sender.test\n\nx"
		res := s.h.Run(mail)
		if res.Demand == nil || res.Demand.Reply.String() != want {
			t.Errorf("%+v, want %s", res.Demand, want)
		}
	}
	says("451 4.7.1 Greylisted, try again in 90 s")
	s.send(unproven)
	s.pass(500 * time.Millisecond)
	says("451 4.7.1 Greylisted, try again in 90 s")
	s.pass(80 * time.Second)
	says("451 4.7.1 Greylisted, try again in 10 s")
	s.pass(9*time.Second + 499*time.Millisecond)
	says("451 4.7.1 Greylisted, try again in 1 s")
}

// TestWho: who counts as the same sender when he comes back.
func TestWho(t *testing.T) {
	base := checktest.Mail{Client: "192.0.2.1", From: "<news@sender.test>", To: []string{"<ann@mx.test>"}}
	with := func(f func(*checktest.Mail)) checktest.Mail { m := base; f(&m); return m }
	proof := func(m checktest.Mail, prior ...checks.Result) checktest.Mail { m.Prior = prior; return m }
	for _, c := range []struct {
		name         string
		first, again checktest.Mail
		want         message.Action
	}{
		{"the same", base, base, message.Accept},
		{"a neighbour", base, with(func(m *checktest.Mail) { m.Client = "192.0.2.200" }), message.Accept},
		{"another network", base, with(func(m *checktest.Mail) { m.Client = "192.0.3.1" }), message.Greylist},
		{"IPv6", with(func(m *checktest.Mail) { m.Client = "2001:db8::1" }), with(func(m *checktest.Mail) { m.Client = "2001:db8::2:3:4:5" }), message.Accept},
		{"IPv6, another network", with(func(m *checktest.Mail) { m.Client = "2001:db8::1" }), with(func(m *checktest.Mail) { m.Client = "2001:db8:0:1::1" }), message.Greylist},
		{"IPv4 in IPv6", base, with(func(m *checktest.Mail) { m.Client = "::ffff:192.0.2.9" }), message.Accept},
		{"no address", with(func(m *checktest.Mail) { m.Client = "unknown" }), with(func(m *checktest.Mail) { m.Client = "unknown" }), message.Accept},
		{"in capitals", base, with(func(m *checktest.Mail) { m.From, m.To = "<NEWS@Sender.Test>", []string{"<ANN@MX.test>"} }), message.Accept},
		{"another sender", base, with(func(m *checktest.Mail) { m.From = "<other@sender.test>" }), message.Greylist},
		{"an extension", with(func(m *checktest.Mail) { m.From = "<news+ann=mx.test@sender.test>" }), with(func(m *checktest.Mail) { m.From = "<news+x@sender.test>" }), message.Accept},
		{"a number", with(func(m *checktest.Mail) { m.From = "<news-17-4@sender.test>" }), with(func(m *checktest.Mail) { m.From = "<news-18-5@sender.test>" }), message.Accept},
		{"a number in a word", with(func(m *checktest.Mail) { m.From = "<news17@sender.test>" }), with(func(m *checktest.Mail) { m.From = "<news18@sender.test>" }), message.Greylist},
		{"another recipient", base, with(func(m *checktest.Mail) { m.To = []string{"<bob@mx.test>"} }), message.Greylist},
		{"one of the recipients", with(func(m *checktest.Mail) { m.To = []string{"<ann@mx.test>", "<bob@mx.test>"} }), with(func(m *checktest.Mail) { m.To = []string{"<bob@mx.test>"} }), message.Accept},
		{"no path", with(func(m *checktest.Mail) { m.From = "<a@@b>" }), with(func(m *checktest.Mail) { m.From = "<a@@b>" }), message.Accept},

		{"a pool with a signature", proof(base, signed("sender.test")),
			proof(with(func(m *checktest.Mail) {
				m.Client, m.From, m.To = "198.51.100.7", "<x@sender.test>", []string{"<bob@mx.test>"}
			}), signed("sender.test")), message.Accept},
		{"a pool with SPF", proof(base, spfPass("sender.test")), proof(with(func(m *checktest.Mail) { m.Client = "2001:db8::1" }), spfPass("sender.test")), message.Accept},
		{"SPF, then a signature", proof(base, spfPass("sender.test")), proof(with(func(m *checktest.Mail) { m.Client = "2001:db8::1" }), signed("sender.test")), message.Accept},
		{"another domain", proof(base, signed("sender.test")), proof(with(func(m *checktest.Mail) { m.Client = "198.51.100.7" }), signed("other.test")), message.Greylist},
		{"no proof the second time, same network", proof(base, signed("sender.test")), base, message.Accept},
		{"no proof the first time, same network", base, proof(base, signed("sender.test")), message.Accept},
		{"no proof the second time, another network", proof(base, signed("sender.test")), with(func(m *checktest.Mail) { m.Client = "198.51.100.7" }), message.Greylist},
		{"the author's domain, not that of the service",
			proof(base, signed("service.test", "sender.test")),
			proof(with(func(m *checktest.Mail) { m.Client, m.Text = "198.51.100.7", "From: a@elsewhere.test\n\nx" }), signed("service.test")), message.Greylist},
		{"a service without the author's domain",
			proof(with(func(m *checktest.Mail) { m.Text = "From: a@elsewhere.test\n\nx" }), signed("service.test")),
			proof(with(func(m *checktest.Mail) { m.Client, m.Text = "198.51.100.7", "From: a@elsewhere.test\n\nx" }), signed("service.test")), message.Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "")
			s.want(message.Greylist, c.first)
			s.pass(5 * time.Minute)
			s.want(c.want, c.again)
		})
	}
}

// TestExempt: who is never asked, and leaves no trace.
func TestExempt(t *testing.T) {
	recipients := filepath.Join(t.TempDir(), "recipients")
	if err := os.WriteFile(recipients, []byte("sales@mx.test # everything\n.open.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := `clients: [mail.one.test, .two.test, 203.0.113.0/24]
client_patterns: ['^mta\d+\.three\.test$', '^198\.51\.100\.']
recipients: ` + recipients + `
recipient_patterns: ['^help']
`
	for _, c := range []struct {
		name string
		mail checktest.Mail
		want message.Action
	}{
		{"nobody in particular", checktest.Mail{}, message.Greylist},
		{"bounce", checktest.Mail{From: "<>"}, message.Accept},
		{"relay", checktest.Mail{Peer: message.Relay}, message.Accept},
		{"fetcher", checktest.Mail{Peer: message.Fetcher}, message.Accept},
		{"postmaster", checktest.Mail{To: []string{"<a@mx.test>", "<Postmaster@mx.test>"}}, message.Accept},
		{"postmaster without a domain", checktest.Mail{To: []string{"<postmaster>"}}, message.Accept},
		{"abuse", checktest.Mail{To: []string{"<abuse@mx.test>"}}, message.Accept},
		{"reinjected", checktest.Mail{Role: message.Reinject}, message.Accept},
		{"named client", checktest.Mail{Host: "Mail.One.Test"}, message.Accept},
		{"below it", checktest.Mail{Host: "x.mail.one.test"}, message.Greylist},
		{"below a domain", checktest.Mail{Host: "x.two.test"}, message.Accept},
		{"HELO is not a name", checktest.Mail{Helo: "mail.one.test"}, message.Greylist},
		{"network", checktest.Mail{Client: "203.0.113.9"}, message.Accept},
		{"pattern", checktest.Mail{Host: "MTA17.three.test"}, message.Accept},
		{"pattern that does not fit", checktest.Mail{Host: "mta.three.test"}, message.Greylist},
		{"pattern of an address", checktest.Mail{Client: "::ffff:198.51.100.1"}, message.Accept},
		{"recipient", checktest.Mail{To: []string{"<Sales@MX.test>"}}, message.Accept},
		{"recipient with an extension", checktest.Mail{To: []string{"<sales+lists@mx.test>"}}, message.Accept},
		{"recipient of a domain", checktest.Mail{To: []string{"<a@b.open.test>"}}, message.Accept},
		{"recipient by pattern", checktest.Mail{To: []string{"<helpdesk@mx.test>"}}, message.Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, config)
			s.want(c.want, c.mail)
			s.counts(map[message.Action]int{message.Greylist: 1}[c.want], 0, 0, 0)
		})
	}
}

// TestVerdicts: what the verdict on the message makes of its sender.
func TestVerdicts(t *testing.T) {
	t.Run("welcome mail makes known", func(t *testing.T) {
		s := newSite(t, "")
		s.sendAs(unproven, message.Accept, "")
		s.want(message.Accept, unproven)
		s.counts(0, 0, 0, 0)
	})
	for _, spam := range []message.Action{message.Junk, message.RejectMail, message.Quarantine, message.Discard} {
		t.Run(string(spam), func(t *testing.T) {
			s := newSite(t, "")
			s.sendAs(unproven, spam, "") // makes nothing known
			s.want(message.Greylist, unproven)
			s.pass(time.Hour)
			s.sendAs(unproven, spam, "")
			s.counts(1, 0, 1, 0)
			s.want(message.Greylist, unproven) // and begins anew
			s.counts(2, 0, 1, 0)
			s.pass(time.Hour)
			s.want(message.Accept, unproven)
			s.counts(2, 1, 1, 0)
			s.sendAs(unproven, spam, "") // is no reason to ask somebody known
			s.want(message.Accept, unproven)
			s.counts(2, 1, 1, 0)
		})
	}
	t.Run("mail that waits for another reason", func(t *testing.T) {
		s := newSite(t, "")
		s.want(message.Greylist, unproven)
		s.pass(time.Hour)
		s.sendAs(unproven, message.TempFail, "")
		s.counts(1, 0, 0, 0)
		s.want(message.Accept, unproven)
		s.counts(1, 1, 0, 0)
	})
	t.Run("accepted before its time", func(t *testing.T) {
		s := newSite(t, "")
		s.want(message.Greylist, unproven)
		s.pass(time.Second)
		s.sendAs(unproven, message.Accept, "")
		s.want(message.Accept, unproven)
		s.counts(1, 1, 0, 0)
	})
	t.Run("observe", func(t *testing.T) {
		s := newSite(t, "")
		s.sendAs(unproven, "", message.Observe)
		s.want(message.Greylist, unproven) // it would have been too early
		s.pass(time.Hour)
		s.want(message.Accept, unproven)
		s.pass(100 * time.Hour)
		s.want(message.Accept, unproven)
		s.counts(0, 0, 0, 0) // nobody was asked
	})
}

// TestCorrespondents: whom our users write to need not wait with the answer.
func TestCorrespondents(t *testing.T) {
	s := newSite(t, "")
	out := checktest.Mail{Role: message.Outbound, Login: "ann", From: "<ann@mx.test>", To: []string{"<Joe@Sender.test>", "<x@other.test>"}}
	s.sendAs(out, message.RejectMail, "")
	answer := checktest.Mail{Client: "198.51.100.9", From: "<joe@sender.test>"}
	res := s.h.Run(answer)
	if res.Demand == nil {
		t.Error("the mail to him never left")
	}
	s.want(message.Accept, out)
	s.want(message.Accept, answer)
	s.want(message.Accept, checktest.Mail{From: "<bounces-4@lists.test>", Text: "From: Joe <JOE@sender.test>\n\nx"})
	s.want(message.Greylist, checktest.Mail{From: "<jim@sender.test>", Text: "From: jim@sender.test\n\nx"})
	s.pass(36 * 24 * time.Hour)
	s.want(message.Greylist, checktest.Mail{Client: "203.0.113.1", From: "<x@other.test>", Text: "From: x@other.test\n\nx"})
}

// TestClockJump: a clock that jumps a year wipes nothing and holds nobody up.
func TestClockJump(t *testing.T) {
	const year = 365 * 24 * time.Hour
	s := newSite(t, "")
	knownSender, waiting, fresh := unproven, checktest.Mail{Client: "198.51.100.1"}, checktest.Mail{Client: "203.0.113.1"}
	s.want(message.Greylist, knownSender)
	s.pass(time.Hour)
	s.want(message.Accept, knownSender)
	s.want(message.Greylist, waiting)
	s.pass(time.Minute)

	s.now = s.now.Add(year)
	s.want(message.Accept, knownSender)
	s.want(message.Greylist, fresh)
	s.pass(time.Minute)
	s.now = s.now.Add(-year)
	s.want(message.Accept, knownSender)
	s.want(message.Greylist, waiting) // two of five minutes
	s.want(message.Greylist, fresh)   // from the future: begins now
	s.pass(5 * time.Minute)
	s.want(message.Accept, waiting)
	s.want(message.Accept, fresh)

	s.want(message.Greylist, checktest.Mail{Client: "100.64.0.1"})
	s.now = s.now.Add(-year)
	s.want(message.Greylist, checktest.Mail{Client: "100.64.0.1"})
	s.pass(5 * time.Minute)
	s.want(message.Accept, checktest.Mail{Client: "100.64.0.1"})
	for range 20 { // and those who are known stay so, by the time that really passes
		s.pass(10 * 24 * time.Hour)
		s.want(message.Accept, knownSender)
	}
}

// TestDeadStore: a store that is down makes nobody wait, and heals by itself.
func TestDeadStore(t *testing.T) {
	s := newSite(t, "")
	s.want(message.Greylist, unproven)
	s.store.down = true
	for range 3 {
		s.want(message.Accept, unproven)
	}
	mail := unproven
	mail.Text = "From: a@sender.test\n\nx"
	if res := s.h.Run(mail); len(res.Findings) != 1 || res.Findings[0].Name != findUnavailable || res.Demand != nil {
		t.Errorf("%+v", res)
	}
	if n := testutil.ToFloat64(s.h.Check().(*check).metrics.storeErrors); n != 4 {
		t.Errorf("%v errors counted, want 4", n)
	}
	s.store.down = false
	s.want(message.Greylist, unproven)
	s.pass(time.Hour)
	s.want(message.Accept, unproven)

	none := checktest.New(t, Spec(), "", checks.Env{})
	if res := none.Run(mail); res.Demand != nil || res.Ended() != checks.None {
		t.Errorf("without a store: %+v", res)
	}
}

// TestFullStore: a store that can be read and takes nothing would have everybody come
// back for ever. One sender finds out, the others pass.
func TestFullStore(t *testing.T) {
	s := newSite(t, "")
	s.store.full = true
	s.want(message.Greylist, unproven)
	for range 3 {
		s.pass(10 * time.Second)
		s.want(message.Accept, unproven)
	}
	s.pass(forgetsFor)
	s.want(message.Greylist, unproven) // another look whether it takes records again
	s.want(message.Accept, unproven)
	s.store.full = false
	s.pass(forgetsFor)
	s.want(message.Greylist, unproven)
	s.pass(time.Hour)
	s.want(message.Accept, unproven)
}

// TestTwoHosts: hosts that share a store agree, and count each sender once.
func TestTwoHosts(t *testing.T) {
	s := newSite(t, "")
	one := s.h
	s.host("")
	two := s.h
	s.h = one
	s.want(message.Greylist, unproven)
	s.h = two
	s.want(message.Greylist, unproven)
	s.want(message.Greylist, checktest.Mail{Client: "198.51.100.1"})
	s.pass(5 * time.Minute)
	s.want(message.Accept, unproven)
	s.h = one
	s.want(message.Accept, unproven)
	s.counts(1, 0, 0, 0)
	s.pass(60 * time.Hour)
	s.want(message.Accept, unproven)
	s.counts(1, 0, 0, 1) // the one that the other host asked
	s.h = two
	s.want(message.Accept, unproven)
	s.counts(1, 1, 0, 0)
}

// TestRace: of two messages of a sender at the same moment, one counts.
func TestRace(t *testing.T) {
	s := newSite(t, "")
	both := func() (a, b checks.Result) {
		mail := unproven
		mail.Text = "From: a@sender.test\n\nx"
		return s.h.Run(mail), s.h.Run(mail)
	}
	record := func(res checks.Result, action message.Action) {
		t.Helper()
		m := unproven.Message(t)
		defer m.Body.Release()
		in := &checks.Input{Message: m, Prior: checks.Prior{"greylist": &res}}
		if err := s.h.Check().(checks.Recorder).Record(t.Context(), in, &message.Verdict{Action: action}); err != nil {
			t.Error(err)
		}
	}
	a, b := both()
	record(a, message.Greylist)
	record(b, message.Greylist)
	s.counts(1, 0, 0, 0)
	s.pass(time.Hour)
	a, b = both()
	record(a, message.Accept)
	record(b, message.Accept)
	s.counts(1, 1, 0, 0)
}

// TestForeignBytes: whatever lies in the store, a stranger is a stranger.
func TestForeignBytes(t *testing.T) {
	for _, value := range [][]byte{{}, {'k'}, {'x', 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 100), binary.BigEndian.AppendUint64([]byte{'w'}, 1<<62)} {
		s := newSite(t, "")
		w := who{network: "192.0.2.0/24", sender: "sender@sender.test", to: []string{"rcpt@mx.test"}}
		if err := s.store.Apply(t.Context(), Space, store.Put(w.keys()[0], value, 0)); err != nil {
			t.Fatal(err)
		}
		if got := s.h.Check().(*check).look(t.Context(), []who{w}); got[0].standing != stranger {
			t.Errorf("%q: %+v", value, got[0])
		}
		s.want(message.Greylist, unproven)
		s.pass(time.Hour)
		s.want(message.Accept, unproven)
	}
}

// FuzzJourney plays messages, verdicts and a clock that goes as it likes. Whatever
// happens: who has waited for the delay since he was first asked passes, and
// nobody is asked to wait for more than the delay.
func FuzzJourney(f *testing.F) {
	f.Add([]byte{0, 1, 0, 200, 0, 0, 3, 1, 0})
	f.Add([]byte{0, 4, 255, 0, 5, 255, 0, 1, 200, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		s := newSite(t, "")
		for len(script) >= 2 && len(script) < 200 {
			op, n := script[0]%6, time.Duration(script[1])
			script = script[2:]
			switch op {
			case 0, 1:
				mail := unproven
				mail.Text = "From: a@sender.test\n\nx"
				res := s.h.Run(mail)
				if res.Demand != nil && (res.Findings[0].Value <= 0 || res.Findings[0].Value > 300) {
					t.Fatalf("asked to wait for %v s", res.Findings[0].Value)
				}
				s.send(unproven)
			case 2:
				s.sendAs(unproven, message.Junk, "")
			case 3:
				s.pass(n * 10 * time.Second)
			case 4:
				s.now = s.now.Add(n * 24 * time.Hour)
			case 5:
				s.now = s.now.Add(-n * 24 * time.Hour)
			}
		}
		s.send(unproven)
		s.pass(5 * time.Minute)
		s.want(message.Accept, unproven)
	})
}

func TestConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"stage: data":                `milterd.yaml:1:8: stage: expected message or rcpt`,
		"delay: 0s":                  "milterd.yaml:1:8: delay: ",
		"delay: 7h":                  "expected a time from 1s to 6h",
		"window: 5m":                 "window: 5m0s, expected more than delay, which is 5m0s",
		"keep: 1d":                   "keep: 24h0m0s, expected at least window, which is 48h0m0s",
		"client_patterns: ['a(']":    "milterd.yaml:1:19: client_patterns[0]: ",
		"client_patterns: ['(?=a)']": "expected a regular expression (RE2)",
		"recipient_patterns: ['']":   "expected a regular expression of 1 to 1000 bytes",
		"clients: [not good]":        "clients[0]: ",
		"recipients: nowhere.txt":    "nowhere.txt is not there",
		"client: [a.test]":           "client: unknown key, did you mean clients?",
	} {
		if _, err := checktest.TryNew(t, Spec(), config, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", config, err, want)
		}
	}
	got := config{}
	if err := checktest.Section(sample).Decode(&got); err != nil || got.Delay != defaults().Delay || got.Window != defaults().Window ||
		got.Keep != defaults().Keep || got.Common != defaults().Common || got.Stage != defaults().Stage {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
}

func BenchmarkKnown(b *testing.B) {
	s := newSite(b, "")
	mail := checktest.Mail{Client: "192.0.2.1", Text: "From: a@sender.test\n\nx", Prior: []checks.Result{spfPass("sender.test"), signed("sender.test")}}
	s.sendAs(mail, message.Accept, "")
	m := mail.Message(b)
	defer m.Body.Release()
	in := &checks.Input{Message: m, Prior: checks.Prior{"spf": &mail.Prior[0], "dkim": &mail.Prior[1]}}
	in.Message.Session.Client = netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if res, err := s.h.Check().Run(b.Context(), in); err != nil || res.Demand != nil {
			b.Fatal(err)
		}
	}
}
