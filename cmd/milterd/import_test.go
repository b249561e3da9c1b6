package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImportOpenDKIM: the YAML goes to standard output, the report to standard error
// or a file; what is not carried makes it 1; and milterd check takes the YAML.
func TestImportOpenDKIM(t *testing.T) {
	dir := site(t, "")
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	key := put(t, dir, "keys/2020.private", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	whole := "Domain example.org\nSelector 2020\nKeyFile " + key + "\nSubDomains yes\nCanonicalization relaxed/relaxed\nSignatureTTL 864000\n" +
		"InternalHosts 127.0.0.1, 192.0.2.0/24\nAuthservID mx.example.org\nDNSTimeout 4\nMaximumHeaders 300000\nMaximumSignaturesToVerify 10\n"
	put(t, dir, "old/opendkim.conf", whole)
	code, stdout, stderr := cmd(t, "", "import", "opendkim", filepath.Join(dir, "old"))
	if code != exitOK || !strings.Contains(stdout, `"example.org":`) || !strings.HasSuffix(stderr, " 0 not carried\n") {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	put(t, dir, "conf.d/50-imported.yaml", strings.ReplaceAll(stdout, "timeout:", "servers: [\"127.0.0.1:1\"]\n  timeout:"))
	want(t, exitOK, []string{"configuration is in order"}, "check")
	want(t, exitOK, []string{"relaxed/relaxed # ", "subdomains: true # ", `expire: "10d" # `, "header_bytes: 293KiB # ", "dkim_signatures: 10 # ", `mynetworks: ["127.0.0.1/32", "192.0.2.0/24"] # `}, "check", "--effective")

	conf := put(t, dir, "old/opendkim.conf", whole+"On-BadSignature reject\n")
	report := filepath.Join(dir, "report")
	code, again, stderr := cmd(t, "", "import", "opendkim", "--report", report, conf)
	text, err := os.ReadFile(report)
	if code != exitFindings || again != stdout || stderr != "" || err != nil || !strings.Contains(string(text), conf+":12:1: not carried: On-BadSignature reject: ") {
		t.Errorf("%d %v\n%s%s%s", code, err, again, stderr, text)
	}

	want(t, exitConfig, []string{"nowhere: no such file or directory"}, "import", "opendkim", filepath.Join(dir, "nowhere"))
	want(t, exitUsage, []string{"(see milterd --help)"}, "import", "opendkim")
	want(t, exitUsage, []string{"(see milterd --help)"}, "import")
}
