package content

import (
	"iter"

	sa "milterd/internal/spamassassin/view"
	"milterd/message"
	"milterd/mime"
	"milterd/rules"
)

// A view is another program's idea of the texts of a message, for rules that were
// written for it. A rule asks for its texts by their kind, such as sa.body; the
// part before the dot is the name of the view.
//
// To add a view: its kinds in the table of package rules, and a line below.
type view interface {
	// Texts yields the texts of a kind, each to be looked at by itself. name is
	// what stands behind the key in the rule file, for kinds that are named:
	// "Subject", "From:addr".
	Texts(kind rules.Text, name string) iter.Seq[string]
}

// source is what a view is made of. raw is the body as far as limits.scan_bytes,
// text how many bytes of it may be looked at as text.
type source struct {
	m    *message.Message
	tree *mime.Tree
	raw  []byte
	text int
}

// newView returns what makes the view of a message, nil for one that is not in
// this program. It is called once a message, and only if a rule asks for it.
func newView(name string) func(source) view {
	switch name {
	case "sa":
		return spamassassin
	default:
		return nil
	}
}

// spamassassin is the message as SpamAssassin's rules see it.
func spamassassin(from source) view {
	src := sa.Source{Body: from.raw, Tree: from.tree, TextBytes: from.text, Envelope: from.m.MailFrom.Raw != "", MailFrom: bare(from.m.MailFrom)}
	for i := range from.m.Header.Fields {
		f := &from.m.Header.Fields[i]
		src.Fields = append(src.Fields, sa.Field{Name: f.Name, Value: f.Value})
	}
	if session := from.m.Session; !session.Local() {
		src.Client = sa.Client{Addr: session.Client, Name: session.HostName(), Helo: session.Helo, Auth: from.m.Login != ""}
	}
	return sa.New(src)
}
