package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"milterd/internal/config"
	"milterd/internal/pipeline"
	"milterd/message"
)

// newLogger writes key=value or JSON lines; both escape what could end a line.
func newLogger(w io.Writer, format config.LogFormat, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: tame}
	if format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// maxLogValue bounds a value in the log: some come from strangers.
const maxLogValue = 256

// tame bounds every text of a log line and makes it printable ASCII: terminals
// and journal viewers act on more than control characters. What is neither a
// text nor a number is turned into text, so that nothing gets past.
func tame(_ []string, a slog.Attr) slog.Attr {
	limit := maxLogValue
	switch a.Key { // ours, and of no use when they are cut
	case "stack":
		limit = 16 << 10
	case "findings", "problem":
		limit = 2 << 10
	}
	switch a.Value.Kind() {
	case slog.KindString:
		v := a.Value.String()
		if a.Key == "stack" {
			v = strings.ReplaceAll(strings.ReplaceAll(v, "\n\t", " "), "\n", " | ")
		}
		a.Value = slog.StringValue(message.SafeText(v, limit))
	case slog.KindAny:
		if level, ok := a.Value.Any().(slog.Level); ok { // of every line
			a.Value = slog.StringValue(level.String())
			break
		}
		a.Value = slog.StringValue(message.SafeText(fmt.Sprint(a.Value.Any()), limit))
	}
	return a
}

// logVerdict writes the one line that every message gets, and the one that every
// recipient gets who is refused before there is a message.
func logVerdict(log *slog.Logger, o *pipeline.Outcome) {
	if !log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	m, v := o.Message, &o.Verdict
	attrs := make([]slog.Attr, 0, 20)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("qid", m.QueueID)
	add("id", m.ID)
	add("role", string(m.Role))
	add("peer", string(m.Peer))
	if m.Session.Client.IsValid() {
		add("client", m.Session.Client.String())
	}
	add("helo", m.Session.Helo)
	add("login", m.Login)
	line := "verdict"
	attrs = append(attrs, slog.String("from", m.MailFrom.Raw))
	if o.AtRcpt {
		line = "recipient refused"
		attrs = append(attrs, slog.String("rcpt", m.Recipients[0].Path.Raw))
	} else {
		attrs = append(attrs, slog.Int("rcpts", len(m.Recipients)))
	}
	add("action", string(v.Action))
	add("would", string(v.Would))
	attrs = append(attrs, slog.Float64("score", v.Score))
	add("by", v.DecidedBy)
	add("mitigated", v.Mitigation)
	add("hold", v.HoldReason)
	add("findings", names(v.Findings))
	add("auth", results(o))
	add("notes", notes(o))
	add("failed", failures(o))
	add("reply", v.Reply.String())
	attrs = append(attrs, slog.Duration("took", o.Took.Round(10*time.Microsecond)))
	r := slog.NewRecord(time.Now(), slog.LevelInfo, line, 0) // 0: nobody wants to know where in the code this is
	r.AddAttrs(attrs...)
	_ = log.Handler().Handle(context.Background(), r)
}

func names(findings []message.Finding) string {
	b := make([]byte, 0, 512)
	for i := range findings {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, findings[i].Name...)
	}
	return string(b)
}

func results(o *pipeline.Outcome) string {
	b := make([]byte, 0, 512)
	for i := range o.Auth {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, o.Auth[i].Method...)
		b = append(b, '=')
		b = append(b, o.Auth[i].Result...)
	}
	return string(b)
}

// notes are what checks did to the message, or why they did not.
func notes(o *pipeline.Outcome) string {
	var all []string
	for i := range o.Results {
		if n := o.Results[i].Note; n != "" {
			all = append(all, o.Results[i].Check+" "+n)
		}
	}
	return strings.Join(all, "; ")
}

func failures(o *pipeline.Outcome) string {
	var all []string
	for i := range o.Results {
		if err := o.Results[i].Err; err != nil {
			all = append(all, o.Results[i].Check+": "+err.Error())
		}
	}
	return strings.Join(all, "; ")
}
