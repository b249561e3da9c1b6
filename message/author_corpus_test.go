package message

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// corpusFields yields the From fields of each message in a public corpus.
func corpusFields(t *testing.T, kind string, yield func(name string, from []string, sender bool)) {
	t.Helper()
	root := os.Getenv("MILTERD_SUITES")
	if root == "" {
		root = "../../shared/suites"
	}
	files, _ := filepath.Glob(filepath.Join(root, "..", "corpora", kind, "*.tar.gz"))
	if len(files) == 0 {
		t.Skipf("SKIPPED, NOT PASSED: no corpora beside the public suites in %s (MILTERD_SUITES)", root)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Typeflag != tar.TypeReg {
				continue
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			header, _, _ := bytes.Cut(data, []byte("\n\n"))
			var from []string
			sender := false
			for field := range strings.SplitAfterSeq(foldRE.ReplaceAllString(string(header), "\x01$1"), "\n") {
				name, value, ok := strings.Cut(strings.ReplaceAll(strings.TrimSuffix(field, "\n"), "\x01", "\n"), ":")
				switch {
				case ok && strings.EqualFold(name, "From"):
					from = append(from, value)
				case ok && strings.EqualFold(name, "Sender"):
					sender = true
				}
			}
			yield(filepath.Base(h.Name), from, sender)
		}
	}
}

var foldRE = regexp.MustCompile(`\n([ \t])`)

// TestCorpora: of 2,094 honest messages of 2002 none is refused, of 948 spam eight.
func TestCorpora(t *testing.T) {
	t.Parallel()
	spam := map[AuthorProblem]int{}
	for _, kind := range []string{"ham", "spam"} {
		n, tolerated := 0, map[AuthorProblem]int{}
		corpusFields(t, kind, func(name string, from []string, sender bool) {
			n++
			a := ParseAuthor(from, sender, 0)
			for _, p := range a.Problems {
				tolerated[p]++
				if kind == "spam" && p.Refusable() {
					spam[p]++
				}
			}
			if a.Refusable() && kind == "ham" {
				t.Errorf("%s: %q is refused: %v", name, from, a.Problems)
			}
			if len(from) == 1 && !a.Refusable() {
				if other := dissent(from[0], a.Domain); other != "" {
					t.Errorf("%s: %q is accepted as %s, but %s", name, from, a.Domain, other)
				}
			}
		})
		t.Logf("%s: %d messages, problems %v", kind, n, tolerated)
		if want := map[string]int{"ham": 2094, "spam": 948}[kind]; n != want {
			t.Errorf("%s: %d messages, want %d", kind, n, want)
		}
	}
	want := map[AuthorProblem]int{
		AuthorEncodedAddress: 2, // =?iso-2022-jp?B?...?=@tokyo.ocn.ne.jp
		AuthorGroup:          1, // a file name of the spammer's, with its drive
		AuthorUnparsable:     5, // Big5 local parts, and one a@b@c
	}
	if !maps.Equal(spam, want) {
		t.Errorf("spam refused for %v, want %v", spam, want)
	}
}

func BenchmarkParseAuthor(b *testing.B) {
	for name, field := range map[string]string{
		"common":  " Joe Doe <joe@example.test>",
		"quoted":  ` "Doe, Joe" <joe@example.test>`,
		"encoded": " =?UTF-8?Q?J=C3=BCrgen_M=C3=BCller?= <j@example.test>",
		"hostile": strings.Repeat("(a@b.test) ", 700) + "<x@attack.test>",
	} {
		fields := one(field)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseAuthor(fields, false, DefaultFromBytes)
			}
		})
	}
}
