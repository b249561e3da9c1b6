package replies

import (
	"context"
	"fmt"
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
	h   *checktest.Harness
}

func newSite(t *testing.T, config string) *site {
	s := &site{t: t, now: time.Unix(1_800_000_000, 0)}
	now := func() time.Time { return s.now }
	s.h = checktest.New(t, Spec(), config, checks.Env{Store: store.NewMemory(now, 1<<20), Now: now})
	return s
}

// sent lets a message of a user leave, or whatever else becomes of it.
func (s *site) sent(text string, action message.Action) {
	s.t.Helper()
	mail := checktest.Mail{Role: message.Outbound, Login: "ann", From: "<ann@mx.test>", To: []string{"<joe@sender.test>"}, Text: text}
	s.h.Run(mail)
	s.record(mail, action)
}

func (s *site) record(mail checktest.Mail, action message.Action) {
	s.t.Helper()
	m := mail.Message(s.t)
	defer m.Body.Release()
	if err := s.h.Check().(checks.Recorder).Record(s.t.Context(), &checks.Input{Message: m}, &message.Verdict{Action: action}); err != nil {
		s.t.Error(err)
	}
}

// known reports whether a message with such fields, to these, is an answer.
func (s *site) known(fields string, to ...string) bool {
	s.t.Helper()
	res := s.h.Run(checktest.Mail{To: to, Text: "From: joe@sender.test\n" + fields + "\n\nhello\n"})
	return len(res.Findings) == 1 && res.Findings[0].Name == findKnown
}

func TestReplies(t *testing.T) {
	s := newSite(t, "")
	s.sent("From: Ann <ann.smith@mx.test>\nMessage-ID: <1@mx.test>\n\nx", message.Accept)
	s.sent("From: ann@mx.test\nMessage-ID:\n <refused@mx.test>\n\nx", message.RejectMail)
	s.sent("From: ann@mx.test\nMessage-ID: <held@mx.test>\n\nx", message.Quarantine)
	s.sent("From: ann@mx.test\n\nno id", message.Accept)
	s.record(checktest.Mail{From: "<ann@mx.test>", Text: "From: ann@mx.test\nMessage-ID: <forged@mx.test>\n\nx"}, message.Accept) // a stranger's
	long := strings.Repeat("<x@y.test>\n ", 500)
	for _, c := range []struct {
		fields string
		to     string
		want   bool
	}{
		{"In-Reply-To: <1@mx.test>", "<ann@mx.test>", true},
		{"In-Reply-To: <1@mx.test>", "<Ann.Smith@MX.test>", true},
		{"In-Reply-To: <1@mx.test>", "<bob@mx.test>", false},
		{"References: <0@sender.test> <1@mx.test>\n <2@sender.test>", "<ann@mx.test>", true},
		{"References: <0@sender.test><1@mx\n .test>", "<ann@mx.test>", true},
		{"In-Reply-To: Your message of Friday <1@mx.test>", "<ann@mx.test>", true},
		{"In-Reply-To: <<1@mx.test>>", "<ann@mx.test>", true},
		{"In-Reply-To: 1@mx.test", "<ann@mx.test>", false},
		{"In-Reply-To: <1@mx.test", "<ann@mx.test>", false},
		{"In-Reply-To: <1@MX.test>", "<ann@mx.test>", false}, // an id is taken as it is
		{"In-Reply-To: <refused@mx.test>", "<ann@mx.test>", false},
		{"In-Reply-To: <held@mx.test>", "<ann@mx.test>", false},
		{"In-Reply-To: <forged@mx.test>", "<ann@mx.test>", false},
		{"In-Reply-To: <>", "<ann@mx.test>", false},
		{"Subject: x", "<ann@mx.test>", false},
		{"References: " + long + "<1@mx.test>", "<ann@mx.test>", true},
		{"References: <1@mx.test>\n " + long, "<ann@mx.test>", false}, // the twenty last ones count
		{"References: <" + strings.Repeat("a", 999) + "> <1@mx.test>", "<ann@mx.test>", true},
	} {
		if got := s.known(c.fields, c.to); got != c.want {
			t.Errorf("%.60q to %s: %v", c.fields, c.to, got)
		}
	}
	if !s.known("In-Reply-To: <1@mx.test>", "<x@other.test>", "<ann@mx.test>") {
		t.Error("one of two recipients")
	}
	s.now = s.now.Add(61 * 24 * time.Hour)
	if s.known("In-Reply-To: <1@mx.test>", "<ann@mx.test>") {
		t.Error("remembered for longer than keep")
	}
}

// dead is a store that does not answer.
type dead struct{ store.Store }

func (dead) Get(context.Context, string, ...[]byte) ([][]byte, error) { return nil, store.ErrBusy }

func TestDeadStore(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{Store: dead{}})
	mail := checktest.Mail{Text: "From: a@b.test\nIn-Reply-To: <1@mx.test>\n\nx"}
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

// FuzzMessageIDs: what is found stands in the field, in this order, without brackets
// or blanks.
func FuzzMessageIDs(f *testing.F) {
	for _, s := range []string{"<1@a>", "<a\n b@c> x <<d>>", "<>", "<", "><", "<a<b>c>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		rest := strings.Join(strings.Fields(value), "")
		for _, id := range messageIDs(value) {
			_, after, ok := strings.Cut(rest, id)
			if !ok || id == "" || len(id) > maxID || strings.ContainsAny(id, "<> \t\r\n") {
				t.Fatalf("%q in %q", id, value)
			}
			rest = after
		}
	})
}

func TestConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"keep: 0s":  "milterd.yaml:1:7: keep: got \"0s\", expected a time of at least 1h",
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

func BenchmarkThread(b *testing.B) {
	h := checktest.New(b, Spec(), "", checks.Env{Store: store.NewMemory(time.Now, 1<<20)})
	var refs strings.Builder
	for i := range 10 {
		fmt.Fprintf(&refs, "<%d.thread@sender.test>\n ", i)
	}
	m := checktest.Mail{Text: "From: a@b.test\nReferences: " + refs.String() + "<x@y.test>\n\nx"}.Message(b)
	defer m.Body.Release()
	in := &checks.Input{Message: m}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Check().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
