package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
	"milterd/internal/keys"
)

// keySite is a site with a name server of its own, which is both the resolver and
// the authority of example.org.
type keySite struct {
	t     *testing.T
	dir   string
	names *dnstest.Server
	port  string
}

func newKeySite(t *testing.T, yaml string) *keySite {
	t.Helper()
	s := &keySite{t: t, dir: site(t, yaml), names: dnstest.Start(t, nil)}
	put(t, s.dir, "conf.d/10-dns.yaml", fmt.Sprintf("dns: {servers: [%q]}\n", s.names.Addr()))
	_, s.port, _ = net.SplitHostPort(s.names.Addr())
	s.publish("")
	return s
}

// publish puts records, as "milterd dkim dns --form line" prints them, into the
// DNS, in place of those there were.
func (s *keySite) publish(lines string) {
	s.t.Helper()
	text := "example.org 60 SOA ns.example.org. hostmaster.example.org. 1 3600 600 86400 60\nexample.org NS ns.example.org.\nns.example.org A 127.0.0.1\n" +
		strings.ReplaceAll(lines, " IN TXT ", " TXT ")
	s.names.SetZone(s.t, dnstest.Text(s.t, text))
}

// run runs "milterd dkim" and compares all that it prints, where "..." stands for
// anything, DIR for the directory of the site, and TODAY, MONTH for the date.
func (s *keySite) run(code int, want string, args ...string) string {
	s.t.Helper()
	switch args[0] {
	case "status", "rotate":
		args = append(args, "--port", s.port)
	}
	got, stdout, stderr := cmd(s.t, "", append([]string{"dkim"}, args...)...)
	text := strings.ReplaceAll(stdout+stderr, s.dir, "DIR")
	text = strings.ReplaceAll(text, time.Now().UTC().Format("200601"), "MONTH")
	text = strings.ReplaceAll(text, time.Now().UTC().Format(time.DateOnly), "TODAY")
	text = strings.ReplaceAll(text, noUser, "")
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimPrefix(want, "\n")), `\.\.\.`, `(?s:.*?)`)
	if got != code || !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(text) {
		s.t.Errorf("milterd dkim %s: exit %d, want %d\n%s\nwant\n%s", strings.Join(args, " "), got, code, text, want)
	}
	return stdout
}

const noUser = "milterd: there is no user milterd on this host: the keys are root's alone, a daemon that is not root cannot read them\n"

// newcomer makes keys for example.org and publishes them.
func (s *keySite) newcomer() {
	s.t.Helper()
	if code, _, stderr := cmd(s.t, "", "dkim", "genkey", "example.org"); code != exitOK {
		s.t.Fatal(stderr)
	}
	_, lines, _ := cmd(s.t, "", "dkim", "dns", "--form", "line", "example.org")
	s.publish(lines)
}

// TestDKIMFromNothing is the way of somebody who does this for the first time, and
// the next change of keys.
func TestDKIMFromNothing(t *testing.T) {
	s := newKeySite(t, "")
	s.run(exitConfig, "milterd: no signing.domains in the configuration: name a domain, or make its keys with milterd dkim genkey DOMAIN\n", "status")
	s.run(exitConfig, "milterd: DIR/keys/example.org/state.json: is not there, and its directory is not; milterd dkim genkey example.org makes keys\n", "status", "example.org")
	s.run(exitOK, `
made DIR/keys/example.org/MONTH.pem (rsa 2048)
made DIR/keys/example.org/MONTHe.pem (ed25519)

1. Publish in the zone of example.org (other forms: milterd dkim dns example.org --form line|provider):

MONTH._domainkey.example.org. IN TXT (
	"v=DKIM1; k=rsa; p=MII..."
	"..." )
MONTHe._domainkey.example.org. IN TXT "v=DKIM1; k=ed25519; p=...="

2. When every name server shows them, let them sign (or leave that to the daemon, which looks once an hour):

milterd dkim rotate example.org

3. Put into milterd.yaml, and reload. Not before 2 is done: mail that shall be signed waits for a key that may.

signing:
  domains:
    example.org: {directory: keys/example.org}
`, "genkey", "example.org")
	put(t, s.dir, "milterd.yaml", "signing:\n  domains:\n    example.org: {directory: keys/example.org}\n")
	s.run(exitFindings, "milterd: there is a next key already: MONTH (rsa), made on TODAY: publish it (milterd dkim dns example.org) and let it sign (milterd dkim rotate example.org)\n", "genkey", "example.org")
	s.run(exitFindings, "example.org: no key signs yet (milterd dkim status example.org)\n", "check")
	s.run(exitOK, `
example.org
  MONTH  next
    missing: ns.example.org/127.0.0.1 absent, resolver absent
    -> publish its record (milterd dkim dns example.org)
  MONTHe  next
    missing: ns.example.org/127.0.0.1 absent, resolver absent
    -> publish its record (milterd dkim dns example.org)
`, "rotate")
	s.run(exitFindings, `
MONTH._domainkey.example.org (rsa 2048, next): not in the DNS
MONTHe._domainkey.example.org (ed25519, next): not in the DNS
`, "testkey")

	s.publish(s.run(exitOK, `
MONTH._domainkey.example.org. IN TXT "v=DKIM1; k=rsa; p=MII..." "..."
MONTHe._domainkey.example.org. IN TXT "v=DKIM1; k=ed25519; p=...="
`, "dns", "--form", "line"))
	s.run(exitOK, `
MONTH._domainkey.example.org (rsa 2048, next): the DNS and DIR/keys/example.org/MONTH.pem agree
MONTHe._domainkey.example.org (ed25519, next): the DNS and DIR/keys/example.org/MONTHe.pem agree
`, "testkey")
	s.run(exitOK, `
example.org
  MONTH  rsa 2048, next, 0 min old: shown
    ns.example.org 127.0.0.1: shown
    resolver: shown
    -> every name server shows it: milterd dkim rotate example.org goes on
  MONTHe  ed25519, next, 0 min old: shown
    ns.example.org 127.0.0.1: shown
    resolver: shown
    -> every name server shows it: milterd dkim rotate example.org goes on
`, "status")
	s.run(exitOK, `
example.org
  MONTH  would be visible
  MONTH  would be activated
    -> the next key is made on ...
  MONTHe  would be visible
  MONTHe  would be activated
    -> the next key is made on ...
`, "rotate", "--dry-run")
	s.run(exitOK, `
example.org
  MONTH  visible
  MONTH  activated
    -> the next key is made on ... (milterd dkim rotate --new makes it now)
  MONTHe  visible
  MONTHe  activated
    -> the next key is made on ... (milterd dkim rotate --new makes it now)
`, "rotate")
	s.run(exitOK, `
example.org MONTH (rsa 2048): signed here, verified by go-msgauth from the DNS
example.org MONTHe (ed25519): signed here, verified by go-msgauth from the DNS
`, "check")

	s.run(exitOK, "example.org\n  MONTH  active\n  MONTHe  active\n", "rotate", "--age", "off")

	// The next change: the same month, so the selectors get a number.
	s.run(exitOK, `
example.org
  MONTH  active
    -> the next key is made on ...
  MONTHe  active
    -> the next key is made on ...
  MONTH-2  would be made
  MONTHe-2  would be made
`, "rotate", "--new", "--dry-run")
	s.run(exitOK, `
example.org
  MONTH  active
  MONTHe  active
  MONTH-2  made
    -> publish its record:
MONTH-2._domainkey.example.org. IN TXT (
	"v=DKIM1; k=rsa; p=MII..."
	"..." )
  MONTHe-2  made
    -> publish its record:
MONTHe-2._domainkey.example.org. IN TXT "v=DKIM1; k=ed25519; p=...="
`, "rotate", "--new")
	_, lines, _ := cmd(t, "", "dkim", "dns", "--form", "line")
	s.publish(lines)
	s.run(exitOK, `
example.org
  MONTH  active
  MONTHe  active
  MONTH-2  visible
    -> signs from ... UTC on; until then somebody may remember that it was not there
  MONTHe-2  visible
    -> signs from ... UTC on; until then somebody may remember that it was not there
`, "rotate")
	s.age(2 * time.Hour)
	s.run(exitOK, `
example.org
  MONTH  replaced
    -> leave its record in the DNS until ...
  MONTHe  replaced
    -> leave its record in the DNS until ...
  MONTH-2  activated
    -> the next key is made on ...
  MONTHe-2  activated
    -> the next key is made on ...
`, "rotate", "example.org")
	s.age(9 * 24 * time.Hour)
	s.run(exitOK, `
example.org
  MONTH  retired
  MONTHe  retired
  MONTH-2  active
    -> the next key is made on ...
  MONTHe-2  active
    -> the next key is made on ...
`, "rotate")
	s.run(exitOK, `
; rsa 2048, retired
MONTH._domainkey.example.org. IN TXT "v=DKIM1; k=rsa; p="
; ed25519, retired
MONTHe._domainkey.example.org. IN TXT "v=DKIM1; k=ed25519; p="
; rsa 2048, active
MONTH-2._domainkey.example.org. IN TXT (
	...
; ed25519, active
MONTHe-2._domainkey.example.org. IN TXT "v=DKIM1; k=ed25519; p=...="
`, "dns")
	s.run(exitOK, `
example.org
  MONTH  rsa 2048, retired, 9 days old: missing
    ns.example.org 127.0.0.1: differs (the key is still published)
    resolver: differs (the key is still published)
    -> publish its record with an empty p= now; the file stays, delete it when you like
  MONTHe  ed25519, retired, 9 days old: missing
...
  MONTH-2  rsa 2048, active, 9 days old: shown
    ns.example.org 127.0.0.1: shown
    resolver: shown
    -> the next key is made on ...
`, "status")
	s.run(exitOK, "...", "check")
	if _, err := os.Stat(filepath.Join(s.dir, "keys/example.org", time.Now().UTC().Format("200601")+".pem")); err != nil {
		t.Errorf("the file of a retired key is gone: %v", err)
	}
}

// age lets time pass: everything in the state file happened that much earlier.
func (s *keySite) age(by time.Duration) {
	s.t.Helper()
	path := filepath.Join(s.dir, "keys/example.org", keys.StateFile)
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:]*Z`).ReplaceAllFunc(text, func(at []byte) []byte {
		then, err := time.Parse(time.RFC3339, string(at))
		if err != nil {
			s.t.Fatal(err)
		}
		return then.Add(-by).AppendFormat(nil, time.RFC3339)
	})
	if err := os.WriteFile(path, text, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// TestDKIMVanished: a key that signs and is not in the DNS is a finding of every
// command that looks.
func TestDKIMVanished(t *testing.T) {
	s := newKeySite(t, "signing:\n  domains:\n    example.org: {directory: keys/example.org}\n")
	s.newcomer()
	s.run(exitOK, "...", "rotate")
	s.publish("")
	s.run(exitFindings, `
example.org
  MONTH  rsa 2048, active, 0 min old: missing
    ns.example.org 127.0.0.1: absent
    resolver: absent
    -> signatures with it do not verify: publish its record again
  MONTHe  ...
`, "status")
	s.run(exitFindings, `
example.org
  MONTH  vanished
    missing: ns.example.org/127.0.0.1 absent, resolver absent
    -> signatures with it do not verify: publish its record again
  MONTHe  vanished
...
`, "rotate")
	s.run(exitFindings, "example.org MONTH (rsa 2048): ...key...\nexample.org MONTHe (ed25519): ...\n", "check")
	s.run(exitFindings, "MONTH._domainkey.example.org (rsa 2048, active): not in the DNS\n", "testkey", "--selector", time.Now().UTC().Format("200601"))
	s.names.Lie("*", dnstest.ServFail)
	s.run(exitTemporary, "example.org\n  MONTH  rsa 2048, active, 0 min old: unknown\n    name servers: silent (server failure)\n    resolver: silent (server failure)\n...", "status")
	s.run(exitTemporary, "...the DNS does not answer: ...", "testkey")
	s.run(exitTemporary, "...", "check")
}

// TestDKIMOneIsBroken: the other domains are looked after all the same.
func TestDKIMOneIsBroken(t *testing.T) {
	s := newKeySite(t, "signing:\n  domains:\n    a.example: {directory: keys/a.example}\n    example.org: {directory: keys/example.org}\n")
	s.newcomer()
	const broken = "milterd: DIR/keys/a.example/state.json: is not there, and its directory is not; milterd dkim genkey a.example makes keys\n"
	s.run(exitConfig, "example.org\n  MONTH  rsa 2048, next, 0 min old: shown\n..."+broken, "status")
	s.run(exitConfig, "example.org\n  MONTH  visible\n  MONTH  activated\n..."+broken, "rotate")
	s.run(exitConfig, broken, "rotate", "a.example")
}

// TestDKIMStatusJSON: for programs, everything.
func TestDKIMStatusJSON(t *testing.T) {
	s := newKeySite(t, "")
	s.newcomer()
	code, stdout, stderr := cmd(t, "", "dkim", "status", "--json", "example.org", "--port", s.port)
	if code != exitOK || stderr != "" {
		t.Fatalf("%d %s", code, stderr)
	}
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines", len(lines))
	}
	var got struct {
		Domain, Selector, Algorithm, Stage, Name, Record, Status, Advice string
		Bits                                                             int
		Managed                                                          bool
		Age                                                              *int `json:"age_seconds"`
		Servers                                                          []struct{ Server, Addr, Said string }
	}
	if err := json.Unmarshal([]byte(lines[1]), &got); err != nil {
		t.Fatal(err)
	}
	month := time.Now().UTC().Format("200601")
	if got.Domain != "example.org" || got.Selector != month+"e" || got.Algorithm != "ed25519" || got.Bits != 256 || got.Stage != "next" || !got.Managed ||
		got.Name != month+"e._domainkey.example.org" || !strings.HasPrefix(got.Record, "v=DKIM1; k=ed25519; p=") || got.Status != "shown" || got.Age == nil ||
		fmt.Sprint(got.Servers) != "[{ns.example.org 127.0.0.1 shown} {resolver  shown}]" || got.Advice == "" {
		t.Errorf("%s\n%+v", lines[1], got)
	}
}

// TestDKIMSingleKeys: keys with files of their own are looked at by the same
// commands, and never rotated.
func TestDKIMSingleKeys(t *testing.T) {
	s := newKeySite(t, "")
	if code, _, stderr := cmd(t, "", "dkim", "genkey", "example.org", "--ed25519", "--selector", "mail", "--dir", filepath.Join(s.dir, "made")); code != exitOK {
		t.Fatal(stderr)
	}
	put(t, s.dir, "milterd.yaml", "signing: {domains: {example.org: {keys: [{selector: mail, file: made/example.org/mail.pem}]}}}\n")
	s.publish(s.run(exitOK, "mail._domainkey.example.org. IN TXT \"v=DKIM1; k=ed25519; p=...=\"\n", "dns", "--form=line"))
	s.run(exitOK, "example.org mail (ed25519): signed here, verified by go-msgauth from the DNS\n", "check", "example.org")
	s.run(exitOK, "mail._domainkey.example.org (ed25519, active): the DNS and DIR/made/example.org/mail.pem agree\n", "testkey")
	s.run(exitOK, `
example.org
  mail  ed25519, active, 0 min old, not managed: shown
    ns.example.org 127.0.0.1: shown
    resolver: shown
`, "status")
	s.run(exitConfig, "milterd: the keys of example.org have files of their own and are not managed: give the domain a directory\n", "rotate", "example.org")
	s.run(exitConfig, "milterd: no domain in the configuration has managed keys (signing.domains.*.directory)\n", "rotate")
	s.run(exitOK, `
name   mail._domainkey   (in the zone of example.org; some want the whole name, mail._domainkey.example.org)
type   TXT
value  v=DKIM1; k=ed25519; p=...=

`, "dns", "--form", "provider")
	file := filepath.Join(s.dir, "made/example.org/mail.pem")
	s.run(exitOK, "mail._domainkey.example.org (ed25519, active): the DNS and DIR/made/example.org/mail.pem agree\n", "testkey", "--file", file, "--selector", "mail", "example.org")
	s.run(exitFindings, "other._domainkey.example.org (ed25519, active): not in the DNS\n", "testkey", "--file", file, "--selector", "other", "example.org")
	s.run(exitUsage, "milterd: --file needs --selector and one domain\n", "testkey", "--file", file)
	s.run(exitConfig, "milterd: no such key\n", "testkey", "--selector", "nothing")
	s.run(exitUsage, "milterd: --age: ...180d...\n", "rotate", "--age", "180")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(exitPermission, "milterd: DIR/made/example.org/mail.pem: others have rights to it (mode 0644); cure: chmod 0640 DIR/made/example.org/mail.pem\n", "testkey", "--file", file, "--selector", "mail", "example.org")
}

// TestDKIMSign: what it prints verifies, and is the message but for the signatures.
func TestDKIMSign(t *testing.T) {
	s := newKeySite(t, "")
	s.newcomer()
	s.run(exitFindings, "milterd: no key of example.org signs yet (milterd dkim status example.org)\n", "sign", "--domain", "example.org", put(t, s.dir, "x.eml", ham))
	s.run(exitOK, "...", "rotate", "example.org")
	for name, text := range map[string]string{
		"LF":   "From: Ann <ann@example.org>\nTo: bob@example.net\nSubject: a\n folded one\n\nBody \n\nline\n\n\n",
		"CRLF": "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: a\r\n\tfolded one\r\n\r\nBody \r\n",
		"bare": "From: ann@example.org\n\n",
	} {
		code, signed, stderr := cmd(t, text, "dkim", "sign", "-")
		if code != exitOK || !strings.HasSuffix(signed, text) || strings.Count(signed, "DKIM-Signature:") != 2 {
			t.Errorf("%s: %d %s\n%q", name, code, stderr, signed)
		}
		if strings.Count(signed, "\r\n") != strings.Count(signed, "\n") && strings.Contains(signed, "\r") {
			t.Errorf("%s: line ends are mixed: %q", name, signed)
		}
		code, verified, _ := cmd(t, signed, "dkim", "verify", "-")
		if code != exitOK || strings.Count(verified, ": pass d=example.org") != 2 {
			t.Errorf("%s: %d\n%s", name, code, verified)
		}
	}
	s.run(exitData, "milterd: no author with a domain in From; --domain says what to sign for\n", "sign", put(t, s.dir, "x.eml", "Subject: nobody\n\nx\n"))
	s.run(exitData, "milterd: ...nowhere.eml...\n", "sign", filepath.Join(s.dir, "nowhere.eml"))
	s.run(exitConfig, "milterd: DIR/keys/sender.example/state.json: is not there, and its directory is not; milterd dkim genkey sender.example makes keys\n", "sign", put(t, s.dir, "x.eml", ham))
}

// TestDKIMSignAsConfigured: a domain's own fields, canonicalization and time are
// those of the daemon, and an author below a domain is signed for by it.
func TestDKIMSignAsConfigured(t *testing.T) {
	s := newKeySite(t, "")
	s.newcomer()
	s.run(exitOK, "...", "rotate", "example.org")
	const message = "From: Ann <ann@news.example.org>\nSubject: a\n\nBody\n"
	for _, c := range []struct {
		yaml      string
		want      []string
		forbidden string
	}{
		{"signing: {domains: {example.org: {directory: keys/example.org, subdomains: true}}}",
			[]string{"c=relaxed/simple;", ":Reply-To:"}, "c=relaxed/relaxed;"},
		{"signing: {headers: list-friendly, domains: {example.org: {directory: keys/example.org, subdomains: true}}}",
			[]string{"c=relaxed/simple;"}, "Reply-To"},
		{"signing: {expire: off, canonicalization: simple/simple, domains: {example.org: {directory: keys/example.org, subdomains: true, headers: list-friendly, canonicalization: relaxed/relaxed}}}",
			[]string{"c=relaxed/relaxed;"}, "; x="},
	} {
		put(t, s.dir, "milterd.yaml", c.yaml+"\n")
		code, signed, stderr := cmd(t, message, "dkim", "sign", "-")
		top, _, _ := strings.Cut(signed, "From: Ann")
		top = strings.Join(strings.Fields(top), " ")
		tags := strings.ReplaceAll(top, " ", "")
		for _, want := range append(c.want, "d=example.org;") {
			if !strings.Contains(tags, want) {
				t.Errorf("%s: no %s in %d %s\n%s", c.yaml, want, code, stderr, top)
			}
		}
		if strings.Contains(top, c.forbidden) {
			t.Errorf("%s: %s in\n%s", c.yaml, c.forbidden, top)
		}
		s.run(exitOK, "...verified by go-msgauth...\n...verified by go-msgauth...\n", "check")
	}
	// A key that is not there keeps nobody from trying another.
	put(t, s.dir, "milterd.yaml", "signing: {domains: {example.org: {directory: keys/example.org}, example.net: {keys: [{selector: a, file: keys/example.org/none.pem}]}}}\n")
	s.run(exitOK, "DKIM-Signature: ...", "sign", put(t, s.dir, "x.eml", "From: ann@example.org\n\nx\n"))
}

func TestDKIMGenkeyFlags(t *testing.T) {
	s := newKeySite(t, "")
	made := func(want string, args ...string) {
		t.Helper()
		dir, err := os.MkdirTemp(s.dir, "keys")
		if err != nil {
			t.Fatal(err)
		}
		s.run(exitOK, "...", append([]string{"genkey", "example.org", "--dir", dir}, args...)...)
		files, _ := filepath.Glob(filepath.Join(dir, "example.org/*.pem"))
		var names []string
		for _, f := range files {
			private, err := keys.Load(f)
			if err != nil {
				t.Fatal(err)
			}
			algorithm, bits := keys.Describe(private.Public())
			names = append(names, fmt.Sprintf("%s %s %d", strings.TrimSuffix(filepath.Base(f), ".pem"), algorithm, bits))
		}
		if got := strings.ReplaceAll(strings.Join(names, ", "), time.Now().UTC().Format("200601"), "MONTH"); got != want {
			t.Errorf("%v: %s, want %s", args, got, want)
		}
	}
	made("MONTH rsa 2048", "--rsa", "2048")
	made("MONTHe ed25519 256", "--ed25519")
	made("s1 rsa 2048, s1e ed25519 256", "--both", "--selector", "s1")
	made("s1 ed25519 256", "--ed25519", "--selector", "s1")
	old, err := os.MkdirTemp(s.dir, "keys")
	if err != nil {
		t.Fatal(err)
	}
	s.run(exitOK, "made ...", "genkey", "example.org", "--dir", old, "--ed25519", "--selector", "mail")
	os.Remove(filepath.Join(old, "example.org", keys.StateFile))
	s.run(exitOK, "took the key that was there: DIR/.../example.org/mail.pem (ed25519)\n...", "genkey", "example.org", "--dir", old, "--ed25519", "--selector", "mail")
	s.run(exitUsage, "milterd: --rsa 1024: expected 2048 to 4096 bits, which everybody verifies (RFC 8301)\n", "genkey", "example.org", "--rsa", "1024")
	s.run(exitUsage, "milterd: --selector \"S 1\": expected lower case letters, digits, hyphens and dots\n", "genkey", "example.org", "--selector", "S 1")
	s.run(exitUsage, "milterd: \"example\" is not a domain that mail can be signed for\n", "genkey", "example")
	s.run(exitUsage, "...expected...\n", "genkey")
	put(t, s.dir, "milterd.yaml", "signing: 3\n")
	s.run(exitConfig, "...problem(s) in the configuration\n", "genkey", "example.org")
}

// TestDKIMDirectories: a directory of all keys can be looked at without a
// configuration.
func TestDKIMDirectories(t *testing.T) {
	s := newKeySite(t, "")
	s.newcomer()
	all := filepath.Join(s.dir, "keys")
	s.run(exitOK, "; rsa 2048, next\n...; ed25519, next\n...", "dns", "--dir", all)
	s.run(exitConfig, "milterd: DIR/conf.d: no keys in it, expected DOMAIN/state.json\n", "dns", "--dir", filepath.Join(s.dir, "conf.d"))
	if err := os.Rename(filepath.Join(all, "example.org"), filepath.Join(all, "example.com")); err != nil {
		t.Fatal(err)
	}
	s.run(exitConfig, "milterd: DIR/keys/example.com: holds the keys of example.org\n", "dns", "example.com")
}
