package dmarc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/message"
)

// TestPublicSuffixSuite runs the Public Suffix List's own checks, with the list
// that is compiled in. A name for which they want null has no registrable domain:
// it is a suffix itself, or no name at all.
func TestPublicSuffixSuite(t *testing.T) {
	root := os.Getenv("MILTERD_SUITES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "suites")
	}
	data, err := os.ReadFile(filepath.Join(root, "psl", "tests.txt"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("PUBLIC SUFFIX LIST CHECKS NOT RUN: %v (set MILTERD_SUITES to the folder of the suites)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || strings.HasPrefix(fields[0], "//") {
			continue
		}
		ran++
		name, want := fields[0], fields[1]
		d, err := message.ParseDomain(name)
		switch org := OrganizationalByList(d, nil); {
		case want == "null":
			if err == nil && name != "null" && !isPublicSuffix(d, nil) {
				t.Errorf("%s: %s is no public suffix, its Organizational Domain is %s", name, d, org)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case org != domain(t, want):
			t.Errorf("%s: %s, want %s", name, org, want)
		}
	}
	if ran != 78 {
		t.Errorf("%d checks, want 78", ran)
	}
}
