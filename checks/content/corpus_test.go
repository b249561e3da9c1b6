package content

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"
)

// corpus reads the messages of one half of the corpora, by name. They are not
// part of the project: a test without them says so and is skipped.
func corpus(tb testing.TB, kind string) map[string]*message.Message {
	tb.Helper()
	suites := cmp.Or(os.Getenv("MILTERD_SUITES"), "../../../shared/suites")
	path := filepath.Join(suites, "../corpora", kind, "spamassassin-public-"+kind+".tar.gz")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		tb.Skipf("NOT TESTED: the mail corpus is not at %s (MILTERD_SUITES names the folder beside it)", path)
	} else if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]*message.Message{}
	for files := tar.NewReader(unzipped); ; {
		entry, err := files.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			tb.Fatal(err)
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			tb.Fatal(err)
		}
		all[filepath.Base(entry.Name)] = parse(tb, text)
	}
	return all
}

// parse makes a message of a file. The envelope is that of nobody in particular.
func parse(tb testing.TB, text []byte) *message.Message {
	tb.Helper()
	if bytes.HasPrefix(text, []byte("From ")) { // an mbox line
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	var fields []message.Field
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) && len(fields) > 0 {
			fields[len(fields)-1].Value += "\n" + line
		} else if name, value, ok := strings.Cut(line, ":"); ok {
			fields = append(fields, message.Field{Name: name, Value: value})
		}
	}
	return newMessage(tb, fields, body)
}

// weigh adds up what findings are worth, as scoring does but for groups.
func weigh(set *rules.Set, found []checks.Finding) (score float64, names []string) {
	hit := map[string]bool{}
	points := map[string]float64{}
	for _, f := range found {
		hit[f.Name] = true
		points[f.Name] = set.Scores[f.Name].Points
	}
	for _, r := range set.Texts {
		if hit[r.Name] && r.State == rules.Active {
			points[r.Name] = r.Score
		}
	}
	for _, c := range set.Composites {
		if c.State == rules.Active && c.Eval(func(name string) float64 {
			if hit[name] {
				return 1
			}
			return 0
		}) {
			hit[c.Name], points[c.Name] = true, c.Score
		}
	}
	for name := range hit {
		score += points[name]
		names = append(names, name)
	}
	slices.Sort(names)
	return score, names
}

// most is the default of thresholds.greylist, the lowest one.
const most = 4

// What the shipped rules make of real mail, honest and not. The mail is twenty
// years old, so the figures are a check of sanity; the bounds on honest mail are
// what matters.
func TestShippedRulesOnCorpora(t *testing.T) {
	set := shippedSet(t)
	c := newCheckWith(t, set, checks.Limits{}, time.Now)
	type rate struct{ ham, spam int }
	rates := map[string]rate{}
	total := map[string]int{}
	for _, kind := range []string{"ham", "spam"} {
		messages := corpus(t, kind)
		total[kind] = len(messages)
		over := 0
		for name, m := range messages {
			res, err := c.Run(t.Context(), &checks.Input{Message: m})
			if err != nil {
				t.Fatal(name, err)
			}
			for _, p := range m.Author().Problems { // as checks/author in mode score
				res.Findings = append(res.Findings, checks.Finding{Name: "AUTHOR_" + string(p)})
			}
			score, hit := weigh(set, res.Findings)
			if score >= most {
				over++
			}
			if kind == "ham" && score >= most {
				t.Errorf("%s: an honest message gets %.1f points: %v", name, score, hit)
			}
			for _, name := range hit {
				r := rates[name]
				if kind == "ham" {
					r.ham++
				} else {
					r.spam++
				}
				rates[name] = r
			}
		}
		t.Logf("%s: %d of %d messages with %d points or more", kind, over, len(messages), most)
	}
	t.Logf("%-28s %8s %8s", "finding", "ham", "spam")
	for _, name := range slices.Sorted(maps.Keys(rates)) {
		ham := 100 * float64(rates[name].ham) / float64(total["ham"])
		spam := 100 * float64(rates[name].spam) / float64(total["spam"])
		t.Logf("%-28s %7.2f%% %7.2f%%", name, ham, spam)
		if points := pointsOf(set, name); points >= 0.5 && ham > 0.5 {
			t.Errorf("%s brings %g points and hits %.2f%% of honest mail", name, points, ham)
		}
	}
}

// pointsOf returns what a rule or finding is worth.
func pointsOf(set *rules.Set, name string) float64 {
	for _, r := range set.Texts {
		if r.Name == name {
			return r.Score
		}
	}
	for _, c := range set.Composites {
		if c.Name == name {
			return c.Score
		}
	}
	return set.Scores[name].Points
}

// The messages of the public suites, broken ones most of all: every finding is
// one that the check has declared, once, and the test strings are found.
func TestSuites(t *testing.T) {
	root := cmp.Or(os.Getenv("MILTERD_SUITES"), "../../../shared/suites")
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		t.Skipf("NOT TESTED: the suites are not at %s (MILTERD_SUITES names their folder)", root)
	}
	set := shippedSet(t)
	c := newCheckWith(t, set, checks.Limits{}, time.Now)
	declared := map[string]bool{}
	for _, f := range Spec(set).Findings {
		declared[f.Name] = true
	}
	messages, gtube := 0, []string{}
	for _, suite := range []string{"mime-enmime", "mime-mime4j", "sa-samples"} {
		err := filepath.WalkDir(filepath.Join(root, suite), func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			messages++
			res, err := c.Run(t.Context(), &checks.Input{Message: parse(t, text)})
			if err != nil {
				return err
			}
			seen := map[string]bool{}
			for _, f := range res.Findings {
				if !declared[f.Name] || seen[f.Name] {
					t.Errorf("%s: %s is not declared or there twice", path, f.Name)
				}
				seen[f.Name] = true
			}
			if seen["GTUBE"] {
				gtube = append(gtube, entry.Name())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(gtube)
	if want := []string{"gtubedcc.eml", "gtubedcc_crlf.eml", "sample-spam.txt"}; !slices.Equal(gtube, want) || messages < 200 {
		t.Errorf("of %d messages, those with GTUBE are %v, want %v", messages, gtube, want)
	}
}

// Every message is another one: figures of one text repeated say nothing.
func BenchmarkCorpus(b *testing.B) {
	c := newCheckWith(b, shippedSet(b), checks.Limits{}, time.Now)
	var messages []*checks.Input
	all := corpus(b, "ham")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		messages = append(messages, &checks.Input{Message: all[name]})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Run(b.Context(), messages[i%len(messages)]); err != nil {
			b.Fatal(err)
		}
	}
}
