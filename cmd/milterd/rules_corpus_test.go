package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Pairs of folders are tried, the same way each time; anything else is told.
func TestRulesTestCorpus(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"milterd.yaml":  "{}\n",
		"ham/a.eml":     "From: ann@example.org\nSubject: lunch\n\nSee you at noon.\n",
		"spam/mbox":     "From x Thu Nov 20 12:00:00 2025\nFrom: x@example.com\nSubject: $$$\n\nLow rates\n\nFrom x Thu Nov 20 12:00:00 2025\nFrom: x@example.com\nSubject: hi!!\n\nhello\n",
		"spam/note.txt": "no message at all\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	corpus := func(folders ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		args := []string{"--config", filepath.Join(dir, "milterd.yaml"), "rules", "test", "--corpus"}
		for _, f := range folders {
			args = append(args, filepath.Join(dir, f))
		}
		code = run(args, strings.NewReader(""), &out, &errs)
		return code, out.String(), errs.String()
	}
	code, first, stderr := corpus("ham", "spam")
	if code != exitOK || !strings.Contains(first, "of 1, 0.00%") || !strings.Contains(first, "of 2, ") || !strings.Contains(stderr, "note.txt skipped") {
		t.Errorf("exit %d\n%s\n%s", code, first, stderr)
	}
	if _, again, _ := corpus("ham", "spam"); again != first {
		t.Error("the same corpus gives other figures")
	}
	if code, _, stderr := corpus("ham"); code != exitUsage || !strings.Contains(stderr, "expected pairs") {
		t.Errorf("one folder: exit %d, %s", code, stderr)
	}
}
