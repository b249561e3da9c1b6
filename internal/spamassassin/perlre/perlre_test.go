package perlre

import (
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

// TestLinear shows what becomes of expressions that RE2 can have.
func TestLinear(t *testing.T) {
	for _, test := range []struct {
		expr  string
		flags Flags
		want  string
	}{
		{`free money`, Flags{}, `free money`},
		{`Free\s+MONEY`, Flags{Fold: true}, `(?i)free[\s\v]+money`},
		{`^a.b$`, Flags{}, `^a.b(?:\n?\z)`},
		{`^a.b$`, Flags{MultiLine: true, DotAll: true}, `(?ms)^a.b$`},
		{`a b # c`, Flags{Extended: true}, `ab`},
		{`a(?#comment)b`, Flags{}, `ab`},
		{`\x41\101\cA\e\h`, Flags{}, `AA\x01\x1b[\t \xa0]`},
		{"caf\xe9 \xc3\xa9", Flags{}, `caf\xe9 \xc3\xa9`},
		{"\xc3\xa9x", Flags{Fold: true}, `(?i)(?-i:\xc3)\xa9x`},
		{`[^a-z]`, Flags{Fold: true}, `[^A-Za-z]`},
		{`[[:alpha:]_\d]`, Flags{}, `\w`},
		{`a(?i)b(?-i)C`, Flags{}, `a[Bb]C`},
		{`[$@%]|\!`, Flags{}, `[!$%@]`},
		{`a{2000}`, Flags{}, `a{1000}a{1000}`},
		{`(?:a{1,100}b){0,20}`, Flags{}, `(?:a{1,100}b){0,10}(?:a{1,100}b){0,10}`},
		{`a{,3}b{x}`, Flags{}, `a{0,3}b\{x\}`},

		// Look-around that is none.
		{`foo(?=bar)`, Flags{}, `foobar`},
		{`(?<=foo)bar`, Flags{}, `foobar`},
		{`foo(?!\d)`, Flags{}, `foo(?:\z|\D)`},
		{`(?<!\w)foo\b`, Flags{}, `(?:^|\W)foo\b`},
		{`foo(?!ba)`, Flags{}, `foo(?:\z|[^b]|b(?:\z|[^a]))`},
		{`(?<!www\.)foo`, Flags{}, `(?:^|[^.]|(?:^|[^w]|(?:^|[^w]|(?:^|[^w])w)w)\.)foo`},
		{`a(?!x)[a-z]b`, Flags{}, `a[a-wyz]b`},
		{`a(?!x)[a-z]+b`, Flags{}, `a[a-wyz][a-z]*b`},
		{`[a-z](?<!x)b`, Flags{}, `[a-wyz]b`},
		{`a\d++b`, Flags{}, `a\d+b`},
		{`a(?>\d+)b`, Flags{}, `a\d+b`},
		{`ab++`, Flags{}, `ab+`},
	} {
		e, err := Parse(test.expr, test.flags)
		if err != nil {
			t.Errorf("%s: %v", test.expr, err)
			continue
		}
		got, err := e.Linear()
		if err != nil || got != test.want {
			t.Errorf("%s: got %s (%v), expected %s", test.expr, got, err, test.want)
			continue
		}
		if _, err := regexp.Compile(got); err != nil {
			t.Errorf("%s: %v", test.expr, err)
		}
	}
}

// TestLinearExact keeps the ends of what is matched.
func TestLinearExact(t *testing.T) {
	for expr, want := range map[string]string{`foo(?!\d)`: "a negative look-ahead", `(?<=x)foo`: "a look-behind", `a(?!x)[a-z]b`: ""} {
		e, err := Parse(expr, Flags{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.LinearExact()
		if needs, _ := errors.AsType[*NeedsBacktracking](err); needs == nil && want != "" || needs != nil && needs.What != want {
			t.Errorf("%s: got %v, expected that %q needs backtracking", expr, err, want)
		}
	}
}

// TestBacktracking shows what needs another engine, and what is written for it.
func TestBacktracking(t *testing.T) {
	for _, test := range []struct{ expr, what, want string }{
		{`(\w)\1`, "a back-reference", `(\w)(?:\1)`},
		{`(?<c>a|b)\k<c>`, "a back-reference", `([ab])(?:\1)`},
		{`a(?!b|cd).e`, "a negative look-ahead", `a(?!b|cd).e`},
		{`x(?=a+).*y`, "a look-ahead", `x(?=a+).*y`},
		{`\d++.x`, "a possessive repeat", `(?>\d+).x`},
		{`(?>a|ab)c`, "an atomic group", `(?>a|ab)c`},
		{`.(?<!a.)b`, "a negative look-behind", `.(?<!a.)b`},
	} {
		e, err := Parse(test.expr, Flags{})
		if err != nil {
			t.Errorf("%s: %v", test.expr, err)
			continue
		}
		_, err = e.Linear()
		needs, ok := errors.AsType[*NeedsBacktracking](err)
		if !ok || needs.What != test.what {
			t.Errorf("%s: got %v, expected that %s needs backtracking", test.expr, err, test.what)
		}
		if got := e.Backtracking(); got != test.want {
			t.Errorf("%s: got %s, expected %s", test.expr, got, test.want)
		}
	}
}

// TestOverlong is an expression that would come to a billion letters.
func TestOverlong(t *testing.T) {
	e, err := Parse(`((a{999}b){999}c){999}`, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := e.Linear(); err == nil || len(text) > 0 {
		t.Errorf("got %d bytes, expected an error", len(text))
	}
	if text := e.Backtracking(); len(text) > 100 {
		t.Errorf("got %d bytes, expected what was written", len(text))
	}
}

// TestRefused are expressions that are not carried at all.
func TestRefused(t *testing.T) {
	for expr, want := range map[string]string{
		`a(b`:                    "without its )",
		`a)b`:                    "a ) too many",
		`[a`:                     "without its ]",
		`*a`:                     "nothing to repeat",
		`a**`:                    "repeat of a repeat",
		`a\`:                     "backslash at the end",
		`\x{2019}`:               "texts are bytes",
		`\p{Lu}`:                 "class of Unicode's",
		`(?R)`:                   "only Perl has",
		`(?(1)a|b)`:              "only Perl has",
		`(?{ print })`:           "only Perl has",
		`(*SKIP)`:                "steers",
		`\G`:                     "no equal",
		`\2(a)`:                  "there is not",
		`[z-a]`:                  "a range from",
		`a{3,2}`:                 "cannot be",
		strings.Repeat("(", 200): "nested deeper",
		`(?<n>a)\k<m>`:           "there is not",
	} {
		_, err := Parse(expr, Flags{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: got %v, expected one with %q", expr, err, want)
		}
	}
}

func TestLatin1(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if got := Bytes(Latin1(all)); got != string(all) {
		t.Errorf("got %q", got)
	}
	if got := Bytes("a\u20ac"); got != "a\u20ac" {
		t.Errorf("got %q, expected what is no byte as it is", got)
	}
}

// samples are expressions and texts on which Perl itself is asked.
var (
	sampleExprs = []string{
		`free(?!dom)`, `(?<!www\.)foo\.com`, `\bre\b`, `a++b`, `^$`, `\s\S\s`, `[^\w\s]{2,}`, `(a|b)\1`, `x(?=.*y)z?`, `\h+$`, `.\z`, `(?i)straße|\xe9`,
		`a(?!b|cd).e`, `\d{2,}+5`, `(?<![a-z])(?<!\d)end`, `foo(?!\d)(?!x)\b`, `(?:^|\n)b`, `(?m)^b`, `c$`, `[[:punct:]]{2}`, `\x00`, `(?s)a.b`, `a.b`,
		`(?<=a)b`, `b(?=c)`, `(?i)[^a-c]d`, `(?i:A)b`, `\Aa|b\Z`, `a{0,2}?b`, `[]a]x`, `[^]a]x`, `[a\-c]-`, `[\]]`, `\.\*`, `(?x) a b # c`, `\Q[a]\E`,
		`(?!a)\w+b`, `\w(?<!a)b`, `(?<!ab)c`, `c(?!ab)`, `c(?!ab|b|abc)`, `(?<!a|bc)d`, `(?>a*)ab`, `(?>a*)b`, `\R`, `\N+`,
	}
	sampleTexts = []string{
		"", "\n", "a", "b", "ab", "abc", "aab\n", "freedom", "free dom", "xfree", "www.foo.com", "ww.foo.com", "foo.com\n", "a re b", "are", "aaab", "bb", "x  y", "xzy", "a\nb",
		"c\n", "c\n\n", "STRASSE", "stra\xdfe", "\xe9", "\xc9", "ace", "abe", "acde", "aXe", "12345", "5", "end", "1end", " end", "foo1", "foox", "foo", "!?", "\x00",
		"Cd", "Dd", "AB", "]x", "bx", "--", "c-", ".*", "[a]", "cab", "cabc", "cb", "c", "xab", "bd", "bcd", "ad", "\r\n", "tab\t", "abc c", "aa ab", "ba bc",
	}
)

// TestPerlAgrees asks Perl whether the samples match, and both engines.
func TestPerlAgrees(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("*** NOT TESTED: there is no perl, the judge of Perl's expressions ***")
	}
	in, err := json.Marshal(map[string][]string{"exprs": latin(sampleExprs), "texts": latin(sampleTexts)})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(perl, "-MJSON::PP", "-e", `
		local $/; my $in = JSON::PP->new->utf8->decode(scalar <STDIN>);
		print JSON::PP->new->encode([map { my $e = $_; utf8::downgrade($e); my $re = qr/$e/; [map { my $t = $_; utf8::downgrade($t); $t =~ $re ? 1 : 0 } @{$in->{texts}}] } @{$in->{exprs}}]);`)
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("perl: %v", err)
	}
	var want [][]int
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for i, expr := range sampleExprs {
		e, err := Parse(expr, Flags{})
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		back := regexp2.MustCompile(e.Backtracking(), regexp2.RE2)
		var plain *regexp.Regexp
		if linear, err := e.Linear(); err == nil {
			plain = regexp.MustCompile(linear)
		}
		for j, text := range sampleTexts {
			text := Latin1([]byte(text))
			if got, _ := back.MatchString(text); got != (want[i][j] == 1) {
				t.Errorf("%s on %q: backtracking %s says %v, perl does not", expr, text, back, got)
			}
			if plain != nil && plain.MatchString(text) != (want[i][j] == 1) {
				t.Errorf("%s on %q: linear %s says %v, perl does not", expr, text, plain, !(want[i][j] == 1))
			}
		}
	}
}

func latin(list []string) (out []string) {
	for _, s := range list {
		out = append(out, Latin1([]byte(s)))
	}
	return out
}

// FuzzParse holds that what is parsed is written, compiles in its engine, and
// that both engines, where both can have it, agree.
func FuzzParse(f *testing.F) {
	for i, expr := range sampleExprs {
		f.Add(expr, sampleTexts[i%len(sampleTexts)], uint8(i))
	}
	f.Fuzz(func(t *testing.T, expr, text string, bits uint8) {
		if len(expr) > 60 || len(text) > 60 {
			return
		}
		e, err := Parse(expr, Flags{Fold: bits&1 != 0, MultiLine: bits&2 != 0, DotAll: bits&4 != 0, Extended: bits&8 != 0})
		if err != nil {
			if _, ok := errors.AsType[*SyntaxError](err); !ok {
				t.Fatalf("an error of type %T", err)
			}
			return
		}
		linear, err := e.Linear()
		if err != nil {
			return
		}
		if len(linear) > 20000 {
			return
		}
		plain, err := regexp.Compile(linear)
		if err != nil {
			t.Fatalf("%q is written %q: %v", expr, linear, err)
		}
		if !strings.ContainsAny(expr, "*+?{") { // no repeats: cheap in both
			back, err := regexp2.Compile(e.Backtracking(), regexp2.RE2)
			if err != nil {
				t.Fatalf("%q is written %q: %v", expr, e.Backtracking(), err)
			}
			text = Latin1([]byte(text))
			want, err := back.MatchString(text)
			if err == nil && plain.MatchString(text) != want {
				t.Fatalf("%q on %q: linear %q and backtracking %q differ", expr, text, linear, back)
			}
		}
	})
}
