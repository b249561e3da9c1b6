package attachments

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
)

// zeros packs so many MiB of zeros with gzip: each member of the file is one MiB, since
// members may follow one another (RFC 1952, section 2.2).
func zeros(tb testing.TB, mib int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return bytes.Repeat(b.Bytes(), mib)
}

// entries is a zip of so many empty files.
func entries(tb testing.TB, n int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range n {
		if _, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i)}); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// nested is a zip in a zip, and so on, with a program at the bottom.
func nested(tb testing.TB, depth int) []byte {
	content := string(zipOf(tb, "run.exe", exe))
	for range depth {
		content = string(zipOf(tb, "in.zip", content))
	}
	return []byte(content)
}

// TestBombs: mail that is made to exhaust whoever unpacks it has a finding, and takes
// less than 64 MiB in all. Time goes by the bytes that are unpacked, which internal/archive
// counts.
func TestBombs(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{})
	for name, content := range map[string][]byte{
		"10 GB of zeros.gz":        zeros(t, 10_000),
		"zeros in a zip.zip":       zipOf(t, "z.gz", string(zeros(t, 2000))),
		"65535 entries.zip":        entries(t, 65_535),
		"100 deep.zip":             nested(t, 100),
		"zips of many entries.zip": zipOf(t, "1.zip", string(entries(t, 900)), "2.zip", string(entries(t, 900))),
	} {
		t.Run(name, func(t *testing.T) {
			m := checktest.Mail{Text: file(name, content)}.Message(t)
			defer m.Body.Release()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, err := h.Check().Run(t.Context(), &checks.Input{Message: m})
			runtime.ReadMemStats(&after)
			if err != nil || !slices.ContainsFunc(res.Findings, func(f checks.Finding) bool { return f.Name == findLimit }) {
				t.Errorf("%+v, %v", res.Findings, err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
				t.Errorf("%d MiB were reserved", got>>20)
			}
		})
	}
}
