package content

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
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
	number int
	text   string
	count  int
}

// look asks of a text what rules ask of it. received is the text before it was
// decoded, where there are rules for that.
func (s *search) look(a *asked, text, received string) {
	for i := range a.sets {
		switch p := &a.sets[i]; {
		case p.raw:
			p.set.Match(s.run, received)
		case p.plain:
			p.set.MatchPlain(s.run, match.Normalise(text, false))
		default:
			p.set.Match(s.run, text)
		}
	}
	lacks := a.lacks(text)
	for i := range a.lists {
		l := &a.lists[i]
		if l.fixed && lacks || slices.ContainsFunc(s.hits, func(h ruleHit) bool { return h.number == l.number }) {
			continue
		}
		if entry := l.find(text); entry != "" {
			s.hits = append(s.hits, ruleHit{l.number, entry, 1})
		}
	}
}

// settle hits the rules that ask whether there is a text.
func (s *search) settle(a *asked, there bool) {
	for _, e := range a.exists {
		if e.want == there {
			s.hits = append(s.hits, ruleHit{number: e.number, count: 1})
		}
	}
}

// all looks at all texts of a kind. An empty one is looked at, but is none.
func (s *search) all(a *asked, texts iter.Seq[string]) {
	there := false
	for text := range texts {
		s.look(a, text, text)
		there = there || text != ""
	}
	s.settle(a, there)
}

// texts looks at all texts of a kind without a name, if some rule does.
func (s *search) texts(kind rules.Text, texts iter.Seq[string]) {
	if a := s.check.plan.texts[kind]; a != nil {
		s.all(a, texts)
	}
}

// one is a sequence of one text, and of none where an empty text is no text.
func one(text string, empty bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		if text != "" || empty {
			yield(text)
		}
	}
}

// envelope goes through what was there before the message itself.
func (s *search) envelope() {
	session := s.m.Session
	s.texts(rules.ClientName, one(session.HostName(), false))
	if s.check.plan.texts[rules.ClientAddr] != nil {
		address := ""
		if session.Client.IsValid() {
			address = session.Client.Unmap().WithZone("").String()
		}
		s.texts(rules.ClientAddr, one(address, false))
	}
	s.texts(rules.Helo, one(session.Helo, true))
	s.texts(rules.EnvelopeFrom, one(bare(s.m.MailFrom), true))
	s.texts(rules.EnvelopeRcpt, func(yield func(string) bool) {
		for i := range s.m.Recipients {
			if !yield(bare(s.m.Recipients[i].Path)) {
				return
			}
		}
	})
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
			if a := p.field(f.Name); a != nil {
				s.look(a, fieldText(f.Value), f.Value)
			}
		}
	}
	for _, f := range p.there {
		_, there := h.Get(f.name)
		s.settle(f.asked, there)
	}
	if p.texts[rules.FromAddr] == nil && p.texts[rules.FromName] == nil {
		return
	}
	author := h.Author()
	s.texts(rules.FromAddr, func(yield func(string) bool) {
		for _, address := range author.Addresses {
			if !yield(address.String()) {
				return
			}
		}
	})
	s.texts(rules.FromName, func(yield func(string) bool) {
		for _, name := range author.Names {
			if name != "" && !yield(name) {
				return
			}
		}
	})
}

// fieldText is a field's value as its reader sees it.
func fieldText(value string) string { return strings.Trim(mime.DecodeWords(value), " \t") }

// body walks through the parts and goes through what is in them.
func (s *search) body() error {
	tree, more, err := mime.Shared(s.m, s.check.limits.scan, s.check.limits.mime)
	if err != nil {
		return err
	}
	s.partial = more
	var raw []byte
	if s.m.Body != nil {
		if raw, err = s.m.Body.Bytes(s.check.limits.scan); err != nil {
			return fmt.Errorf("reading the body: %w", err)
		}
	}
	s.facts = tree.Facts
	s.readable(tree)
	s.addresses(tree)
	s.attachments(tree)
	if s.check.plan.texts[rules.Full] != nil {
		s.texts(rules.Full, one(s.full(raw), true))
	}
	s.otherViews(source{s.m, tree, raw, s.check.limits.text})
	if tree.Late() { // with whomever it was: the tree is everybody's
		s.facts |= 1 << mime.LimitTime
	}
	return nil
}

// readable goes through what is there to be read. What it takes to read it is a
// fact whether rules ask for the text or not.
func (s *search) readable(tree *mime.Tree) {
	visible, facts := tree.VisibleText()
	s.facts |= facts
	hidden, facts := tree.HiddenText()
	s.facts |= facts
	s.texts(rules.Body, one(s.cut(visible), true))
	s.texts(rules.Hidden, one(s.cut(hidden), false))
	s.texts(rules.RawBody, func(yield func(string) bool) {
		left := s.check.limits.text
		for _, part := range tree.Parts {
			if !part.IsText() {
				continue
			}
			text, facts := part.Text()
			s.facts |= facts
			if part.IsFile() && len(text) > mime.FileText {
				text = strings.ToValidUTF8(text[:mime.FileText], "") // data, and no sign of a sender
			}
			if len(text) > left {
				text = s.cutTo(text, left)
			}
			if left -= len(text); !yield(text) || left <= 0 {
				return
			}
		}
	})
}

// addresses goes through the addresses of pages.
func (s *search) addresses(tree *mime.Tree) {
	urls, facts := tree.URLs()
	s.facts |= facts
	each := func(get func(u *mime.URL) string) iter.Seq[string] {
		return func(yield func(string) bool) {
			seen := map[string]bool{"": true}
			for i := range urls {
				if text := get(&urls[i]); !seen[text] { // most lead to one host
					seen[text] = true
					if !yield(text) {
						return
					}
				}
			}
		}
	}
	s.texts(rules.URI, func(yield func(string) bool) {
		last := ""
		for i := range urls {
			u := &urls[i]
			if u.Raw != "" && u.Raw != last {
				if last = u.Raw; !yield(u.Raw) {
					return
				}
			}
			if u.Facts != 0 && !strings.Contains(strings.ToLower(u.Raw), u.Host) && !yield(u.String()) {
				return
			}
		}
	})
	s.texts(rules.URIHost, each(func(u *mime.URL) string { return u.Host }))
	s.texts(rules.URIShown, each(func(u *mime.URL) string {
		if u.DisplayedHost == "" || u.DisplayedHost == u.Host {
			return ""
		}
		return u.Displayed
	}))
}

// attachments goes through what comes with the text.
func (s *search) attachments(tree *mime.Tree) {
	p := s.check.plan
	if p.texts[rules.AttachmentName] == nil && p.texts[rules.AttachmentType] == nil {
		return
	}
	all := tree.Attachments()
	s.texts(rules.AttachmentName, func(yield func(string) bool) {
		for i := range all {
			for _, name := range all[i].Names {
				if !yield(name) {
					return
				}
			}
		}
	})
	s.texts(rules.AttachmentType, func(yield func(string) bool) {
		for i := range all {
			if !yield(all[i].Type) {
				return
			}
		}
	})
}

// full is the message as it was received, with line feeds.
func (s *search) full(body []byte) string {
	var b strings.Builder
	for i := range s.m.Header.Fields {
		f := &s.m.Header.Fields[i]
		if b.Len() > s.check.limits.text {
			break
		}
		b.WriteString(f.Name)
		b.WriteByte(':')
		b.WriteString(f.Value)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	if left := s.check.limits.text - b.Len(); left > 0 {
		if len(body) > 2*left { // line ends shrink it by half at most
			body = body[:2*left]
		}
		b.Write(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n")))
	}
	return s.cut(b.String())
}

// otherViews goes through the texts of other programs' views.
func (s *search) otherViews(from source) {
	p := s.check.plan
	views := map[string]view{}
	texts := func(kind rules.Text, name string) iter.Seq[string] {
		which := kind.View()
		if views[which] == nil {
			views[which] = newView(which)(from)
		}
		return views[which].Texts(kind, name)
	}
	for kind, a := range p.texts {
		if kind.View() != "" {
			s.all(a, texts(kind, ""))
		}
	}
	for at, a := range p.named {
		s.all(a, texts(at.text, at.name))
	}
}

// cut shortens a text to what rules see of it.
func (s *search) cut(text string) string { return s.cutTo(text, s.check.limits.text) }

// cutTo shortens a text to at most n bytes, between two characters.
func (s *search) cutTo(text string, n int) string {
	if len(text) <= n {
		return text
	}
	s.facts |= 1 << mime.LimitText
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
