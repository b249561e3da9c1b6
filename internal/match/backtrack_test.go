package match

import (
	"regexp/syntax"
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
)

func TestRelax(t *testing.T) {
	for expr, want := range map[string]string{
		`pay(?!pal)ment`:          `pay(?:)ment`,
		`(?<![a-z)])x(?=(a|\)))*`: `(?:)x(?:)*`,
		`(a)\1{2}\12b`:            `(a)(?s:.*){2}(?s:.*)b`,
		`(?<n>a)\k<n>\g{1}`:       `(a)(?s:.*)(?s:.*)`,
		`(?>a+)b*+c{2}+d?+`:       `(?:a+)b*c{2}d?`,
		`a{2000}b{5,2000}c{,3}`:   `a{1000,}b{5,}c\{,3}`,
		`a{00}b{01,002}c{+1}`:     `a{0}b{1,2}c\{+1}`,
		`\Qa.(b\E+\<`:             `a\.\(b+\<`,
		`\bfoo$\Z\h\e`:            `(?:)foo(?:)(?:)[ \t]\x1b`,
		`[$\]\b(?=]`:              `[$\]\b(?=]`,
		`(?#no)(?i:x)(?i)y`:       `(?:)(?i:x)(?i)y`,
		`[[:alpha:]\]]+`:          `[[:alpha:]\]]+`,
	} {
		got, err := relax(expr)
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", expr, got, err, want)
		}
	}
	for _, expr := range []string{`(?(1)a)`, `(?R)`, `(?=a`, `(?x) a b`, `(?<n`, `(*FAIL)`} {
		if got, err := relax(expr); err == nil {
			t.Errorf("%s: %s, want an error", expr, got)
		}
	}
	for expr, want := range map[string]string{`a++b*+c{2}+d?+\++[+*+]+`: `a+b*c{2}d?\++[+*+]+`, `{x}+`: `{x}+`, `a\hb\\h\h+?`: `a[ \t]b\\h[ \t]+?`, `\<1>\'x\\<`: `[<]1>[']x\\<`, `\Qa.b++\Ec++\Q(`: `a\.b\+\+c+\(`} {
		if got := unpossess(expr); got != want {
			t.Errorf("%s: %s, want %s", expr, got, want)
		}
	}
}

func TestBacktracking(t *testing.T) {
	set, err := Compile([]Pattern{
		{ID: 0, Expr: `pay(?!pal)`, Backtracking: true},
		{ID: 1, Expr: `(?i)\b(\w+) \1\b`, Backtracking: true, Count: 2},
		{ID: 2, Expr: `(?<=cheap )pills`, Backtracking: true},
		{ID: 3, Expr: `plain`, Backtracking: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	if set.patterns[3].linear == nil || set.patterns[0].linear != nil {
		t.Error("an expression is searched for in the wrong way")
	}
	if _, err := Compile([]Pattern{{Expr: `pay(?!pal)`}}); err == nil {
		t.Error("backtracking without being asked for")
	}
	r := NewRun(Limits{Pattern: time.Minute}, stopped)
	set.Match(r, "paypal the the cheap pills, caf\xe9")
	set.Match(r, "Now now, plain pay")
	got := map[int]Hit{}
	for _, h := range r.Hits {
		got[h.ID] = h
	}
	want := map[int]Hit{0: {0, "pay", 1}, 1: {1, "the the", 2}, 2: {2, "pills", 1}, 3: {3, "plain", 1}}
	for id, w := range want {
		if got[id] != w {
			t.Errorf("%d: %+v, want %+v", id, got[id], w)
		}
	}
	if cost, err := Analyse(`pay(?!pal)`); err != nil || cost.Costly {
		t.Errorf("%+v, %v", cost, err)
	}
	if err := CheckBacktracking(`(?=a)(?P`); err == nil {
		t.Error("an expression that does not compile was taken")
	}
}

// An expression whose time has no bound is stopped, told, and not tried again.
func TestBacktrackingIsStopped(t *testing.T) {
	set, err := Compile([]Pattern{{ID: 7, Expr: `(?:x+x+)+y(?!z)`, Backtracking: true}})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(Limits{Pattern: 20 * time.Millisecond}, time.Now)
	set.Match(r, strings.Repeat("x", 2000)+"yz") // it would take longer than the world has been there
	set.Match(r, "xxy")
	if len(r.Slow) != 1 || r.Slow[0].ID != 7 || r.Slow[0].Took < 20*time.Millisecond || len(r.Hits) != 0 {
		t.Errorf("slow %v, hits %v, want it stopped once and not tried again", r.Slow, r.Hits)
	}
}

// The gate matches wherever what it guards does.
func FuzzGate(f *testing.F) {
	for _, seed := range [][2]string{
		{`pay(?!pal)`, "paypay"}, {`(a|b)\1`, "aabb"}, {`(?<=x)y++z`, "xyyz"}, {`(?>a|ab)c$`, "abc ac\n"}, {`[^\W]{2,1200}(?=\.)`, "ab."},
		{`(?<n>.)\k<n>`, "aa"}, {`\b(?:\w)(?!\w)`, "a"}, {`x{2}+(?=y)`, "xxxy"}, {`(?i)[k-z](?=s)`, "ks"}, {`(?s)a.(?=b)`, "a\nb"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 60 || len(text) > 60 || strings.Contains(expr, "-[") { // .NET subtracts classes there
			t.Skip()
		}
		for _, s := range []string{expr, text} {
			for _, c := range []byte(s) {
				if c >= 0x80 {
					t.Skip() // tables of case differ beyond ASCII
				}
			}
		}
		relaxed, err := relax(expr)
		if err != nil {
			return
		}
		if _, err := syntax.Parse(relaxed, syntax.Perl); err != nil {
			return
		}
		re, err := regexp2.Compile(unpossess(expr), regexp2.RE2)
		if err != nil {
			return
		}
		re.MatchTimeout = 200 * time.Millisecond
		if m, err := re.FindStringMatch(text); err != nil || m == nil {
			return
		}
		if gate := (&linear{expr: relaxed}); gate.index(text) == nil {
			t.Fatalf("%q matches %q, its gate %q does not", expr, text, relaxed)
		}
	})
}
