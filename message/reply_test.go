package message

import (
	"regexp"
	"strings"
	"testing"
)

// replies are all that milterd ever says, with the codes of the contract.
func replies(t *testing.T) map[string]Reply {
	t.Helper()
	author, err := ParseDomain(strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 57) + ".tst")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Reply{
		"554 5.7.1 Message rejected as spam":                                                               ReplySpam,
		"550 5.7.1 Message must have exactly one valid From address (RFC 5322 3.6)":                        ReplyBadAuthor,
		"552 5.3.4 Message header too large":                                                               ReplyHeaderSize,
		"452 4.5.3 Too many recipients":                                                                    ReplyRecipients,
		"451 4.3.0 Local filter error":                                                                     ReplyOwnFault,
		"451 4.3.1 Not enough memory for another message, try again":                                       ReplyNoMemory,
		"421 4.3.2 Too busy":                                                                               ReplyTooBusy,
		"421 4.3.2 Shutting down":                                                                          ReplyShuttingDown,
		"451 4.7.0 Sender policy lookup failed, try again":                                                 ReplyPolicyLookup,
		"554 5.7.1 Malware detected":                                                                       ReplyMalware,
		"554 5.7.1 Attachment of a type that is not accepted here: in.zip/run.exe":                         ReplyAttachment("in.zip/run.exe"),
		"554 5.7.1 Attachment of a type that is not accepted here: a??b ?.exe":                             ReplyAttachment("a\r\nb \u202e.exe"),
		"554 5.7.1 Attachment of a type that is not accepted here: ?invoice?.js":                           ReplyAttachment("\"invoice%.js"),
		"554 5.7.1 Attachment of a type that is not accepted here: ..." + strings.Repeat("x", 53) + ".exe": ReplyAttachment(strings.Repeat("x", 1000) + ".exe"),
		"553 5.7.1 Sender address not owned by user":                                                       ReplyNotOwner,
		"451 4.7.5 Signing unavailable":                                                                    ReplySigning,
		"451 4.3.0 Content scan unavailable":                                                               ReplyScanner,
		"550 5.7.26 " + author.String() + " DMARC policy reject":                                           ReplyDMARC(author),
		"451 4.7.1 Greylisted, try again in 300 s":                                                         ReplyGreylisted(300),
		"451 4.7.1 Greylisted, try again in 1 s":                                                           ReplyGreylisted(-5),
	}
}

func TestReplies(t *testing.T) {
	enhanced := regexp.MustCompile(`^[45]\.\d{1,3}\.\d{1,3}$`)
	for want, r := range replies(t) {
		if r.String() != want {
			t.Errorf("%q, want %q", r, want)
		}
		// RFC 3463, section 2: the class of the status code is that of the reply.
		if !enhanced.MatchString(r.Enhanced) || int(r.Enhanced[0]-'0') != r.Code/100 {
			t.Errorf("%q: status code of another class", r)
		}
		if r.IsZero() || r.Temporary() != (r.Code < 500) {
			t.Errorf("%q: zero %v, temporary %v", r, r.IsZero(), r.Temporary())
		}
		told := r.WithID("k7q2m9zt4w1c")
		if told.String() != want+" (k7q2m9zt4w1c)" || told.Code != r.Code || told.Enhanced != r.Enhanced {
			t.Errorf("with its id: %q", told)
		}
		// RFC 5321, section 4.5.3.1.5: 512 bytes with code and line end.
		if text := told.String(); len(text)+2 > 512 || SafeText(text, 512) != text {
			t.Errorf("%d bytes, or not printable: %q", len(text), text)
		}
	}
}

func TestNoReply(t *testing.T) {
	var none Reply
	if !none.IsZero() || none.String() != "" || none.Temporary() || none.WithID("k7q2m9zt4w1c") != none {
		t.Errorf("an accepted message is told %q", none.WithID("k7q2m9zt4w1c"))
	}
	if ReplySpam.WithID("") != ReplySpam {
		t.Error("an id that is none leaves its brackets behind")
	}
}
