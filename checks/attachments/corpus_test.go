package attachments

import (
	"strings"
	"testing"

	"milterd/internal/mailbox/mailboxtest"

	"milterd/checks"
	"milterd/checks/checktest"
)

// TestHam: of the public corpus of honest mail hardly any has a finding, and none is
// refused.
func TestHam(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{})
	mails, found := mailboxtest.Corpus(t, "ham"), map[string]int{}
	for _, m := range mails {
		res := h.Run(checktest.Mail{Text: strings.ReplaceAll(string(m.Raw), "\r", "")})
		for _, f := range res.Findings {
			found[f.Name]++
			t.Logf("%s: %s %s", m.Name, f.Name, f.Detail)
		}
		if res.Demand != nil {
			t.Errorf("%s: %s because of %s", m.Name, res.Demand.Action, res.Demand.Finding)
		}
	}
	t.Logf("%d mails: %v", len(mails), found)
	for name, n := range found {
		if n > len(mails)/100 {
			t.Errorf("%s in %d of %d honest mails", name, n, len(mails))
		}
	}
}
