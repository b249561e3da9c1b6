package dkim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"milterd/message"
)

// perl runs testdata/mail-dkim.pl, or skips the test where Mail::DKIM is not
// installed.
func perl(t *testing.T, args ...string) string {
	t.Helper()
	if err := exec.Command("perl", "-MMail::DKIM::Verifier", "-MNet::DNS", "-e", "1").Run(); err != nil {
		t.Skipf("PEER Mail::DKIM NOT ASKED: perl with Mail::DKIM and Net::DNS is not installed (%v)", err)
	}
	cmd := exec.Command("perl", append([]string{"testdata/mail-dkim.pl"}, args...)...)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mail-dkim.pl %q: %v\n%s", args, err, problems.String())
	}
	return string(out)
}

// keyFile writes a test key as PEM.
func keyFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".key")
	if err != nil {
		t.Fatal(err)
	}
	return tempFile(t, name+".pem", "-----BEGIN PRIVATE KEY-----\n"+string(text)+"-----END PRIVATE KEY-----\n")
}

func tempFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var peerBodies = []string{testBody, "", "\r\n", "no line end", " \r\n\t\r\nx \t y\r\n \r\n"}

// The third implementation, Mail::DKIM, accepts what we sign. RSA only: Ed25519
// needs another Perl module.
func TestMailDKIMVerifiesOurs(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	names := []string{"rsa1024", "rsa2048", "rsa4096"}
	var records strings.Builder
	for _, name := range names {
		fmt.Fprintf(&records, "%s._domainkey.example.org %s\n", name, testRecord(t, name))
	}
	var files []string
	for _, c := range [][2]Canonicalization{{Simple, Simple}, {Simple, Relaxed}, {Relaxed, Simple}, {Relaxed, Relaxed}} {
		for i, body := range peerBodies {
			if c[1] == Simple && body == "no line end" {
				// RFC 6376, section 3.4.3 adds one; Mail::DKIM does not. SMTP
				// brings no such body.
				continue
			}
			s := &Signer{Keys: testKeys(t, names...), Header: c[0], Body: c[1]}
			s.Names, s.Oversign = StandardNames()
			signed := append(sign(t, s, fields, body), fields...)
			files = append(files, tempFile(t, fmt.Sprintf("%s-%s-%d.eml", c[0], c[1], i), wire(signed, body)))
		}
	}
	out := perl(t, append([]string{"verify", tempFile(t, "records", records.String())}, files...)...)
	passed := 0
	for line := range strings.Lines(out) {
		if !strings.HasSuffix(line, " pass\n") {
			t.Errorf("Mail::DKIM: %s", line)
		}
		passed++
	}
	if want := len(files) * len(names); passed != want {
		t.Errorf("%d signatures judged, want %d", passed, want)
	}
}

// We accept what it signs.
func TestMailDKIMSignaturesVerify(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	for i, method := range []string{"simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"} {
		body := peerBodies[[]int{0, 1, 2, 4}[i]]
		name := []string{"rsa1024", "rsa2048", "rsa4096"}[i%3]
		out := perl(t, "sign", keyFile(t, name), "rsa-sha256", method, name, tempFile(t, "message", wire(fields, body)))
		_, value, _ := strings.Cut(strings.TrimRight(out, "\r\n"), ":")
		signed := append([]message.Field{{Name: FieldName, Value: value}}, fields...)
		if r := verifyParts(t, &Verifier{Resolver: testZone(t, "")}, signed, body); r[0].Status != Pass {
			t.Errorf("%s: %+v\n%s", method, r[0], out)
		}
	}
}
