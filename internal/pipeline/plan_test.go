package pipeline

import (
	"errors"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
)

func spec(name string, phase checks.Phase, change ...func(*checks.Spec)) checks.Spec {
	s := checktest.Clean(name, phase)
	for _, c := range change {
		c(&s)
	}
	return s
}

func needs(names ...string) func(*checks.Spec) { return func(s *checks.Spec) { s.Needs = names } }
func after(names ...string) func(*checks.Spec) { return func(s *checks.Spec) { s.After = names } }
func onOutbound(s *checks.Spec)                { s.Outbound = true }
func readingBody(s *checks.Spec)               { s.BodyReader = true }
func within(d time.Duration) func(*checks.Spec) {
	return func(s *checks.Spec) { s.Timeout = d }
}

func TestPlan(t *testing.T) {
	const mail, header, whole = checks.Mail, checks.Header, checks.Message
	for _, c := range []struct {
		name   string
		specs  []checks.Spec
		order  string
		errors []string
	}{
		{name: "nothing"},
		{name: "as given", specs: []checks.Spec{spec("c", whole), spec("a", mail), spec("b", header)}, order: "c a b"},
		{name: "what is needed first, the rest as given",
			specs: []checks.Spec{spec("dmarc", header, needs("dkim", "spf")), spec("x", mail), spec("spf", mail), spec("dkim", header)},
			order: "dkim spf dmarc x"},
		{name: "what is followed first", specs: []checks.Spec{spec("b", mail, after("a")), spec("a", mail)}, order: "a b"},
		{name: "what is followed may be absent", specs: []checks.Spec{spec("b", mail, after("a"))}, order: "b"},
		{name: "chain", specs: []checks.Spec{spec("c", whole, needs("b")), spec("b", header, needs("a")), spec("a", mail)}, order: "a b c"},
		{name: "needed by two", specs: []checks.Spec{spec("b", mail, needs("a")), spec("c", mail, needs("a")), spec("a", mail)}, order: "a b c"},
		{name: "what is needed is off", specs: []checks.Spec{spec("dmarc", header, needs("dkim"))},
			errors: []string{"check dmarc needs check dkim, which is off"}},
		{name: "needs itself", specs: []checks.Spec{spec("a", mail, needs("a"))}, errors: []string{"checks need each other: a -> a"}},
		{name: "cycle", specs: []checks.Spec{spec("a", mail, needs("b")), spec("b", mail, after("c")), spec("c", mail, needs("a"))},
			errors: []string{"checks need each other: a -> b -> c -> a"}},
		{name: "cycle beside the way", specs: []checks.Spec{spec("x", mail, needs("a")), spec("a", mail, needs("b")), spec("b", mail, needs("a"))},
			errors: []string{"checks need each other: x -> a -> b -> a"}},
		{name: "needs what comes later", specs: []checks.Spec{spec("a", mail, needs("b")), spec("b", header)},
			errors: []string{"check a (phase mail) cannot wait for check b (phase header)"}},
		{name: "follows what comes later", specs: []checks.Spec{spec("a", checks.Connect, after("b")), spec("b", checks.Helo)},
			errors: []string{"check a (phase connect) cannot wait for check b (phase helo)"}},
		{name: "a result for each recipient", specs: []checks.Spec{spec("a", whole, needs("b")), spec("b", checks.Rcpt)},
			errors: []string{"check a cannot use check b, which has a result for each recipient"}},
		{name: "recipients need the sender", specs: []checks.Spec{spec("greylist", checks.Rcpt, needs("spf")), spec("spf", mail)}, order: "spf greylist"},
		{name: "listed twice", specs: []checks.Spec{spec("a", mail), spec("a", mail)}, errors: []string{"check a is listed twice"}},
		{name: "body reader in another phase", specs: []checks.Spec{spec("a", whole, readingBody)},
			errors: []string{"check a reads the body as it arrives, so its phase must be header"}},
		{name: "body reader with a timeout", specs: []checks.Spec{spec("a", header, readingBody, within(time.Second))},
			errors: []string{"check a reads the body as it arrives, so a timeout would bound the client"}},
		{name: "outbound needs what is not", specs: []checks.Spec{spec("sign", header, onOutbound, needs("spf")), spec("spf", mail)},
			errors: []string{"check sign runs on outbound mail, check spf, which it needs, does not"}},
		{name: "outbound follows what is not", specs: []checks.Spec{spec("sign", header, onOutbound, after("spf")), spec("spf", mail)}, order: "spf sign"},
		{name: "all at once",
			specs: []checks.Spec{spec("a", mail, needs("gone")), spec("b", mail, needs("late")), spec("late", whole), spec("c", mail, needs("c"))},
			errors: []string{"check a needs check gone, which is off", "check b (phase mail) cannot wait for check late (phase message)",
				"checks need each other: c -> c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			order, err := plan(c.specs)
			var said []string
			if err != nil {
				said = strings.Split(err.Error(), "\n")
			}
			if strings.Join(said, "\n") != strings.Join(c.errors, "\n") {
				t.Fatalf("said %q\nwant %q", said, c.errors)
			}
			var names []string
			for _, s := range order {
				names = append(names, s.Name)
			}
			if got := strings.Join(names, " "); err == nil && got != c.order {
				t.Errorf("order %s, want %s", got, c.order)
			}
		})
	}
}

// One try says everything that is wrong, in the plan and in the sections.
func TestNewSaysEverything(t *testing.T) {
	broken := func(name string, err error) checks.Spec {
		s := spec(name, checks.Mail)
		s.New = func(checks.Section, checks.Env) (checks.Check, error) { return nil, err }
		return s
	}
	one, two := errors.New("one"), errors.New("two")
	_, err := New(options(t, []checks.Spec{broken("a", one), spec("b", checks.Mail, needs("gone")), broken("c", two)}, nil))
	if !errors.Is(err, one) || !errors.Is(err, two) || !strings.Contains(err.Error(), "needs check gone") {
		t.Errorf("said %v", err)
	}
}

func TestReadsBody(t *testing.T) {
	for _, c := range []struct {
		specs []checks.Spec
		want  bool
	}{
		{nil, false},
		{[]checks.Spec{spec("a", checks.Mail), spec("b", checks.Header)}, false},
		{[]checks.Spec{spec("a", checks.Mail), spec("b", checks.Message)}, true},
		{[]checks.Spec{spec("a", checks.Header, readingBody)}, true},
	} {
		if got := newPipeline(t, c.specs, nil).ReadsBody(); got != c.want {
			t.Errorf("%d checks: %v", len(c.specs), got)
		}
	}
}
