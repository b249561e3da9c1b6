package content

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/mailbox/mailboxtest"

	"milterd/checks"
	"milterd/message"
)

// corpus reads the messages of one half of the corpora, by name.
func corpus(tb testing.TB, kind string) map[string]*message.Message {
	tb.Helper()
	all := map[string]*message.Message{}
	for _, m := range mailboxtest.Corpus(tb, kind) {
		all[m.Name] = parse(tb, m.Raw)
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
