package pipeline

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"milterd/message"
)

// MarkField is the header field by which we know a message that we have seen.
const MarkField = "X-Milterd-Id"

// maxMarks bounds the fields that are looked at. A message of ours has one.
const maxMarks = 4

var markEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// mark returns the value of X-Milterd-Id: the transaction id and a keyed tag
// over it and the parts of the header that a content filter leaves alone. The
// tag proves that the field is ours; the binding, that it belongs to this
// message. A mailing list of ours adds its List-Id: what it sends is new mail of
// ours and not the mail that it got coming back.
func (p *Pipeline) mark(m *message.Message) string {
	return m.ID + " " + p.markTag(m.ID, m.Header)
}

func (p *Pipeline) markTag(id string, h *message.Header) string {
	mac := hmac.New(sha256.New, p.o.MarkKey)
	mac.Write([]byte(id))
	for _, name := range []string{"Message-ID", "Date", "From", "List-Id", "List-Post", "Mailing-List"} {
		mac.Write([]byte("\x00" + name))
		for v := range h.All(name) {
			mac.Write([]byte("\x00"))
			mac.Write([]byte(message.Unfold(v)))
		}
	}
	return markEncoding.EncodeToString(mac.Sum(nil)[:15])
}

// Seen reports whether the message carries our own valid mark: it has been
// through milterd and comes back. The client must be ours as well, or anybody
// who once got a mail from us could replay its mark.
func (p *Pipeline) Seen(m *message.Message) bool {
	if !m.Session.Local() && !p.o.Roles.Ours(m.Session.Client) || m.Login != "" || m.Peer != message.Stranger {
		return false
	}
	tries := 0
	for v := range m.Header.All(MarkField) {
		if tries++; tries > maxMarks {
			break
		}
		id, tag, ok := strings.Cut(message.Unfold(v), " ")
		if ok && message.ValidID(id) && hmac.Equal([]byte(tag), []byte(p.markTag(id, m.Header))) {
			return true
		}
	}
	return false
}
