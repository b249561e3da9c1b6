package keys

import (
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// TestZoneLines reads its lines with the parser of a name server.
func TestZoneLines(t *testing.T) {
	const name = "202611._domainkey.example.org"
	for _, test := range []struct {
		record string
		parts  int
	}{
		{Record(pair().rsa.Public()), 2},
		{Record(pair().ed25519.Public()), 1},
		{Revoked(RSA), 1},
		{strings.Repeat("k", 255), 1},
		{strings.Repeat("k", 256), 2},
		{strings.Repeat("k", 511), 3},
	} {
		for form, text := range map[string]string{"one line": ZoneLine(name, test.record), "lines": ZoneLines(name, test.record)} {
			rr, err := mdns.NewRR(text)
			if err != nil {
				t.Errorf("%s: %v\n%s", form, err, text)
				continue
			}
			txt := rr.(*mdns.TXT)
			if got := strings.Join(txt.Txt, ""); got != test.record || len(txt.Txt) != test.parts || txt.Hdr.Name != name+"." {
				t.Errorf("%s: %d strings: %s", form, len(txt.Txt), rr)
			}
			if lines := strings.Count(text, "\n") + 1; form == "one line" && lines != 1 || form == "lines" && test.parts > 1 && lines != test.parts+1 {
				t.Errorf("%s: %d lines\n%s", form, lines, text)
			}
		}
	}
}
