package signing

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/checks/checktest"
	"milterd/internal/strictyaml"
	"milterd/message"
)

// Who owns what, by each of the three ways to say it.
func TestOwners(t *testing.T) {
	const mapping = `{ann: [ann@example.org, press@example.org], shop: .shop.example, "BOSS@example.org": [example.org, "@shop.example"], 192.0.2.64/26: [shop.example], 192.0.2.70: printer@example.org}`
	const table = `
# as postmap(1) reads it
ann@example.org     ann
press@example.org   ann,
    boss@example.org
@shop.example       Shop
"sales desk"@example.org ann
info                desk
`
	for _, test := range []struct {
		login, client, from string
		mapping             string // the bindings by which it is owned: d, a
		table               string
	}{
		{login: "ann", from: "ann@example.org", mapping: "da", table: "da"},
		{login: "ANN", from: "Ann@EXAMPLE.org", mapping: "da", table: "da"},
		{login: "ann", from: "ann+news@example.org", mapping: "da", table: "da"},
		{login: "ann", from: "press@example.org", mapping: "da", table: "da"},
		{login: "ann", from: "other@example.org", mapping: "d", table: "d"},
		{login: "ann", from: "ann@shop.example"},
		{login: "ann", from: "\"sales desk\"@example.org", mapping: "d", table: "da"},
		{login: "shop", from: "any@shop.example", mapping: "da", table: "da"},
		{login: "shop", from: "any@mail.shop.example", mapping: "da"},
		{login: "shop", from: "ann@example.org"},
		{login: "boss@example.org", from: "ann@example.org", mapping: "da", table: "d"},
		{login: "boss@example.org", from: "press@example.org", mapping: "da", table: "da"},
		{login: "boss@example.org", from: "any@shop.example", mapping: "da"},
		{login: "desk", from: "info@example.org", mapping: "d", table: "da"}, // bare and unlisted, or listed in the table
		{login: "desk", from: "info@shop.example", mapping: "d", table: "da"},
		{login: "desk", from: "x@example.org", mapping: "d", table: "d"},
		// Nobody says anything of these; but what is given to somebody by name is his.
		{login: "eve@example.org", from: "eve@example.org", mapping: "da", table: "da"},
		{login: "eve@example.org", from: "eve+x@example.org", mapping: "da", table: "da"},
		{login: "eve@example.org", from: "ann@example.org", mapping: "d", table: "d"},
		{login: "eve@shop.example", from: "eve@shop.example", mapping: "da"}, // the table gives the domain to shop
		{login: "eve@example.org", from: "eve@shop.example"},
		{login: "eve", from: "eve@example.org", mapping: "da", table: "da"},
		{login: "press", from: "press@example.org", mapping: "d", table: "d"}, // given to ann by name
		{login: "@example.org", from: "x@example.org", mapping: "d", table: "d"},
		// Our networks.
		{client: "192.0.2.1", from: "any@example.org", mapping: "da", table: "da"},
		{client: "192.0.2.65", from: "any@shop.example", mapping: "da", table: "da"},
		{client: "::ffff:192.0.2.65", from: "any@example.org", table: "da"},
		{client: "192.0.2.70", from: "printer@example.org", mapping: "da", table: "da"},
		{client: "192.0.2.70", from: "ann@example.org", mapping: "d", table: "da"},
	} {
		s := newSite(t)
		s.key("example.org", "ed", ed25519Key())
		domains := "domains: {example.org: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}, shop.example: {subdomains: true, keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}}\n"
		s.file("senders.yaml", mapping)
		s.file("login_maps", table)
		for how, more := range map[string]string{
			"mapping": "senders: " + mapping, "file": "senders: $DIR/senders.yaml", "table": "sender_login_maps: [hash:$DIR/login_maps]",
		} {
			want := test.mapping
			if how == "table" {
				want = test.table
			}
			for _, bind := range []binding{bindDomain, bindAddress, bindOff} {
				h := s.check(domains + more + "\nsender_binding: " + string(bind) + "\n")
				out := seal(t, h, checktest.Mail{Login: test.login, Client: test.client, Text: mailOf(test.from)})
				owns := bind == bindOff || strings.Contains(want, string(bind)[:1])
				if (out.Reason == Signed) != owns || out.Reason != Signed && out.Reason != NotOwner {
					t.Errorf("%s, %s: %q%s from %s: %s, %s", how, bind, test.login, test.client, test.from, out.Reason, out.Why)
				}
			}
		}
	}
}

// The files are read again when they change; a broken one changes nothing.
func TestSendersAreReadAgain(t *testing.T) {
	s, _ := standard(t, "")
	s.file("map", "ann@example.org ann\n")
	s.file("senders.yaml", "eve: eve@example.org\n")
	h := s.check("domains: {example.org: {keys: [{selector: ed, file: $DIR/example.org/ed.pem}]}}\nsenders: $DIR/senders.yaml\nsender_login_maps: [$DIR/map]\nsender_binding: address")
	may := func(login, from string) bool {
		return seal(t, h, checktest.Mail{Login: login, Text: mailOf(from)}).Reason == Signed
	}
	want := func(when string, press, eve bool) {
		t.Helper()
		if got := may("ann", "press@example.org"); got != press {
			t.Errorf("%s: ann owns press: %v", when, got)
		}
		if got := may("eve", "eve@example.org"); got != eve {
			t.Errorf("%s: eve owns eve: %v", when, got)
		}
		if !may("ann", "ann@example.org") {
			t.Errorf("%s: ann does not own ann", when)
		}
	}
	want("at first", false, true)
	s.file("map", "ann@example.org ann\npress@example.org ann\n")
	want("within the second", false, true)
	s.later()
	want("later", true, true)
	s.file("map", "ann@example.org ann\nbroken\n")
	s.later()
	want("broken", true, true)
	if !strings.Contains(s.log.String(), filepath.Join(s.dir, "map")+":2:7: no login behind") {
		t.Errorf("the log does not say what is wrong where:\n%s", s.log.String())
	}
	if err := os.Remove(filepath.Join(s.dir, "map")); err != nil {
		t.Fatal(err)
	}
	s.later()
	want("gone", true, true)
	s.file("map", "ann@example.org ann\npress@example.org ann\n")
	s.file("senders.yaml", "eve: other@example.org\n")
	s.later()
	want("back, and the other one changed", true, false)
}

func TestLoginMap(t *testing.T) {
	table, err := parseLoginMap("t", "# comment\n\na@example.org\tann bob,eve\n# between\n   carl\r\n@Bücher.example ann\nUser x, Eva@BÜCHER.example\n\"a b\"@example.org y")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"a@example.org": {"ann", "bob", "eve", "carl"}, "@xn--bcher-kva.example": {"ann"}, "user": {"x", "eva@xn--bcher-kva.example"}, "a b@example.org": {"y"}}
	if fmt.Sprint(table.entries) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", table.entries, want)
	}
	for text, want := range map[string]string{
		"a@example.org":                          "t:1:14: no login behind \"a@example.org\", expected one or several",
		"a@example.org , ,":                      "t:1:18: no login behind",
		" a@example.org ann":                     "t:1:1: begins with a blank but continues no line",
		"ok x\n/^(.*)@example.org$/ ${1}":        "t:2:1: a regular expression, expected an address",
		"a@@b ann":                               "t:1:1: \"a@@b\" is no address",
		"@a_b ann":                               "t:1:1: \"@a_b\" is no domain",
		"a@[192.0.2.1] ann":                      "t:1:1: \"a@[192.0.2.1]\" is no address",
		"\"\"@x.org ann":                         "t:1:1: \"\\\"\\\"@x.org\" is no address",
		"\"\" ann":                               "t:1:1: ",
		"a..b ann":                               "t:1:1: \"a..b\" is no local part",
		"a@x.org u\nA@X.ORG v":                   "t:2:1: \"A@X.ORG\" stands in line 1 already",
		"a@x.org \xff":                           "t:1:1: not UTF-8",
		"a@x.org " + strings.Repeat("b ", 1<<16): "t:1:1: an entry of 131079 bytes, expected at most 65536",
		"bad\nworse":                             "t:1:4: no login behind \"bad\", expected one or several\nt:2:6:",
	} {
		if _, err := parseLoginMap("t", text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.40q gives %v, want %s", text, err, want)
		}
	}
}

func FuzzLoginMap(f *testing.F) {
	for _, seed := range []string{"", "a@example.org ann, bob\n  eve\n", "# c\n@example.org x", "user y", " orphan z\n", "/re/ x\n", "\"a b\"@x.org y\r\n", "a@b\xff c", "a@B.org x\na@b.org y", "ü@bücher.example ü"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parseLoginMap("t", text)
		if err != nil {
			errs, ok := err.(strictyaml.Errors)
			if !ok || len(errs) == 0 || len(errs) > maxMapErrs {
				t.Fatalf("%T %v", err, err)
			}
			lines := strings.Count(text, "\n") + 1
			for _, e := range errs {
				if e.Pos.Line < 1 || e.Pos.Line > lines || e.Pos.Col < 1 || e.What == "" {
					t.Fatalf("%+v in %d lines", e, lines)
				}
			}
			return
		}
		// Everybody who is named owns what he is named for, and what is written again
		// reads the same.
		var again strings.Builder
		for key, logins := range table.entries {
			local, domain, isAddress := strings.Cut(key, "@")
			if i := strings.LastIndexByte(key, '@'); isAddress && i > 0 {
				local, domain = key[:i], key[i+1:]
				d, err := message.ParseDomain(domain)
				if err != nil {
					t.Fatalf("key %q", key)
				}
				a := message.Address{Local: local, Domain: d}
				fmt.Fprintf(&again, "%s %s\n", a, strings.Join(logins, ","))
				for _, login := range logins {
					if who, ok := table.owners(a, bindAddress); !ok || !slices.Contains(who, login) || !table.hasDomain(login, d) || !table.lists(login) {
						t.Fatalf("%q does not own %q", login, key)
					}
				}
				continue
			}
			if local == "" {
				fmt.Fprintf(&again, "@%s %s\n", domain, strings.Join(logins, " "))
			}
		}
		if again.Len() == 0 {
			return
		}
		if second, err := parseLoginMap("again", again.String()); err != nil {
			t.Fatalf("%v in\n%s", err, again.String())
		} else {
			for key, logins := range second.entries {
				if !slices.Equal(logins, table.entries[key]) {
					t.Fatalf("%q: %v became %v", key, table.entries[key], logins)
				}
			}
		}
	})
}
