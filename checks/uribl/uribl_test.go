package uribl

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/dnslist"
	"milterd/message"
	"milterd/mime"

	"github.com/prometheus/client_golang/prometheus"
)

const section = `
lists:
  dom: {enabled: true, zone: dom.test, ask: [helo, mailfrom, author, dkim, url], codes: {127.0.0.2: spam, 127.0.0.3: phish, 127.0.0.4: malware, 127.0.0.5: abused, 127.0.0.6: suspect}}
  two: {enabled: true, zone: two.test, ask: [url], codes: {127.0.0.2: spam}}
  host: {enabled: true, zone: host.test, ask: [url], host: true, addresses: true, codes: {127.0.0.2: spam}}
  hops: {enabled: true, zone: hops.test, ask: [received], group: client, codes: {127.0.0.2: spam, 127.0.0.10: policy}}
  mail: {enabled: true, zone: mail.test, ask: [email], codes: {127.0.0.2: spam, 127.0.1.2: suspect}}
except: [.partner.example, 192.0.2.200]
`

func hash(address string) string { return fmt.Sprintf("%x.mail.test", sha1.Sum([]byte(address))) }

func testZone() dnstest.Zone {
	return dnstest.Zone{
		"spam.example.dom.test":      {"A 127.0.0.2"},
		"spam.example.two.test":      {"A 127.0.0.2"},
		"phish.example.dom.test":     {"A 127.0.0.3"},
		"malware.example.dom.test":   {"A 127.0.0.4"},
		"abused.example.dom.test":    {"A 127.0.0.5"},
		"suspect.example.dom.test":   {"A 127.0.0.6"},
		"bad.github.io.dom.test":     {"A 127.0.0.2"},
		"www.own.example.host.test":  {"A 127.0.0.2"},
		"9.100.51.198.host.test":     {"A 127.0.0.2"},
		"partner.example.dom.test":   {"A 127.0.0.2"},
		"1.2.0.192.hops.test":        {"A 127.0.0.2"},
		"2.2.0.192.hops.test":        {"A 127.0.0.10"},
		"7.100.51.198.hops.test":     {"A 127.0.0.2"},
		hash("scammer@mail.example"): {"A 127.0.0.2"},
		hash("grey@mail.example"):    {"A 127.0.1.2"},
	}
}

func start(t testing.TB) (*dnstest.Server, checks.Resolver) {
	t.Helper()
	s := dnstest.Start(t, testZone())
	r, err := dns.New(dns.Options{Servers: []string{s.Addr()}, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return s, r
}

const plain = "From: a@clean.example\nTo: b@mx.test\n\n"

func html(body string) string {
	return "From: a@clean.example\nMIME-Version: 1.0\nContent-Type: text/html\n\n<html><body>" + body + "</body></html>\n"
}

func TestRun(t *testing.T) {
	listedClient := checks.Result{Check: "dnsbl", Detail: dnslist.Outcome{Listings: []dnslist.Listing{
		{Question: dnslist.Question{List: &dnslist.List{Name: "x", Group: "client"}}, Answer: dnslist.Answer{Status: dnslist.Listed, Class: dnslist.Spam}}}}}
	for _, test := range []struct {
		name string
		mail checktest.Mail
		want string
	}{
		{"nothing", checktest.Mail{Text: plain + "hello\n"}, ""},
		{"spam", checktest.Mail{Text: plain + "see http://www.spam.example/x\n"}, "URIBL_SPAM=2 URIBL_SEVERAL=2"},
		{"phish", checktest.Mail{Text: html(`<a href="http://login.phish.example">x</a>`)}, "URIBL_PHISH=1"},
		{"malware", checktest.Mail{Text: html(`<img src="http://malware.example/x.gif">`)}, "URIBL_MALWARE=1"},
		{"abused", checktest.Mail{Text: plain + "http://abused.example/\n"}, "URIBL_ABUSED=1"},
		{"suspect", checktest.Mail{Text: plain + "http://suspect.example/\n"}, "URIBL_SUSPECT=1"},
		{"each kind once", checktest.Mail{Text: plain + "http://phish.example/ http://suspect.example/ http://x.phish.example/\n"}, "URIBL_PHISH=1 URIBL_SUSPECT=1"},
		{"private suffix", checktest.Mail{Text: plain + "https://bad.github.io/ https://good.github.io/\n"}, "URIBL_SPAM=1"},
		{"whole host", checktest.Mail{Text: plain + "http://www.own.example/\n"}, "URIBL_SPAM=1"},
		{"another host of it", checktest.Mail{Text: plain + "http://shop.own.example/\n"}, ""},
		{"address as host", checktest.Mail{Text: plain + "http://198.51.100.9/\n"}, "URIBL_SPAM=1"},
		{"address in disguise", checktest.Mail{Text: html(`<a href="http://0xc6336409/">x</a>`)}, "URIBL_SPAM=1"},
		{"private address", checktest.Mail{Text: plain + "http://10.0.0.1/ http://localhost/\n"}, ""},
		{"what a link only shows", checktest.Mail{Text: html(`<a href="http://clean.example">http://phish.example/</a>`)}, ""},
		{"partner", checktest.Mail{Text: plain + "http://www.partner.example/\n"}, ""},
		{"author", checktest.Mail{Text: "From: a@x.spam.example\n\nhello\n"}, "URIBL_SENDER=1"},
		{"author in doubt", checktest.Mail{Text: "From: a@suspect.example\n\nhello\n"}, "URIBL_SENDER_SUSPECT=1"},
		{"reverse-path", checktest.Mail{From: "<a@spam.example>", Text: plain + "hello\n"}, "URIBL_SENDER=1"},
		{"helo", checktest.Mail{Helo: "mail.spam.example", Text: plain + "hello\n"}, "URIBL_SENDER=1"},
		{"helo is an address", checktest.Mail{Helo: "[192.0.2.1]", Text: plain + "hello\n"}, ""},
		{"signer", checktest.Mail{Text: "DKIM-Signature: v=1; a=rsa-sha256; d=spam.example; s=x; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\n" + plain + "hello\n"}, "URIBL_SENDER=1"},
		{"author's address", checktest.Mail{Text: "From: Scammer+1@mail.example\n\nhello\n"}, "URIBL_ADDRESS=1"},
		{"author's address in doubt", checktest.Mail{Text: "From: grey@mail.example\n\nhello\n"}, "URIBL_SENDER_SUSPECT=1"},
		{"reply-to", checktest.Mail{Text: "Reply-To: \"x\" <scammer@MAIL.example>\n" + plain + "hello\n"}, "URIBL_ADDRESS=1"},
		{"hop", checktest.Mail{Text: "Received: from x ([198.51.100.7]) by y; date\n" + plain + "hello\n"}, "URIBL_RECEIVED=1"},
		{"dial-up hop", checktest.Mail{Client: "203.0.113.1", Text: "Received: from x ([192.0.2.2]) by y; date\n" + plain + "hello\n"}, ""},
		{"the client again", checktest.Mail{Text: "Received: from x ([192.0.2.1]) by y; date\n" + plain + "hello\n"}, ""},
		{"hop, client listed by the same", checktest.Mail{Prior: []checks.Result{listedClient},
			Text: "Received: from x ([198.51.100.7]) by y; date\n" + plain + "hello\n"}, ""},
		{"refusal is certain", checktest.Mail{Prior: []checks.Result{{Check: "dnsbl", Detail: dnslist.Outcome{Certain: true}}},
			Text: plain + "http://spam.example/\n"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, r := start(t)
			h := checktest.New(t, Spec(), section, checks.Env{Resolver: r})
			res := h.Run(test.mail)
			var got []string
			for _, f := range res.Findings {
				got = append(got, fmt.Sprintf("%s=%g", f.Name, f.Value))
			}
			if strings.Join(got, " ") != test.want || res.Demand != nil {
				t.Errorf("%v; want %s", res.Findings, test.want)
			}
			if n := s.Total(); n > 40 || test.name == "refusal is certain" && n > 0 {
				t.Errorf("%d questions", n)
			}
			for _, name := range []string{"7.100.51.198.hops.test", "phish.example.dom.test", "partner.example.dom.test"} {
				skipped := strings.Contains(test.name, "listed by the same") || test.name == "what a link only shows" || test.name == "partner"
				if skipped && s.Count(name, "A") > 0 {
					t.Errorf("asked for %s", name)
				}
			}
		})
	}
}

// TestWorth: of more hosts than may be asked about, those that a reader clicks on come
// first, and those that he does not see last; the message never costs more than its
// share.
func TestWorth(t *testing.T) {
	s, r := start(t)
	h := checktest.New(t, Spec(), section+"hosts: 3\n", checks.Env{Resolver: r})
	res := h.Run(checktest.Mail{Text: html(`<img src="http://pic1.example/"><p style="display:none"><a href="http://unseen.example">x</a></p>http://text.example/ <a href="http://link1.example">y</a> <a href="http://link2.example">z</a>`)})
	for name, want := range map[string]int{"link1.example": 1, "link2.example": 1, "text.example": 1, "pic1.example": 0, "unseen.example": 0} {
		if got := s.Count(name+".dom.test", "A"); got != want {
			t.Errorf("%s was asked for %d times, want %d", name, got, want)
		}
	}
	if res.Note != "2 hosts of URLs were not asked about" {
		t.Errorf("note %q", res.Note)
	}

	var many strings.Builder
	for i := range 900 {
		fmt.Fprintf(&many, "http://host%d.example/ ", i)
		if i%5 == 0 {
			many.WriteByte('\n')
		}
	}
	before := s.Total()
	h = checktest.New(t, Spec(), section+"hosts: 100\n", checks.Env{Resolver: r})
	h.Run(checktest.Mail{Text: plain + many.String() + "\n"})
	if n := s.Total() - before; n > maxQuestions || n < 30 {
		t.Errorf("%d questions for 900 URLs", n)
	}
}

// TestSuffixes: the site's own suffixes go before the Public Suffix List.
func TestSuffixes(t *testing.T) {
	s, r := start(t)
	path := filepath.Join(t.TempDir(), "suffixes.txt")
	if err := os.WriteFile(path, []byte("hoster.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := checktest.New(t, Spec(), section+"suffixes: ["+path+"]\n", checks.Env{Resolver: r})
	h.Run(checktest.Mail{Text: plain + "http://www.shop.hoster.example/\n"})
	if s.Count("shop.hoster.example.dom.test", "A") != 1 || s.Count("hoster.example.dom.test", "A") != 0 {
		t.Error("another domain was asked for")
	}
}

// TestNoLists: without a list nothing is asked and no body is read.
func TestNoLists(t *testing.T) {
	s, r := start(t)
	for _, text := range []string{"", sample, "hosts: 5"} {
		h := checktest.New(t, Spec(), text, checks.Env{Resolver: r})
		if res := h.Run(checktest.Mail{Text: plain + "http://spam.example/\n"}); len(res.Findings) > 0 || res.Ended() != checks.None {
			t.Errorf("%q: %+v", text, res)
		}
		if got := h.Check().(checks.Idle).Idle(); got != "no DNS list is enabled" {
			t.Errorf("%q: idle because %q", text, got)
		}
		h.Check().(checks.Background).Background(t.Context())
	}
	if n := s.Total(); n != 0 {
		t.Errorf("%d questions", n)
	}
}

// TestEnd: a check that has to stop says so.
func TestEnd(t *testing.T) {
	_, r := start(t)
	h := checktest.New(t, Spec(), section, checks.Env{Resolver: r})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Try(ctx, checktest.Mail{Text: plain + "http://spam.example/\n"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestConfig(t *testing.T) {
	got, want := config{}, defaults()
	if err := checktest.Section(sample).Decode(&got); err != nil || got.Common != want.Common || got.Hosts != want.Hosts || len(got.Lists)+len(got.Files)+len(got.Suffixes) > 0 {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, want)
	}
	for text, want := range map[string]string{
		"enable: true": "enabled",
		"hosts: 0":     "expected a number from 1 to 100",
		"hosts: 101":   "expected a number from 1 to 100",
		"lists: {spamhaus-dbl: {enabled: true, ask: [client]}}":                 "nothing that this check asks about",
		"lists: {spamhaus-dbl: {enabled: true, codes: {127.0.1.9: allow-low}}}": "anybody can write",
		"files: [nowhere.yaml]":              "nowhere.yaml",
		"suffixes: [nowhere.txt]\nhosts: 19": "nowhere.txt",
	} {
		if _, err := checktest.TryNew(t, Spec(), text, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if spec := Spec(); spec.OnError != defaults().OnError || spec.Outbound {
		t.Errorf("%+v", spec)
	}
}

// FuzzSurvey: whatever a message has, the questions are bounded, each is asked once,
// and each is about a name or address that may stand in a log.
func FuzzSurvey(f *testing.F) {
	f.Add("From: a@b.example\nReply-To: <c@d.example>\nReceived: from x ([192.0.2.7]) by y\n\nhttp://e.example/\n", "mail.test")
	f.Add("DKIM-Signature: d=x.example\nContent-Type: text/html\n\n<a href=http://0x7f.1>", "[1.2.3.4]")
	built, err := newCheck(checktest.Section(section), checks.Env{Now: time.Now, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		f.Fatal(err)
	}
	c := built.(*check)
	f.Fuzz(func(t *testing.T, text, helo string) {
		m := checktest.Mail{Text: text, Helo: helo}.Message(t)
		defer m.Body.Release()
		s := &survey{check: c, left: maxQuestions, asked: map[[2]string]bool{}}
		all := s.header(m, nil)
		tree, _, err := mime.Shared(m, c.limits.scan, c.limits.mime)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s.urls(tree)...)
		seen := map[string]bool{}
		for _, q := range all {
			key := q.List.Name + " " + q.Item
			if seen[key] {
				t.Errorf("%s twice", key)
			}
			seen[key] = true
			if q.Item != message.SafeText(q.Item, 400) {
				t.Errorf("asked about %q", q.Item)
			}
			if a, err := netip.ParseAddr(q.Item); err == nil && (a.IsPrivate() || a.IsLoopback()) {
				t.Errorf("asked about %s, which nobody elsewhere knows", a)
			}
		}
		if len(all) > maxQuestions {
			t.Errorf("%d questions", len(all))
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	_, r := start(b)
	h := checktest.New(b, Spec(), section, checks.Env{Resolver: r})
	m := checktest.Mail{Text: html(`<p>Hello</p><a href="http://a.example/">a</a> <a href="http://b.example/">b</a>` + strings.Repeat("<p>text and text</p>", 100))}.Message(b)
	defer m.Body.Release()
	b.ReportAllocs()
	for b.Loop() { // all from the cache
		if _, err := h.Check().Run(b.Context(), &checks.Input{Message: m, Body: m.Body.Reader()}); err != nil {
			b.Fatal(err)
		}
	}
}
