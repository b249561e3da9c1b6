package postgrey

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/checks/greylist"
	"milterd/internal/config"
	"milterd/internal/strictyaml"
)

func TestEntries(t *testing.T) {
	for _, c := range []struct {
		kind  kind
		entry string
		want  string // the translation, or the fate and why
	}{
		{clients, "example.com", ".example.com"},
		{clients, "Mail.Example.COM", ".Mail.Example.COM"},
		{clients, "localhost", ".localhost"},
		{clients, "192.0.2.1", "192.0.2.1"},
		{clients, "192.0.2", "192.0.2.0/24"},
		{clients, "172.16", "172.16.0.0/16"},
		{clients, "10", "10.0.0.0/8"},
		{clients, "192.0.2.17/28", "192.0.2.16/28"},
		{clients, "2001:db8::1", "2001:db8::1"},
		{clients, "2001:DB8::1/32", "2001:db8::/32"},
		{clients, "::ffff:192.0.2.1", "192.0.2.1"},
		{clients, `/^mta\d+\.example\.net$/`, `~^mta\d+\.example\.net$`},
		{clients, `/dynamic/`, `~dynamic`},
		{clients, "300.1.2.3", "not carried: neither an address nor a network nor a name"},
		{clients, "192.0.2.1/33", "not carried: neither an address nor a network nor a name"},
		{clients, "a/b", "not carried: neither an address nor a network nor a name"},
		{clients, "fe80::1%eth0", "not carried: neither an address nor a network nor a name"},
		{clients, ".example.com", "not carried: postgrey finds no name by it; expected example.com for the name and all below it"},
		{clients, "a b", "not carried: more than one word, which postgrey itself does not take"},
		{clients, "a@b.test", "not carried: not a host or domain name"},
		{clients, "*.example.com", "not carried: not a host or domain name"},
		{clients, `/^mail(?!x)/`, "not carried: not a regular expression in the words of RE2: invalid or unsupported Perl syntax: (?!"},
		{clients, `/(/`, "not carried: not a regular expression in the words of RE2: missing closing ): (?i)("},
		{clients, `/^unknown$/`, "not carried: it fits unknown, as Postfix calls clients without a name: everybody without a name would be let in"},
		{clients, `/\.example\.com$|^un/`, "not carried: it fits unknown, as Postfix calls clients without a name: everybody without a name would be let in"},
		{clients, "/" + strings.Repeat("a", 1001) + "/", "not carried: a regular expression of 1001 bytes, expected at most 1000"},
		{clients, "/\x1b/", "not carried: it holds bytes that are no printable text"},
		{clients, "\xff", "not carried: it holds bytes that are no printable text"},

		{recipients, "example.org", ".example.org"},
		{recipients, "sales@example.org", "sales@example.org"},
		{recipients, "help@", `~^help(?:\+[^@]+)?@`},
		{recipients, "a.b@", `~^a\.b(?:\+[^@]+)?@`},
		{recipients, "postmaster@", "not needed: postmaster is never greylisted"},
		{recipients, "Abuse@example.org", "not needed: abuse is never greylisted"},
		{recipients, "@example.org", "not carried: postgrey finds no address by it; expected example.org for every address there"},
		{recipients, "/^lists-/", "~^lists-"},
		{recipients, "a@b@c..d", `not carried: "a@b@c..d": "c..d" is not a domain name, expected an address, a domain, a .domain or a network`},
	} {
		var l lists
		f, why := l.carry(c.kind, c.entry, "here")
		got := fmt.Sprint(f, ": ", why)
		if f == carried {
			got = strings.Join(l.entries[c.kind], " ")
			if p := l.patterns[c.kind]; p != nil {
				got = "~" + strings.Join(p, " ")
			}
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.entry, got, c.want)
		}
	}
}

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "post[grey]")
	put(t, dir+"/whitelist_clients", "# white list\n\n  example.com # no retry\n/^mta'\\d+/\nexample.com\n/a\\K/\n")
	put(t, dir+"/whitelist_clients.local", "192.0.2\n")
	put(t, dir+"/whitelist_recipients", "\ufeffpostmaster@\r\nsales@example.org\r\nhelp@")
	put(t, dir+"/other", "x\n")
	r, err := Import([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	want := `# From postgrey's white lists, by milterd import postgrey.
checks:
  greylist:
    enabled: true
    clients:
      - '.example.com'
      - '192.0.2.0/24'
    client_patterns:
      - '^mta''\d+'
    recipients:
      - 'sales@example.org'
    recipient_patterns:
      - '^help(?:\+[^@]+)?@'
`
	if string(r.YAML) != want {
		t.Errorf("got\n%swant\n%s", r.YAML, want)
	}
	report := fmt.Sprintf(`%[1]s/whitelist_clients:6: not carried: /a\K/: not a regular expression in the words of RE2: invalid escape sequence: \K
%[1]s/whitelist_clients:5: not needed: example.com: the same as %[1]s/whitelist_clients:3
%[1]s/whitelist_recipients:1: not needed: postmaster@: postmaster is never greylisted
5 carried, 2 not needed, 1 not carried
`, dir)
	if string(r.Report) != report || r.Whole {
		t.Errorf("got\n%swant\n%s", r.Report, report)
	}
	if _, err := config.Read("import.yaml", r.YAML, config.Options{Checks: []string{"greylist"}}); err != nil {
		t.Error(err)
	}

	if r, err = Import([]string{put(t, dir+"/my_clients", "a.test\n")}); err != nil || !r.Whole || string(r.Report) != "1 carried, 0 not needed, 0 not carried\n" {
		t.Errorf("%s %v", r.Report, err)
	}
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir + "/nowhere":                "no such file or directory",
		dir:                             "no whitelist_clients and no whitelist_recipients in it",
		put(t, dir+"/list", "a.test\n"): "a list of clients or of recipients? expected a file whose name says so",
		"/dev/null":                     "a list of clients or of recipients?",
	} {
		if _, err := Import([]string{path}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if err := os.Symlink("/dev/zero", dir+"/clients"); err != nil {
		t.Fatal(err)
	}
	if _, err := Import([]string{dir + "/clients"}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
	large := put(t, dir+"/large_clients", "")
	if err := os.Truncate(large, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Import([]string{large}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Error(err)
	}
	r, err := Import([]string{put(t, dir+"/many_clients", strings.Repeat("a.test\n", maxEntries+10))})
	if err != nil || r.Whole || !strings.Contains(string(r.Report), "this line and all behind it are left out") {
		t.Errorf("%v", err)
	}
}

// exempts reports whether milterd, configured with YAML, asks nobody of that name or
// address, or nobody who writes to that recipient.
func exempts(tb testing.TB, yaml []byte) (by func(mail checktest.Mail) bool) {
	tb.Helper()
	text := string(yaml)
	text = text[strings.Index(text, "greylist:\n")+len("greylist:\n"):]
	spec := greylist.Spec()
	st := &asked{}
	h, err := checktest.TryNew(tb, spec, text, checks.Env{Store: st})
	if err != nil {
		tb.Fatalf("milterd does not take it: %v\n%s", err, yaml)
	}
	return func(mail checktest.Mail) bool { st.n = 0; h.Run(mail); return st.n == 0 }
}

// perl is what postgrey makes of an entry, in its own words.
func perl(k kind, entry string) *regexp.Regexp {
	if m := slashes.FindStringSubmatch(entry); m != nil {
		re, err := regexp.Compile("(?i)" + m[1])
		if err != nil {
			return nil
		}
		return re
	}
	user, domain, hasAt := strings.Cut(entry, "@")
	q := regexp.QuoteMeta
	switch {
	case k == clients && partial.MatchString(entry), k == clients && strings.ContainsAny(entry, ":/"):
		return nil
	case k == clients:
		return regexp.MustCompile(`(?i)(?:^|\.)` + q(entry) + `$`)
	case hasAt && domain != "":
		return regexp.MustCompile(`(?i)^` + q(user) + `(?:\+[^@]+)?@` + q(domain) + `$`)
	case hasAt:
		return regexp.MustCompile(`(?i)^` + q(user) + `(?:\+[^@]+)?@`)
	}
	return regexp.MustCompile(`(?i)(?:^|\.|@)` + q(user) + `$`)
}

// TestSameAnswers: milterd lets in whom postgrey lets in, and nobody else.
func TestSameAnswers(t *testing.T) {
	names := []string{"example.com", "mail.example.com", "myexample.com", "example.com.evil.test", "mta7.example.net", "MTA7.example.net", "mta.example.net", "example.co"}
	for _, entry := range []string{"example.com", "mail.example.com", "Example.Com", `/^mta\d+\.example\.net$/`, "/example/", `/\.com$/`} {
		var l lists
		l.add("c", clients, []byte(entry))
		by, theirs := exempts(t, l.result().YAML), perl(clients, entry)
		for _, name := range names {
			if got, want := by(checktest.Mail{Host: name, Text: "From: a@b.test\n\nx"}), theirs.MatchString(name); got != want {
				t.Errorf("client %s in %s: %v, postgrey %v", name, entry, got, want)
			}
		}
	}
	to := []string{"sales@example.org", "Sales@Example.org", "sales+x@example.org", "presales@example.org", "sales@sub.example.org", "help@anywhere.test", "help+me@example.org", "lists-a@example.org", "x@notexample.org"}
	for _, entry := range []string{"sales@example.org", "example.org", "help@", "/^lists-/", "/@example/"} {
		var l lists
		l.add("r", recipients, []byte(entry))
		by, theirs := exempts(t, l.result().YAML), perl(recipients, entry)
		for _, address := range to {
			if got, want := by(checktest.Mail{To: []string{"<" + address + ">"}, Text: "From: a@b.test\n\nx"}), theirs.MatchString(address); got != want {
				t.Errorf("recipient %s in %s: %v, postgrey %v", address, entry, got, want)
			}
		}
	}
}

// FuzzList: whatever a file holds, each line has one fate, milterd takes the YAML, and
// the client or recipient of a plain line that was carried is let in.
func FuzzList(f *testing.F) {
	f.Add("example.com\n192.0.2\n/^a\\d'/\n", true)
	f.Add("postmaster@\nsales@example.org\nhelp@\n/x/\n", false)
	f.Add("\ufeff# c\r\n'a\\: b\x00\xff\n::1/64\n.x\n@y\n", true)
	f.Fuzz(func(t *testing.T, text string, ofClients bool) {
		k := recipients
		if ofClients {
			k = clients
		}
		var l lists
		l.add("f", k, []byte(text))
		r := l.result()
		lines := 0
		for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
			line, _, _ = strings.Cut(line, "#")
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if len(l.items) != lines {
			t.Errorf("%d lines, %d fates", lines, len(l.items))
		}
		if strings.Count(string(r.Report), "\n") > lines+1 || strings.ContainsFunc(strings.ReplaceAll(string(r.Report), "\n", ""), func(c rune) bool { return c < ' ' }) {
			t.Errorf("a report that says more than one line a line: %q", r.Report)
		}
		by := exempts(t, r.YAML)
		for _, e := range l.entries[clients] {
			if name, ok := strings.CutPrefix(e, "."); ok && len(name) < 200 && isASCII(name) && !by(checktest.Mail{Host: name, Client: "198.51.100.1", Text: "From: a@b.test\n\nx"}) {
				t.Errorf("%s is not let in", name)
			}
		}
		var errs strictyaml.Errors
		if _, err := config.Read("f.yaml", r.YAML, config.Options{Checks: []string{"greylist"}}); err != nil {
			errs.Add(err)
		}
		if errs.Err() != nil {
			t.Errorf("%v\n%s", errs, r.YAML)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
