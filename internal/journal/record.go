// Package journal keeps what was decided and why: one JSON object a message,
// the same that "milterd scan --json" prints, never a body. Operators ask it
// with "milterd why", by transaction id, queue id or Message-ID.
package journal

import (
	"math"
	"strings"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/internal/pipeline"
	"milterd/message"
)

// Record is the stored verdict on one message. The fields from the message are
// a stranger's text: cut, and to be escaped wherever they are shown. Whatever
// bytes a message has, its record is valid JSON of a bounded length, and reads
// back as it was written.
type Record struct {
	File      string    `json:"file,omitempty"`
	Time      time.Time `json:"time,omitzero"`
	ID        string    `json:"id"`
	QueueID   string    `json:"qid,omitempty"`
	MessageID string    `json:"message_id,omitempty"`
	// Stage is empty for a verdict on a message, and AtRcpt for one on a recipient that
	// was refused at RCPT TO; the message may have gone on for others.
	Stage      string             `json:"stage,omitempty"`
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
	Policy     string             `json:"policy,omitempty"`
	// Recipients tells what each recipient's policy says, where they differ.
	Recipients []message.RecipientVerdict `json:"recipients,omitempty"`
	Reply      string                     `json:"reply"`
	Hold       string                     `json:"hold,omitempty"`
	Findings   []message.Finding          `json:"findings"`
	Auth       []authres.Method           `json:"auth"`
	Headers    []message.Edit             `json:"headers"`
	Checks     []Check                    `json:"checks"`
	TookMS     float64                    `json:"took_ms"`
}

// AtRcpt is the Stage of a refused recipient.
const AtRcpt = "rcpt"

// Check says how one check ended.
type Check struct {
	Name    string         `json:"name"`
	Outcome checks.Outcome `json:"outcome"`
	MS      float64        `json:"ms"`
	Error   string         `json:"error"`
	// Note says what the check did to the message, or why it did not.
	Note string `json:"note,omitempty"`
}

// Bounds on what is kept of one message. They keep a sender of monsters from
// pushing everybody else's verdicts out of the journal.
const (
	maxText       = 256 // bytes of a stranger's text
	maxRecipients = 50
	maxRemovals   = 50 // header fields that are removed
)

// NewRecord describes an outcome. Subjects says whether the subject may be
// kept.
func NewRecord(o *pipeline.Outcome, subjects bool) *Record {
	m, v := o.Message, &o.Verdict
	r := &Record{
		Time: m.Time, ID: m.ID, QueueID: text(m.QueueID), Role: m.Role, Peer: m.Peer,
		ClientName: text(m.Session.HostName()), Helo: text(m.Session.Helo), Login: text(m.Login),
		From: text(m.MailFrom.Raw), Action: v.Action, Would: v.Would, Score: finite(v.Score), Objective: finite(v.Objective),
		Thresholds: v.Thresholds, DecidedBy: v.DecidedBy, Mitigation: v.Mitigation,
		Policy: text(v.Policy),
		Reply:  v.Reply.String(), Hold: text(v.HoldReason),
		Findings: findings(v.Findings), Auth: methods(o.Auth), Headers: edits(o.Edits),
		Checks: make([]Check, 0, len(o.Results)), TookMS: milliseconds(o.Took),
	}
	if o.AtRcpt {
		r.Stage = AtRcpt
	}
	if m.Session.Client.IsValid() {
		r.Client = text(m.Session.Client.String()) // a zone may stand in it
	}
	for _, rcpt := range m.Recipients[:min(len(m.Recipients), maxRecipients)] {
		r.Rcpt = append(r.Rcpt, text(rcpt.Path.Raw))
	}
	for _, rv := range v.Recipients[:min(len(v.Recipients), maxRecipients)] {
		rv.Recipient, rv.Policy = text(rv.Recipient), text(rv.Policy)
		r.Recipients = append(r.Recipients, rv)
	}
	if m.Header != nil {
		r.MessageID = text(m.Header.Text("Message-ID"))
		r.Size = int64(m.Header.Size)
		if subjects {
			r.Subject = text(m.Header.Text("Subject"))
		}
	}
	if m.Body != nil {
		r.Size += m.Body.Size()
	}
	for i := range o.Results {
		res := &o.Results[i]
		c := Check{Name: res.Check, Outcome: res.Ended(), MS: milliseconds(res.Took), Note: text(res.Note)}
		if res.Err != nil {
			c.Error = text(res.Err.Error())
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

// findings bounds the details, which quote the message.
func findings(all []message.Finding) []message.Finding {
	kept := make([]message.Finding, len(all))
	for i, f := range all {
		f.Score, f.Value, f.Detail = finite(f.Score), finite(f.Value), text(f.Detail)
		kept[i] = f
	}
	return kept
}

// methods bounds the values, which are addresses and domains of strangers. What
// the journal does not show is left out.
func methods(all []authres.Method) []authres.Method {
	kept := make([]authres.Method, len(all))
	for i, m := range all {
		props := make([]authres.Prop, len(m.Props))
		for j, p := range m.Props {
			p.Value = text(p.Value)
			props[j] = p
		}
		kept[i] = authres.Method{Method: m.Method, Result: m.Result, Reason: text(m.Reason), Props: props}
	}
	return kept
}

// edits bounds names and number of the fields that are removed: both are the
// sender's choice. What is added is ours.
func edits(all []message.Edit) []message.Edit {
	kept := make([]message.Edit, 0, len(all))
	removals := 0
	for _, e := range all {
		if e.Op == message.Delete {
			if removals++; removals > maxRemovals {
				continue
			}
			e.Name = text(e.Name)
		}
		kept = append(kept, e)
	}
	return kept
}

// text cuts a stranger's text, and replaces what is no UTF-8, which JSON cannot
// hold.
func text(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "\uFFFD") }

// finite replaces what JSON has no number for, so that one wrong figure does not
// cost the whole record.
func finite(x float64) float64 {
	switch {
	case math.IsNaN(x):
		return 0
	case math.IsInf(x, 0):
		return math.Copysign(math.MaxFloat64, x)
	}
	return x
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
