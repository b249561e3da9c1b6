package content

import (
	"strings"
	"testing"

	"milterd/checks"
	"milterd/message"
)

// TestSpamAssassinView looks at a message as SpamAssassin does: bytes, paragraphs,
// the subject before them, hops with the client as the last one.
func TestSpamAssassinView(t *testing.T) {
	c := newCheckOf(t, `rules:
  - {name: BYTES, sa.body: {match: 'caf\xc3\xa9 open'}}
  - {name: SUBJECT, sa.body: {match: '^Hello\n'}}
  - {name: NOT_SUBJECT, sa.body_only: {match: 'Hello'}}
  - {name: RAW, sa.rawbody: {match: 'open\n\nnow'}}
  - {name: ADDR, "sa.header": "From:addr", match: '^a@b\.example$'}
  - {name: HOP, sa.header: X-Spam-Relays-External, match: '^\[ ip=192\.0\.2\.7 rdns=mail\.example\.org helo=mx1\.example\.org .* envfrom=alice@example\.org '}
  - {name: ENVELOPE, sa.header: EnvelopeFrom, match: '^alice@example\.org$'}
  - {name: MISSING, sa.header: Nope, exists: false}
  - {name: PARTS, sa.mimeheader: Content-Type, match: 'plain'}
  - {name: TWICE, sa.body: {match: 'o', count: 5}}
`, checks.Limits{})
	m := newMessage(t, []message.Field{{Name: "From", Value: " A <a@b.example>"}, {Name: "Subject", Value: " Hello"}, {Name: "Content-Type", Value: " text/plain; charset=utf-8"}},
		[]byte("The café\r\nopen\r\n\r\nnow\r\n"))
	got := strings.Join(run(t, c, m), "\n")
	for _, want := range []string{`BYTES "café open"`, "SUBJECT ", "RAW ", "ADDR ", "HOP ", "ENVELOPE ", "MISSING", "PARTS ", "TWICE "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among\n%s", want, got)
		}
	}
	if strings.Contains(got, "NOT_SUBJECT") {
		t.Errorf("the subject is in the body without it:\n%s", got)
	}
}
