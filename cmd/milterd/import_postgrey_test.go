package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportPostgrey: the YAML goes to standard output, the report to standard error
// or a file; what is not carried makes it 1; and milterd check takes the YAML.
func TestImportPostgrey(t *testing.T) {
	dir := site(t, "")
	put(t, dir, "old/whitelist_clients", "example.com\n192.0.2\n/^mta\\d+\\.example\\.net$/\n")
	put(t, dir, "old/whitelist_recipients", "postmaster@\nhelp@\n")
	code, stdout, stderr := cmd(t, "", "import", "postgrey", filepath.Join(dir, "old"))
	if code != exitOK || !strings.HasSuffix(stderr, "4 carried, 1 not needed, 0 not carried\n") {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	put(t, dir, "conf.d/50-postgrey.yaml", stdout)
	want(t, exitOK, []string{"configuration is in order"}, "check")

	local := put(t, dir, "old/whitelist_clients.local", "/^(?!a)/\n")
	report := filepath.Join(dir, "report")
	code, again, stderr := cmd(t, "", "import", "postgrey", "--report", report, filepath.Join(dir, "old"))
	text, err := os.ReadFile(report)
	if code != exitFindings || again != stdout || stderr != "" || err != nil || !strings.Contains(string(text), local+":1: not carried: /^(?!a)/: ") {
		t.Errorf("%d %v\n%s%s%s", code, err, again, stderr, text)
	}
	want(t, exitData, []string{"nowhere: no such file or directory"}, "import", "postgrey", filepath.Join(dir, "nowhere"))
}
