// Package mailboxtest reads the public mail that tests try milterd on. It is no part
// of the project: MILTERD_CORPORA names its folder, else it is looked for beside the
// checkout. A test without it says so and is skipped.
package mailboxtest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Message is one of the corpus: its name there, and its bytes without the mbox line.
type Message struct {
	Name string
	Raw  []byte
}

// Corpus returns the messages of a kind, ham or spam, in the order of the archive.
func Corpus(tb testing.TB, kind string) []Message {
	tb.Helper()
	path := filepath.Join(cmp.Or(os.Getenv("MILTERD_CORPORA"), beside(tb)), kind, "spamassassin-public-"+kind+".tar.gz")
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
	var all []Message
	for files := tar.NewReader(unzipped); ; {
		entry, err := files.Next()
		if errors.Is(err, io.EOF) {
			return all
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
		if bytes.HasPrefix(raw, []byte("From ")) { // an mbox line
			_, raw, _ = bytes.Cut(raw, []byte{'\n'})
		}
		all = append(all, Message{filepath.Base(entry.Name), raw})
	}
}

// beside is where the corpora lie beside the checkout in which the test runs.
func beside(tb testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "../shared/corpora")
}
