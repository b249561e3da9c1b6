package complexity_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"

	"milterd/internal/complexity"
)

// entries is a zip of many empty files, without what stands in front of the first
// local header.
func entries(t *testing.T) complexity.Text {
	return func(size int) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for i := 0; b.Len() < size; i++ {
			if _, err := w.Create(fmt.Sprintf("%d.txt", i)); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(b.String(), "PK\x03\x04")
	}
}

// lines are lines with a number in each.
func lines(format string) complexity.Text {
	return func(size int) string {
		var b strings.Builder
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
}
