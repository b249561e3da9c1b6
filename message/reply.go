package message

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Reply is what the SMTP client is told when a message or a recipient is not
// accepted. There is a closed list of them, the constructors below; nothing
// from a message goes into a text unless its type has proven it harmless.
type Reply struct {
	Code     int    // 4xx or 5xx
	Enhanced string // RFC 3463, its class agrees with Code
	Text     string // printable ASCII, one line
}

// IsZero reports whether there is no reply: the message is accepted.
func (r Reply) IsZero() bool { return r.Code == 0 }

// Temporary reports whether the client will try again.
func (r Reply) Temporary() bool { return r.Code/100 == 4 }

// WithID returns the reply with the transaction id at the end of its text.
func (r Reply) WithID(id string) Reply {
	if r.Code != 0 && id != "" {
		r.Text += " (" + id + ")"
	}
	return r
}

// String returns the reply as the client sees it.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	return strconv.Itoa(r.Code) + " " + r.Enhanced + " " + r.Text
}

// The replies of milterd. Codes follow RFC 3463 and RFC 7372.
var (
	ReplySpam         = Reply{Code: 554, Enhanced: "5.7.1", Text: "Message rejected as spam"}
	ReplyBadAuthor    = Reply{Code: 550, Enhanced: "5.7.1", Text: "Message must have exactly one valid From address (RFC 5322 3.6)"}
	ReplyHeaderSize   = Reply{Code: 552, Enhanced: "5.3.4", Text: "Message header too large"}
	ReplyRecipients   = Reply{Code: 452, Enhanced: "4.5.3", Text: "Too many recipients"}
	ReplyOwnFault     = Reply{Code: 451, Enhanced: "4.3.0", Text: "Local filter error"}
	ReplyNoMemory     = Reply{Code: 451, Enhanced: "4.3.1", Text: "Not enough memory for another message, try again"}
	ReplyTooBusy      = Reply{Code: 421, Enhanced: "4.3.2", Text: "Too busy"}
	ReplyShuttingDown = Reply{Code: 421, Enhanced: "4.3.2", Text: "Shutting down"}
	ReplyPolicyLookup = Reply{Code: 451, Enhanced: "4.7.0", Text: "Sender policy lookup failed, try again"}
	ReplyMalware      = Reply{Code: 554, Enhanced: "5.7.1", Text: "Malware detected"}
	ReplyNotOwner     = Reply{Code: 553, Enhanced: "5.7.1", Text: "Sender address not owned by user"}
	ReplySigning      = Reply{Code: 451, Enhanced: "4.7.5", Text: "Signing unavailable"}
	ReplyRate         = Reply{Code: 451, Enhanced: "4.7.1", Text: "Too much mail at once, try again later"}
	ReplyScanner      = Reply{Code: 451, Enhanced: "4.3.0", Text: "Content scan unavailable"}
)

// ReplyDMARC refuses mail that its author's domain asks to refuse.
func ReplyDMARC(author Domain) Reply {
	return Reply{Code: 550, Enhanced: "5.7.26", Text: author.String() + " DMARC policy reject"}
}

// ReplyListed refuses a host that a DNS list has. list is the operator's name for it.
func ReplyListed(client netip.Addr, list string) Reply {
	return Reply{Code: 550, Enhanced: "5.7.1", Text: fmt.Sprintf("Client host [%s] listed by %s", client.WithZone(""), SafeText(list, 40))}
}

// maxFileName is how much of a file's name is told to the sender: its end.
const maxFileName = 60

// ReplyAttachment refuses mail for a file in it. name is what the sender has called it,
// with its way through archives; letters, digits and a few signs of it are repeated.
func ReplyAttachment(name string) Reply {
	name = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" ._-/", r)) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(name, "?"))
	if len(name) > maxFileName {
		name = "..." + name[len(name)-maxFileName+3:]
	}
	return Reply{Code: 554, Enhanced: "5.7.1", Text: fmt.Sprintf("Attachment of a type that is not accepted here: %s", strings.TrimSpace(name))}
}

// ReplyGreylisted asks to come back in that many seconds.
func ReplyGreylisted(seconds int) Reply {
	return Reply{Code: 451, Enhanced: "4.7.1", Text: fmt.Sprintf("Greylisted, try again in %d s", max(seconds, 1))}
}
