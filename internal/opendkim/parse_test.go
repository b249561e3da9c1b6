package opendkim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestParseConf: what opendkim.conf(5) says of lines.
func TestParseConf(t *testing.T) {
	text := "# comment\n\nMode\tsv\n  SubDomains   yes  # why\nDomain a, b \t\nSelector\nKeyFile x#y\nUMask 002\r\nSocket a\x00b\n\t \nLast end"
	settings, flaws := parseConf("f", []byte(text))
	var got []string
	for _, s := range settings {
		got = append(got, fmt.Sprintf("%s %s=%s@%d", s.Pos, s.name, s.value, s.valueCol))
	}
	want := []string{"f:3:1 Mode=sv@6", "f:4:3 SubDomains=yes@16", "f:5:1 Domain=a, b@8", "f:7:1 KeyFile=x@9", "f:8:1 UMask=002@7", "f:9:1 Socket=a@8", "f:11:1 Last=end@6"}
	if !slices.Equal(got, want) {
		t.Errorf("settings\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(flaws) != 1 || flaws[0].Pos.String() != "f:6:1" || flaws[0].what != "Selector" {
		t.Errorf("flaws %v", flaws)
	}
}

func show(all []entry) string {
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "%s %q=%q dead=%v\n", e.Pos, e.key, e.value, e.dead != "")
	}
	return b.String()
}

// TestParseTables: lines of files and elements of lists.
func TestParseTables(t *testing.T) {
	text := "a b\n  c\td:e  # f\n#\n\n\t\ng\r\nh i j\n"
	want := "f:1:1 \"a\"=\"b\" dead=false\nf:2:3 \"c\"=\"d:e\" dead=false\nf:6:1 \"g\"=\"\" dead=false\nf:7:1 \"h\"=\"i j\" dead=false\n"
	if got := show(parseFlat("f", []byte(text))); got != want {
		t.Errorf("flat\n%s\nwant\n%s", got, want)
	}
	want = strings.Replace(want, "\"d:e\" dead=false", "\"d:e\" dead=true", 1)
	if got := show(parsePatterns("f", []byte(text))); got != want {
		t.Errorf("patterns\n%s\nwant\n%s", got, want)
	}
	want = "f:3:10 \"a\"=\"\" dead=false\nf:3:13 \"b\"=\"c:d\" dead=false\nf:3:22 \"e\"=\"\" dead=false\n"
	if got := show(parseList(Pos{"f", 3, 10}, "a, b = c:d , ,e")); got != strings.Replace(want, "3:22", "3:24", 1) {
		t.Errorf("list\n%s", got)
	}
}

func TestCutSource(t *testing.T) {
	for value, want := range map[string]string{
		"csl:a,b": "0 a,b", "a,b": "0 a,b", "/etc/x": "1 /etc/x", "file:x": "1 x", "FILE:/x": "1 /x", "refile:/x": "2 /x", "/etc/x.db": "3 /etc/x.db",
		"dsn:mysql://x": "3 mysql://x", "a,b:c": "0 a,b:c", "lua:/x": "3 /x", "127.0.0.1,::1": "0 127.0.0.1,::1",
	} {
		kind, rest, ok := cutSource(value)
		if got := fmt.Sprint(int(kind), " ", rest); !ok || got != want {
			t.Errorf("%s: %s, %v", value, got, ok)
		}
	}
	for _, value := range []string{"::1", "::1,127.0.0.1", "nonsense:x"} {
		if _, _, ok := cutSource(value); ok {
			t.Errorf("%s is a data set", value)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "a", true}, {"", "", true}, {"", "a", false}, {"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "acb", false},
		{"*@*.b", "x@a.b", true}, {"*@*.b", "x@b", false}, {"a.c", "abc", false}, {"**a", "bca", true}, {"*a*a*", "aba", true}, {"*a*a*", "ba", false},
	} {
		if got := glob(c.pattern, c.s); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
	// Many asterisks take no more than their share of time.
	if glob(strings.Repeat("*a", 500), strings.Repeat("a", 1000)+"b") {
		t.Error("it fits")
	}
}

// TestQuote: what is quoted is one scalar for a YAML parser, and the same text.
func TestQuote(t *testing.T) {
	for _, text := range []string{"", "a", "no", "2020", "a: b # c", `"\'`, "a\nb\r\tc\x00\x7f", "ü\u0085\u2028\u2029😀\ufeff", "%TAG", "{a: b}", "\v\f\a\b\x1b"} {
		var got struct{ Text any }
		if err := yaml.Unmarshal([]byte("text: "+quote(text)+" # comment\n"), &got); err != nil || got.Text != text {
			t.Errorf("%q: %q, %v", text, got.Text, err)
		}
	}
	if got := quote("${env:HOME}"); got != `"$${env:HOME}"` {
		t.Error(got)
	}
}

// TestDirectives: every setting has a fate, and every judge gives a reason.
func TestDirectives(t *testing.T) {
	for name, d := range directives {
		if name != strings.ToLower(name) {
			t.Errorf("%s is not in lower case", name)
		}
		for _, value := range []string{"yes", "no", "1", "0", "300", "accept", "tempfail", "From", "x"} {
			if d.judge == nil {
				continue
			}
			if f, why := d.judge(value); why == "" || f == carried {
				t.Errorf("%s %s: %v %q", name, value, f, why)
			}
		}
	}
	if len(directives) < 150 {
		t.Errorf("only %d settings", len(directives))
	}
}

// TestEverySetting gives each setting a value in a file of its own, and wants it in
// the report or in the YAML once: nothing is dropped silently.
func TestEverySetting(t *testing.T) {
	for name := range directives {
		for _, value := range []string{"yes", "no", "5", "sv", "relaxed", "csl:x", "nonsense:x"} {
			if name == "include" {
				continue
			}
			im := newImporter("/nowhere/opendkim.conf")
			im.include(im.main, []byte(name+" "+value+"\n"), 0)
			im.settle()
			im.hosts()
			im.signing()
			if _, err := im.result(); err != nil || len(im.items) != 1 {
				t.Errorf("%s %s: %d items, %v", name, value, len(im.items), err)
			}
		}
	}
}
