package spamassassin

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/rules"
)

// findings are what checks report, for these tests.
var findings = []string{"SPF_PASS", "SPF_FAIL", "DKIM_PASS", "DKIM_PASS_AUTHOR", "MIME_MISSING_BLANK_LINE"}

// importText imports files given as name and text, and holds that milterd takes
// what comes out.
func importText(t *testing.T, opts Options, files ...string) *Result {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if opts.Findings == nil {
		opts.Findings = findings
	}
	r, err := Import([]string{dir}, opts)
	if err != nil {
		t.Fatal(err)
	}
	loads(t, opts.Findings, r.Rules, r.Backtracking)
	loads(t, opts.Findings, r.File())
	return r
}

func loads(t *testing.T, findings []string, files ...[]byte) {
	t.Helper()
	var sources []rules.Source
	for _, text := range files {
		sources = append(sources, rules.Source{Name: "imported.yaml", Text: text})
	}
	for i := range sources {
		sources[i].Name += strings.Repeat("+", i)
	}
	if _, err := rules.Load(slices.DeleteFunc(sources, func(s rules.Source) bool { return len(s.Text) == 0 }), findings); err != nil {
		t.Fatalf("milterd does not take what was imported: %v\n%s", err, files)
	}
}

// body is what follows the heading of a rule file.
func body(text []byte) string {
	_, after, _ := strings.Cut(string(text), "\n")
	return after
}

func TestRules(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"header", "header A Subject =~ /win now/i\nscore A 2.5\ndescribe A It's won", `rules:
  - name: A
    describe: 'It''s won'
    sa.header: 'Subject'
    match: '(?i)win now'
    score: 2.5
`},
		{"body, default score", "body A m{a/b}", "rules:\n  - name: A\n    sa.body:\n      match: 'a/b'\n    score: 1\n"},
		{"nice", "uri A /x/\ntflags A nice", "rules:\n  - name: A\n    sa.uri:\n      match: 'x'\n    score: -1\n"},
		{"a sub-rule has no score", "rawbody __A /x/", "rules:\n  - name: __A\n    sa.rawbody:\n      match: 'x'\n"},
		{"score 0 is off", "body A /x/\nscore A 0", "rules:\n  - name: A\n    sa.body:\n      match: 'x'\n    state: off\n"},
		{"four scores", "body A /x/\nscore A 1 2 3 4", "rules:\n  - name: A\n    sa.body:\n      match: 'x'\n    score: 1\n"},
		{"added score", "body A /x/\nscore A 2\nscore A (1.5)", "rules:\n  - name: A\n    sa.body:\n      match: 'x'\n    score: 3.5\n"},
		{"exists", "header __A exists:X-Foo", "rules:\n  - name: __A\n    sa.header: 'X-Foo'\n    exists: true\n"},
		{"comment, escaped #", `full __A /a\#b/ # c`, "rules:\n  - name: __A\n    sa.full:\n      match: 'a#b'\n"},
		{"mimeheader", "mimeheader __A Content-Type:raw =~ /x/", "rules:\n  - name: __A\n    sa.mimeheader: 'Content-Type:raw'\n    match: 'x'\n"},
		{"without the subject", "body __A /x/\ntflags __A nosubject", "rules:\n  - name: __A\n    sa.body_only:\n      match: 'x'\n"},
		{"the last definition counts", "body __A /x/\nbody __A /y/", "rules:\n  - name: __A\n    sa.body:\n      match: 'y'\n"},
		{"a missing field is an empty text", "header __A To =~ /^$/", `rules:
  - name: __A_FOUND
    describe: 'Part of __A'
    sa.header: 'To'
    match: '^(?:\n?\z)'
  - name: __A_MISSING
    describe: 'Part of __A'
    sa.header: 'To'
    exists: false
  - name: __A
    when: '__A_FOUND || __A_MISSING'
`},
		{"if-unset", "header __A To =~ /un/ [if-unset: none]", "rules:\n  - name: __A\n    sa.header: 'To'\n    match: 'un'\n"},
		{"not", "header __A To !~ /x/ [if-unset: x]", `rules:
  - name: __A_FOUND
    describe: 'Part of __A'
    sa.header: 'To'
    match: 'x'
  - name: __A_MISSING
    describe: 'Part of __A'
    sa.header: 'To'
    exists: false
  - name: __A
    when: '!__A_FOUND && !__A_MISSING'
`},
		{"meta", "body __A /x/\nbody __B /y/\nmeta C (__A + __B >= 1) && !__A", `rules:
  - name: __A
    sa.body:
      match: 'x'
  - name: __B
    sa.body:
      match: 'y'
  - name: C
    when: '__A + __B >= 1 && !__A'
    score: 1
`},
		{"the number of hits", "body __A /x/\ntflags __A multiple maxhits=5\nmeta __B __A > 3", `rules:
  - name: __A
    sa.body:
      match: 'x'
      count: 5
  - name: __B
    when: '__A > 3'
`},
		{"the number of hits by way of a meta", "body __A /x/\ntflags __A multiple\nmeta __B __A\nmeta __C __B > 1", `rules:
  - name: __A
    sa.body:
      match: 'x'
      count: 1000
  - name: __B
    when: '__A'
  - name: __C
    when: '__A > 1'
`},
		{"the value of a meta", "body __A /x/\nbody __B /y/\nmeta __C __A + __B\nmeta __D __C > 1", `rules:
  - name: __A
    sa.body:
      match: 'x'
  - name: __B
    sa.body:
      match: 'y'
  - name: __C
    when: '__A + __B'
  - name: __D
    when: '__A + __B > 1'
`},
		{"rules_matching", "body __A1 /x/\nbody __A2 /y/\nmeta __B rules_matching(__A*) == 2", `rules:
  - name: __A1
    sa.body:
      match: 'x'
  - name: __A2
    sa.body:
      match: 'y'
  - name: __B
    when: '__A1 + __A2 == 2'
`},
		{"tags", "replace_tag A [a4]\nreplace_tag B <A>b\nreplace_inter W x?\nreplace_post P {1,2}\nbody __A /<inter W><post P><A><B><C>/\nreplace_rules __A",
			"rules:\n  - name: __A\n    sa.body:\n      match: '[4a]{1,2}x?[4a]b{1,2}<C>'\n"},
		{"conditions", "if (version >= 4.000000) && !plugin(Mail::SpamAssassin::Plugin::Nobody)\nbody __A /x/\nelse\nbody __B /y/\nendif\nifplugin Mail::SpamAssassin::Plugin::Razor3\nbody __C /z/\nendif\nif can(Mail::SpamAssassin::Conf::feature_bug6558_free)\nbody __D /d/\nendif",
			"rules:\n  - name: __A\n    sa.body:\n      match: 'x'\n  - name: __D\n    sa.body:\n      match: 'd'\n"},
		{"a finding of ours", "header SPF_PASS eval:check_for_spf_pass()\nscore SPF_PASS -0.5\nfull DKIM_VALID eval:check_dkim_valid()\nscore DKIM_VALID -0.1\nmeta __C SPF_PASS && DKIM_VALID",
			"rules:\n  - name: DKIM_VALID\n    when: 'DKIM_PASS'\n    score: -0.1\n  - name: __C\n    when: 'SPF_PASS && DKIM_VALID'\nscores:\n  SPF_PASS: -0.5\n"},
		{"small letters", "body __kam /x/", "rules:\n  - name: __KAM\n    sa.body:\n      match: 'x'\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := body(importText(t, Options{Column: Local}, "a.cf", test.in).Rules); got != test.want {
				t.Errorf("got\n%s\nexpected\n%s", got, test.want)
			}
		})
	}
}

// TestReported are lines that are not carried, and what the report says.
func TestReported(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"body A /(a)\\1/", "a.cf:1: body A: a back-reference needs backtracking, which is off"},
		{"body A /a(/", "a.cf:1: body A: the expression cannot be carried, at byte 2: a ( without its )"},
		{"body A foo", `a.cf:1: A: cannot be read: "foo", expected an expression between slashes`},
		{"header A Subject", "a.cf:1: A: cannot be read: "},
		{"body A eval:check_language()", "a.cf:1: eval A: eval:check_language is code of SpamAssassin's"},
		{"body A eval:check_bayes('0.99', '1.00')", "BAYES_99 would say, which is no finding of this milterd"},
		{"body A eval:html_eval()\nbody __B /x/\nmeta C __B && !A", "a.cf:3: meta C: without A, which is not carried, it would hit too often"},
		{"body A eval:html_eval()\nmeta C A", "a.cf:2: meta C: it can never hit without A, which is not carried"},
		{"body A eval:html_eval()\nbody __B /x/\nmeta C __B || A", "a.cf:3: meta C: A is not carried and counts as 0"},
		{"meta A B\nmeta B A", "it leads back to itself"},
		{"meta A B / 2", "is no operator that milterd has"},
		{"rewrite_header Subject [SPAM]", "rewrite_header (1 line): changing a subject breaks its signature"},
		{"razor_frobnicate 1", "razor_frobnicate (1 line): milterd has nothing like it"},
		{"if version >\nbody A /x/\nendif", "a.cf:1: : the condition cannot be read (it ends too early)"},
		{"if version > 3\nbody __A /x/", "a.cf:1: : an if without its endif"},
		{"endif", "endif without an if"},
		{"include nowhere.cf", "nowhere.cf is not there"},
		{"score A x", `"x" is no score`},
		{"body A-B /x/", `"A-B" is no name of a rule`},
		{"welcomelist_from a@b.example", "its addresses count without proof"},
		{"trusted_networks !192.0.2.1", "an exception (!)"},
	} {
		r := importText(t, Options{Column: Local}, "a.cf", test.in)
		if !strings.Contains(string(r.Report), test.want) {
			t.Errorf("%q: the report lacks %q:\n%s", test.in, test.want, r.Report)
		}
		if r.Whole && !strings.HasPrefix(test.in, "rewrite_header") {
			t.Errorf("%q: everything was carried, expected not", test.in)
		}
	}
}

func TestRenamed(t *testing.T) {
	r := importText(t, Options{Column: Local, Rules: []string{"GTUBE"}}, "a.cf", "body GTUBE /x/\nbody SPF_FAIL /y/\nmeta A GTUBE || SPF_FAIL")
	for _, want := range []string{"name: SA_GTUBE", "name: SA_SPF_FAIL", "when: 'SA_GTUBE || SA_SPF_FAIL'"} {
		if !strings.Contains(string(r.Rules), want) {
			t.Errorf("the rules lack %q:\n%s", want, r.Rules)
		}
	}
	if !strings.Contains(string(r.Report), "body GTUBE: is SA_GTUBE") {
		t.Errorf("the report does not tell of the new name:\n%s", r.Report)
	}
}

func TestColumn(t *testing.T) {
	const file = "body A /x/\nscore A 1 2 3 4"
	for _, test := range []struct {
		column   Column
		findings []string
		want     string
	}{
		{Bayes, findings, "score: 3"},
		{AnyColumn, findings, "score: 1"},
		{AnyColumn, []string{"DNSBL_ZEN"}, "score: 2"},
		{AnyColumn, []string{"BAYES_99"}, "score: 3"},
		{AnyColumn, []string{"BAYES_99", "URIBL_DBL"}, "score: 4"},
	} {
		r := importText(t, Options{Column: test.column, Findings: test.findings}, "a.cf", file)
		if !strings.Contains(string(r.Rules), test.want) {
			t.Errorf("column %d, findings %v: got\n%s\nexpected %s", test.column, test.findings, r.Rules, test.want)
		}
	}
}

// TestLists holds the welcome and block lists, in both spellings.
func TestLists(t *testing.T) {
	r := importText(t, Options{Column: Local}, "local.cf", `
whitelist_from_rcvd  boss@corp.example  corp.example
welcomelist_auth     *@shop.example news*@big.example
blacklist_from       spam@bad.example *@*.worse.example
unblocklist_from     spam@bad.example
blocklist_from       pest@bad.example
all_spam_to          abuse@here.example
`)
	got := string(r.Rules)
	for _, want := range []string{
		`
  - name: __USER_IN_WELCOMELIST_IN
    describe: 'Part of USER_IN_WELCOMELIST'
    from_addr:
      in:
        - 'boss@corp.example'
`, `
    client.name:
      match: '(?i)(?:^|\.)corp\.example$'
`, `
  - name: USER_IN_WELCOMELIST
    when: '(__USER_IN_WELCOMELIST_CLIENT && __USER_IN_WELCOMELIST_IN)'
    score: -100
`, `
    envelope.from:
      match: '(?i)^(?:news.*@big\.example)$'
`, `
    when: '(SPF_PASS && (__USER_IN_SPF_WELCOMELIST_IN || __USER_IN_SPF_WELCOMELIST_LIKE))'
`, `
    when: '(DKIM_PASS_AUTHOR && (__USER_IN_DKIM_WELCOMELIST_IN || __USER_IN_DKIM_WELCOMELIST_LIKE))'
`, `
        - 'pest@bad.example'
`, `
      match: '(?i)^(?:.*@.*\.worse\.example)$'
`, `
    envelope.rcpt:
      in:
        - 'abuse@here.example'
`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the rules lack %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "spam@bad.example") {
		t.Errorf("an entry that was taken back is there:\n%s", got)
	}
	if !r.Whole {
		t.Errorf("not everything was carried:\n%s", r.Report)
	}
}

func TestConfig(t *testing.T) {
	r := importText(t, Options{Column: Local}, "local.cf", "required_hits 5.5\ntrusted_networks 192.0.2. 10.1.2.3\ninternal_networks 10.1.2.3 [2001:db8::]/32\n")
	want := "thresholds: {junk: 5.5}\nnetworks:\n  relays:\n    - '192.0.2.0/24'\n    - '10.1.2.3/32'\n    - '2001:db8::/32'\n"
	if string(r.Config) != want {
		t.Errorf("got\n%s\nexpected\n%s", r.Config, want)
	}
	if !strings.Contains(string(r.File()), "# Into milterd.yaml:\n#   thresholds: {junk: 5.5}\n") {
		t.Errorf("the one file does not tell of settings:\n%s", r.File())
	}
}

func TestIncludeAndOrder(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.pre": "loadplugin Mail::SpamAssassin::Plugin::Mine", "b.cf": "include c.inc\nbody __A /x/", "c.inc": "ifplugin Mail::SpamAssassin::Plugin::Mine\nbody __C /c/\nendif",
		"loop.cf": "body __L /l/", ".hidden.cf": "body __H /h/",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Import([]string{dir}, Options{Column: Local})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Regex(); c != (Count{All: 3, Carried: 3}) {
		t.Errorf("got %+v, expected three rules, all carried:\n%s", c, r.Rules)
	}
	if err := os.WriteFile(filepath.Join(dir, "loop.cf"), []byte("include loop.cf"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Import([]string{dir}, Options{}); err == nil || !strings.Contains(err.Error(), "include files deeper") {
		t.Errorf("a file that includes itself: got %v, expected an error", err)
	}
	if _, err := Import([]string{filepath.Join(dir, "nothing")}, Options{}); err == nil {
		t.Error("a path that is not there: expected an error")
	}
	if _, err := Import([]string{t.TempDir()}, Options{}); err == nil {
		t.Error("a directory without rules: expected an error")
	}
}

// TestStock holds how many of Debian's rules are carried.
func TestStock(t *testing.T) {
	needStock(t)
	for _, test := range []struct {
		backtracking bool
		share        float64
	}{{false, 0.85}, {true, 0.99}} {
		r, err := Import(stock, Options{Column: Local, Backtracking: test.backtracking, Findings: findings})
		if err != nil {
			t.Fatal(err)
		}
		loads(t, findings, r.Rules, r.Backtracking)
		c := r.Regex()
		got := float64(c.Carried) / float64(c.All)
		t.Logf("backtracking %t: %d of %d rules with an expression are carried, %.1f %%; %v", test.backtracking, c.Carried, c.All, 100*got, r.Counts)
		if c.All < 1500 || got < test.share {
			t.Errorf("backtracking %t: %d of %d rules with an expression, expected %.0f %% of 1,500 or more", test.backtracking, c.Carried, c.All, 100*test.share)
		}
	}
}

// FuzzImport holds that any file comes to rules that milterd takes.
func FuzzImport(f *testing.F) {
	f.Add("header A Subject =~ /x/i [if-unset: y]\nscore A 1 2 3 4\nmeta B A && !C\n")
	f.Add("body A /(?<!x)y\\1(z)/\ntflags A multiple maxhits=3\nmeta B A > 2\nif plugin(X)\nelse\nuri C m{^http}\nendif")
	f.Add("welcomelist_from *@a.example b?@c\nwelcomelist_from_rcvd x@y z\nblocklist_to d@e\n")
	f.Add("replace_tag A a\nreplace_rules B\nbody B /<A>+<post P>/\nmimeheader C ALL !~ /x/\nrequired_score 5\ntrusted_networks 10/8")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		c := newCollector()
		r := reader{world: newWorld(), each: c.line, note: func(pos Pos, why string) { c.note(pos, "", why) }}
		if strings.Contains(text, "include") {
			return // files of this machine are not for it
		}
		if err := r.text("fuzz.cf", []byte(text), 0); err != nil {
			return
		}
		res := c.result(Options{Column: AnyColumn, Backtracking: true, Findings: findings})
		loads(t, findings, res.Rules, res.Backtracking)
		defined := 0
		for _, d := range c.rules {
			if d.kind != "" {
				defined++
			}
		}
		told := 0
		for _, n := range res.Counts {
			told += n.All
			if n.Carried > n.All || n.Backtracking > n.Carried {
				t.Fatalf("counts that cannot be: %+v", n)
			}
		}
		if told != defined {
			t.Fatalf("%d rules are counted of %d: one was dropped in silence", told, defined)
		}
	})
}
