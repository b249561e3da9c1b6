package match

import (
	"fmt"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// parsed parses an expression as Compile does.
func parsed(t testing.TB, expr string) *syntax.Regexp {
	t.Helper()
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	return re.Simplify()
}

// What is looked for, and what of a match may be on either side of it.
func TestNeedles(t *testing.T) {
	for _, c := range []struct {
		expr string
		want []string // bytes+runs before, the literal with | where a word begins or ends, bytes+runs after
	}{
		{`\bkin\b`, []string{"0 |kin| 0"}},
		{`\bkin`, []string{"0 |kin 0"}},
		{`next of kin\b`, []string{"0 next of kin| 0"}},
		{`\b\$kin\b`, []string{"0 $kin| 0"}},
		{`\bk\bin`, []string{"0 |kin 0"}}, // matches nothing, which does no harm
		{`foo.{0,20}bars`, []string{"83 bars 0"}},
		{`\w+@kin\.example[0-9]{2}`, []string{"0+1 @kin.example 2"}},
		{`\s*kin\s+`, []string{"0+1 kin  0+1"}},
		{`(?:\d+ ){0,2}kin`, []string{"2+2 kin 0"}},
		{`(?:ab)+kin`, []string{"0+1 kin 0"}},
		{`.*kin[^>]+`, []string{"- kin -"}},
		{`x.kin|ykind`, []string{"5 kin 2"}},
		{`dear (?:friend|sir)`, []string{"0 dear friend 0", "0 dear sir 0"}},
		{`(?i)é(toile)`, []string{"0 Étoile 0", "0 étoile 0"}},
		{`abcdefghijklmnopq\b`, []string{"0 abcdefghijklmnopq| 0"}},
	} {
		var got []string
		extent := func(e extent) string {
			switch {
			case e.bytes >= unbounded:
				return "-"
			case e.runs > 0:
				return fmt.Sprintf("%d+%d", e.bytes, e.runs)
			}
			return fmt.Sprint(e.bytes)
		}
		for _, n := range literalsOf(parsed(t, c.expr)).best() {
			got = append(got, extent(n.before)+" "+strings.ReplaceAll(n.text, mark, "|")+" "+extent(n.after))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.expr, got, c.want)
		}
	}
	if got := (needle{text: mark + "abcédef" + mark}).beginning(4); got.text != mark+"abcé" || got.after.bytes != 3 {
		t.Errorf("the beginning of a needle is %q with %v after it", got.text, got.after)
	}
}

func TestLongestRun(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 1, "=": 0, "word words wo": 5, "a   b": 3, "-x@y.z/abc": 6, "é é": 2, "====": 0, "ab====abcd": 4, "\r\n \t\n": 5,
	} {
		if got := longestRun(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// With what matches begin, where that is rare enough to be looked for.
func TestLead(t *testing.T) {
	for _, c := range []struct {
		expr string
		size int
		yes  []string // some of the beginnings
		no   []string
	}{
		{`\b[A-Z]{3,} \d`, 5, []string{"ABC 1", "ABCD ", "ABCDE"}, []string{"ABc 1", "AB 1x", "abc 1"}},
		{`[13][1-9A-Z]{5}`, 6, []string{"1ABCDE", "399999"}, []string{"2ABCDE", "10BCDE"}},
		{`^(?:re|aw):`, 3, []string{"re:", "aw:", "rw:"}, []string{"re ", "xe:"}},
		{`[^\x00-\x7f]{3,}`, 1, []string{"é", "\xff"}, []string{"a"}},
		{`\$é\d`, 2, []string{"$é", "$ü"}, []string{"$a"}},
		{`(?i)zz9sky`, 6, []string{"zz9sky", "ZZ9SKY"}, []string{"zz9sko"}},
		{`[a-z]{8}`, 0, nil, nil}, // everywhere
		{`z?`, 0, nil, nil},
		{`.q`, 0, nil, nil},
		{`^\s*$`, 0, nil, nil},
	} {
		l := leadOf(parsed(t, c.expr))
		if l.size != c.size {
			t.Errorf("%s: %d bytes, want %d", c.expr, l.size, c.size)
			continue
		}
		begins := func(text string) bool {
			for i := range l.size {
				if l.places[text[i]]&(1<<i) == 0 {
					return false
				}
			}
			return true
		}
		if i := slices.IndexFunc(c.yes, func(s string) bool { return !begins(s) }); i >= 0 {
			t.Errorf("%s does not begin with %q", c.expr, c.yes[i])
		}
		if i := slices.IndexFunc(c.no, begins); i >= 0 {
			t.Errorf("%s begins with %q", c.expr, c.no[i])
		}
	}
}

// An expression has a lead for each thing that it may begin with, where these together
// are rarer than one for all.
func TestLeads(t *testing.T) {
	for expr, want := range map[string][]int{
		`\b(?:bc1|[13][1-9A-Z])[1-9a-zA-Z]{6}`: {8, 8},
		`(?:x[a-z]{5}|(y[0-9]|zq))\d{4}`:       {8, 6},
		`[13][1-9A-Z]{5}`:                      {6},
		`\b(?:[A-M]|[N-Z]){4}\d`:               {5},
		`(?:qa|qe|qi|qo)\d\d`:                  {4},
		`\b(?:zq\d|z?)x`:                       {1},
	} {
		var got []int
		for _, l := range leadsOf(parsed(t, expr)) {
			got = append(got, l.size)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has leads of %d bytes, want %d", expr, got, want)
		}
	}
	for text, want := range map[string]int{"business letters": 0, "bc1abcdef": 1, "a 3Zabcdef": 1} {
		if got := len(hits(t, []string{text}, `\b(?:bc1|[13][1-9A-Z])[1-9a-zA-Z]{6}`)); got != want {
			t.Errorf("%s: %d hits, want %d", text, got, want)
		}
	}
}

// What cannot match by its length or its first bytes is not searched, and nothing else.
func TestPossible(t *testing.T) {
	for _, c := range []struct {
		expr    string
		yes, no []string
	}{
		{`(?i)(?:[a-z]+@x,){3}|long enough`, []string{"a@x,b@x,c@x,", "LONG ENOUGH"}, []string{"a@x,b@x,", ""}},
		{`^@(?s:.{0,5})$`, []string{"@", "@12345", "@äöü€€", "@abc"}, []string{"@123456", "x", ""}},
		{`^<\d{3,9}\.?[A-Z]{0,4}@`, []string{"<123@", "<123456789.ABCD@ and more", "<1234@"}, []string{"<12@", "<abcdef@", " <123@"}},
		{`(?:^a|b)@\b`, []string{"a@b", "xb@b"}, []string{"@", ""}},
		{`^\s*@\s*$`, []string{"  @ ", "@"}, []string{""}},
		{`(?i)^https?://[^/@?#]+:[1-9]`, []string{"http://example.com:81", "https://a/:b"}, []string{"http://example.com/and/more", "http:/example:1"}},
		{`@[a-z]+(?:-[a-z]+){3,}|(?:\.\w+-\w+)+-.-`, []string{"a@b-c-d-e", ".a-b-c-"}, []string{"a@b-c-d", "@"}},
		{`^(?:x|@yz)$|k`, []string{"\u212a", "k", "@yz"}, []string{""}},
	} {
		set, err := Compile([]Pattern{{Expr: c.expr}})
		if err != nil {
			t.Fatal(err)
		}
		p, found := &set.patterns[0], new(found)
		for _, text := range append(c.yes, c.no...) {
			exact := set.find(found, text)
			if possible := !exact || p.possible(found, text); possible != slices.Contains(c.yes, text) {
				t.Errorf("%s on %q: possible is %v", c.expr, text, possible)
			}
		}
	}
}

func TestMerged(t *testing.T) {
	got := merged([]window{{500, 600}, {0, 10}, {5, 20}, {20 + minGap, 200}, {1000, 1001}, {2, 8}})
	if want := []window{{0, 200}, {500, 600}, {1000, 1001}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The oracle for the ways around a whole search: expressions made of the pieces for
// which there is one, on texts made of what they look for, counted and not.
func TestWays(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	piece := func() string {
		return pick(`\b`, `kin`, `\bpay\b`, `(?:dear|hello)`, `\w+`, `[a-z]*`, `\s*`, `\s+`, `.{0,9}`, ` `, `(?:very |much ){0,2}`, `[A-Z]{3,}`, `\d+`, `^`, `$`, `@`, `[^>]*`, `.*`,
			`(?:\d+ )*`, `é?`, `(?i:dear)`, `\.`, `[13][1-9A-Z]{4}`, `(?:-[0-9a-z]+)+`, `<`, `(?m:^)`, `\B`)
	}
	words := strings.Fields("kin pay dear hello very much ABC ABCD 12 1ABCDE @ < > é DEAR kind akin x-y-z . payer repay 3999 -a-b")
	for round := range 250 {
		var patterns []Pattern
		for i := range 4 {
			var expr strings.Builder
			for range 1 + random.IntN(5) {
				expr.WriteString(piece())
			}
			patterns = append(patterns, Pattern{ID: i, Expr: expr.String(), Count: 1 + random.IntN(3)})
		}
		set, err := Compile(patterns)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for range random.IntN(120) {
			b.WriteString(words[random.IntN(len(words))])
			b.WriteString(pick(" ", " ", " ", "", "\n", "  ", strings.Repeat("lorem ", 40)))
		}
		text := b.String()
		r := NewRun(Limits{}, stopped)
		set.Match(r, text)
		if want := oracle(patterns)(text); !slices.Equal(r.Hits, want) {
			t.Fatalf("round %d: %+v on %q\ngot %+v\nwant %+v", round, patterns, text, r.Hits, want)
		}
	}
}

// What is in windows of both kinds is in order, and nothing of it is lost.
func TestInBoth(t *testing.T) {
	for _, c := range []struct{ a, b, want []window }{
		{nil, []window{{0, 9}}, nil},
		{[]window{{0, 9}}, []window{{9, 12}}, nil},
		{[]window{{0, 9}}, []window{{3, 5}, {7, 12}}, []window{{3, 5}, {7, 9}}},
		{[]window{{0, 4}, {6, 9}, {20, 30}}, []window{{2, 7}, {8, 40}}, []window{{2, 4}, {6, 7}, {8, 9}, {20, 30}}},
	} {
		for _, got := range [][]window{inBoth(nil, c.a, c.b), inBoth(nil, c.b, c.a)} {
			if !slices.Equal(got, c.want) {
				t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
			}
		}
	}
}

// A pattern with words on either side of a gap is tried where both stand, and found there.
func TestBothSidesOfAGap(t *testing.T) {
	far := strings.Repeat(" and so on.", 500) + " "
	const expr = `\b(?:lottery|jackpot)\b.{0,40}\b(?:winner|claim)\b`
	for text, want := range map[string]bool{
		"lottery" + far + "winner":                         false,
		"winner of the lottery" + far + "jackpot":          false,
		far + "the lottery has a winner" + far:             true,
		"lottery" + far + "claim the jackpot, claim now":   true,
		"claim" + far + "lottery, winner" + far + "winner": true,
	} {
		if got := hits(t, []string{text}, expr); (len(got) == 1) != want {
			t.Errorf("%.20q…: %q", text, got)
		}
	}
}
