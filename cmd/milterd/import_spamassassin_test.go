package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportSpamassassin carries rules over and looks at mail with them.
func TestImportSpamassassin(t *testing.T) {
	dir := site(t, "rules: [new/rules.d]\n")
	put(t, dir, "new/rules.d/empty.yaml", "rules: []\n")
	rules := put(t, dir, "local.cf", "required_score 5\nheader PAIRED Subject =~ /^(\\w)\\1x/\nscore PAIRED 0.1\nbody ACT_NOW /act\\s+now/i\nscore ACT_NOW 1 2 3 4\n")
	want(t, exitFindings, []string{"name: ACT_NOW", "score: 4", "PAIRED: a back-reference needs backtracking, which is off"}, "import", "spamassassin", "--column", "both", rules)

	report := filepath.Join(dir, "report.txt")
	want(t, exitOK, nil, "import", "spamassassin", "--backtracking", "--to", filepath.Join(dir, "new"), "--report", report, rules)
	if text, err := os.ReadFile(report); err != nil || !strings.Contains(string(text), "rules            all  carried  backtracking") {
		t.Errorf("the report: %v\n%s", err, text)
	}
	for name, word := range map[string]string{"rules.d/50-spamassassin.yaml": "ACT_NOW", "rules.d/51-spamassassin-backtracking.yaml": "backtracking: true", "conf.d/50-spamassassin.yaml": "junk: 5"} {
		if text, err := os.ReadFile(filepath.Join(dir, "new", name)); err != nil || !strings.Contains(string(text), word) {
			t.Errorf("%s: %v, expected %q in\n%s", name, err, word, text)
		}
	}
	mail := put(t, dir, "a.eml", strings.NewReplacer("minutes", "aax", "hello", "Please act\nnow.").Replace(ham))
	want(t, exitOK, []string{`"name":"PAIRED"`, `"detail":"\"act now\""`}, "scan", "--json", mail)
	want(t, exitData, []string{"no such file"}, "import", "spamassassin", filepath.Join(dir, "nothing"))
}
