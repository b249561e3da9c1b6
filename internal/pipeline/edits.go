package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"milterd/authres"
	"milterd/message"
)

// What is ours in a header: removed from what strangers send, so that nobody
// can write our verdict for us.
const authResults = "Authentication-Results"

// spamFields are the fields that a reader may take for a verdict of ours.
func spamField(name string) bool {
	return hasPrefixFold(name, "X-Spam-") || strings.EqualFold(name, "X-Spam")
}

func ownField(name string) bool { return hasPrefixFold(name, "X-Milterd-") }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// edits returns what shall be done to the header: removals first, from the
// bottom up so that no index shifts under the next, then what is put on top, in
// the order in which it will stand there.
func (p *Pipeline) edits(m *message.Message, v *message.Verdict, id string, auth []authres.Method, unscanned []string) []message.Edit {
	if m.Role == message.Reinject {
		return nil
	}
	edits := p.removals(m, id)
	if m.Role == message.Outbound {
		return edits
	}
	add := func(name, value string) {
		edits = append(edits, message.Edit{Op: message.Insert, Index: 0, Name: name, Value: value})
	}
	add(authResults, authres.Field{AuthservID: id, Methods: auth}.String())
	if p.o.SpamHeaders {
		p.addSpamFields(add, v)
	}
	if len(unscanned) > 0 {
		add("X-Milterd-Unscanned", strings.Join(unscanned, ", "))
	}
	add(MarkField, p.mark(m))
	return edits
}

// CarryField is the header field that takes a verdict to delivery; package carry
// says what is in it.
const CarryField = "X-Milterd-Carry"

// carry adds the verdict for those who are asked again at delivery: mail that is let
// in, with its header fields.
func (p *Pipeline) carry(ctx context.Context, o *Outcome) []message.Edit {
	if p.o.Carry == nil || o.Message.Role != message.Inbound || o.Verdict.Action.Refuses() || o.Verdict.Mode == message.Observe {
		return nil
	}
	value := p.o.Carry(ctx, o)
	if value == "" {
		return nil
	}
	return []message.Edit{{Op: message.Insert, Index: 0, Name: CarryField, Value: value}}
}

// removals deletes every field that could pass for one of ours. An
// authenticated user's X-Spam fields are his own; a forged result is not.
func (p *Pipeline) removals(m *message.Message, id string) []message.Edit {
	var edits []message.Edit
	seen := map[string]int{}
	for _, f := range m.Header.Fields {
		name := strings.ToLower(f.Name)
		var forged bool
		switch {
		case name == "authentication-results":
			forged = authres.IsOurs([]byte(f.Value), id)
		case ownField(name):
			forged = true
		case spamField(name):
			forged = m.Role == message.Inbound
		default:
			continue
		}
		seen[name]++
		if forged {
			edits = append(edits, message.Edit{Op: message.Delete, Index: seen[name], Name: f.Name})
		}
	}
	slices.Reverse(edits)
	return edits
}

// addSpamFields adds the X-Spam family in the form that SpamAssassin's readers
// know (Sieve scripts, Thunderbird, spamtest).
func (p *Pipeline) addSpamFields(add func(name, value string), v *message.Verdict) {
	yes := "No"
	if isJunk(v) {
		yes = "Yes"
		add("X-Spam-Flag", "YES")
		add("X-Spam", "Yes")
	}
	required := ""
	if v.Thresholds.Junk != nil {
		required = " required=" + formatScore(*v.Thresholds.Junk)
	}
	add("X-Spam-Status", fmt.Sprintf("%s, score=%s%s\n\ttests=[%s]\n\tautolearn=no milterd=%s",
		yes, formatScore(v.Score), required, testList(v.Findings), p.o.Version))
	add("X-Spam-Score", formatScore(v.Score))
	if stars := min(int(v.Score), 50); stars > 0 {
		add("X-Spam-Level", strings.Repeat("*", stars))
	}
}

// isJunk reports whether the message is spam: filed as such, or it would be
// (or worse) if the mode allowed it.
func isJunk(v *message.Verdict) bool {
	return v.Action == message.Junk ||
		v.Thresholds.Junk != nil && v.Score >= *v.Thresholds.Junk
}

// testList lists the findings that weigh, folded under 78 characters.
func testList(findings []message.Finding) string {
	var b strings.Builder
	line := len("\ttests=[")
	for _, f := range findings {
		if f.Shadow || f.Score == 0 {
			continue
		}
		item := f.Name + "=" + formatScore(f.Score)
		if b.Len() > 0 {
			b.WriteByte(',')
			line++
			if line+len(item) > 76 {
				b.WriteString("\n\t")
				line = 8
			}
		}
		b.WriteString(item)
		line += len(item)
	}
	return b.String()
}

// formatScore prints a score with one decimal, and zero never as -0.0.
func formatScore(x float64) string {
	s := strconv.FormatFloat(x, 'f', 1, 64)
	if s == "-0.0" {
		return "0.0"
	}
	return s
}
