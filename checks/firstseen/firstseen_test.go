package firstseen

import (
	"context"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/dmarc"
	"milterd/internal/store"
	"milterd/message"
	"milterd/spf"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What the other checks say in these tests.
type (
	dmarcSays dmarc.Status
	dkimSays  []dkim.Result
	spfSays   spf.Result
)

func (d dmarcSays) DMARC() dmarc.Result            { return dmarc.Result{Status: dmarc.Status(d)} }
func (d dkimSays) DKIM() []dkim.Result             { return d }
func (s spfSays) SPF() (mailFrom, helo spf.Result) { return spf.Result(s), spf.Result{} }

func signed(domain string) checks.Result {
	d, err := message.ParseDomain(domain)
	if err != nil {
		panic(err)
	}
	return checks.Result{Check: "dkim", Detail: dkimSays{{Status: dkim.Pass, Domain: d}}}
}

var (
	byDMARC = checks.Result{Check: "dmarc", Detail: dmarcSays(dmarc.Pass)}
	failed  = checks.Result{Check: "dmarc", Detail: dmarcSays(dmarc.Fail)}
)

func bySPF(domain string) checks.Result {
	return checks.Result{Check: "spf", Detail: spfSays{Status: spf.Pass, Domain: domain}}
}

// A site has the check, a store and a clock.
type site struct {
	t   *testing.T
	now time.Time
	h   *checktest.Harness
}

func newSite(t *testing.T) *site {
	s := &site{t: t, now: time.Unix(1_800_000_000, 0)}
	now := func() time.Time { return s.now }
	s.h = checktest.New(t, Spec(), "", checks.Env{Store: store.NewMemory(now, 1<<20), Now: now})
	return s
}

// send returns what is found, and lets the verdict be remembered.
func (s *site) send(from string, v message.Verdict, prior ...checks.Result) string {
	s.t.Helper()
	mail := checktest.Mail{Text: "From: " + from + "\n\nhello\n", Prior: prior}
	res := s.h.Run(mail)
	m := mail.Message(s.t)
	defer m.Body.Release()
	if err := s.h.Check().(checks.Recorder).Record(s.t.Context(), &checks.Input{Message: m, Prior: checks.Prior{"firstseen": &res}}, &v); err != nil {
		s.t.Error(err)
	}
	var names []string
	for _, f := range res.Findings {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

func TestFirstSeen(t *testing.T) {
	s := newSite(t)
	accept := message.Verdict{Action: message.Accept}
	want := func(want, from string, v message.Verdict, prior ...checks.Result) {
		t.Helper()
		if got := s.send(from, v, prior...); got != want {
			t.Errorf("%s %+v: %q, want %q", from, v, got, want)
		}
	}
	const a = "Ann <ann@sender.test>"
	want(findFirst, a, message.Verdict{Action: message.Junk}, byDMARC)
	want(findFirst, a, message.Verdict{Action: message.RejectMail}, byDMARC)
	want(findFirst, a, message.Verdict{Action: message.Accept, Would: message.Junk}, byDMARC)
	want(findFirst, a, accept, byDMARC)
	want("", a, accept, byDMARC)
	want("", "ANN@sender.TEST", accept, signed("sender.test"))
	want("", a, accept, bySPF("sender.test"))
	want(findUnproven, a, accept, failed, signed("other.test"), bySPF("other.test")) // somebody else, perhaps
	want("", a, accept)
	want(findFirst, "bob@sender.test", accept, byDMARC)
	want(findFirst, "bob@mail.sender.test", accept, signed("sender.test"))
	want(findUnproven, "bob@sender.test", accept, signed("mail.sender.test"))
	want("", "a@x.test, b@x.test", accept, byDMARC) // who of them?
	want("", "a@x.test, b@y.test", accept)
	want("", "MAILER-DAEMON", accept)

	for range 5 {
		s.now = s.now.Add(100 * 24 * time.Hour)
		want("", a, accept, byDMARC)
	}
	s.now = s.now.Add(181 * 24 * time.Hour)
	want(findFirst, a, accept, byDMARC)
}

// dead is a store that does not answer.
type dead struct{ store.Store }

func (dead) Get(context.Context, string, ...[]byte) ([][]byte, error) { return nil, store.ErrBusy }

func TestDeadStore(t *testing.T) {
	mail := checktest.Mail{Text: "From: a@b.test\n\nx"}
	h := checktest.New(t, Spec(), "", checks.Env{Store: dead{}})
	if res := h.Run(mail); len(res.Findings) > 0 || res.Ended() != checks.TempError {
		t.Errorf("%+v", res)
	}
	if n := testutil.ToFloat64(h.Check().(*check).errors); n != 1 {
		t.Errorf("%v errors counted", n)
	}
	if res := checktest.New(t, Spec(), "", checks.Env{}).Run(mail); res.Ended() != checks.None {
		t.Errorf("without a store: %+v", res)
	}
}

func TestConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"keep: 1h":  "expected a time of at least 1d",
		"keeps: 1d": "unknown key, did you mean keep?",
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

func BenchmarkKnown(b *testing.B) {
	h := checktest.New(b, Spec(), "", checks.Env{Store: store.NewMemory(time.Now, 1<<20)})
	m := checktest.Mail{Text: "From: a@b.test\n\nx"}.Message(b)
	defer m.Body.Release()
	in := &checks.Input{Message: m, Prior: checks.Prior{"dmarc": &byDMARC}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Check().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
