package strictyaml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	misfit   = "the line does not fit those above, expected a key in their column (text after a closing quote belongs inside)"
	misitem  = `the line does not fit the list above, expected "- " in its column`
	noKey    = `a key is not possible here, expected quotes around text with ": ", or the indentation of the keys above`
	openList = `a list that is not closed here, expected "," or "]" (text that begins with [ needs quotes)`
	openMap  = `a mapping that is not closed here, expected "," or "}" (text with { or } needs quotes)`
	openQuot = "a quote that is never closed, expected its end"
	noColon  = `a line without a key, expected "key: value"`
)

// TestSyntaxErrors holds the mistakes that people make, most of them in the first line and in a later one, because the
// YAML parser is least exact about the first.
func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"a:\n\tb: 1\n", "2:1: a tab, expected spaces"},
		{"\ta: 1\n", "1:1: a tab, expected spaces"},
		{"a: 1\n\tb: 2\n", "2:1: a tab in the indentation, expected spaces"},
		{"a:\n  b: 1\n \tc: 2\n", "3:2: a tab in the indentation, expected spaces"},
		{"a: >\n\tx\nb: 1\n", "2:1: a tab in the indentation, expected spaces"},
		{"a: b: c\n", "1:5: " + noKey},
		{"x: 1\na: b: c: d\nd: 1\n", "2:5: " + noKey},
		{"äöü: b: c\n", "1:7: " + noKey},
		{"a: 1\n  b: 2\n", "2:4: " + noKey},
		{"a: foo\n bar: baz\nc: 1\n", "2:5: " + noKey},
		{"foo\nb: 2\n", "2:2: " + noKey},
		{"a: \"open\nb: 1\n", "1:4: " + openQuot},
		{"x: 1\na: 'open\nb: 1\n", "2:4: " + openQuot},
		{"x: 1\na: {b: \"x\", c: \"it's\n", "2:16: " + openQuot},
		{"a: [1, 2\nb: 3\n", "1:4: " + openList},
		{"x: 1\nmatch: [^abc\nb: 1\n", "2:8: " + openList},
		{"x: 1\na: {b: 1\nc: 3\n", "2:4: " + openMap},
		{"x: 1\na: {b: ${env:X}}\n", "2:4: " + openMap},
		{"x:\n  a: 1\n b: 2\n", "3:2: " + misfit},
		{"z: 1\nx:\n  q:\n      a: 1\n    b: 2\n", "5:5: " + misfit},
		{"a: 1\n- b\n", "2:1: " + misfit},
		{"a: 'it's'\nb: 2\n", "1:1: " + misfit},
		{"x: 1\ny: 2\na: 'it's'\nb: 2\n", "3:1: " + misfit},
		{"a: |\n  x\n y\nb: 1\n", "3:2: " + misfit},
		{"a: x # c\n b: 1\n", "2:2: " + misfit},
		{"- a\nb: 1\n", "2:1: " + misitem},
		{"rules:\n  - name: A\n    match: x\n   score: 1\n  - name: B\n", "4:4: " + misitem},
		{"rules:\n  - name: A\n   - name: B\n", "3:4: " + misitem},
		{"a: 1\nfoo\nb: 2\n", "2:1: " + noColon},
		{"a: 1\r\nb\r\nc: 1\r\n", "2:1: " + noColon},
		{"a: @foo\n", "1:4: '@' cannot begin a value, expected quotes around it"},
		{"x: 1\na: `foo`\n", "2:4: '`' cannot begin a value, expected quotes around it"},
		{"a: %foo\n", "1:4: '%' cannot begin a value, expected quotes around it"},
		{"a: ]\n", "1:1: no value can begin like this, expected quotes around it"},
		{"x: 1\na: }\nb: 1\n", "2:1: no value can begin like this, expected quotes around it"},
		{"a: [b, , c]\n", "1:1: no value can begin like this, expected quotes around it"},
		{"a: - b\n", "1:4: a list item is not possible here, expected it in a line of its own"},
		{"a: \"c:\\dir\"\n", "1:7: an unknown escape, expected single quotes around text with backslashes"},
		{"x: 1\n\na: \"\\q\"\n", "3:5: an unknown escape, expected single quotes around text with backslashes"},
		{"a: *nope\n", "1:4: *nope is not known, expected &nope before it (text that begins with * needs quotes)"},
		{"x: 1\nb: &x 1\nc: *y\n", "3:4: *y is not known, expected &y before it (text that begins with * needs quotes)"},
		{"a: 1\n---\nb: 1\n", "2:1: a second document, expected one in a file"},
		{"a: |x\n  foo\n", "1:5: did not find expected comment or line break, expected YAML"},
		{"%FOO bar\n---\na: 1\n", "1:4: found unknown directive name, expected YAML"},
		{strings.Repeat("[", 20000), "1:10004: too many levels, expected at most 64"},
		{"a: \xff\n", "1:4: byte 0xFF is not UTF-8, expected UTF-8 text"},
		{"a: \xef\xbf\n", "1:4: byte 0xEF is not UTF-8, expected UTF-8 text"},
		{"a: 1\nb: x\x00\n", `2:5: character U+0000, expected it as "\u0000" in double quotes`},
		{"a: x\u2028y\n", `1:5: character U+2028, expected it as "\u2028" in double quotes`},
		{"a: x\u0085y\n", `1:5: character U+0085, expected it as "\u0085" in double quotes`},
		{"a: x\ry\n", "1:5: a carriage return alone, expected a line feed after it"},
		{"a: \uFEFFx\n", `1:4: character U+FEFF, expected it as "\uFEFF" in double quotes`},
	} {
		t.Run(fmt.Sprintf("%.20q", c.yaml), func(t *testing.T) {
			n, err := Parse("f", []byte(c.yaml))
			if got, want := fmt.Sprint(err), "f:"+c.want; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if n != nil {
				t.Error("a node for what is not YAML")
			}
		})
	}
}

func TestSyntaxErrorInALongFile(t *testing.T) {
	const lines = 3000
	good := strings.Repeat("- name: A\n  match: '(?i)\\bfoo\\b' # why\n  tests: {hit: [\"a\"], miss: []}\n", lines/3)
	for bad, want := range map[string]string{
		"- name: 'it's'\n": fmt.Sprintf("f:%d:1: ", lines+1), " - x\n": fmt.Sprintf("f:%d:2: ", lines+1), "- [a\n": fmt.Sprintf("f:%d:3: ", lines+1),
		"- a: \"\n": fmt.Sprintf("f:%d:6: ", lines+1), "- @\n": fmt.Sprintf("f:%d:3: ", lines+1),
	} {
		_, err := Parse("f", []byte(good+bad+"- name: B\n"))
		if got := fmt.Sprint(err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: got %s, want %s", bad, got, want)
		}
	}
}

// TestBombs feeds what shall exhaust a parser. Each must end soon, in bounded memory, with an error of one line.
func TestBombs(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	merges := "a: &a {k0: 1, l0: 1}\n"
	for c := 'b'; c <= 'z'; c++ {
		merges += fmt.Sprintf("%c: &%c {<<: [*%c, *%c, *%c], k%c: 1, m: [*%c, *%c]}\n", c, c, c-1, c-1, c-1, c, c-1, c-1)
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"billion laughs", laughs, "values with all aliases expanded, expected fewer"},
		{"laughs by merge keys", merges, "expected fewer"},
		{"deep", "a: " + strings.Repeat("{a: ", 100) + strings.Repeat("}", 100), "more than 64 levels deep, expected fewer"},
		{"deep blocks", strings.Repeat("- ", 100) + "x", "more than 64 levels deep, expected fewer"},
		{"many values", "[" + strings.Repeat("1,", MaxNodes) + "]", "more than 524288 values"},
		{"large", strings.Repeat("#", MaxBytes+1), "more than 4194304 bytes, expected at most 4MiB"},
		{"alias in itself, twice", "a: &a [*a, *a]", "*a inside its own &a, expected it outside"},
		{"alias as key of itself", "&a {? *a : *a}", "expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Parse("f", []byte(c.yaml))
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %.200v, want %q", err, c.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
				t.Errorf("%d MiB allocated", used>>20)
			}
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

func BenchmarkRuleFile(b *testing.B) {
	var file strings.Builder
	file.WriteString("rules:\n")
	for i := range 1000 {
		fmt.Fprintf(&file, "  - name: RULE_%d\n    describe: a rule\n    header: Subject\n    match: '(?i)\\bword%d\\b'\n    score: 1.5\n", i, i)
	}
	type rule struct {
		Pos      Pos
		Name     string          `yaml:"name"`
		Describe string          `yaml:"describe"`
		Header   string          `yaml:"header"`
		Match    Located[string] `yaml:"match"`
		Score    float64         `yaml:"score"`
	}
	src := []byte(file.String())
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		var rules struct {
			Rules []rule `yaml:"rules"`
		}
		if err := Decode("f", src, &rules); err != nil || len(rules.Rules) != 1000 {
			b.Fatal(err, len(rules.Rules))
		}
	}
}
