package journal

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"milterd/authres"
	"milterd/message"
)

// appendRecord appends the JSON of a record, byte for byte what json.Marshal makes of
// it. Every message pays for its record, and most of what json.Marshal takes goes into
// finding out what a record looks like, which is written down here. The fields stand in
// the order of their types; one that is forgotten fails a test.
//
// What JSON has no form for, a NaN or the year 10000, is an error, and b stays as it was.
func appendRecord(b []byte, r *Record) ([]byte, error) {
	l := line{b: b}
	l.record(r)
	if l.err != nil {
		return b, l.err
	}
	return l.b, nil
}

// line is JSON that grows.
type line struct {
	b   []byte
	err error // of the last value that JSON has no form for
}

func (l *line) record(r *Record) {
	l.open()
	l.textIfAny("file", r.File)
	if !r.Time.IsZero() {
		l.time("time", r.Time)
	}
	l.text("id", r.ID)
	l.textIfAny("qid", r.QueueID)
	l.textIfAny("message_id", r.MessageID)
	l.textIfAny("stage", r.Stage)
	l.text("role", string(r.Role))
	l.textIfAny("peer", string(r.Peer))
	l.textIfAny("client", r.Client)
	l.textIfAny("client_name", r.ClientName)
	l.textIfAny("helo", r.Helo)
	l.textIfAny("login", r.Login)
	l.text("from", r.From)
	if len(r.Rcpt) > 0 {
		array(l, "rcpt", r.Rcpt, func(l *line, rcpt *string) { l.quote(*rcpt) })
	}
	l.textIfAny("subject", r.Subject)
	if r.Size != 0 {
		l.integer("size", r.Size)
	}
	l.text("action", string(r.Action))
	l.textIfAny("would", string(r.Would))
	l.number("score", r.Score)
	l.number("objective", r.Objective)
	l.key("thresholds")
	l.thresholds(&r.Thresholds)
	l.text("decided_by", r.DecidedBy)
	l.textIfAny("mitigation", r.Mitigation)
	l.textIfAny("policy", r.Policy)
	if len(r.Recipients) > 0 {
		array(l, "recipients", r.Recipients, (*line).recipient)
	}
	l.text("reply", r.Reply)
	l.textIfAny("hold", r.Hold)
	array(l, "findings", r.Findings, (*line).finding)
	array(l, "auth", r.Auth, (*line).method)
	array(l, "headers", r.Headers, (*line).edit)
	array(l, "checks", r.Checks, (*line).check)
	l.number("took_ms", r.TookMS)
	l.close()
}

func (l *line) thresholds(t *message.Thresholds) {
	l.open()
	l.numberOrNull("greylist", t.Greylist)
	l.numberOrNull("junk", t.Junk)
	l.numberOrNull("reject", t.Reject)
	l.close()
}

func (l *line) recipient(v *message.RecipientVerdict) {
	l.open()
	l.text("recipient", v.Recipient)
	l.textIfAny("policy", v.Policy)
	l.text("action", string(v.Action))
	l.textIfAny("would", string(v.Would))
	l.text("decided_by", v.DecidedBy)
	l.close()
}

func (l *line) finding(f *message.Finding) {
	l.open()
	l.text("name", f.Name)
	l.text("check", f.Check)
	l.number("score", f.Score)
	if f.Value != 0 {
		l.number("value", f.Value)
	}
	l.truth("subjective", f.Subjective)
	if f.Shadow {
		l.truth("shadow", true)
	}
	l.textIfAny("detail", f.Detail)
	l.close()
}

func (l *line) method(m *authres.Method) {
	l.open()
	l.text("method", m.Method)
	l.text("result", m.Result)
	l.text("reason", m.Reason)
	l.key("props")
	l.open()
	for name, value := range m.Named() {
		l.quotedKey(name)
		l.quote(value)
	}
	l.close()
	l.close()
}

func (l *line) edit(e *message.Edit) {
	l.open()
	l.text("op", string(e.Op))
	l.integer("index", int64(e.Index))
	l.text("name", e.Name)
	l.textIfAny("value", e.Value)
	l.close()
}

func (l *line) check(c *Check) {
	l.open()
	l.text("name", c.Name)
	l.text("outcome", string(c.Outcome))
	l.number("ms", c.MS)
	l.text("error", c.Error)
	l.textIfAny("note", c.Note)
	l.close()
}

func (l *line) open()  { l.b = append(l.b, '{') }
func (l *line) close() { l.b = append(l.b, '}') }

// key begins a member of an object; the name is ours, and needs no escaping.
func (l *line) key(name string) {
	l.comma()
	l.b = append(l.b, '"')
	l.b = append(l.b, name...)
	l.b = append(l.b, '"', ':')
}

// quotedKey is a key whose name may be any text.
func (l *line) quotedKey(name string) {
	l.comma()
	l.quote(name)
	l.b = append(l.b, ':')
}

// comma parts a member of an object from the one before.
func (l *line) comma() {
	if l.b[len(l.b)-1] != '{' {
		l.b = append(l.b, ',')
	}
}

func (l *line) text(name, value string) {
	l.key(name)
	l.quote(value)
}

func (l *line) textIfAny(name, value string) {
	if value != "" {
		l.text(name, value)
	}
}

func (l *line) truth(name string, value bool) {
	l.key(name)
	l.b = strconv.AppendBool(l.b, value)
}

func (l *line) integer(name string, value int64) {
	l.key(name)
	l.b = strconv.AppendInt(l.b, value, 10)
}

// number leaves to json.Marshal what is written with an exponent or cannot be written.
func (l *line) number(name string, value float64) {
	l.key(name)
	if size := math.Abs(value); value == 0 || size >= 1e-6 && size < 1e21 {
		l.b = strconv.AppendFloat(l.b, value, 'f', -1, 64)
		return
	}
	l.marshal(value)
}

func (l *line) numberOrNull(name string, value *float64) {
	if value == nil {
		l.key(name)
		l.null()
		return
	}
	l.number(name, *value)
}

// time is in the form of RFC 3339.
func (l *line) time(name string, t time.Time) {
	l.key(name)
	l.b = append(l.b, '"')
	if b, err := t.AppendText(l.b); err != nil {
		l.err = err
	} else {
		l.b = append(b, '"')
	}
}

// array is a member that is a list of values, each of which one appends.
func array[T any](l *line, name string, values []T, one func(*line, *T)) {
	l.key(name)
	if values == nil {
		l.null()
		return
	}
	l.b = append(l.b, '[')
	for i := range values {
		if i > 0 {
			l.b = append(l.b, ',')
		}
		one(l, &values[i])
	}
	l.b = append(l.b, ']')
}

func (l *line) null() { l.b = append(l.b, "null"...) }

// quote appends a text in quotes. It knows the ASCII that mail is full of and leaves the
// rest to json.Marshal: control characters, and how to tell UTF-8 from what is none.
func (l *line) quote(s string) {
	start, done := len(l.b), 0
	l.b = append(l.b, '"')
	for i := range len(s) {
		if asItIs[s[i]] {
			continue
		}
		escape := ""
		switch s[i] {
		case '<':
			escape = `\u003c`
		case '>':
			escape = `\u003e`
		case '&':
			escape = `\u0026`
		case '"':
			escape = `\"`
		case '\\':
			escape = `\\`
		case '\n':
			escape = `\n`
		case '\t':
			escape = `\t`
		default:
			l.b = l.b[:start]
			l.marshal(s)
			return
		}
		l.b = append(l.b, s[done:i]...)
		l.b = append(l.b, escape...)
		done = i + 1
	}
	l.b = append(l.b, s[done:]...)
	l.b = append(l.b, '"')
}

// asItIs are the characters that stand for themselves. JSON would let <, > and & be, but
// json.Marshal does not, for the sake of those who show it in a browser.
var asItIs = func() (table [256]bool) {
	for c := ' '; c <= '~'; c++ {
		table[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return table
}()

// marshal appends a value the long way.
func (l *line) marshal(value any) {
	b, err := json.Marshal(value)
	if err != nil {
		l.err = err
	}
	l.b = append(l.b, b...)
}
