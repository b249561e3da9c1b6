package table

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/strictyaml"
)

const sample = `# partners
Alice@Example.org     # a mailbox
o#brien@example.org
example.com
.example.net

	münchen.example
192.0.2.0/24
192.0.2.128/25
[2001:db8::]/32
198.51.100.7
`

func TestFind(t *testing.T) {
	table, err := Parse("p.txt", []byte("\ufeff"+strings.ReplaceAll(sample, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if table.Len() != 9 {
		t.Errorf("%d entries, want 9", table.Len())
	}
	for text, want := range map[string]string{
		"alice@example.org":         "alice@example.org",
		"ALICE@EXAMPLE.ORG.":        "alice@example.org",
		"o#brien@example.org":       "o#brien@example.org",
		"bob@example.org":           "",
		"example.org":               "",
		"bob@example.com":           "example.com",
		"Example.Com":               "example.com",
		"bob@www.example.com":       "",
		"notexample.com":            "",
		"bob@example.net":           ".example.net",
		"a.b.EXAMPLE.net":           ".example.net",
		"badexample.net":            "",
		"x@xn--mnchen-3ya.example":  "xn--mnchen-3ya.example",
		"x@MÜNCHEN.example":         "xn--mnchen-3ya.example",
		"192.0.2.1":                 "192.0.2.0/24",
		"[192.0.2.200]":             "192.0.2.128/25",
		"[IPv6:2001:db8::1]":        "2001:db8::/32",
		"::ffff:192.0.2.9":          "192.0.2.0/24",
		"198.51.100.7":              "198.51.100.7/32",
		"198.51.100.8":              "",
		"":                          "",
		"@":                         "",
		"a@":                        "",
		".":                         "",
		strings.Repeat("a.", 200):   "",
		"\xff@\xff":                 "",
		"x@evil.test@example.com":   "example.com",
		"alice@example.org@evil.io": "",
	} {
		if got, ok := table.Find(text); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, ok, want)
		}
	}
	if got, ok := table.FindAddr(netip.MustParseAddr("2001:db8::2%eth0")); !ok || got != "2001:db8::/32" {
		t.Errorf("with a zone: %q, %v", got, ok)
	}
	if _, ok := (*Table)(nil).Find("a@b"); ok {
		t.Error("no table has an entry")
	}
}

// A union finds what is in any of its tables, and nothing else.
func TestUnion(t *testing.T) {
	var tables []*Table
	for _, entries := range [][]string{{"alice@example.org", ".example.net"}, {"example.com"}, {"192.0.2.0/24"}, {"2001:db8::/32", "192.0.2.128/25"}, {}} {
		one, err := New(entries...)
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, one)
	}
	u := Union(tables...)
	if u.Len() != 6 {
		t.Errorf("%d entries, want 6", u.Len())
	}
	for text, want := range map[string]string{
		"Alice@example.org": "alice@example.org", "bob@example.org": "", "x@mail.example.net": ".example.net", "example.com": "example.com",
		"192.0.2.1": "192.0.2.0/24", "192.0.2.200": "192.0.2.128/25", "2001:db8::1": "2001:db8::/32", "198.51.100.1": "",
	} {
		if got, _ := u.Find(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	_, err := Parse("p.txt", []byte("ok.example\n  @example.org\n*@example.org\n*.example.org\na b\n\x80\n192.0.2.1/24\nex..org # why\nx@-\xc3\xa4..\n"))
	want := []string{
		`p.txt:2:3: "@example.org" has no local part, expected example.org for every address there`,
		`p.txt:3:1: "*@example.org", expected example.org for every address there`,
		`p.txt:4:1: "*.example.org", expected .example.org for the domain and all below it`,
		`p.txt:5:1: "a b", expected one entry in a line`,
		`p.txt:6:1: "\x80" is no UTF-8, expected an address, a domain, a .domain or a network`,
		`p.txt:7:1: 192.0.2.1/24 has bits behind its length, expected 192.0.2.0/24 or 192.0.2.1`,
		`p.txt:8:1: "ex..org": "ex..org" is not a domain name, expected an address, a domain, a .domain or a network`,
		`p.txt:9:1: "x@-ä..": "-ä.." is not a domain name, expected an address, a domain, a .domain or a network`,
	}
	var got []string
	if all, ok := errors.AsType[strictyaml.Errors](err); ok {
		for _, e := range all {
			got = append(got, e.Error())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := New("example.org", ""); err == nil {
		t.Error("an empty entry was taken")
	}
	if _, err := New(strings.Repeat("a", 400)); err == nil {
		t.Error("a long entry was taken")
	}
}

func TestWords(t *testing.T) {
	for value, want := range map[string][]string{
		`"ceo@partner.example" <evil@example.org>, (x@y) <b@c>`: {"evil@example.org", "b@c"},
		`alice@example.org, "x@y" bob@example.org`:              {"alice@example.org", "bob@example.org"},
		` The list <list.example.org>`:                          {"list.example.org"},
		` [192.0.2.1]`:                                          {"[192.0.2.1]"},
		`<a@b`:                                                  {"a@b"},
		`<a<b@c>`:                                               {"a", "b@c"},
		`<>`:                                                    nil,
		`"open a@b`:                                             nil,
		`(a (b) c@d) e@f`:                                       {"e@f"},
		"":                                                      nil,
	} {
		if got := slices.Collect(Words(value)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

// A file is looked at again by itself, once in a while; what is broken changes
// nothing and is told once.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map.txt")
	write := func(text string, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1_700_000_000, 0).Add(age)
		if err := os.Chtimes(path+".new", when, when); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("a@example.org\n", 0)
	now := time.Unix(1_700_000_000, 0)
	var log bytes.Buffer
	f, err := Open(path, func() time.Time { return now }, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || f.Path() != path {
		t.Fatal(err)
	}
	has := func(text string) bool {
		_, ok := f.Table().Find(text)
		return ok
	}
	if !has("a@example.org") {
		t.Error("the first version has no a@example.org")
	}
	write("b@example.org\n", time.Second)
	if has("b@example.org") {
		t.Error("it was read again at once")
	}
	now = now.Add(DefaultEvery)
	if !has("b@example.org") || has("a@example.org") {
		t.Error("the second version was not read")
	}
	write("c@example.org\n* broken\n", 2*time.Second)
	for range 3 {
		now = now.Add(DefaultEvery)
		if !has("b@example.org") {
			t.Error("a broken file changed the table")
		}
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "map.txt:2:1: ") {
		t.Errorf("log: %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	now = now.Add(DefaultEvery)
	if !has("b@example.org") || strings.Count(log.String(), "level=WARN") != 2 {
		t.Errorf("the file is gone: %s", log.String())
	}
	write("d@example.org\n", 2*time.Second)
	now = now.Add(DefaultEvery)
	if !has("d@example.org") {
		t.Error("the file that came back was not read")
	}
	write("e@example.org\n", 2*time.Second) // same size, same time, another file
	now = now.Add(DefaultEvery)
	if !has("e@example.org") {
		t.Error("a file renamed into place was not noticed")
	}
	if _, err := Open(path+".none", nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// Whatever a file says: it is read or it is told where it is wrong; each entry of
// a table is in it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample), "Alice@example.org")
	f.Add([]byte("@\n.\n[::]/0\n0.0.0.0/0\na@[IPv6:::1]\n#\n \t#x\na#b.c"), "[IPv6:::1]")
	f.Fuzz(func(t *testing.T, text []byte, find string) {
		table, err := Parse("f", text)
		if (table == nil) != (err != nil) {
			t.Fatalf("%v, %v", table, err)
		}
		if err != nil {
			for _, e := range err.(strictyaml.Errors) {
				if e.Pos.File != "f" || e.Pos.Line == 0 || e.Pos.Col == 0 {
					t.Errorf("an error without a place: %v", e)
				}
			}
			return
		}
		for entry := range table.addresses {
			if got, ok := table.Find(entry); !ok || got != entry {
				t.Errorf("%q finds %q, %v", entry, got, ok)
			}
		}
		for n := range table.networks {
			if got, ok := table.FindAddr(n.Addr()); !ok || !netip.MustParsePrefix(got).Contains(n.Addr()) {
				t.Errorf("%s finds %q, %v", n, got, ok)
			}
		}
		if entry, ok := table.Find(find); ok && entry == "" {
			t.Errorf("%q finds nothing", find)
		}
		for w := range Words(find) {
			if w == "" || len(w) > len(find) {
				t.Errorf("%q has the word %q", find, w)
			}
		}
	})
}
