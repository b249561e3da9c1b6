package opendkim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/message"
)

var update = flag.Bool("update", false, "write the golden files again")

// TestSite imports a whole site and compares configuration and report with the
// golden files, in which the site's directory is called SITE.
func TestSite(t *testing.T) {
	site, err := filepath.Abs("testdata/site")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Import(site)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"site.yaml": r.YAML, "site.report": r.Report} {
		golden := filepath.Join("testdata", name)
		text := strings.ReplaceAll(string(got), site, "SITE")
		if *update {
			if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s differs from what was made:\n%s", golden, text)
		}
		if strings.Contains(text, "hunter2") {
			t.Errorf("a secret is in\n%s", text)
		}
	}
	if r.Whole {
		t.Error("whole, though much was left behind")
	}
}

// put writes files below a new directory, and returns it.
func put(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imported imports a directory with the given opendkim.conf and other files. @ in
// them stands for the directory.
func imported(t *testing.T, conf string, others map[string]string) (r Result, dir string) {
	t.Helper()
	dir = put(t, others)
	if err := os.WriteFile(filepath.Join(dir, "opendkim.conf"), []byte(strings.ReplaceAll(conf, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Import(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

func signatures(t *testing.T, c *Config, domain string) string {
	t.Helper()
	d, err := message.ParseDomain(domain)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range c.Signatures(d) {
		all = append(all, s.Domain+" "+s.Selector)
	}
	return strings.Join(all, ", ")
}

// TestOneKey: Domain, Selector and KeyFile.
func TestOneKey(t *testing.T) {
	const rest = "\nSelector Mail\nKeyFile /etc/dkimkeys/one.private\nCanonicalization relaxed\n"
	for _, c := range []struct {
		name, conf string
		signed     map[string]string // by author's domain
		report     string
		whole      bool
	}{
		{"domains", "Domain example.org, Example.NET" + rest, map[string]string{"example.org": "example.org mail", "example.net": "example.net mail", "a.example.org": ""}, "", true},
		{"subdomains", "Domain example.org\nSubDomains yes" + rest, map[string]string{"example.org": "example.org mail", "b.a.example.org": "example.org mail"}, "", true},
		{"a subdomain that has its own", "Domain example.org,a.example.org\nSubDomains 1" + rest, map[string]string{"a.example.org": "a.example.org mail", "b.a.example.org": "a.example.org mail", "c.example.org": "example.org mail"}, "", true},
		{"a file", "Domain file:DIR/domains" + rest, map[string]string{"example.org": "example.org mail", "example.net": "example.net mail"}, "", true},
		{"the same beside opendkim.conf", "Domain /etc/no/such/directory/domains" + rest, map[string]string{"example.org": "example.org mail"}, "", true},
		{"patterns", "Domain refile:DIR/patterns" + rest, map[string]string{"example.org": "example.org mail", "a.example.net": ""}, "DIR/patterns:2:1: not carried: Domain *.example.net: it signs with every domain below example.net itself", false},
		{"any domain", "Domain refile:DIR/all" + rest, map[string]string{"example.org": ""}, "it signs for any domain; milterd signs for domains that are named in signing.domains", false},
		{"verify only", "Mode v\nDomain example.org" + rest, map[string]string{"example.org": ""}, "Domain example.org: OpenDKIM does not sign in this mode", true},
		{"sign only", "Mode s\nDomain example.org" + rest, map[string]string{"example.org": "example.org mail"}, "not carried: Mode s: milterd verifies what comes in", false},
		{"exempt", "Domain example.org,example.net\nExemptDomains example.net" + rest, map[string]string{"example.org": "example.org mail", "example.net": ""}, "not carried: ExemptDomains example.net: its mail is not signed, but verified", false},
		{"exempt below", "Domain example.org\nSubDomains yes\nExemptDomains a.example.org" + rest, map[string]string{"a.example.org": "example.org mail"}, "ExemptDomains a.example.org: its mail is signed, because a domain above it signs for subdomains", false},
		{"no selector", "Domain example.org\nKeyFile /k\n", map[string]string{"example.org": ""}, "not carried: Domain example.org: OpenDKIM signs with Domain, Selector and KeyFile together", false},
		{"no such selector", "Domain example.org\nKeyFile /k\nSelector a..b\n", map[string]string{"example.org": ""}, "its selector is none for milterd", false},
		{"one label", "Domain localhost" + rest, nil, "not carried: Domain localhost: mail of localhost is not signed alike", false},
		{"in a data base", "Domain dsn:mysql://u:p@h/d" + rest, nil, "not carried: Domain dsn:...: milterd reads no data bases", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, dir := imported(t, c.conf, map[string]string{"domains": "example.org # ours\n\n  example.net\n", "patterns": "example.org\n*.example.net\n", "all": "*\n"})
			for domain, want := range c.signed {
				if got := signatures(t, &r.Config, domain); got != want {
					t.Errorf("%s: signed with %q, want %q", domain, got, want)
				}
			}
			if !strings.Contains(string(r.Report), strings.ReplaceAll(c.report, "DIR", dir)) {
				t.Errorf("%q is not in the report", c.report)
			}
			if r.Whole != c.whole {
				t.Errorf("whole %v", r.Whole)
			}
			if t.Failed() {
				t.Logf("%s\n%s", r.YAML, r.Report)
			}
		})
	}
}

// TestKeysByDomain: one line for all domains, whose keys lie in directories named
// after them.
func TestKeysByDomain(t *testing.T) {
	r, dir := imported(t, "KeyTable DIR/kt\nSigningTable refile:DIR/st\n", map[string]string{
		"kt": "all %:mail:DIR/keys/%/mail-%.private\n",
		"st": "*@* all\n",
		"keys/example.org/mail-example.org.private": "x", "keys/example.net/mail-example.net.private": "x",
		"keys/example.com/mail-example.org.private": "x", "keys/not_one/mail-not_one.private": "x",
	})
	if len(r.Config.Domains) != 0 {
		t.Fatalf("domains %v of a path that is not there", r.Config.Domains)
	}
	if err := os.WriteFile(filepath.Join(dir, "kt"), []byte("all %:mail:"+dir+"/keys/%/mail-%.private\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Import(filepath.Join(dir, "opendkim.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Config.Domains) != 2 || r.Config.Domains[0].Name.String() != "example.net" || r.Config.Domains[1].Keys[0].File != dir+"/keys/example.org/mail-example.org.private" {
		t.Errorf("domains %v", r.Config.Domains)
	}
	if !r.Whole {
		t.Errorf("not whole:\n%s", r.Report)
	}
}

// TestFind: what may stand on the command line.
func TestFind(t *testing.T) {
	dir := put(t, map[string]string{"etc/opendkim.conf": "Mode s\n", "etc/opendkim/KeyTable": "", "etc/dkim/opendkim.conf": "Mode v\n", "etc/none/x": ""})
	for path, want := range map[string]string{"etc/opendkim.conf": "etc/opendkim.conf", "etc/opendkim": "etc/opendkim.conf", "etc/dkim": "etc/dkim/opendkim.conf", "etc": "etc/opendkim.conf"} {
		if got, err := find(filepath.Join(dir, path)); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v", path, got, err)
		}
	}
	for _, path := range []string{"etc/none", "nowhere"} {
		if _, err := Import(filepath.Join(dir, path)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestLarge: a hoster's tables take their time, but not more; patterns that cannot
// be looked up are not compared without end.
func TestLarge(t *testing.T) {
	var keys, signing, patterns strings.Builder
	const domains = 10_000
	for i := range domains {
		fmt.Fprintf(&keys, "k%d d%d.test:s:/srv/no-such-volume/%d.pem\n", i, i, i)
		fmt.Fprintf(&signing, "*@d%d.test k%d\n", i, i)
		fmt.Fprintf(&patterns, "a*b%d@d%d.test k%d\n", i, i, i)
	}
	const conf = "KeyTable DIR/keys\nSigningTable refile:DIR/signing\n"
	r, _ := imported(t, conf, map[string]string{"keys": keys.String(), "signing": signing.String()})
	if len(r.Config.Domains) != domains || !r.Whole {
		t.Errorf("%d domains, whole %v", len(r.Config.Domains), r.Whole)
	}
	if lines := strings.Count(string(r.Report), "\n"); lines > 100 {
		t.Errorf("a report of %d lines, where all was carried", lines)
	}
	r, _ = imported(t, conf, map[string]string{"keys": keys.String(), "signing": patterns.String()})
	if !strings.Contains(string(r.Report), "are more than an import compares") || len(r.Config.Domains) != 0 || r.Whole {
		t.Errorf("%d domains, whole %v", len(r.Config.Domains), r.Whole)
	}
}

// TestHostile: files that are none, or too many, or too large, are reported, and
// nothing waits for them.
func TestHostile(t *testing.T) {
	wide := strings.Repeat("Include DIR/empty\n", maxFiles+10)
	long := strings.Repeat("x", maxTable+1)
	for _, c := range []struct{ name, conf, report string }{
		{"device", "SigningTable /dev/zero\nKeyTable csl:a=b\n", "SigningTable /dev/zero: /dev/zero: not a regular file"},
		{"directory", "InternalHosts DIR\n", "InternalHosts DIR: DIR: not a regular file"},
		{"itself", "Include DIR/opendkim.conf\n", "nested deeper than 5 files"},
		{"wide", wide, "more than 100 files"},
		{"long line of a table", "InternalHosts file:DIR/long\n", "longer than 1022 bytes"},
		{"long line", "Mode " + strings.Repeat("s", maxConf) + "\n", "a line of more than 65536 bytes"},
		{"lines", "InternalHosts file:DIR/lines\n", "more than 200000 lines"},
		{"zero byte", "InternalHosts file:DIR/zero\n", "a zero byte in it"},
		{"controls", "Domain \x1b[2J\xff\n", "not carried: Domain ?[2J?"},
		{"colon first", "InternalHosts ::1, 127.0.0.1\n", "no kind of data set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, dir := imported(t, c.conf, map[string]string{"empty": "", "long": long + "\n", "lines": strings.Repeat("\n", maxLines+1), "zero": "127.0.0.1\x00\n"})
			if want := strings.ReplaceAll(c.report, "DIR", dir); !strings.Contains(string(r.Report), want) {
				t.Errorf("%q is not in\n%s", want, r.Report)
			}
			if r.Whole {
				t.Error("whole")
			}
		})
	}
}
