package rules

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/internal/strictyaml"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite the .error files of testdata/bad")

// findings stand for what checks report.
func findings() []string {
	return []string{"SPF_FAIL", "SPF_PASS", "SPF_NEUTRAL", "FREEMAIL_FROM", "REPLYTO_DIFFERS"}
}

func load(t testing.TB, texts ...string) (*Set, error) {
	t.Helper()
	var sources []Source
	for i, text := range texts {
		sources = append(sources, Source{Name: fmt.Sprintf("%d.yaml", i), Text: []byte(text)})
	}
	return Load(sources, findings())
}

func mustLoad(t testing.TB, texts ...string) *Set {
	t.Helper()
	set, err := load(t, texts...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// The example of DESIGN.md, section 5, as far as the language goes today.
func TestLoad(t *testing.T) {
	set := mustLoad(t, `
rules:
  - name: SUBJ_URGENT_PAYMENT
    describe: Subject asks for an urgent payment
    header: Subject
    match: '(?i)\burgent\b.{0,20}\b(payment|invoice)\b'
    score: 1.8
    tests:
      hit:  ["Subject: URGENT: invoice attached", "urgent: your payment"]
      miss: ["Subject: minutes of Monday"]
  - name: FORGED_BOSS
    when: "SUBJ_URGENT_PAYMENT && !SPF_PASS && (FREEMAIL_FROM + REPLYTO_DIFFERS >= 1)"
    score: 3
    state: shadow
  - name: NO_DATE
    header: Date
    exists: false
  - name: RAW
    header_raw: Subject
    match: '=\?'
    state: off
  - {name: LOTTERY, body: {match: lottery}, score: -0.5}
  - {name: NAMELESS, client.name: {exists: false}}
  - {name: BESIDE, envelope.rcpt: , match: '^postmaster@'}
groups: {phishing: {rules: [FORGED_BOSS, SPF_FAIL], max: 8}}
scores: {SPF_FAIL: 2.5, SPF_PASS: -0.1}
`)
	at := func(line, col int) strictyaml.Pos { return strictyaml.Pos{File: "0.yaml", Line: line, Col: col} }
	want := &Set{
		Texts: []TextRule{
			{Rule: Rule{"SUBJ_URGENT_PAYMENT", "Subject asks for an urgent payment", 1.8, Active, at(3, 5)}, Text: Header, Header: "Subject", Times: 1,
				Match: `(?i)\burgent\b.{0,20}\b(payment|invoice)\b`},
			{Rule: Rule{Name: "NO_DATE", State: Active, Pos: at(15, 5)}, Text: Header, Header: "Date", Times: 1},
			{Rule: Rule{Name: "RAW", State: Off, Pos: at(18, 5)}, Text: HeaderRaw, Header: "Subject", Times: 1, Match: `=\?`},
			{Rule: Rule{Name: "LOTTERY", Score: -0.5, State: Active, Pos: at(22, 5)}, Text: Body, Times: 1, Match: "lottery"},
			{Rule: Rule{Name: "NAMELESS", State: Active, Pos: at(23, 5)}, Text: ClientName, Times: 1},
			{Rule: Rule{Name: "BESIDE", State: Active, Pos: at(24, 5)}, Text: EnvelopeRcpt, Times: 1, Match: "^postmaster@"},
		},
		Composites: []Composite{{
			Rule:  Rule{Name: "FORGED_BOSS", Score: 3, State: Shadow, Pos: at(11, 5)},
			Names: []string{"SUBJ_URGENT_PAYMENT", "SPF_PASS", "FREEMAIL_FROM", "REPLYTO_DIFFERS"},
		}},
		Groups: []Group{{Name: "phishing", Rules: []string{"FORGED_BOSS", "SPF_FAIL"}, Max: 8, Pos: at(25, 20)}},
		Scores: map[string]Score{"SPF_FAIL": {2.5, at(26, 20)}, "SPF_PASS": {-0.1, at(26, 35)}},
	}
	if diff := cmp.Diff(want, set, cmpopts.IgnoreUnexported(Composite{}), cmpopts.IgnoreFields(Set{}, "Tests")); diff != "" {
		t.Error(diff)
	}
	boss := &set.Composites[0]
	for hits, want := range map[string]bool{
		"SUBJ_URGENT_PAYMENT FREEMAIL_FROM":          true,
		"SUBJ_URGENT_PAYMENT REPLYTO_DIFFERS":        true,
		"SUBJ_URGENT_PAYMENT":                        false,
		"SUBJ_URGENT_PAYMENT FREEMAIL_FROM SPF_PASS": false,
	} {
		names := strings.Fields(hits)
		if got := boss.Eval(func(name string) float64 { return truth(slices.Contains(names, name)) }); got != want {
			t.Errorf("with %s: %v, want %v", hits, got, want)
		}
	}
	if got, want := boss.When(), "SUBJ_URGENT_PAYMENT && !SPF_PASS && FREEMAIL_FROM + REPLYTO_DIFFERS >= 1"; got != want {
		t.Errorf("When is %s, want %s", got, want)
	}
}

func TestLoadNothing(t *testing.T) {
	for _, texts := range [][]string{nil, {""}, {"# nothing"}, {"rules:\ngroups:\nscores:"}, {"rules: []", "scores: {SPF_FAIL: }"}} {
		set := mustLoad(t, texts...)
		if len(set.Texts)+len(set.Composites)+len(set.Groups)+len(set.Scores) != 0 {
			t.Errorf("%q: %+v", texts, set)
		}
	}
}

// testdata/bad: NAME.yaml, after it NAME.over.yaml where there is one, and in
// NAME.error all that is wrong with them.
func TestBadFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		name, ok := strings.CutSuffix(path, ".yaml")
		if !ok || strings.HasSuffix(name, ".over") {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			var sources []Source
			for _, path := range []string{path, name + ".over.yaml"} {
				text, err := os.ReadFile(path)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				sources = append(sources, Source{Name: filepath.Base(path), Text: text})
			}
			set, err := Load(sources, findings())
			if err == nil || set != nil {
				t.Fatalf("loaded: %v, %v", set, err)
			}
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(name+".error", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name + ".error")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A later file overrides the fields it gives and nothing else, whatever they are.
func TestOverride(t *testing.T) {
	fields := []struct{ key, below, above string }{
		{"describe", "below", "above"}, {"score", "1", "2"}, {"state", "shadow", "off"},
		{"header", "Subject", "From"}, {"match", "below", "above"}, {"tests", "{hit: []}", "{hit: []}"},
	}
	for mask := range 1 << len(fields) {
		below, above, want := "rules:\n  - name: R\n", "rules:\n  - name: R\n", map[string]string{}
		for i, f := range fields {
			below += "    " + f.key + ": " + f.below + "\n"
			want[f.key] = f.below
			if mask&(1<<i) != 0 {
				above += "    " + f.key + ": " + f.above + "\n"
				want[f.key] = f.above
			}
		}
		set := mustLoad(t, below, above)
		if len(set.Texts) != 1 {
			t.Fatalf("%d rules", len(set.Texts))
		}
		r := set.Texts[0]
		got := map[string]string{
			"describe": r.Describe, "score": fmt.Sprint(r.Score), "state": string(r.State), "header": r.Header, "match": r.Match, "tests": "{hit: []}",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("fields %b: %s", mask, diff)
		}
		if r.Pos.File != "0.yaml" {
			t.Errorf("fields %b: the rule stands at %s", mask, r.Pos)
		}
	}
}

// Rules of a proven file are not tried again, until a later file changes them.
func TestProven(t *testing.T) {
	below := "rules:\n- {name: A, header: Subject, match: a, tests: {hit: [b]}}\n- {name: B, when: A, tests: {hit: ['']}}"
	for over, want := range map[string]bool{
		"": true, "rules: [{name: A, score: 3, state: shadow}]": true, "scores: {SPF_FAIL: 1}": true,
		"rules: [{name: A, match: c}]": false, "rules: [{name: A, normalised: true}]": false, "rules: [{name: A, tests: {miss: [a]}}]": false,
		"rules: [{name: A, header: From}]": false, "rules: [{name: B, when: '!A && SPF_FAIL'}]": false,
	} {
		set, err := Load([]Source{{Name: "0.yaml", Text: []byte(below), Proven: true}, {Name: "1.yaml", Text: []byte(over)}}, findings())
		if (err == nil) != want {
			t.Errorf("%s: %v", over, err)
		}
		if err == nil && len(set.Tests["A"].Hit) != 1 {
			t.Errorf("%s: tests are forgotten", over)
		}
	}
}

func TestOverrideTheRest(t *testing.T) {
	set := mustLoad(t, `
rules:
  - {name: A, header: Subject, match: a, score: 1}
  - {name: B, header: Subject, exists: true}
  - {name: C, body: {match: c}, tests: {hit: [c]}}
  - {name: D, when: A}
groups: {g: {rules: [A, B], max: 4}, h: {rules: [C], max: 1}}
scores: {SPF_FAIL: 1, SPF_PASS: -1}`, `
rules:
  - {name: E, when: "A && B"}
  - {name: A, header_raw: From}
  - {name: B, match: b}
  - {name: C, match: d, tests: {hit: [d]}}
  - {name: D, when: "!A"}
groups: {g: {max: 2}, h: {rules: [D]}}
scores: {SPF_PASS: 0}`)
	var got []string
	for _, r := range set.Texts {
		got = append(got, fmt.Sprintf("%s %s %s %q %v %g", r.Name, r.Text, r.Header, r.Match, r.Exists, r.Score))
	}
	for _, c := range set.Composites {
		got = append(got, c.Name+" "+c.When())
	}
	for _, g := range set.Groups {
		got = append(got, fmt.Sprint(g.Name, g.Rules, g.Max))
	}
	got = append(got, fmt.Sprint(set.Scores["SPF_FAIL"].Points, set.Scores["SPF_PASS"].Points))
	want := []string{
		`A header_raw From "a" false 1`, `B header Subject "b" false 0`, `C body  "d" false 0`,
		"D !A", "E A && B", "g[A B] 2", "h[D] 1", "1 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Composites stand behind those they name, for any graph without cycles, and the
// rest keeps the order of the file.
func TestOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		n := 1 + random.IntN(12)
		var text strings.Builder
		text.WriteString("rules:\n")
		rank := random.Perm(n)
		for i := range n {
			when := "SPF_FAIL"
			for j := range n {
				if rank[j] < rank[i] && random.IntN(4) == 0 {
					when += fmt.Sprintf(" + R%d", j)
				}
			}
			fmt.Fprintf(&text, "  - {name: R%d, when: %q}\n", i, when)
		}
		set := mustLoad(t, text.String())
		if len(set.Composites) != n {
			t.Fatalf("%d of %d composites", len(set.Composites), n)
		}
		known := map[string]bool{"SPF_FAIL": true}
		for _, c := range set.Composites {
			for _, name := range c.Names {
				if !known[name] {
					t.Fatalf("%s stands before %s:\n%s", c.Name, name, text.String())
				}
			}
			known[c.Name] = true
		}
	}
	set := mustLoad(t, "rules:\n- {name: B, when: SPF_FAIL}\n- {name: A, when: SPF_FAIL}\n- {name: C, when: Z}\n- {name: Z, when: B}")
	var got []string
	for _, c := range set.Composites {
		got = append(got, c.Name)
	}
	if want := []string{"B", "A", "Z", "C"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules.d/20.yaml": "second", "rules.d/10.yaml": "first", "rules.d/.hidden.yaml": "no", "rules.d/readme.txt": "no",
		"rules.d/sub/30.yaml": "no", "single.yaml": "third", "rules.d/x.yaml~": "no",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	got, err := Files(in("rules.d"), in("single.yaml"))
	want := []Source{{Name: in("rules.d/10.yaml"), Text: []byte("first")}, {Name: in("rules.d/20.yaml"), Text: []byte("second")}, {Name: in("single.yaml"), Text: []byte("third")}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	if err := os.Mkdir(in("rules.d/dir.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(in("nowhere"), in("rules.d/gone.yaml")); err != nil {
		t.Fatal(err)
	}
	got, err = Files(in("missing"), in("rules.d"), in("missing.yaml"), in("single.yaml"))
	if len(got) != 3 || !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("%d sources and %v, want 3 and three errors", len(got), err)
	}
	if got, err := Files(); got != nil || err != nil {
		t.Errorf("no paths: %v, %v", got, err)
	}
}

// Whatever a file says: it loads or it tells where it is wrong.
func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, s := range Shipped() {
		f.Add(s.Text)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("rules: [{name: A, body: {match: '(a{1000}){1}(.*){50}'}, tests: {hit: [aaaaaaaaaaaa]}}]"))
	f.Add([]byte("rules:\n- &r {name: A, header: X, match: a}\n- <<: *r\n  name: B"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := Load([]Source{{Name: "f.yaml", Text: text}}, findings())
		if (set == nil) != (err != nil) {
			t.Fatalf("set %v with error %v", set, err)
		}
		if err != nil {
			all, ok := errors.AsType[strictyaml.Errors](err)
			if !ok || len(all) == 0 {
				t.Fatalf("an error of another kind: %v", err)
			}
			for _, e := range all {
				if e.Pos.File != "f.yaml" && !strings.HasSuffix(e.Pos.File, "bad.txt") || e.What == "" {
					t.Errorf("an error without a place: %+v", e)
				}
			}
			return
		}
		for _, r := range set.Texts {
			if r.Name == "" || r.Match != "" && r.Exists || r.Score < -maxScore || r.Score > maxScore {
				t.Errorf("a bad rule got through: %+v", r)
			}
		}
		before := map[string]bool{}
		for _, c := range set.Composites {
			for _, name := range c.Names {
				if other := slices.IndexFunc(set.Composites, func(o Composite) bool { return o.Name == name }); other >= 0 && !before[name] {
					t.Errorf("%s stands before %s", c.Name, name)
				}
			}
			before[c.Name] = true
		}
		// A file over itself changes nothing.
		again, err := Load([]Source{{Name: "f.yaml", Text: text}, {Name: "g.yaml", Text: text}}, findings())
		if err != nil {
			t.Fatalf("over itself: %v", err)
		}
		if len(again.Texts) != len(set.Texts) || len(again.Composites) != len(set.Composites) || len(again.Scores) != len(set.Scores) {
			t.Error("over itself it is another set")
		}
	})
}
