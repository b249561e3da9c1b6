package match

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// stopped is a clock that does not run: every search takes no time.
func stopped() time.Time { return time.Time{} }

// hits runs expressions over texts and returns "ID text" of each hit.
func hits(t testing.TB, texts []string, exprs ...string) []string {
	t.Helper()
	patterns := make([]Pattern, len(exprs))
	for i, e := range exprs {
		patterns[i] = Pattern{ID: i, Expr: e}
	}
	set, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(Limits{}, stopped)
	for _, text := range texts {
		set.Match(r, text)
	}
	var got []string
	for _, h := range r.Hits {
		got = append(got, fmt.Sprintf("%d %s", h.ID, h.Text))
	}
	return got
}

// oracle returns what tells what package regexp finds in a text, pattern by pattern.
func oracle(patterns []Pattern) func(text string) []Hit {
	compiled := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		compiled[i] = regexp.MustCompile(p.Expr)
	}
	return func(text string) (want []Hit) {
		for i, re := range compiled {
			if all := re.FindAllString(text, max(patterns[i].Count, 1)); all != nil {
				want = append(want, Hit{patterns[i].ID, all[0], len(all)})
			}
		}
		return want
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name  string
		texts []string
		exprs []string
		want  []string
	}{
		{"order is that of the patterns", []string{"one two"}, []string{"two", "one", "three"}, []string{"0 two", "1 one"}},
		{"the leftmost match, once", []string{"abc abd", "abe"}, []string{"ab."}, []string{"0 abc"}},
		{"a later text", []string{"nothing", "INVOICE"}, []string{"(?i)invoice"}, []string{"0 INVOICE"}},
		{"case matters without (?i)", []string{"INVOICE"}, []string{"invoice"}, nil},
		{"an expression without literals", []string{"a1b22"}, []string{`\d\d`}, []string{"0 22"}},
		{"an empty text", []string{""}, []string{"^$", "."}, []string{"0 "}},
		{"the Kelvin sign is a k, the long s an s", []string{"\u212aey\u017ftone"}, []string{"(?i)keystone"}, []string{"0 \u212aey\u017ftone"}},
		{"bytes that are no UTF-8", []string{"caf\xe9 \xff\xfe money"}, []string{"\ufffd money", "caf. "}, []string{"0 \ufffd money", "1 caf\ufffd "}},
		{"no texts", nil, []string{"."}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := hits(t, c.texts, c.exprs...); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnalyse(t *testing.T) {
	for _, c := range []struct {
		expr string
		want []string // nil: costly
	}{
		{`(?i)\burgent\b.{0,20}\b(payment|invoice)\b`, []string{"payment", "invoice"}},
		{`(?i)\burgently\b.{0,20}\b(payment|invoice)\b`, []string{"urgently"}},
		{`(?i)\b(?:pay|send)\b.{0,20}\b(payment|invoice)\b`, []string{"payment", "invoice"}},
		{`Viagra`, []string{"viagra"}},
		{`(?i)viagra|cialis|levitra`, []string{"viagra", "cialis", "levitra"}},
		{`(?i)via?gra`, []string{"viagra", "vigra"}},
		{`[Dd]ear [FG]riend`, []string{"dear friend", "dear griend"}},
		{`(click )+here`, []string{"click "}},
		{`(?:really ){2,}`, []string{"really really "}},
		{`^Dear\s+\w+ winner`, []string{" winner"}},
		{`(?i)é(toile)`, []string{"Étoile", "étoile"}},
		{`bonjour \x{fffd}ami`, []string{"bonjour "}},
		{`(?i)k\bs?x{2}`, []string{"ksxx", "kxx"}},
		{`\d{3}-\d{4}`, nil},
		{`next\sof\skin|nex\w+|\snext`, []string{"nex"}},
		{`(?i)(?:ab|cd)[ \t]ef?gh`, []string{"ab efgh", "ab egh", "cd efgh", "cd egh"}},
		{`\b\d{1,3}[.,]?\s?million`, []string{"million"}},
		{`(foo|b.r)`, nil},
		{`(foo)?`, nil},
		{`(foo)*`, nil},
		{`ab`, nil},
		{`.*`, nil},
		{``, nil},
		{`[^\x00-\x{10ffff}]`, nil},
		{`[a-z]{5}`, nil},
		{`[abcdefgh]{12}`, nil},
	} {
		got, err := Analyse(c.expr)
		if err != nil || !slices.Equal(got.Literals, c.want) || got.Costly != (c.want == nil) {
			t.Errorf("%s: %+v, %v, want %q", c.expr, got, err, c.want)
		}
	}
	for expr, costly := range map[string]bool{`^[0-9]{3}$`: false, `(\A\d)\d`: false, `(?m)^\d$`: true, `^\d*x`: true, `^\d|x`: true} {
		if got, err := Analyse(expr); err != nil || got.Costly != costly {
			t.Errorf("%s: %+v, %v", expr, got, err)
		}
	}
	// However many ways there are, literals stay few and short.
	for _, expr := range []string{
		strings.Repeat("[ab]", 500), strings.Repeat("(?i)keks", 300), "(" + strings.Repeat("abc|", 999) + "abd)",
		"(?i)" + strings.Repeat("k", 200), strings.Repeat("x", 1000), "(abc){300}",
	} {
		got, err := Analyse(expr)
		if err != nil || len(got.Literals) > maxLiterals || longest(got.Literals) > 2*maxLiteral {
			t.Errorf("%.20s...: %d literals of up to %d bytes, %v", expr, len(got.Literals), longest(got.Literals), err)
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := Compile([]Pattern{{ID: 0, Expr: "ok"}, {ID: 1, Expr: "(?=no)"}}); err == nil {
		t.Error("an expression that does not compile was taken")
	}
	if _, err := Analyse("("); err == nil {
		t.Error("an expression that does not compile was analysed")
	}
	if _, err := Compile([]Pattern{{ID: -1, Expr: "ok"}}); err == nil {
		t.Error("a negative number was taken")
	}
}

// ticking is a clock that goes on by step each time it is read.
func ticking(step time.Duration) func() time.Time {
	var now time.Time
	return func() time.Time {
		now = now.Add(step)
		return now
	}
}

func TestLimits(t *testing.T) {
	set, err := Compile([]Pattern{{ID: 0, Expr: "a"}, {ID: 1, Expr: "[be]"}, {ID: 100, Expr: "never here"}, {ID: 2, Expr: "c"}, {ID: 3, Expr: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("one pattern", func(t *testing.T) {
		r := NewRun(Limits{Pattern: time.Second}, ticking(2*time.Second))
		set.Match(r, "b")
		set.Match(r, "abcd")
		// Each was slow on the first text and is not tried again; what the
		// prefilter ruled out was not slow.
		if want := []Hit{{1, "b", 1}}; !slices.Equal(r.Hits, want) {
			t.Errorf("hits %v, want %v", r.Hits, want)
		}
		if want := []Slow{{0, 2 * time.Second}, {1, 2 * time.Second}, {2, 2 * time.Second}, {3, 2 * time.Second}}; !slices.Equal(r.Slow, want) {
			t.Errorf("slow %v, want %v", r.Slow, want)
		}
		if r.Unfinished != nil {
			t.Errorf("unfinished %v, want none", r.Unfinished)
		}
	})
	t.Run("all together", func(t *testing.T) {
		r := NewRun(Limits{All: time.Second}, ticking(time.Second))
		set.Match(r, "abcd")
		set.Match(r, "abcd")
		if want := []Hit{{0, "a", 1}, {1, "b", 1}}; !slices.Equal(r.Hits, want) {
			t.Errorf("hits %v, want %v", r.Hits, want)
		}
		if want := []int{2, 3}; !slices.Equal(r.Unfinished, want) {
			t.Errorf("unfinished %v, want %v", r.Unfinished, want)
		}
		r.Reset()
		set.Match(r, "axx")
		if want := []Hit{{0, "a", 1}}; !slices.Equal(r.Hits, want) || len(r.Unfinished) != 2 {
			t.Errorf("after Reset it is not as new: %+v", r)
		}
	})
}

// However many places and literals there are: nothing is lost, and memory stays
// bounded.
func TestMany(t *testing.T) {
	text := strings.Repeat("abc ", maxPlaces) + "abc xyz"
	if got := hits(t, []string{text}, "abc xyz", "abc.xyz", `abc\b.?$`); !slices.Equal(got, []string{"0 abc xyz", "1 abc xyz"}) {
		t.Errorf("got %q", got)
	}
	var some [][]needle
	for i := range 1000 {
		some = append(some, needles([]string{fmt.Sprintf("%08x", i*104729), "common"}))
	}
	_, none := newAutomaton(some, maxCells)
	a, out := newAutomaton(some, 20_000)
	if none != nil || len(out) < 100 || len(out) > 990 || len(a.next) > 20_000 {
		t.Errorf("with room %d are left out, without %d of a thousand, %d cells", len(none), len(out), len(a.next))
	}
}

// Patterns for leet see a text as Leet makes it, the others as it is; where that is the
// same, all are tried in one search.
func TestMatchPlain(t *testing.T) {
	set, err := Compile([]Pattern{{ID: 0, Expr: `free m0ney`}, {ID: 1, Expr: `free money`, Leet: true}, {ID: 2, Expr: `fr.e`, Leet: true, Count: 2}, {ID: 3, Expr: `fr3e`, Leet: true}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]Hit{
		"free m0ney, fr3e": {{0, "free m0ney", 1}, {1, "free money", 1}, {2, "free", 2}},
		"free money":       {{1, "free money", 1}, {2, "free", 1}},
	} {
		r := NewRun(Limits{}, stopped)
		if set.MatchPlain(r, text); !slices.Equal(r.Hits, want) {
			t.Errorf("%s: %v, want %v", text, r.Hits, want)
		}
	}
}

// Literals with characters beyond ASCII are looked for where a text has any, those of one
// expression beside the others of it.
func TestBeyondASCII(t *testing.T) {
	exprs := []string{`(?i)caf(?:e|é) noir`, `廣告.{0,6}代發`, `(?i)müll`, `plain words`}
	for text, want := range map[string][]string{
		"a CAFE noir":              {"0 CAFE noir"},
		"ein Café Noir":            {"0 Café Noir"},
		"委託由專業廣告公司代發":              {"1 廣告公司代發"},
		"MÜLL, plain words":        {"2 MÜLL", "3 plain words"},
		"plain wordſ, plain words": {"3 plain words"}, // a long s: the text is folded first
		"ſ müll":                   {"2 müll"},
		"nothing":                  nil,
	} {
		if got := hits(t, []string{text}, exprs...); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// A text seen again and again says nothing about the next one: here each is
// another one, of made-up words and few of those that rules look for.
func BenchmarkMatch(b *testing.B) {
	triggers := strings.Fields("invoice payment account urgent delivery parcel password lottery winner transfer")
	random := rand.New(rand.NewPCG(1, 2))
	texts := make([]string, 256)
	for i := range texts {
		var t strings.Builder
		for t.Len() < 5000 {
			if random.IntN(100) == 0 {
				t.WriteString(triggers[random.IntN(len(triggers))])
			}
			for range 1 + random.IntN(3) {
				t.WriteByte("bdfgklmnprstv"[random.IntN(13)])
				t.WriteByte("aeiou"[random.IntN(5)])
			}
			t.WriteByte(" \n"[random.IntN(2)])
		}
		texts[i] = t.String()
	}
	var patterns []Pattern
	for i := range 100 {
		a, c, d := triggers[i%10], triggers[i/10], triggers[(i+3)%10]
		patterns = append(patterns, Pattern{ID: i, Expr: fmt.Sprintf(`(?i)\b%s\b.{0,20}\b(%s|%s) number %d`, a, c, d, i)})
	}
	set, err := Compile(patterns)
	if err != nil {
		b.Fatal(err)
	}
	r := NewRun(Limits{Pattern: time.Second, All: time.Second}, time.Now)
	b.SetBytes(5000)
	for i := 0; b.Loop(); i++ {
		r.Reset()
		set.Match(r, texts[i%len(texts)])
	}
}

// Whatever the expression and the text: the prefilter loses nothing.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`(?i)\burgent\b.{0,20}\b(payment|invoice)\b`, "URGENT: invoice attached"},
		{`(?i)kiss`, "\u212ai\u017f\u017f"}, {`(?i)ſtraße`, "STRASSE ſTRAẞE"}, {`\x{fffd}abc`, "\xffabc"}, {`\x{fffd}abc`, "\u017fabc"},
		{`abc\x{c5}def`, "abc\u00c5def"}, {`(abc){3}|x+y?z`, "abcabcabc"}, {`(?s)^.{3}$`, "\xe2\x84\xaa"}, {`[^a]bcd`, "\xe2bcd"},
		{`(a{1000}){1}`, "aaa"}, {`(.*){50}`, strings.Repeat("a", 300)}, {`(?i)[K-Z]lass`, "\u212alass"}, {`\Qa.b\Ecd?`, "a.bc"},
		{`(?:(?:ab|cd)(?:ef|gh)?){2}`, "abefcd"}, {`x*abc|`, ""}, {`(?m)^from:$`, "x\nfrom:\n"}, {`\C`, "a"}, {`(?U)a+bcd`, "aaabcd"},
		{`\b(?:kin|remit)\b`, "akin kin kinship kin"}, {`\w+@kin\b`, "a.b@kin"}, {`\b[A-Z]{3,} \d`, "THE 1 ABC 2"}, {`^(?:re|aw):`, "re: re:"}, {`(?:a|bb)*kin(?:-x)+`, "abbkin-x-x"},
		{`\s*<img`, "  \n <img"}, {`(?i)\bſkin`, "ſkin skin"}, {`[13][1-9A-Z]{5}`, "1234567 1ABCDE"}, {`kin\b\b\bd?`, "kind kin"}, {`x\bkin|\b\b`, "xkin"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 200 || len(text) > 2000 {
			t.Skip()
		}
		re, err := regexp.Compile(expr)
		set, mine := Compile([]Pattern{{ID: 7, Expr: expr}, {ID: 8, Expr: expr, Count: 3}})
		if (err == nil) != (mine == nil) {
			t.Fatalf("%q: regexp says %v, we say %v", expr, err, mine)
		}
		if err != nil {
			return
		}
		for i := range set.patterns {
			set.patterns[i].linear.uses.Store(fewUses) // straight to RE2
		}
		filler := strings.Repeat("lorem ipsum\n€ ", 20)
		for _, text := range []string{text, text + text, filler + text, filler + text + filler, text + filler + text + filler[1:] + text} {
			r := NewRun(Limits{}, stopped)
			set.Match(r, text)
			var want []Hit
			if all := re.FindAllString(text, 3); all != nil {
				first := whole(all[0])
				want = []Hit{{7, first, 1}, {8, first, len(all)}}
			}
			if !reflect.DeepEqual(r.Hits, want) {
				t.Fatalf("%q on %q: %v, want %v", expr, text, r.Hits, want)
			}
		}
		cost, err := Analyse(expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range cost.Literals {
			if weight(l) < minLiteral || !utf8.ValidString(l) || string(appendFolded(nil, l)) != l {
				t.Errorf("%q: literal %q is too light or not folded", expr, l)
			}
		}
	})
}

// Expressions that are slow elsewhere, on a megabyte each of text made for them.
func BenchmarkHostile(b *testing.B) {
	for _, c := range []struct{ expr, unit string }{
		{`(.*){50}`, "aaaa bbbb "}, {`(?s)(.*){50}z`, "aaaa bbbb "}, {`(a{1000}){1}`, "aaaa bbbb "}, {`(?i)(?:a?){200}z`, "a"}, {`(x+x+)+y`, "x"},
		{`(a*)*b$`, "a"}, {`[ab].{0,500}z`, "abba"}, {`(.*)(.*)(.*)(.*)(.*)[x]`, "a b"}, {`\burgent\b.{0,80}\bpayment\b`, "urgent ment pay urg"},
	} {
		set, err := Compile([]Pattern{{Expr: c.expr}})
		if err != nil {
			b.Fatal(err)
		}
		text := strings.Repeat(c.unit, 1<<20/len(c.unit))
		b.Run(c.expr, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			r := NewRun(Limits{}, time.Now)
			for b.Loop() {
				r.Reset()
				set.Match(r, text)
			}
		})
	}
}

// A search that takes long stops between two pieces of the text.
func TestSearchStops(t *testing.T) {
	set, err := Compile([]Pattern{{ID: 1, Expr: `a.{30}z`}, {ID: 2, Expr: `abab.{30}z`}, {ID: 3, Expr: `.q`}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("abab ", 100_000) + "1q"
	r := NewRun(Limits{}, stopped)
	set.Match(r, text)
	if want := []Hit{{3, "1q", 1}}; !slices.Equal(r.Hits, want) || len(r.Slow) != 0 {
		t.Errorf("without a limit: hits %v, slow %v", r.Hits, r.Slow)
	}
	r = NewRun(Limits{Pattern: 5 * time.Second}, ticking(time.Second))
	set.Match(r, text)
	if len(r.Slow) != 3 || len(r.Hits) != 0 {
		t.Errorf("with a limit: hits %v, slow %v, want all three stopped", r.Hits, r.Slow)
	}
	for _, s := range r.Slow {
		if s.Took > 10*time.Second { // on a clock that goes on by itself that is ten pieces
			t.Errorf("%d was stopped after %v", s.ID, s.Took)
		}
	}
}

// In texts that are searched piece by piece nothing is lost and nothing found that
// is not there, at the seams as elsewhere.
func TestSeams(t *testing.T) {
	exprs := []string{
		`abc`, `\babc\b`, `^abc`, `abc$`, `(?m)^abc`, `(?m)abc$`, `\Bz\B`, `q.{0,30}q`, `q.{0,30}?z`, `[^a-y ]\n`, `é+`, `.é.`, `\d{2,9}`, `(?:x|xy|xyz)\d`, `\A\s?abc`, `é\b`,
		`a{3}b`, `(?i)ABC é`, `\n\n`, `q[^q]{900}q`,
	}
	var patterns []Pattern
	for i, e := range exprs {
		patterns = append(patterns, Pattern{ID: i, Expr: e})
	}
	set, err := Compile(patterns)
	if err != nil {
		t.Fatal(err)
	}
	wanted := oracle(patterns)
	random := rand.New(rand.NewPCG(3, 4))
	words := []string{"abc", " ", "\n", "é", "z", "y", "x", "e ", "12", "\xff", "fghij klm nop", "aaa", "b"}
	for round := range 40 {
		var b strings.Builder
		for b.Len() < 3*maxWindow {
			if n := random.IntN(40 * maxWindow / (1 + round*100)); n == 0 {
				b.WriteString("q")
			}
			// Rare words, so that the first match is anywhere.
			if random.IntN(1+round*200) == 0 {
				b.WriteString(words[random.IntN(len(words))])
			} else {
				b.WriteString("stuvw ")
			}
		}
		text := whole(b.String())
		r := NewRun(Limits{}, stopped)
		set.Match(r, text)
		if want := wanted(text); !slices.Equal(r.Hits, want) {
			t.Errorf("round %d: %.300q\nwant %.300q", round, fmt.Sprint(r.Hits), fmt.Sprint(want))
		}
	}
}
