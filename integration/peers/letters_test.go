package peers

import (
	"bytes"
	"strings"
	"testing"

	"milterd/milter"
)

func TestLetters(t *testing.T) {
	var first [][]byte
	names := map[string]bool{}
	for about, raw := range Letters(1, 60) {
		first = append(first, raw)
		kind, _, _ := strings.Cut(about[strings.Index(about, ": ")+2:], ",")
		names[kind] = true
		if bare := bytes.ReplaceAll(raw, []byte("\r\n"), nil); bytes.ContainsAny(bare, "\r\n") || !bytes.HasSuffix(raw, []byte("\r\n")) {
			t.Errorf("%s: line ends other than CRLF", about)
		}
		m := milter.ParseMessage(raw)
		if again := m.Bytes(); !bytes.Equal(again, raw) {
			t.Errorf("%s: Postfix would change it", about)
		}
		count := map[string]int{}
		for _, f := range m.Fields {
			count[strings.ToLower(f.Name)]++
			if strings.EqualFold(f.Name, "From") && !strings.HasSuffix(f.Value, "<ann@example.org>") && f.Value != " ann@example.org" {
				t.Errorf("%s: From:%s", about, f.Value)
			}
		}
		for _, name := range []string{"from", "date", "message-id", "to", "cc", "subject", "reply-to"} {
			if n := count[name]; n > 1 || n == 0 && name == "from" {
				t.Errorf("%s: %d times %s", about, n, name)
			}
		}
	}
	if len(names) != len(bodies) {
		t.Errorf("%d kinds of body, want %d: %v", len(names), len(bodies), names)
	}
	i := 0
	for about, raw := range Letters(1, 60) {
		if !bytes.Equal(raw, first[i]) {
			t.Errorf("%s: not the same twice", about)
		}
		i++
	}
	for range Letters(1, 60) {
		break
	}
}
