package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/checks/all"
)

// TestEverythingIsFound: who begins at README.md finds every document and the page of
// every check, and who reads about a check's keys finds its page as well.
func TestEverythingIsFound(t *testing.T) {
	first, keys := readDocument(t, "README.md"), readDocument(t, "docs/configuration.md")
	files, err := os.ReadDir(filepath.Join(root, "docs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) == ".md" && !strings.Contains(first, "(docs/"+f.Name()) {
			t.Errorf("README.md does not lead to docs/%s", f.Name())
		}
	}
	for _, name := range all.Names() {
		if page := "checks/" + name + "/README.md)"; !strings.Contains(first, "]("+page) {
			t.Errorf("README.md does not lead to %s", page)
		} else if !strings.Contains(keys, "](../"+page) {
			t.Errorf("docs/configuration.md does not lead to %s", page)
		}
	}
}
