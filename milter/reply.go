package milter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	wire "github.com/emersion/go-milter"
)

const (
	maxReplyLine  = 400 // bytes of text; with code and CRLF below RFC 5321's 512
	maxReplyLines = 32  // libmilter's MAXREPLYLINES
)

// Reply is what a filter answers to one event. It is a value, comparable with
// ==; the zero Reply is Continue. A reply with an SMTP code is made by NewReply.
type Reply struct {
	act  wire.ActionCode // zero: continue
	text string          // of ActReplyCode: all lines with their codes, divided by CRLF, % single
}

// Replies without a text of their own. They are values, never assigned to.
var (
	// Continue goes on; at end of message it accepts, with the edits.
	Continue = Reply{}
	// Accept takes the message without further events. Postfix then skips the
	// filter until the next MAIL: use it at end of message only.
	Accept = Reply{act: wire.ActAccept}
	// Discard takes the message and drops it in silence. Not for CONNECT and HELO.
	Discard = Reply{act: wire.ActDiscard}
	// Skip asks for no further body chunks. For Session.Body only.
	Skip = Reply{act: wire.ActSkip}
	// Reject refuses with the MTA's own text (Postfix: 550 5.7.1 Command rejected).
	Reject = Reply{act: wire.ActReject}
	// TempFail refuses with the MTA's own text (Postfix: 451 4.7.1 Service
	// unavailable - try again later).
	TempFail = Reply{act: wire.ActTempFail}
)

// Replies of the package itself.
var (
	localError = Reply{wire.ActReplyCode, "451 4.3.0 Local filter error"}
	tooBusy    = Reply{wire.ActReplyCode, "421 4.3.2 Too busy"}
)

// NewReply makes a reply with an SMTP code (400 to 599), an enhanced status
// code of the same class (RFC 3463, mandatory: older Postfix wants it) and one
// to 32 lines of text. A line is 1 to 400 bytes of printable ASCII: no CR, LF,
// NUL, no controls, nothing beyond ASCII. Percent signs are taken as they are;
// the wire's doubling is done where the wire is written.
//
// A 421 makes Postfix hang up on the SMTP client.
func NewReply(code int, enhanced string, lines ...string) (Reply, error) {
	if code < 400 || code > 599 {
		return Reply{}, fmt.Errorf("milter: reply code %d is neither 4xx nor 5xx", code)
	}
	if err := checkEnhanced(enhanced); err != nil {
		return Reply{}, err
	}
	if int(enhanced[0]-'0') != code/100 {
		return Reply{}, fmt.Errorf("milter: reply code %d does not agree with status %s", code, enhanced)
	}
	if len(lines) == 0 || len(lines) > maxReplyLines {
		return Reply{}, fmt.Errorf("milter: a reply has 1 to %d lines, not %d", maxReplyLines, len(lines))
	}
	var b strings.Builder
	for i, line := range lines {
		if line == "" || len(line) > maxReplyLine {
			return Reply{}, fmt.Errorf("milter: a reply line has 1 to %d bytes, not %d", maxReplyLine, len(line))
		}
		if j := strings.IndexFunc(line, notPrintable); j >= 0 {
			return Reply{}, fmt.Errorf("milter: byte %#02x in a reply line", line[j])
		}
		sep := byte('-')
		if i == len(lines)-1 {
			sep = ' '
		}
		b.WriteString(strconv.Itoa(code))
		b.WriteByte(sep)
		b.WriteString(enhanced)
		b.WriteByte(' ')
		b.WriteString(line)
		if sep == '-' {
			b.WriteString("\r\n")
		}
	}
	return Reply{wire.ActReplyCode, b.String()}, nil
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// checkEnhanced wants class.subject.detail of RFC 3463, section 2: one digit
// (4 or 5 here) and two numbers of one to three digits without leading zeros.
func checkEnhanced(s string) error {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || (parts[0] != "4" && parts[0] != "5") {
		return fmt.Errorf("milter: %q is no enhanced status code of class 4 or 5", s)
	}
	for _, p := range parts[1:] {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n > 999 || strconv.FormatUint(n, 10) != p {
			return fmt.Errorf("milter: %q is no enhanced status code", s)
		}
	}
	return nil
}

// IsContinue tells whether r is Continue.
func (r Reply) IsContinue() bool { return r.Action() == wire.ActContinue }

// Refuses tells whether r turns the event away, for now or for good.
func (r Reply) Refuses() bool { return r.Temporary() || r.Permanent() }

// Temporary tells whether r is a 4xx.
func (r Reply) Temporary() bool {
	switch r.act {
	case wire.ActTempFail, ActShutdown, ActConnFail:
		return true
	}
	return r.Code()/100 == 4
}

// Permanent tells whether r is a 5xx.
func (r Reply) Permanent() bool { return r.act == wire.ActReject || r.Code()/100 == 5 }

// Action is the reply's letter on the wire.
func (r Reply) Action() wire.ActionCode {
	if r.act == 0 {
		return wire.ActContinue
	}
	return r.act
}

// Code is the SMTP code of a reply made by NewReply, else 0.
func (r Reply) Code() int {
	if r.act != wire.ActReplyCode || len(r.text) < 3 {
		return 0
	}
	return int(r.text[0]-'0')*100 + int(r.text[1]-'0')*10 + int(r.text[2]-'0')
}

// SMTP is the reply as the SMTP client sees it, lines divided by CRLF, without a
// last CRLF; empty for replies whose text is the MTA's.
func (r Reply) SMTP() string { return r.text }

// String shows the reply on one line, for people: "continue", "reject", or
// "550 5.7.1 first line / second line".
func (r Reply) String() string {
	switch r.Action() {
	case wire.ActContinue:
		return "continue"
	case wire.ActAccept:
		return "accept"
	case wire.ActDiscard:
		return "discard"
	case wire.ActSkip:
		return "skip"
	case wire.ActReject:
		return "reject"
	case wire.ActTempFail:
		return "tempfail"
	case ActShutdown:
		return "shutdown"
	case ActConnFail:
		return "connection failure"
	}
	lines := strings.Split(r.text, "\r\n")
	first := lines[0][4:]
	status, _, _ := strings.Cut(first, " ")
	shown := lines[0][:3] + " " + first
	for _, line := range lines[1:] {
		shown += " / " + strings.TrimPrefix(line[4:], status+" ")
	}
	return shown
}

// appendReply appends the packet. Sendmail uses the text as a format, so the
// protocol wants % doubled; Postfix undoes it.
func appendReply(dst []byte, r Reply) []byte {
	if r.Action() != wire.ActReplyCode {
		return append(dst, 0, 0, 0, 1, byte(r.Action()))
	}
	return appendFrame(dst, byte(wire.ActReplyCode), strings.ReplaceAll(r.text, "%", "%%"), "\x00")
}

var errReply = errors.New("milter: malformed reply")

// decodeReply reads a filter's answer as Postfix does, strict where a version
// of Postfix is: the text is lines of one 4xx or 5xx code divided by CRLF, "-"
// after the code on all but the last, an enhanced code of the same class.
func decodeReply(act wire.ActionCode, data []byte) (Reply, error) {
	switch act {
	case wire.ActContinue, wire.ActAccept, wire.ActDiscard, wire.ActSkip, wire.ActReject, wire.ActTempFail,
		ActShutdown, ActConnFail:
		if len(data) != 0 {
			return Reply{}, fmt.Errorf("%w: %q with data", errReply, byte(act))
		}
		if act == wire.ActContinue {
			act = 0
		}
		return Reply{act: act}, nil
	case wire.ActReplyCode:
	default:
		return Reply{}, fmt.Errorf("%w: unexpected %q", errReply, byte(act))
	}
	raw := strings.TrimSuffix(string(data), "\x00")
	if strings.ContainsRune(raw, 0) {
		return Reply{}, fmt.Errorf("%w: NUL in the text", errReply)
	}
	text := undoublePercent(raw)
	lines := strings.Split(text, "\r\n")
	for i, line := range lines {
		sep := byte('-')
		if i == len(lines)-1 {
			sep = ' '
		}
		switch {
		case len(line) < 4 || (line[0] != '4' && line[0] != '5') || !isDigit(line[1]) || !isDigit(line[2]):
			return Reply{}, fmt.Errorf("%w: no 4xx or 5xx in line %d", errReply, i+1)
		case line[3] != sep || line[:3] != lines[0][:3]:
			return Reply{}, fmt.Errorf("%w: line %d does not continue the one before", errReply, i+1)
		case len(line) > 4 && isDigit(line[4]) && line[4] != line[0]:
			return Reply{}, fmt.Errorf("%w: enhanced code of another class in line %d", errReply, i+1)
		case strings.ContainsAny(line, "\r\n"):
			return Reply{}, fmt.Errorf("%w: stray line break in line %d", errReply, i+1)
		}
	}
	return Reply{act, text}, nil
}

// undoublePercent makes %% one %, and drops a % that stands alone, as Postfix.
func undoublePercent(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i++; i == len(s) {
				break
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
