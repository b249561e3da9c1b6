package dkim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"milterd/message"
)

const (
	// maxPreface is the most lines taken for a preface.
	maxPreface = 30
	// maxGuessed is the longest body, in bytes, that is hashed again for a guess.
	maxGuessed = 4 << 20
	// maxParts is the most parts looked at.
	maxParts = 20
)

// guessBody looks for a change that, undone, gives the body the hash in bh=.
func guessBody(sig *Signature, fields []message.Field, body []byte) []Change {
	if len(body) > maxGuessed {
		return nil
	}
	lines := canonicalLines(sig.Body, body)
	for first := range min(maxPreface, len(lines)) {
		// Only the whole body is worth the look at every possible end.
		if n := footer(sig, lines[first:], first == 0); n >= 0 {
			var list []Change
			if first > 0 {
				list = append(list, Change{Kind: Preface, Lines: first, Proven: true})
			}
			if n > 0 {
				list = append(list, Change{Kind: Footer, Lines: n, Proven: true})
			}
			return list
		}
	}
	header := message.NewHeader(fields, 0)
	contentType, _ := header.Get("Content-Type")
	encoding, _ := header.Get("Content-Transfer-Encoding")
	for _, part := range parts(contentType, body) {
		if bytes.Equal(hashOf(sig.Body, part), sig.BodyHash) {
			return []Change{{Kind: Wrapped, Proven: true}}
		}
	}
	if decoded, ok := decode(encoding, body); ok && bytes.Equal(hashOf(sig.Body, decoded), sig.BodyHash) {
		return []Change{{Kind: Recoded, Proven: true}}
	}
	return nil
}

// footer returns how many lines at the end are not part of what was signed, or
// -1. A hash can be read at any place, so all ends cost one pass.
func footer(sig *Signature, lines [][]byte, all bool) int {
	h := sha256.New()
	total := len(lines)
	if total > 0 && len(lines[total-1]) == 0 {
		total-- // what follows the last line end
	}
	sum := make([]byte, 0, sha256.Size)
	for i, line := range lines[:total] {
		h.Write(line)
		// An empty line at the end does not count.
		if len(line) > 2 && (all || i == total-1) && bytes.Equal(h.Sum(sum), sig.BodyHash) {
			return total - 1 - i
		}
	}
	if all && bytes.Equal(hashOf(sig.Body, nil), sig.BodyHash) {
		return total
	}
	return -1
}

// parts returns the bodies of the outermost parts of a multipart body.
func parts(contentType string, body []byte) [][]byte {
	_, parameters, err := mime.ParseMediaType(message.Unfold(contentType))
	if err != nil || parameters["boundary"] == "" {
		return nil
	}
	delimiter := []byte("--" + parameters["boundary"])
	var list [][]byte
	for i, part := range bytes.SplitN(body, delimiter, maxParts+2) {
		if i == 0 {
			continue // before the first part
		}
		// The part's own header ends at an empty line.
		for _, empty := range []string{"\r\n\r\n", "\n\n"} {
			if _, content, ok := bytes.Cut(part, []byte(empty)); ok {
				list = append(list, content)
				break
			}
		}
	}
	return list
}

// decode undoes a transfer encoding.
func decode(encoding string, body []byte) ([]byte, bool) {
	var r io.Reader = bytes.NewReader(body)
	switch strings.ToLower(message.Unfold(encoding)) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	default:
		return nil, false
	}
	decoded, err := io.ReadAll(r)
	return decoded, err == nil
}
