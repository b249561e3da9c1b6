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

// junk is the default threshold from which mail is filed.
const junk = 4

// What the shipped rules make of real mail, honest and not. The mail is twenty
// years old, so the figures are a check of sanity; the bounds on honest mail are
// what matters.
func TestShippedRulesOnCorpora(t *testing.T) {
	set, c := shippedCheck(t)
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
			score, hit := weigh(set, res.Findings)
			if score >= junk {
				over++
			}
			if kind == "ham" && score >= junk {
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
		t.Logf("%s: %d of %d messages with %d points or more", kind, over, len(messages), junk)
	}
	names := make([]string, 0, len(rates))
	for name := range rates {
		names = append(names, name)
	}
	slices.Sort(names)
	t.Logf("%-28s %8s %8s", "finding", "ham", "spam")
	for _, name := range names {
		ham := 100 * float64(rates[name].ham) / float64(total["ham"])
		spam := 100 * float64(rates[name].spam) / float64(total["spam"])
		t.Logf("%-28s %7.2f%% %7.2f%%", name, ham, spam)
	}
}

// Every message is another one: figures of one text repeated say nothing.
func BenchmarkCorpus(b *testing.B) {
	_, c := shippedCheck(b)
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
