package attachments

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
)

// TestHam: of the public corpus of honest mail hardly any has a finding, and none is
// refused.
func TestHam(t *testing.T) {
	path := filepath.Join(cmp.Or(os.Getenv("MILTERD_CORPORA"), "../../../shared/corpora"), "ham", "spamassassin-public-ham.tar.gz")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("NOT TESTED: the mail corpus is not at %s (MILTERD_CORPORA names the folder)", path)
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	h := checktest.New(t, Spec(), "", checks.Env{})
	mails, found := 0, map[string]int{}
	for files := tar.NewReader(unzipped); ; {
		entry, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		mails++
		res := h.Run(checktest.Mail{Text: strings.ReplaceAll(string(text), "\r", "")})
		for _, f := range res.Findings {
			found[f.Name]++
			t.Logf("%s: %s %s", filepath.Base(entry.Name), f.Name, f.Detail)
		}
		if res.Demand != nil {
			t.Errorf("%s: %s because of %s", filepath.Base(entry.Name), res.Demand.Action, res.Demand.Finding)
		}
	}
	t.Logf("%d mails: %v", mails, found)
	for name, n := range found {
		if n > mails/100 {
			t.Errorf("%s in %d of %d honest mails", name, n, mails)
		}
	}
}
