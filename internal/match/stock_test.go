package match

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/mailbox/mailboxtest"

	"milterd/mime"
)

// stockRules reads the body and rawbody rules of an installed SpamAssassin that
// need no more than RE2, as a large set that nobody here has written. They are
// not part of the project: a test without them says so and is skipped.
func stockRules(tb testing.TB) []Pattern {
	tb.Helper()
	const dir = "/usr/share/spamassassin"
	files, err := filepath.Glob(dir + "/*.cf")
	if err != nil || len(files) == 0 {
		tb.Skipf("NOT TESTED: there are no rules in %s (the Debian package spamassassin has them)", dir)
	}
	rule := regexp.MustCompile(`^\s*(?:raw)?body\s+(\w+)\s+(?:/(.+)/|m\{(.+)\}|m'(.+)'|m,(.+),|m!(.+)!|m#(.+)#)([a-z]*)\s*(?:\s#.*)?$`)
	seen := map[string]int{}
	var patterns []Pattern
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			m := rule.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if m == nil {
				continue
			}
			expr := cmp.Or(m[2], m[3], m[4], m[5], m[6], m[7])
			expr = strings.NewReplacer(`\/`, "/", `\#`, "#", `\@`, "@", `\'`, "'", `\"`, `"`, `\<`, "<", `\>`, ">", `\:`, ":", `\,`, ",", `\!`, "!",
				`\%`, "%", `\=`, "=", `\;`, ";", `\_`, "_", `\&`, "&", "\\`", "`", `\~`, "~", `\h`, `[ \t]`, `\e`, `\x1b`, `\Z`, `\z`).Replace(expr)
			flags := ""
			for _, f := range m[8] {
				if strings.ContainsRune("ism", f) {
					flags += string(f)
				}
			}
			if flags != "" {
				expr = "(?" + flags + ")" + expr
			}
			if _, err := regexp.Compile(expr); err != nil || strings.Contains(expr, "<") && strings.Contains(line, "FUZZY") {
				continue
			}
			if i, again := seen[m[1]]; again {
				patterns[i].Expr = expr
				continue
			}
			seen[m[1]] = len(patterns)
			patterns = append(patterns, Pattern{ID: len(patterns), Expr: expr})
		}
	}
	return patterns
}

// corpusTexts reads what is to be read in messages of the corpora, at most so many
// bytes of each; shorter ones are left out.
func corpusTexts(tb testing.TB, size, most int) []string {
	tb.Helper()
	var texts []string
	for _, kind := range []string{"ham", "spam"} {
		here := 0
		for _, m := range mailboxtest.Corpus(tb, kind) {
			if here == most/2 {
				break
			}
			if text, _ := mime.WalkMessage(m.Raw, mime.Limits{}).VisibleText(); len(text) >= size {
				texts = append(texts, text[:size])
				here++
			}
		}
	}
	return texts
}

// The oracle: on real mail, a large set of rules that others have written finds
// what package regexp finds rule by rule, to the byte.
func TestOracle(t *testing.T) {
	patterns := stockRules(t)
	texts := corpusTexts(t, 1000, 30)
	if testing.Short() {
		texts = texts[:10]
	}
	for i := range patterns {
		patterns[i].Count = 1 + i%2*3 // every other one is counted
	}
	set, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for i := range set.patterns {
		set.patterns[i].linear.uses.Store(fewUses) // straight to RE2
	}
	wanted := oracle(patterns)
	hits := 0
	for _, text := range texts {
		r := NewRun(Limits{}, stopped)
		set.Match(r, text)
		want := wanted(text)
		hits += len(want)
		if !slices.Equal(r.Hits, want) {
			t.Errorf("got %v\nwant %v", r.Hits, want)
		}
	}
	t.Logf("%d rules, %d texts, %d hits", len(patterns), len(texts), hits)
}

// Each text is another one.
func BenchmarkStock(b *testing.B) {
	patterns := stockRules(b)
	texts := corpusTexts(b, 5000, 600)
	set, err := Compile(patterns)
	if err != nil {
		b.Fatal(err)
	}
	r := NewRun(Limits{}, time.Now)
	for _, text := range texts[:50] { // compiles what is ever needed
		r.Reset()
		set.Match(r, text)
	}
	b.ReportMetric(float64(len(patterns)), "rules")
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		r.Reset()
		set.Match(r, texts[i%len(texts)])
	}
}
