package rates

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/store"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A site has the check, a store and a clock.
type site struct {
	t   *testing.T
	now time.Time
	log bytes.Buffer
	h   *checktest.Harness
}

func newSite(t *testing.T, config string) *site {
	s := &site{t: t, now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return s.now }
	logger := slog.New(slog.NewTextHandler(&s.log, nil))
	running := store.NewMemory(now, 16<<20)
	s.h = checktest.New(t, Spec(), config, checks.Env{Store: running, Now: now, Logger: logger})
	return s
}

func (s *site) alerts(sender, cause string) int {
	return int(testutil.ToFloat64(s.h.Check().(*check).metrics.alerts.WithLabelValues(sender, cause)))
}

func recipients(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("<r%d@other.test>", i)
	}
	return all
}

func ofUser(login string, n int) checktest.Mail {
	return checktest.Mail{Role: message.Outbound, Login: login, From: "<ann@mx.test>", To: recipients(n), Text: "From: ann@mx.test\n\nx"}
}

// send returns what becomes of a message that nobody else has anything against.
func (s *site) send(mail checktest.Mail) message.Action {
	s.t.Helper()
	if mail.Text == "" {
		mail.Text = "From: a@sender.test\n\nx"
	}
	res := s.h.Run(mail)
	v := message.Verdict{Action: message.Accept}
	if d := res.Demand; d != nil && !d.IfRejected {
		if mail.Role == message.Outbound && !d.Outbound {
			s.t.Error("a demand for strangers on mail of our own")
		}
		v.Action = d.Action
	}
	s.record(mail, res, v)
	return v.Action
}

func (s *site) record(mail checktest.Mail, res checks.Result, v message.Verdict) {
	s.t.Helper()
	m := mail.Message(s.t)
	defer m.Body.Release()
	if err := s.h.Check().(checks.Recorder).Record(s.t.Context(), &checks.Input{Message: m, Prior: checks.Prior{"rates": &res}}, &v); err != nil {
		s.t.Error(err)
	}
}

func (s *site) want(want message.Action, mail checktest.Mail) {
	s.t.Helper()
	if got := s.send(mail); got != want {
		s.t.Errorf("%s to %d at %v: %s, want %s", mail.Login, len(mail.To), s.now, got, want)
	}
}

// TestLogin: a new login may send so much, and is held from then on until an hour has
// passed.
func TestLogin(t *testing.T) {
	s := newSite(t, "login_recipients: 100")
	for range 10 {
		s.want(message.Accept, ofUser("ann", 10))
	}
	s.want(message.Quarantine, ofUser("ann", 1))
	s.want(message.Quarantine, ofUser("ann", 1))
	s.want(message.Accept, ofUser("bob", 100))
	if n := s.alerts("login", "recipients"); n != 2 {
		t.Errorf("%d alerts", n)
	}
	if log := s.log.String(); strings.Count(log, "level=WARN") != 2 || !strings.Contains(log, "who=ann") || !strings.Contains(log, "message=held") {
		t.Errorf("log:\n%s", log)
	}
	s.now = s.now.Add(90 * time.Minute) // of the hour before, half still counts
	s.want(message.Accept, ofUser("ann", 40))
	s.want(message.Quarantine, ofUser("ann", 20))
	s.now = s.now.Add(2 * time.Hour)
	s.want(message.Accept, ofUser("ann", 100))
}

// TestAlert: where the operator only looks.
func TestAlert(t *testing.T) {
	s := newSite(t, "{login: alert, spam: alert, login_recipients: 10}")
	s.want(message.Accept, ofUser("ann", 11))
	if s.alerts("login", "recipients") != 1 || !strings.Contains(s.log.String(), `message="let through"`) {
		t.Errorf("%s", s.log.String())
	}
	if res := s.h.Run(ofUser("ann", 1)); res.Demand != nil || res.Findings[0].Name != findLogin || res.Findings[0].Value != 12 {
		t.Errorf("%+v", res)
	}
}

// TestHabit: somebody with a habit may do more, and his habit follows slowly.
func TestHabit(t *testing.T) {
	s := newSite(t, "login_recipients: 100")
	day := func() { s.now = s.now.Add(24 * time.Hour) }
	for range 40 { // ninety each day
		s.want(message.Accept, ofUser("ann", 90))
		day()
	}
	s.want(message.Accept, ofUser("ann", 430)) // five times ninety, nearly
	s.want(message.Quarantine, ofUser("ann", 430))
	day()
	s.want(message.Accept, ofUser("ann", 500)) // and more after a day that was more
	s.now = s.now.Add(60 * 24 * time.Hour)
	s.want(message.Quarantine, ofUser("ann", 500)) // a long silence
	s.want(message.Accept, ofUser("bob", 100))
}

// TestGreedy: who always sends as much as he may, needs days for each doubling, and
// what was held makes no habit.
func TestGreedy(t *testing.T) {
	h, limit := habit{}, 100.0
	day := int64(20000)
	for i := range 30 {
		h = h.on(day)
		next := max(100, 5*h.usual)
		if next > 1.4*limit*(1+1e-9) {
			t.Fatalf("day %d: the limit goes from %.0f to %.0f", i, limit, next)
		}
		limit, h.peak = next, next
		day++
	}
	s := newSite(t, "login_recipients: 100")
	for range 10 {
		s.want(message.Quarantine, ofUser("thief", 5000))
		s.now = s.now.Add(24 * time.Hour)
	}
	s.want(message.Quarantine, ofUser("thief", 101))
}

// TestSpam: what the score refuses is held for logins, and told about for our hosts.
func TestSpam(t *testing.T) {
	s := newSite(t, "")
	ann := ofUser("ann", 1)
	res := s.h.Run(ann)
	if d := res.Demand; d == nil || d.Action != message.Quarantine || !d.Outbound || !d.IfRejected || d.Finding != findLoginSpam || len(res.Findings) > 0 {
		t.Fatalf("%+v", res)
	}
	fifteen := 15.0
	bad := message.Verdict{Action: message.Quarantine, Score: 17, Objective: 16, Thresholds: message.Thresholds{Reject: &fifteen}}
	s.record(ann, res, bad)
	if s.alerts("login", "spam") != 1 || !strings.Contains(s.log.String(), "spam from a sender of ours") {
		t.Errorf("%s", s.log.String())
	}
	host := checktest.Mail{Role: message.Outbound, Client: "10.0.0.7", Text: "From: a@mx.test\n\nx"}
	res = s.h.Run(host)
	if res.Demand != nil {
		t.Errorf("%+v", res.Demand)
	}
	bad.Action = message.Accept
	s.record(host, res, bad)
	bad.Objective = 14 // opinion
	s.record(host, res, bad)
	if s.alerts("local", "spam") != 1 {
		t.Errorf("%d alerts", s.alerts("local", "spam"))
	}
}

// TestLocal: our own hosts are told about and never held.
func TestLocal(t *testing.T) {
	s := newSite(t, "local_recipients: 10")
	host := checktest.Mail{Role: message.Outbound, Client: "10.0.0.7", To: recipients(11)}
	s.want(message.Accept, host)
	host.Client = "10.0.0.8" // one of the same network
	s.want(message.Accept, host)
	host.Client = "10.0.1.8"
	host.To = recipients(10)
	s.want(message.Accept, host)
	if n := s.alerts("local", "recipients"); n != 2 || s.alerts("login", "recipients") != 0 {
		t.Errorf("%d alerts", n)
	}
}

// TestStrangers: limits for strangers, which are off.
func TestStrangers(t *testing.T) {
	for _, c := range []struct {
		name, config string
		first, again checktest.Mail
		want         message.Action
	}{
		{"off", "", checktest.Mail{To: recipients(1000)}, checktest.Mail{To: recipients(1000)}, message.Accept},
		{"network", "network_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{Client: "192.0.2.99", From: "<b@c.test>"}, message.TempFail},
		{"another network", "network_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{Client: "192.0.3.99"}, message.Accept},
		{"sender", "sender_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{Client: "192.0.3.99", From: "<SENDER@sender.test>"}, message.TempFail},
		{"another sender", "sender_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{From: "<other@sender.test>"}, message.Accept},
		{"bounces have no sender", "sender_recipients: 10", checktest.Mail{From: "<>", To: recipients(10)}, checktest.Mail{From: "<>"}, message.Accept},
		{"relay", "network_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{Peer: message.Relay}, message.Accept},
		{"fetcher", "network_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{Peer: message.Fetcher}, message.Accept},
		{"reinjected", "network_recipients: 10", checktest.Mail{To: recipients(10)}, checktest.Mail{Role: message.Reinject}, message.Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.config)
			s.want(message.Accept, c.first)
			for range 3 { // what waits is not counted
				s.want(c.want, c.again)
			}
			s.now = s.now.Add(2 * time.Hour)
			s.want(message.Accept, c.again)
			if s.log.Len() > 0 {
				t.Errorf("%s", s.log.String())
			}
		})
	}
	res := newSite(t, "network_recipients: 1").h.Run(checktest.Mail{To: recipients(2), Text: "From: a@b.test\n\nx"})
	if res.Demand == nil || res.Demand.Reply != message.ReplyRate || res.Findings[0].Name != findNetwork {
		t.Errorf("%+v", res)
	}
}

// TestClockJump: a clock that jumps a year takes a habit not away, and one that is set
// back does no harm.
func TestClockJump(t *testing.T) {
	h := habit{day: 20000, peak: 100, usual: 100}
	if got := h.on(20001 + 365); got.usual < 24 || got.usual > 26 {
		t.Errorf("a year ahead: %+v", got)
	}
	if got := h.on(20000 - 365); got != h {
		t.Errorf("a year back: %+v", got)
	}
	if got := h.on(math.MaxInt64); got.usual < 24 || got.day != math.MaxInt64 {
		t.Errorf("at the end of time: %+v", got)
	}
}

// dead is a store that does not answer.
type dead struct{ store.Store }

func (dead) Get(context.Context, string, ...[]byte) ([][]byte, error) { return nil, store.ErrBusy }

func TestDeadStore(t *testing.T) {
	for name, env := range map[string]checks.Env{"dead": {Store: dead{}}, "none": {}} {
		h := checktest.New(t, Spec(), "network_recipients: 1", env)
		if res := h.Run(checktest.Mail{To: recipients(100), Text: "From: a@b.test\n\nx"}); res.Demand != nil || len(res.Findings) > 0 {
			t.Errorf("%s: %+v", name, res)
		}
		res := h.Run(ofUser("ann", 10000))
		if len(res.Findings) > 0 || res.Demand == nil || !res.Demand.IfRejected { // spam is held all the same
			t.Errorf("%s: %+v", name, res)
		}
		if n := testutil.ToFloat64(h.Check().(*check).metrics.storeErrors); n != map[string]float64{"dead": 2}[name] {
			t.Errorf("%s: %v errors counted", name, n)
		}
	}
}

// FuzzHabit: whatever lies in the store, a habit is a number that means something, and
// what is written is read again.
func FuzzHabit(f *testing.F) {
	f.Add([]byte{}, int64(1), 10)
	f.Add(habit{20000, 10, 20}.bytes(), int64(20003), 10)
	f.Add(habit{20000, math.NaN(), math.Inf(1)}.bytes(), int64(-5), 1)
	f.Fuzz(func(t *testing.T, b []byte, day int64, n int) {
		h := parseHabit(b).on(day)
		if !(h.usual >= 0 && h.usual < 2e12) || !(h.peak >= 0 && h.peak < 2e12) {
			t.Fatalf("%+v", h)
		}
		if h.day >= 0 && parseHabit(h.bytes()) != h && h.usual <= 1e12 {
			t.Fatalf("%+v is read as %+v", h, parseHabit(h.bytes()))
		}
		s := sender{kind: ofLogin, floor: 10, factor: 5}
		s.measure([][]byte{b, b, b}, n&0xffff, time.Unix(1_800_000_000, 0))
		if math.IsNaN(s.recent) || s.limit < 10 || math.IsNaN(s.limit) {
			t.Fatalf("%+v", s)
		}
	})
}

func TestConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"login: drop":            "login: expected hold or alert",
		"login_recipients: 0":    `login_recipients: got 0, expected a number of recipients from 1`,
		"local_recipients: -1":   "expected a number of recipients from 1",
		"network_recipients: -1": "expected a number of recipients, or 0 for no limit",
		"factor: 0.5":            "expected a number from 1 to 1000",
		"factor: .nan":           "factor: ",
		"logins: hold":           "unknown key, did you mean login?",
	} {
		if _, err := checktest.TryNew(t, Spec(), config, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got\n%v\nwant\n%s", config, err, want)
		}
	}
	got := config{}
	if err := checktest.Section(sample).Decode(&got); err != nil || got != defaults() {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
}

func BenchmarkLogin(b *testing.B) {
	h := checktest.New(b, Spec(), "", checks.Env{Store: store.NewMemory(time.Now, 1<<20)})
	m := ofUser("ann", 1).Message(b)
	defer m.Body.Release()
	in := &checks.Input{Message: m}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Check().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
