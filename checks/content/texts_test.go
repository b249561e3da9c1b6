package content

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/rules"
)

// Each kind of text, with what it holds of one message: the rule lists all texts
// of the kind as they are seen.
func TestTexts(t *testing.T) {
	m := parse(t, []byte(strings.Join([]string{
		`From: "Ada" <ada@example.org>`,
		`Subject: =?utf-8?Q?caf=C3=A9?=`,
		` and`,
		`Content-Type: multipart/mixed; boundary=b`,
		``,
		`--b`,
		`Content-Type: text/html; charset=iso-8859-1`,
		`Content-Transfer-Encoding: quoted-printable`,
		``,
		`<p>caf=E9 <a href=3D"https://Evil.Example/x?y">www.bank.example</a>`,
		`<span style=3D"display:none">secret</span>`,
		`--b`,
		`Content-Type: application/pdf; name="a.pdf"`,
		`Content-Disposition: attachment; filename="b.exe"`,
		``,
		`%PDF`,
		`--b--`,
	}, "\n")))
	m.Session.Client = netip.MustParseAddr("::ffff:192.0.2.9")
	for text, want := range map[string]string{
		"header: Subject":     `café and|`,
		"header_raw: Subject": ` =?utf-8?Q?caf=C3=A9?=\n and|`,
		"from_addr: ":         `ada@example.org|`,
		"from_name: ":         `Ada|`,
		"body: ":              `café www.bank.example|`,
		"hidden: ":            `secret|`,
		"uri: ":               `https://Evil.Example/x?y|www.bank.example|`,
		"uri.host: ":          `evil.example|www.bank.example|`,
		"uri.shown: ":         `www.bank.example|`,
		"attachment_name: ":   `b.exe|a.pdf|`,
		"attachment_type: ":   `application/pdf|`,
		"envelope.from: ":     `alice@example.org|`,
		"envelope.rcpt: ":     `bob@example.com|Carol@example.com|`,
		"client.name: ":       `mail.example.org|`,
		"client.addr: ":       `192.0.2.9|`,
		"helo: ":              `mx1.example.org|`,
	} {
		// A rule for each character that there may be: the texts are what they
		// hit one after another.
		for _, part := range strings.Split(strings.TrimSuffix(want, "|"), "|") {
			quoted := strings.NewReplacer("?", `\?`, ".", `\.`, "|", `\|`, "'", "''").Replace(part)
			got := run(t, newCheckOf(t, "rules:\n- name: HIT\n  "+text+"\n  match: '^"+quoted+"$'", checks.Limits{}), m)
			if !slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, "HIT ") }) {
				t.Errorf("%s is never %s", text, part)
			}
		}
		n := strings.Count(want, "|")
		for _, times := range []int{n, n + 1} {
			c := newCheckOf(t, "rules:\n- name: HIT\n  "+text+"\n  match: '(?s)^.+$'\n  times: "+string(rune('0'+times)), checks.Limits{})
			if got := slices.ContainsFunc(run(t, c, m), func(f string) bool { return strings.HasPrefix(f, "HIT ") }); got != (times == n) {
				t.Errorf("%s is there %d times: %v", text, times, got)
			}
		}
	}
	disguised := parse(t, []byte("From: a@b.test\n\nsee http://%65vil.example/x and http://0xC0000207/\n"))
	for expr, want := range map[string]bool{`^http://evil\.example/x$`: true, `^http://192\.0\.2\.7/$`: true, `^http://%65vil`: true, `^http://evil\.test`: false} {
		got := run(t, newCheckOf(t, "rules:\n- name: HIT\n  uri: {match: '"+expr+"'}", checks.Limits{}), disguised)
		if slices.ContainsFunc(got, func(f string) bool { return strings.HasPrefix(f, "HIT ") }) != want {
			t.Errorf("uri %s: %v, want %v", expr, got, want)
		}
	}
	for rule, want := range map[string]bool{
		`rawbody: {match: '^<p>café <a [^\n]+\n<span'}`:                   true,
		`full: {match: '^From: "Ada"[^|]*\n\n--b\n[^|]*caf=E9'}`:          true,
		`body: {match: 'cafe www', normalised: true}`:                     true,
		`body: {match: 'cafe www'}`:                                       false,
		`body: {match: w, times: 4}`:                                      false,
		`body: {match: w, times: 3}`:                                      true,
		`hidden: {exists: true}`:                                          true,
		`attachment_name: {exists: false}`:                                false,
		`from_addr: {in: [.example.org]}`:                                 true,
		`envelope.rcpt: {in: [carol@example.com]}`:                        true,
		`envelope.from: {in: [carol@example.com]}`:                        false,
		`client.addr: {in: [192.0.2.0/24]}`:                               true,
		`uri.host: {in: [evil.example]}`:                                  true,
		`client.name: {in: [example.org]}`:                                false,
		`helo: {in: [.example.org]}`:                                      true,
		"header: From\n  in: [ada@example.org]":                           true,
		"header: From\n  normalised: leet\n  match: '(?:)\"ada\" <ada@'":  true,
		"header: Subject\n  count: 9\n  times: 2\n  match: '[a-z]'":       true,
		"header: Subject\n  match: '(?i)(.)\\1'":                          false,
		"header: Subject\n  match: 'café (?=and)'":                        true,
		"header: Subject\n  match: 'café (?!and)'":                        false,
		"header: Subject\n  match: '(?<=café )an'":                        true,
		"header_raw: Subject\n  match: '([?])Q\\1'":                       true,
		"header_raw: Subject\n  match: '([?])Q\\1'\n  times: 2":           false,
		"header: X-None\n  exists: false":                                 true,
		"header: x-none\n  exists: true":                                  false,
		"client.addr: {match: '^192\\.0\\.2\\.'}":                         true,
		"attachment_type: {match: '^application/(?:pdf|zip)$', times: 1}": true,
		"uri.shown: {match: bank, normalised: true}":                      true,
		"from_name: {match: '^ada$', normalised: leet}":                   true,
		"attachment_name: {match: '(?i)[.]exe$'}":                         true,
		"rawbody: {match: 'display:none', times: 2}":                      false,
		"body: {match: secret}":                                           false,
		"full: {match: secret}":                                           true,
		"body: {exists: true}":                                            true,
		"client.addr: {exists: false}":                                    false,
		"envelope.from: {exists: false}":                                  false,
		"uri: {exists: true}":                                             true,
	} {
		c := newCheckOf(t, "backtracking: true\nrules:\n- name: HIT\n  "+rule, checks.Limits{})
		if got := slices.ContainsFunc(run(t, c, m), func(f string) bool { return strings.HasPrefix(f, "HIT") }); got != want {
			t.Errorf("%s: %v, want %v", rule, got, want)
		}
	}
}

// A rule that counts says how often it hit.
func TestCount(t *testing.T) {
	c := newCheckOf(t, `rules:
- {name: MANY, envelope.rcpt: {match: 'example', count: 5}}
- {name: ONE, envelope.rcpt: {match: 'example'}}
- {name: THREE, envelope.rcpt: {match: 'example', times: 3}}`, checks.Limits{})
	res, err := c.Run(t.Context(), &checks.Input{Message: newMessage(t, nil, nil)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range res.Findings {
		got[f.Name] = f.Value
	}
	if got["MANY"] != 2 || got["ONE"] != 0 || len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// A host counts once, however many addresses lead to it and in whatever order.
func TestHostsCountOnce(t *testing.T) {
	c := newCheckOf(t, `rules: [{name: HOSTS, uri.host: {match: '^', count: 9}}, {name: PAGES, uri: {match: '^', count: 9}}]`, checks.Limits{})
	res, err := c.Run(t.Context(), &checks.Input{Message: newMessage(t, nil, []byte("http://a.test/1 http://b.test/1 http://a.test/2 http://b.test/2"))})
	if err != nil || len(res.Findings) != 2 || res.Findings[0].Value != 2 || res.Findings[1].Value != 4 {
		t.Errorf("%+v, %v", res.Findings, err)
	}
}

// A list in a file is followed without a reload, and a broken one changes nothing.
func TestListFollowsItsFile(t *testing.T) {
	dir := t.TempDir()
	write := func(text string, age int) {
		t.Helper()
		path := filepath.Join(dir, "maps", "partners.txt")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(int64(age), 0), time.Unix(int64(age), 0)); err != nil {
			t.Fatal(err)
		}
	}
	write("alice@example.org # a partner\n", 1)
	set, err := rules.Load([]rules.Source{{Name: filepath.Join(dir, "own.yaml"),
		Text: []byte("rules: [{name: PARTNER, envelope.from: {in: maps/partners.txt}, tests: {hit: [alice@example.org], miss: [bob@example.org]}}]")}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	c := newCheckWith(t, set, checks.Limits{}, func() time.Time { return now })
	hit := func() bool {
		now = now.Add(time.Minute)
		return slices.ContainsFunc(run(t, c, newMessage(t, nil, nil)), func(f string) bool { return f == `PARTNER "alice@example.org"` })
	}
	if !hit() {
		t.Error("no hit at first")
	}
	if write("bob@example.org\n", 2); hit() {
		t.Error("a hit after the entry was taken out")
	}
	write("alice@example.org\n", 3)
	if !hit() {
		t.Error("no hit after the entry came back")
	}
	if write("al ice\n", 4); !hit() {
		t.Error("a broken file changed the list")
	}
}

// A rule that would never end is stopped; that is a finding, and the other rules
// are run.
func TestBacktrackingIsStopped(t *testing.T) {
	c := newCheckOf(t, `backtracking: true
rules:
- {name: ENDLESS, body: {match: '(?:x+x+)+y(?!z)'}}
- {name: OTHER, body: {match: 'xyz'}}`, checks.Limits{RuleTime: 20 * time.Millisecond})
	got := run(t, c, newMessage(t, nil, []byte(strings.Repeat("x", 2000)+"yz\r\n")))
	if len(got) != 2 || got[0] != `OTHER "xyz"` || !strings.HasPrefix(got[1], "RULES_TIME slow: ENDLESS ") {
		t.Errorf("%q", got)
	}
}

// Texts of a view that is not in the program are refused, not ignored.
func TestUnknownView(t *testing.T) {
	if newView("nobody") != nil {
		t.Error("there is a view of nobody")
	}
	if _, err := newPlan([]rules.TextRule{{Rule: rules.Rule{Name: "R"}, Text: "sa.none", Match: "x"}}, checks.Env{}); newView("sa") == nil && err == nil {
		t.Error("a rule for a view that is not there was taken")
	}
}
