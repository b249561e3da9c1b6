package main

import (
	"strings"
	"testing"
)

// rules lint speaks of the site's own rules, rules why of any name.
func TestRulesLintAndWhy(t *testing.T) {
	dir := site(t, "rules: [site.yaml]\n")
	put(t, dir, "site.yaml", "")
	want(t, exitOK, []string{"nothing to remark\n"}, "rules", "lint")
	put(t, dir, "site.yaml", "rules:\n  - name: SITE_SLOW\n    body: {match: '[a-z]+[0-9]'}\n    score: 1.5\n    tests: {hit: [a1], miss: ['-']}\n"+
		"  - {name: SITE_FACT, from_addr: {in: maps/partners.txt}, tests: {hit: [a@partner.test], miss: [b@other.test]}}\n"+
		"  - {name: SITE_BOTH, when: SITE_FACT && DMARC_PASS, score: -2}\n")
	put(t, dir, "maps/partners.txt", "partner.test # ours\n")
	want(t, exitFindings, []string{"site.yaml:2:5: SITE_SLOW: is costly: ", "site.yaml:2:5: SITE_SLOW: has points and no describe", "site.yaml:7:5: SITE_BOTH: has no tests"}, "rules", "lint")
	want(t, exitOK, []string{"SITE_FACT\n", "/site.yaml:6:5\n", "maps/partners.txt, 1 entries\n", "named by  SITE_BOTH: SITE_FACT && DMARC_PASS (-2, "}, "rules", "why", "SITE_FACT")
	want(t, exitOK, []string{"SPF_FAIL\n", "from      a check\n", "set in    shipped/scores.yaml:"}, "rules", "why", "SPF_FAIL")
	code, stdout, stderr := cmd(t, "", "rules", "why", "SITE_SLOV")
	if code != exitUsage || stdout != "" || !strings.Contains(stderr, "did you mean SITE_SLOW?") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	put(t, dir, "maps/partners.txt", "partner.test\n*@other.test\n")
	want(t, exitFindings, []string{"maps/partners.txt:2:1: ", "expected other.test for every address there"}, "rules", "test")
}
