package bayes

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/internal/store"
	"milterd/mime"
)

// mail is one message of the corpus.
type mail struct {
	name string
	spam bool
	raw  []byte // without the header fields that transport and the collection added
	Message
	fold int
}

func (m *mail) class() Class {
	if m.spam {
		return Spam
	}
	return Ham
}

// corpus reads the mail that is there to try filters on. It is no part of the
// project; a test without it says so and is skipped.
func corpus(tb testing.TB) []*mail {
	tb.Helper()
	if raced {
		tb.Skip("nothing here runs at the same time as something else")
	}
	root := cmp.Or(os.Getenv("MILTERD_CORPORA"), "../../shared/corpora")
	var all []*mail
	for _, kind := range []string{"ham", "spam"} {
		path := filepath.Join(root, kind, "spamassassin-public-"+kind+".tar.gz")
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			tb.Skipf("NOT TESTED: the mail corpus is not at %s (MILTERD_CORPORA names its folder)", path)
		} else if err != nil {
			tb.Fatal(err)
		}
		defer f.Close()
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			tb.Fatal(err)
		}
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
			raw, err := io.ReadAll(files)
			if err != nil {
				tb.Fatal(err)
			}
			raw = withoutTransport(raw)
			all = append(all, &mail{name: entry.Name, spam: kind == "spam", raw: raw, Message: Parse(raw, mime.Limits{})})
		}
	}
	return all
}

// withoutTransport takes the fields off that say how a message came into the
// collection, so that no filter can learn them.
func withoutTransport(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	var kept []byte
	keep := true
	for line := range bytes.Lines(append(head, '\n')) {
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			keep = !onTheWay(strings.ToLower(string(name)))
		}
		if keep {
			kept = append(kept, line...)
		}
	}
	return append(append(kept, '\n'), body...)
}

// deal shuffles the mail and deals it into folds; messages with one body come into
// one fold, so that nothing is tested that was taught.
func deal(all []*mail, folds int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	where := map[[32]byte]int{}
	for _, m := range all {
		_, body, _ := bytes.Cut(m.raw, []byte("\n\n"))
		sum := sha256.Sum256(bytes.Join(bytes.Fields(body), nil))
		fold, known := where[sum]
		if !known {
			fold = random.IntN(folds)
			where[sum] = fold
		}
		m.fold = fold
	}
}

// newClassifier has an empty memory.
func newClassifier(tb testing.TB) *Classifier {
	tb.Helper()
	return New(store.NewMemory(time.Now, 1<<30), Options{Random: rand.NewChaCha8([32]byte{1})})
}

func teach(tb testing.TB, c *Classifier, user string, mails ...*mail) {
	tb.Helper()
	lessons := make([]Lesson, len(mails))
	for i, m := range mails {
		lessons[i] = Lesson{Class: m.class(), Message: m.Message}
	}
	if _, err := c.LearnAll(tb.Context(), user, lessons...); err != nil {
		tb.Fatal(err)
	}
}

func probability(tb testing.TB, c *Classifier, user string, m Message) float64 {
	tb.Helper()
	v, err := c.Classify(tb.Context(), user, m)
	if err != nil {
		tb.Fatal(err)
	}
	return v.Probability
}

// score is the log odds, which tell messages apart that are all but certain.
func score(tb testing.TB, c *Classifier, user string, m Message) float64 {
	tb.Helper()
	v, err := c.Classify(tb.Context(), user, m)
	if err != nil {
		tb.Fatal(err)
	}
	var sum float64
	for _, clue := range v.Clues {
		sum += clue.Weight
	}
	return sum
}
