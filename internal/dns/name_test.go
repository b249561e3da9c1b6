package dns

import (
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

func TestNewKey(t *testing.T) {
	for name, want := range map[string]string{
		"Example.COM":  "example.com",
		"example.com.": "example.com",
		".":            ".",
		"test":         "test",
		"É.Test":       "É.test", // octets, not letters
		"\xff\xC3.T":   "\xff\xC3.t",
		`A\.b.test`:    `a\.b.test`,
		"":             "",
		"..":           "",
		"a..":          "",
		".a":           "",
	} {
		k, ok := newKey(name, mdns.TypeA)
		if k.name != want || ok != (want != "") {
			t.Errorf("newKey(%q) = %q, %t; want %q", name, k.name, ok, want)
		}
	}
}

// FuzzKey: every name that becomes a key can be asked, in exactly its own octets.
func FuzzKey(f *testing.F) {
	for _, name := range []string{
		".", "example.com", `a\.b.test`, `\032.test`, "a\x00b.test", "a b@c.test", "\xff.test", "\u00b7\\", `\`, `a\`,
		strings.Repeat("a", 63) + ".test", strings.Repeat("a.", 126) + "a", strings.Repeat(`\.`, 126) + `\`,
		"a..b", strings.Repeat("a", 64),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k, ok := newKey(name, mdns.TypeTXT)
		if !ok {
			return
		}
		q := newQuery(k)
		var m mdns.Msg
		if err := m.Unpack(q.wire); err != nil || len(m.Question) != 1 || m.Question[0].Qtype != mdns.TypeTXT ||
			m.Question[0].Qclass != mdns.ClassINET || !m.RecursionDesired || m.IsEdns0().UDPSize() != maxUDP {
			t.Fatalf("%q is asked as %v (%v)", name, &m, err)
		}
		var octets []string
		wire := q.question()
		for wire[0] != 0 {
			octets = append(octets, string(wire[1:1+wire[0]]))
			wire = wire[1+wire[0]:]
		}
		if got := strings.Join(octets, "."); got != strings.TrimSuffix(k.name, ".") {
			t.Errorf("%q is asked as %q", k.name, got)
		}
		if again, ok := newKey(k.name, mdns.TypeTXT); !ok || again != k {
			t.Errorf("%q is not its own key", k.name)
		}
		if !strings.EqualFold(strings.ToValidUTF8(k.name, "?"), strings.ToValidUTF8(strings.TrimSuffix(name, "."), "?")) && name != "." {
			t.Errorf("%q became %q", name, k.name)
		}
	})
}
