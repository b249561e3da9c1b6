// Package view shows a message as SpamAssassin's rules see it.
//
// A rule that was written for SpamAssassin hits what it was meant to hit only on
// the texts that it was written for: paragraphs whose lines were joined, the
// subject before them, a header whose fields of one name are one text, text parts
// cut in pieces of two to four kilobytes. Milterd's own texts are others, and
// better ones for new rules. So imported rules ask for the kinds of text that
// begin with "sa.", and this package makes those, each when it is first asked for.
//
// It follows what SpamAssassin 4.0 says of itself in Mail::SpamAssassin::Conf, and
// for the rest what it was seen to do; docs/rules.md tells where both differ. All
// texts are as package perlre wants them: a character for each byte.
package view

import (
	"iter"
	"net/netip"
	"strings"

	"milterd/internal/spamassassin/perlre"
	"milterd/mime"
	"milterd/rules"
)

// Source is the message.
type Source struct {
	Fields []Field // of the header, in order
	Body   []byte  // as it was received
	Tree   *mime.Tree
	// TextBytes is how much text there may be of each kind, 0 is 1 MiB.
	TextBytes int
	// Client is who brought the message, where that does not stand in the header
	// yet: a milter is asked before its MTA writes a Received field.
	Client Client
	// MailFrom is the reverse-path without brackets. Without Envelope it is not
	// known, and read from the header.
	Envelope bool
	MailFrom string
}

// Field is one field of the header. Value is all behind the colon, folds and all.
type Field struct{ Name, Value string }

// Client is an SMTP client.
type Client struct {
	Addr netip.Addr // not valid: not known
	Name string     // its verified name
	Helo string
	Auth bool // it logged in
}

// View is the texts of one message. It is not for concurrent use.
type View struct {
	src    Source
	fields []Field // with line feeds for line ends

	// What was made already.
	html   *[]rendered
	read   *[]string
	relays *[]relay
}

// maxText is how much text there is of a kind at most, where nothing is said.
const maxText = 1 << 20

// New makes the view of a message.
func New(src Source) *View {
	if src.TextBytes <= 0 {
		src.TextBytes = maxText
	}
	v := &View{src: src, fields: make([]Field, len(src.Fields))}
	for i, f := range src.Fields {
		v.fields[i] = Field{f.Name, lineFeeds(f.Value)}
	}
	return v
}

// Texts yields the texts of a kind; name is what stands behind the key of one that
// has a name, such as "From:addr".
func (v *View) Texts(kind rules.Text, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		all := yield
		yield = func(text string) bool { return all(perlre.Latin1([]byte(text))) }
		switch kind {
		case rules.SAHeader:
			if text, ok := v.Header(name); ok {
				yield(text)
			}
		case rules.SABody:
			each(v.Body(), yield)
		case rules.SABodyOnly:
			each(v.paragraphs(), yield)
		case rules.SARawBody:
			each(v.RawBody(), yield)
		case rules.SAURI:
			each(v.URIs(), yield)
		case rules.SAFull:
			yield(v.Full())
		case rules.SAMIMEHeader:
			each(v.MIMEHeader(name), yield)
		}
	}
}

func each(texts []string, yield func(string) bool) {
	for _, text := range texts {
		if !yield(text) {
			return
		}
	}
}

// Full is the whole message.
func (v *View) Full() string {
	var b strings.Builder
	for _, f := range v.fields {
		b.WriteString(f.Name + ":" + f.Value + "\n")
	}
	b.WriteByte('\n')
	if left := v.src.TextBytes - b.Len(); left > 0 {
		body := v.src.Body
		b.WriteString(lineFeeds(string(body[:min(len(body), left)])))
	}
	return b.String()
}

// lineFeeds makes line feeds of line ends.
func lineFeeds(text string) string {
	if strings.Contains(text, "\r\n") {
		return strings.ReplaceAll(text, "\r\n", "\n")
	}
	return text
}
