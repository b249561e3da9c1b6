// Package journal keeps what was decided and why: one JSON object a message,
// the same that "milterd scan --json" prints, never a body. Operators ask it
// with "milterd why", by transaction id, queue id or Message-ID.
package journal

import (
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/internal/pipeline"
	"milterd/message"
)

// Record is the stored verdict on one message (DESIGN.md, section 3). The
// fields from the message are a stranger's text: cut, and to be escaped
// wherever they are shown.
type Record struct {
	File       string             `json:"file,omitempty"`
	Time       time.Time          `json:"time,omitzero"`
	ID         string             `json:"id"`
	QueueID    string             `json:"qid,omitempty"`
	MessageID  string             `json:"message_id,omitempty"`
	Role       message.Role       `json:"role"`
	Peer       message.Peer       `json:"peer,omitempty"`
	Client     string             `json:"client,omitempty"`
	ClientName string             `json:"client_name,omitempty"`
	Helo       string             `json:"helo,omitempty"`
	Login      string             `json:"login,omitempty"`
	From       string             `json:"from"`
	Rcpt       []string           `json:"rcpt,omitempty"`
	Subject    string             `json:"subject,omitempty"`
	Size       int64              `json:"size,omitempty"`
	Action     message.Action     `json:"action"`
	Would      message.Action     `json:"would,omitempty"`
	Score      float64            `json:"score"`
	Objective  float64            `json:"objective"`
	Thresholds message.Thresholds `json:"thresholds"`
	DecidedBy  string             `json:"decided_by"`
	Mitigation string             `json:"mitigation,omitempty"`
	Reply      string             `json:"reply,omitempty"`
	Hold       string             `json:"hold,omitempty"`
	Findings   []message.Finding  `json:"findings"`
	Auth       []authres.Method   `json:"auth"`
	Headers    []message.Edit     `json:"headers"`
	Checks     []Check            `json:"checks"`
	TookMS     float64            `json:"took_ms"`
}

// Check says how one check ended.
type Check struct {
	Name    string         `json:"name"`
	Outcome checks.Outcome `json:"outcome"`
	MS      float64        `json:"ms"`
	Error   string         `json:"error"`
}

// Bounds on what is kept of a stranger's text, and on recipients.
const (
	maxText       = 256
	maxRecipients = 50
)

// NewRecord describes an outcome. Subjects says whether the subject may be
// kept.
func NewRecord(o *pipeline.Outcome, subjects bool) *Record {
	m, v := o.Message, &o.Verdict
	r := &Record{
		Time: m.Time, ID: m.ID, QueueID: m.QueueID, Role: m.Role, Peer: m.Peer,
		ClientName: cut(m.Session.HostName()), Helo: cut(m.Session.Helo), Login: cut(m.Login),
		From: cut(m.MailFrom.Raw), Action: v.Action, Would: v.Would, Score: v.Score, Objective: v.Objective,
		Thresholds: v.Thresholds, DecidedBy: v.DecidedBy, Mitigation: v.Mitigation,
		Reply: v.Reply.String(), Hold: v.HoldReason,
		Findings: orEmpty(v.Findings), Auth: orEmpty(o.Auth), Headers: orEmpty(o.Edits),
		Checks: make([]Check, 0, len(o.Results)), TookMS: milliseconds(o.Took),
	}
	if m.Session.Client.IsValid() {
		r.Client = m.Session.Client.String()
	}
	for i, rcpt := range m.Recipients {
		if i == maxRecipients {
			break
		}
		r.Rcpt = append(r.Rcpt, cut(rcpt.Path.Raw))
	}
	if m.Header != nil {
		r.MessageID = cut(m.Header.Text("Message-ID"))
		r.Size = int64(m.Header.Size)
		if subjects {
			r.Subject = cut(m.Header.Text("Subject"))
		}
	}
	if m.Body != nil {
		r.Size += m.Body.Size()
	}
	for i := range o.Results {
		res := &o.Results[i]
		c := Check{Name: res.Check, Outcome: res.Ended(), MS: milliseconds(res.Took)}
		if res.Err != nil {
			c.Error = cut(res.Err.Error())
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
