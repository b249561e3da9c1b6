package dnsbl

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/dnslist"
	"milterd/message"
)

const section = `
lists:
  one: {enabled: true, zone: one.test, ask: [client], ipv6: true, codes: {127.0.0.2: spam, 127.0.0.4: exploit, 127.0.0.10: policy, 127.0.0.3: suspect}}
  two: {enabled: true, zone: two.test, ask: [client], codes: {127.0.0.2: spam}}
  sister: {enabled: true, zone: sister.test, group: one, ask: [client], codes: {127.0.0.2: spam}}
  good: {enabled: true, zone: good.test, ask: [client], codes: {127.0.5.0: ignore, 127.0.5.1: allow-low, 127.0.5.2: allow-medium, 127.0.5.3: allow-high}}
  off: {zone: off.test, ask: [client], codes: {127.0.0.2: spam}}
except: [192.0.2.200]
`

var zone = dnstest.Zone{
	"1.2.0.192.one.test":    {"A 127.0.0.2"},
	"1.2.0.192.sister.test": {"A 127.0.0.2"},
	"2.2.0.192.one.test":    {"A 127.0.0.2", "A 127.0.0.10"},
	"2.2.0.192.two.test":    {"A 127.0.0.2"},
	"3.2.0.192.one.test":    {"A 127.0.0.4"},
	"4.2.0.192.one.test":    {"A 127.0.0.10"},
	"5.2.0.192.one.test":    {"A 127.0.0.3"},
	"6.2.0.192.good.test":   {"A 127.0.5.0"},
	"7.2.0.192.good.test":   {"A 127.0.5.1"},
	"8.2.0.192.good.test":   {"A 127.0.5.2"},
	"9.2.0.192.good.test":   {"A 127.0.5.3"},
	"9.2.0.192.one.test":    {"A 127.0.0.2"},
	"10.2.0.192.two.test":   {"A 127.255.255.254"},
	"200.2.0.192.one.test":  {"A 127.0.0.2"},
	"1.2.0.192.off.test":    {"A 127.0.0.2"},
	"66.0.0.10.one.test":    {"A 127.0.0.2"},
	"b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.one.test": {"A 127.0.0.2"},
}

func start(t testing.TB) (*dnstest.Server, *dns.Resolver) {
	t.Helper()
	s := dnstest.Start(t, zone)
	r, err := dns.New(dns.Options{Servers: []string{s.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return s, r
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		client  string
		want    string
		outcome checks.Outcome
	}{
		{"192.0.2.1", "DNSBL_SPAM=1", checks.Found}, // the two lists are of one group
		{"192.0.2.2", "DNSBL_SPAM=2 DNSBL_SEVERAL=2", checks.Found},
		{"192.0.2.3", "DNSBL_EXPLOIT=1", checks.Found},
		{"192.0.2.4", "DNSBL_POLICY=1", checks.Found},
		{"192.0.2.5", "DNSBL_SUSPECT=1", checks.Found},
		{"192.0.2.6", "", checks.Clean},
		{"192.0.2.7", "DNSBL_ALLOW_LOW=1", checks.Found},
		{"192.0.2.8", "DNSBL_ALLOW_MEDIUM=1", checks.Found},
		{"192.0.2.9", "DNSBL_ALLOW_HIGH=1 DNSBL_SPAM=1", checks.Found},
		{"192.0.2.10", "", checks.Clean}, // one list does not answer
		{"192.0.2.99", "", checks.Clean},
		{"192.0.2.200", "", checks.None},
		{"::ffff:192.0.2.3", "DNSBL_EXPLOIT=1", checks.Found},
		{"2001:db8::b", "DNSBL_SPAM=1", checks.Found},
		{"10.0.0.66", "", checks.None},
		{"127.0.0.2", "", checks.None},
		{"fe80::1%eth0", "", checks.None},
		{"unknown", "", checks.None},
	} {
		t.Run(test.client, func(t *testing.T) {
			s, r := start(t)
			h := checktest.New(t, Spec(), section, checks.Env{Resolver: r})
			if n := s.Total(); n != 0 {
				t.Fatalf("New has asked %d questions", n)
			}
			res := h.Run(checktest.Mail{Client: test.client})
			var got []string
			for _, f := range res.Findings {
				got = append(got, fmt.Sprintf("%s=%g", f.Name, f.Value))
			}
			if strings.Join(got, " ") != test.want || res.Ended() != test.outcome || res.Demand != nil {
				t.Errorf("%v, %s, %v; want %s, %s", res.Findings, res.Ended(), res.Demand, test.want, test.outcome)
			}
			// One question a list, and two for each that has to prove itself.
			if n := s.Total(); n > 4+3*2 || test.outcome == checks.None && n > 0 {
				t.Errorf("%d questions", n)
			}
		})
	}
}

// TestReject: the operator's classes refuse, others do not, and nobody is refused whom
// a list vouches for.
func TestReject(t *testing.T) {
	_, r := start(t)
	h := checktest.New(t, Spec(), section+"reject: [spam, exploit]\n", checks.Env{Resolver: r})
	if !h.Check().(checks.Early).AnswersAtRcpt() {
		t.Error("does not answer at RCPT")
	}
	for client, want := range map[string]string{
		"192.0.2.1":   "550 5.7.1 Client host [192.0.2.1] listed by one",
		"192.0.2.3":   "550 5.7.1 Client host [192.0.2.3] listed by one",
		"2001:db8::b": "550 5.7.1 Client host [2001:db8::b] listed by one",
		"192.0.2.4":   "", "192.0.2.9": "", "192.0.2.10": "", "192.0.2.99": "",
	} {
		res := h.Run(checktest.Mail{Client: client})
		got := ""
		if d := res.Demand; d != nil {
			got = d.Reply.String()
			if d.Action != message.RejectMail || !d.AtRcpt || d.Always {
				t.Errorf("%s: %+v", client, d)
			}
		}
		out, _ := res.Detail.(dnslist.Outcome)
		if got != want || out.Certain != (want != "") {
			t.Errorf("%s: %q, certain %v; want %q", client, got, out.Certain, want)
		}
	}
	if checktest.New(t, Spec(), section, checks.Env{Resolver: r}).Check().(checks.Early).AnswersAtRcpt() {
		t.Error("answers at RCPT although nobody asked for that")
	}
}

// TestNoLists: without a list nothing is asked, and nobody waits.
func TestNoLists(t *testing.T) {
	s, r := start(t)
	for _, text := range []string{"", sample, "reject: [spam]"} {
		h := checktest.New(t, Spec(), text, checks.Env{Resolver: r})
		if res := h.Run(checktest.Mail{}); len(res.Findings) > 0 || res.Ended() != checks.None || h.Check().(checks.Early).AnswersAtRcpt() {
			t.Errorf("%q: %+v", text, res)
		}
		if got := h.Check().(checks.Idle).Idle(); got != "no DNS list is enabled" {
			t.Errorf("%q: idle because %q", text, got)
		}
		h.Check().(checks.Background).Background(t.Context()) // has nothing to do, so it returns
	}
	if n := s.Total(); n != 0 {
		t.Errorf("%d questions", n)
	}
}

// TestSecret: the key of a zone is in no finding, reply, log line and error.
func TestSecret(t *testing.T) {
	s, r := start(t)
	s.SetZone(t, dnstest.Zone{"1.2.0.192.s3cret.one.test": {"A 127.0.0.2"}, "3.2.0.192.s3cret.one.test": {"A 127.255.255.254"}})
	var said strings.Builder
	env := checks.Env{Resolver: r, Logger: logger(&said)}
	h := checktest.New(t, Spec(), "lists: {one: {enabled: true, zone: s3cret.one.test, ask: [client], codes: {127.0.0.2: spam}}}\nreject: [spam]", env)
	for _, client := range []string{"192.0.2.1", "192.0.2.3"} {
		res := h.Run(checktest.Mail{Client: client})
		if res.Demand != nil {
			said.WriteString(res.Demand.Reply.String())
		}
		for _, f := range res.Findings {
			said.WriteString(f.Detail)
		}
		said.WriteString(res.Note)
	}
	_, err := checktest.TryNew(t, Spec(), "lists: {one: {enabled: true, zone: \"s3cret one\", ask: [client], codes: {127.0.0.2: spam}}}", checks.Env{})
	if err == nil {
		t.Fatal("a zone with a blank")
	}
	said.WriteString(err.Error())
	if text := said.String(); strings.Contains(text, "s3cret") || !strings.Contains(text, "refused") || !strings.Contains(text, "listed by one") {
		t.Errorf("said %s", text)
	}
}

func TestConfig(t *testing.T) {
	got := config{}
	want := defaults()
	if err := checktest.Section(sample).Decode(&got); err != nil || got.Common != want.Common || len(got.Lists)+len(got.Files)+len(got.Reject) > 0 {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"enable: true":         "enabled",
		"reject: [allow-high]": "reject[0]",
		"reject: [spma]":       "did you mean",
		"lists: {spamhaus-zen: {enabled: true, ask: [url]}}": "nothing that this check asks about",
		"lists: {new: {enabled: true}}":                      "milterd.yaml:1:14: checks.dnsbl.lists.new.zone: missing",
		"files: [nowhere.yaml]":                              "nowhere.yaml",
		"except: [300.1.2.3/99]":                             "except[0]",
	} {
		if _, err := checktest.TryNew(t, Spec(), text, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if spec := Spec(); spec.OnError != defaults().OnError || spec.Outbound || spec.Phase != checks.Mail {
		t.Errorf("%+v", spec)
	}
	for class, name := range named {
		if class.Blocks() == class.Allows() || name == "" {
			t.Errorf("%s: %s", class, name)
		}
	}
}

func BenchmarkClear(b *testing.B) {
	_, r := start(b)
	h := checktest.New(b, Spec(), section, checks.Env{Resolver: r})
	in := &checks.Input{Message: &message.Message{Session: &message.Session{Client: netip.MustParseAddr("192.0.2.99")}}}
	b.ReportAllocs()
	for b.Loop() { // all from the cache
		if _, err := h.Check().Run(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}

func logger(to *strings.Builder) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }
