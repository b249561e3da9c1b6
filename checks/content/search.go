package content

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"milterd/internal/match"
	"milterd/message"
	"milterd/mime"
	"milterd/rules"
)

// search is the way through one message.
type search struct {
	check   *check
	m       *message.Message
	run     *match.Run
	hits    []ruleHit // of rules without an expression; the others are in run
	facts   mime.Facts
	partial bool // there is more of the body than was looked at
}

// ruleHit is a rule, by its number, and the text that it hit.
type ruleHit struct {
	rule int
	text string
}

// match runs the rules for one text of a kind.
func (s *search) match(kind rules.Text, text string) {
	if set := s.check.plan.texts[kind]; set != nil {
		set.Match(s.run, text)
	}
}

// settle hits the rules that ask whether there is a text of a kind.
func (s *search) settle(kind rules.Text, there bool) {
	for _, e := range s.check.plan.exists {
		if e.text == kind && e.want == there {
			s.hits = append(s.hits, ruleHit{rule: e.rule})
		}
	}
}

// envelope goes through what was there before the message itself.
func (s *search) envelope() {
	host := s.m.Session.HostName()
	if host != "" {
		s.match(rules.ClientName, host)
	}
	s.settle(rules.ClientName, host != "")
	s.match(rules.Helo, s.m.Session.Helo)
	s.settle(rules.Helo, s.m.Session.Helo != "")
	s.match(rules.EnvelopeFrom, bare(s.m.MailFrom))
	s.settle(rules.EnvelopeFrom, bare(s.m.MailFrom) != "")
	for i := range s.m.Recipients {
		s.match(rules.EnvelopeRcpt, bare(s.m.Recipients[i].Path))
	}
	s.settle(rules.EnvelopeRcpt, len(s.m.Recipients) > 0)
}

// bare returns a path as it was given, without its brackets.
func bare(p message.Path) string {
	if inner, ok := strings.CutPrefix(p.Raw, "<"); ok {
		if inner, ok = strings.CutSuffix(inner, ">"); ok {
			return inner
		}
	}
	return p.Raw
}

// header goes through the header fields, each by itself, and the author.
func (s *search) header() {
	h, p := s.m.Header, s.check.plan
	if len(p.fields) > 0 {
		for i := range h.Fields {
			f := &h.Fields[i]
			sets := p.field(f.Name)
			if sets == nil {
				continue
			}
			if sets.raw != nil {
				sets.raw.Match(s.run, f.Value)
			}
			if sets.text != nil {
				sets.text.Match(s.run, fieldText(f.Value))
			}
		}
	}
	for _, e := range p.exists {
		if e.header == "" {
			continue
		}
		if _, there := h.Get(e.header); there == e.want {
			s.hits = append(s.hits, ruleHit{rule: e.rule})
		}
	}
	if p.needs(rules.FromAddr) || p.needs(rules.FromName) {
		s.author(h.Author())
	}
}

// fieldText is a field's value as its reader sees it.
func fieldText(value string) string { return strings.Trim(mime.DecodeWords(value), " \t") }

func (s *search) author(a message.Author) {
	named := false
	for _, address := range a.Addresses {
		s.match(rules.FromAddr, address.String())
	}
	for _, name := range a.Names {
		if name != "" {
			named = true
			s.match(rules.FromName, name)
		}
	}
	s.settle(rules.FromAddr, len(a.Addresses) > 0)
	s.settle(rules.FromName, named)
}

// body walks through the parts and goes through their text.
func (s *search) body() error {
	var raw []byte
	if s.m.Body != nil {
		var err error
		if raw, err = s.m.Body.Bytes(s.check.limits.scan); err != nil {
			return fmt.Errorf("reading the body: %w", err)
		}
		s.partial = s.m.Body.Size() > int64(len(raw))
	}
	var fields []mime.Field
	for i := range s.m.Header.Fields {
		if f := &s.m.Header.Fields[i]; len(f.Name) > 8 && strings.EqualFold(f.Name[:8], "Content-") {
			fields = append(fields, mime.Field{Name: f.Name, Value: f.Value})
		}
	}
	tree := mime.Walk(fields, raw, s.check.limits.mime)
	s.facts = tree.Facts
	if !s.check.plan.needs(rules.Body) {
		return nil
	}
	text := s.text(tree)
	s.match(rules.Body, text)
	s.settle(rules.Body, text != "")
	return nil
}

// text returns what people read: the text parts in their order, those in HTML as
// they show, with a line feed between them. White space is squeezed as in HTML: a
// run of it is one line feed if a line ends in it, else one blank.
func (s *search) text(tree *mime.Tree) string {
	var all strings.Builder
	for _, part := range tree.Parts {
		if !part.IsText() {
			continue
		}
		left := s.check.limits.text - all.Len() - len("\n")
		if left <= 0 {
			s.facts |= 1 << mime.LimitText
			break
		}
		text, facts := part.Text()
		s.facts |= facts
		isHTML := part.Type == "text/html"
		if isHTML {
			text = mime.HTMLText(text, left)
		} else if len(text) > left {
			s.facts |= 1 << mime.LimitText
			text = cut(text, left)
		}
		if all.Len() > 0 {
			all.WriteByte('\n')
		}
		all.Grow(len(text))
		if isHTML {
			all.WriteString(text)
		} else {
			squeeze(&all, text)
		}
	}
	return strings.TrimSuffix(all.String(), "\n")
}

const nbsp = "\u00a0" // the no-break space

// squeeze writes text with its white space squeezed, none of it around.
func squeeze(to *strings.Builder, text string) {
	text = strings.Trim(text, " \t\n\f\r"+nbsp)
	from := 0 // of what is not written yet
	for i := 0; i < len(text); {
		if c := text[i]; c > ' ' && c != nbsp[0] {
			i++
			continue
		}
		gap, end := byte(' '), i
		for n := spaceAt(text, end); n > 0; n = spaceAt(text, end) {
			if text[end] == '\n' {
				gap = '\n'
			}
			end += n
		}
		if end == i || end == i+1 && text[i] == gap { // no space, or one as it should be
			i++
			continue
		}
		to.WriteString(text[from:i])
		to.WriteByte(gap)
		from, i = end, end
	}
	to.WriteString(text[from:])
}

// spaceAt returns the length of the white space character at i, 0 if there is
// none. The no-break space counts.
func spaceAt(text string, i int) int {
	if i < len(text) {
		switch text[i] {
		case ' ', '\t', '\n', '\f', '\r':
			return 1
		case nbsp[0]:
			if i+1 < len(text) && text[i+1] == nbsp[1] {
				return 2
			}
		}
	}
	return 0
}

// cut shortens text to at most n bytes, between two characters.
func cut(text string, n int) string {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
