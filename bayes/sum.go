package bayes

import (
	"bytes"
	"crypto/sha256"
	"hash"

	"milterd/message"
)

// sum names a message by what neither transport nor filing changes: who wrote it,
// when, its Message-ID and Subject, and the decoded content of its parts without
// regard to line ends and blanks before them. Encodings may change on the way
// (RFC 6152, section 3), so they do not count.
func sum(m Message) (s [sha256.Size]byte) {
	h := sha256.New()
	for _, name := range [...]string{"Message-ID", "Date", "From", "Subject"} {
		for v := range m.Header.All(name) {
			squeeze(h, []byte(message.Unfold(v)))
		}
		h.Write([]byte{0})
	}
	for _, p := range m.Tree.Parts {
		if len(p.Children) > 0 {
			continue
		}
		content, _ := p.Content()
		if p.IsText() {
			squeeze(h, content)
		} else {
			h.Write(content)
		}
		h.Write([]byte{0})
	}
	return [sha256.Size]byte(h.Sum(s[:0]))
}

// squeeze writes text word by word: transport may add blanks at the ends of lines,
// and fold lines, but it does not join words.
func squeeze(h hash.Hash, text []byte) {
	for word := range bytes.FieldsSeq(text) {
		h.Write(word)
		h.Write([]byte{' '})
	}
}
