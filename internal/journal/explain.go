package journal

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"milterd/message"
)

// Explain writes a verdict for people: who sent what, what spoke for and
// against it, what decided, and what would have changed the decision. Text
// that came with the message is quoted where it holds more than plain printable
// characters; nothing else than printable ASCII is ever written.
func (r *Record) Explain(w io.Writer) {
	e := &explainer{w: w}
	e.line("message", "id %s%s%s", r.ID, optional(" queue ", quote(r.QueueID)), optional(" message-id ", quote(r.MessageID)))
	if !r.Time.IsZero() {
		e.line("time", "%s", r.Time.Local().Format(time.RFC3339))
	}
	e.line("client", "%s%s%s role %s%s%s", cmp.Or(r.Client, "unknown"), optional(" ", quote(r.ClientName)),
		optional(" helo ", quote(r.Helo)), r.Role, optional(" peer ", string(r.Peer)), optional(" login ", quote(r.Login)))
	e.line("envelope", "from %s to %s", cmp.Or(quote(r.From), "<>"), quoteAll(r.Rcpt))
	if r.Subject != "" {
		e.line("subject", "%s", quote(r.Subject))
	}
	e.line("verdict", "%s%s, score %s (objective %s), decided by %s%s%s", r.Action,
		optional(", in mode enforce it would be ", string(r.Would)), num(r.Score), num(r.Objective), r.DecidedBy,
		optional(", softened because of ", r.Mitigation), optional(", on the terms of policy ", quote(r.Policy)))
	if r.Stage == AtRcpt {
		e.line("stage", "at RCPT TO: this recipient alone, before there was a header to look at")
	}
	for _, rv := range r.Recipients {
		e.line("recipients", "%s: %s%s, decided by %s%s", quote(rv.Recipient), rv.Action,
			optional(", in mode enforce ", string(rv.Would)), rv.DecidedBy, optional(", policy ", quote(rv.Policy)))
	}
	if r.Hold != "" {
		e.line("hold", "%s", r.Hold)
	}
	if r.Reply != "" {
		e.line("reply", "%s", r.Reply)
	}
	e.line("thresholds", "greylist %s, junk %s, reject %s", limit(r.Thresholds.Greylist), limit(r.Thresholds.Junk), limit(r.Thresholds.Reject))
	for _, a := range r.Auth {
		var props []string
		for _, p := range a.Props {
			props = append(props, p.Ptype+"."+p.Property+"="+quote(p.Value))
		}
		e.line("auth", "%s=%s%s %s", a.Method, a.Result, optional(" reason ", quote(a.Reason)), strings.Join(props, " "))
	}
	e.findings(r.Findings)
	for _, c := range r.Checks {
		if c.Note != "" {
			e.line(c.Name, "%s", plain(c.Note))
		}
		if c.Error != "" {
			e.line("failed", "%s after %.1f ms: %s", c.Name, c.MS, plain(c.Error))
		}
	}
	e.line("turning", "%s", r.turningPoint())
}

type explainer struct {
	w    io.Writer
	last string
}

// maxShown bounds a line; the longest honest one lists fifty recipients.
const maxShown = 64 << 10

// line writes a line under a heading, which is not repeated. Who wrote the
// journal is not known here, so no byte of it reaches a terminal unseen.
func (e *explainer) line(heading, format string, args ...any) {
	h := heading
	if h == e.last {
		h = ""
	}
	e.last = heading
	fmt.Fprintf(e.w, "%-11s %s\n", h, strings.TrimRight(message.SafeText(fmt.Sprintf(format, args...), maxShown), " "))
}

func (e *explainer) findings(all []message.Finding) {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b message.Finding) int { return cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)) })
	for _, f := range sorted {
		points := num(f.Score)
		if f.Score > 0 {
			points = "+" + points
		}
		switch {
		case f.Shadow:
			points = "shadow"
		case f.Score == 0:
			points = "0"
		}
		opinion := ""
		if f.Subjective {
			opinion = " (opinion)"
		}
		e.line("findings", "%7s  %-24s %s%s%s", points, f.Name, f.Check, opinion, optional(": ", plain(f.Detail)))
	}
}

// turningPoint says what would have changed the verdict: how far the score is
// from the next action either way, and which single findings hold it there.
func (r *Record) turningPoint() string {
	if r.Stage == AtRcpt {
		return fmt.Sprintf("%s decided; without it the message would have been decided at its end", r.DecidedBy)
	}
	if r.DecidedBy != "score" && r.DecidedBy != "default" {
		return fmt.Sprintf("%s decided, whatever the score; without it the score would have given %q", r.DecidedBy, r.byScore(r.Score, r.Objective))
	}
	now := r.byScore(r.Score, r.Objective)
	junk := r.Thresholds.Junk
	if junk == nil && now == message.Junk { // opinion alone reached the next one
		junk = r.Thresholds.Reject
	}
	var parts []string
	for _, t := range []struct {
		action message.Action
		at     *float64
	}{{message.Junk, junk}, {message.RejectMail, r.Thresholds.Reject}} {
		if t.at == nil {
			continue
		}
		basis, of := r.Score, ""
		if t.action == message.RejectMail && r.Objective < r.Score {
			basis, of = r.Objective, "objective "
		}
		if d := *t.at - basis; d > 0 {
			parts = append(parts, fmt.Sprintf("%s more %spoints and it is %s", num(up(d)), of, t.action))
		} else if now == t.action {
			parts = append(parts, fmt.Sprintf("%s %spoints less and it is no longer %s", num(math.Max(-d, 0)+0.1), of, t.action))
		}
	}
	for _, f := range r.Findings {
		if f.Score == 0 {
			continue
		}
		objective := r.Objective
		if !f.Subjective {
			objective -= f.Score
		}
		if other := r.byScore(r.Score-f.Score, objective); other != now {
			parts = append(parts, fmt.Sprintf("without %s: %s", f.Name, other))
		}
	}
	if len(parts) == 0 {
		return "no threshold is near"
	}
	return strings.Join(parts, "; ")
}

func (r *Record) byScore(score, objective float64) message.Action {
	t := r.Thresholds
	const eps = 1e-9
	reached := func(at *float64, s float64) bool { return at != nil && s >= *at-eps }
	switch {
	case reached(t.Reject, score) && reached(t.Reject, objective):
		return message.RejectMail
	case reached(t.Junk, score), reached(t.Reject, score):
		return message.Junk
	}
	return message.Accept
}

func optional(before, s string) string {
	if s == "" || s == `""` {
		return ""
	}
	return before + s
}

func quote(s string) string {
	if s == "" {
		return ""
	}
	q := strconv.QuoteToASCII(s)
	if inner := q[1 : len(q)-1]; inner == s && !strings.Contains(s, " ") {
		return s
	}
	return q
}

// plain is quote for the end of a line, where blanks mislead nobody.
func plain(s string) string {
	if message.SafeText(s, len(s)) != s {
		return strconv.QuoteToASCII(s)
	}
	return s
}

func quoteAll(all []string) string {
	q := make([]string, len(all))
	for i, s := range all {
		q[i] = quote(s)
	}
	return strings.Join(q, " ")
}

// up rounds to the next tenth that is enough.
func up(x float64) float64 { return math.Ceil(x*10-1e-6) / 10 }

// num prints one decimal, and the second where there is one: 5.96 is not 6.
func num(x float64) string {
	s := strings.TrimSuffix(strconv.FormatFloat(x, 'f', 2, 64), "0")
	if s == "-0.0" {
		return "0.0"
	}
	return s
}

func limit(t *float64) string {
	if t == nil {
		return "off"
	}
	return num(*t)
}
