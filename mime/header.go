package mime

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// lineWork is about what a line of a header costs besides its bytes, in bytes.
const lineWork = 16

// span is one field of a header block that is being read, by its offsets in
// buf.
type span struct{ name, nameEnd, value, end int }

// header reads the header of p, which begins at from, and returns where the
// body begins. The header ends at its blank line, or where a delimiter or the
// end of the text cuts it off, or at a line that can only be body.
//
// A line that is no field is the difficulty. Some programs take it for the
// start of the body, some pass over it. It is passed over here when a field of
// MIME follows before the blank line: then there is something to be missed. A
// line that looks like a delimiter is never passed over.
func (w *walker) header(p *Part, from int) (body int) {
	w.spans = w.spans[:0]
	at := from
	lastMIME, looked := 0, false // where the last field of MIME in this block begins
	passed := false              // the line before was passed over, so what continues it is too
	for {
		if at >= len(w.buf) {
			p.Facts.add(MissingBlankLine)
			break
		}
		text, next := w.line(at)
		if len(text) == 0 {
			at = next
			break
		}
		if !w.inTime(len(text) + lineWork) {
			break
		}
		if bytes.HasPrefix(text, dashes) {
			if _, ok := w.delimiterAt(at, nil); ok {
				if at > from {
					p.Facts.add(MissingBlankLine)
				}
				break
			}
		}
		if bytes.IndexByte(text, '\r') >= 0 {
			p.Facts.add(BareCR)
		}
		nameEnd, colon := fieldName(text)
		if colon >= 0 && bytes.ContainsFunc(text[:nameEnd], func(r rune) bool { return r >= 0x80 }) {
			p.Facts.add(BadHeader)
		}
		isField, continues := colon >= 0, (text[0] == ' ' || text[0] == '\t') && (passed || len(w.spans) > 0)
		mailbox := at == from && isMailboxLine(text)
		if !isField && !continues && !mailbox {
			p.Facts.add(BadHeader)
			if !looked && !bytes.HasPrefix(text, dashes) {
				lastMIME, looked = w.lastMIME(next), true
			}
			if lastMIME <= at {
				p.Facts.add(MissingBlankLine)
				break
			}
		}
		switch {
		case isField && (len(w.spans) == w.limits.HeaderFields || at+len(text)-from > w.limits.HeaderBytes):
			p.Facts.add(LimitHeader)
			passed = true
		case isField:
			if nameEnd < colon {
				p.Facts.add(SpaceBeforeColon)
			}
			w.spans = append(w.spans, span{at, at + nameEnd, at + colon + 1, at + len(text)})
			passed = false
		case !continues:
			passed = !mailbox
		case !passed && len(w.spans) > 0:
			w.spans[len(w.spans)-1].end = at + len(text)
		}
		at = next
	}
	w.keepFields(p, from)
	return at
}

// isMailboxLine knows the separator of a mailbox file, left in by whoever
// enclosed the message.
func isMailboxLine(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimPrefix(line, []byte(">")), []byte("From "))
}

// line returns the line that begins at at, without its line break, and where
// the next one begins.
func (w *walker) line(at int) (text []byte, next int) {
	text, next = w.buf[at:], len(w.buf)
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		text, next = text[:end], at+end+1
		if end > 0 && text[end-1] == '\r' {
			text = text[:end-1]
		}
	}
	return text, next
}

// lastMIME returns where the last Content- field before the next blank line, or
// before a line that looks like a delimiter, begins; 0 if there is none.
func (w *walker) lastMIME(at int) (last int) {
	for at < len(w.buf) {
		text, next := w.line(at)
		if len(text) == 0 || !w.inTime(len(text)+lineWork) {
			break
		}
		if bytes.HasPrefix(text, dashes) {
			break
		}
		if hasContentPrefix(text) {
			last = at
		}
		at = next
	}
	return last
}

const contentPrefix = "Content-"

func hasContentPrefix(line []byte) bool {
	return len(line) > len(contentPrefix) && strings.EqualFold(string(line[:len(contentPrefix)]), contentPrefix)
}

// fieldName returns where the name of the field in line ends and where its
// colon is; the colon is -1 when the line is no field (RFC 5322, section 3.6.8;
// white space before the colon is of section 4.5). Names with 8-bit characters
// are let through: such a line is no body.
func fieldName(line []byte) (nameEnd, colon int) {
	i := 0
	for i < len(line) && line[i] > ' ' && line[i] != 0x7f && line[i] != ':' {
		i++
	}
	nameEnd = i
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if nameEnd == 0 || i == len(line) || line[i] != ':' {
		return 0, -1
	}
	return nameEnd, i
}

// keepFields turns the spans into p's fields, all of them slices of one string.
func (w *walker) keepFields(p *Part, from int) {
	if len(w.spans) == 0 {
		return
	}
	end := min(w.spans[len(w.spans)-1].end, from+w.limits.HeaderBytes)
	text := string(w.buf[from:end])
	p.Header = make([]Field, len(w.spans))
	for i, s := range w.spans {
		if s.end > end { // a folded field that grew beyond the limit
			p.Facts.add(LimitHeader)
			s.end = end
		}
		p.Header[i] = Field{text[s.name-from : s.nameEnd-from], text[s.value-from : s.end-from]}
	}
}

// variants are the values of one field that say different things, in their
// order. More than these nobody reads.
type variants [4]string

// note keeps a value that is not there yet.
func (v *variants) note(value string) {
	for i, there := range v {
		if there == "" {
			v[i] = value
			return
		}
		if strings.EqualFold(strings.TrimSpace(value), strings.TrimSpace(there)) {
			return
		}
	}
}

// readFields sets what the MIME fields of p's header say.
func (w *walker) readFields(p *Part) {
	var types, encodings, dispositions variants
	multiparts := ""
	for i := range p.Header {
		f := &p.Header[i]
		if len(f.Name) <= len(contentPrefix) || !strings.EqualFold(f.Name[:len(contentPrefix)], contentPrefix) {
			continue
		}
		w.inTime(len(f.Value))
		switch name := f.Name[len(contentPrefix):]; {
		case strings.EqualFold(name, "Type"):
			types.note(f.Value)
			if multiparts == "" && startsWithMultipart(f.Value) {
				multiparts = f.Value
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			encodings.note(f.Value)
		case strings.EqualFold(name, "Disposition"):
			dispositions.note(f.Value)
		}
	}
	for _, field := range []struct {
		values variants
		fact   Fact
	}{{types, DuplicateType}, {encodings, DuplicateEncoding}, {dispositions, DuplicateDisposition}} {
		if field.values[1] != "" {
			p.Facts.add(field.fact)
		}
	}
	p.Type = "text/plain"
	if p.Parent != nil && p.Parent.Type == "multipart/digest" {
		p.Type = "message/rfc822" // RFC 2046, section 5.1.5
	}
	w.contentType(p, cmp.Or(multiparts, types[0]))
	if encodings[0] != "" {
		p.Encoding = encoding(encodings[0], &p.Facts)
	}
	typeNames := p.Names
	p.Names = nil
	if dispositions[0] != "" {
		m := parseMedia(dispositions[0], w.limits.Parameters)
		p.Disposition = m.value
		p.Facts |= m.facts
		p.addNames(lookup(m.params, "filename"))
		p.addNames(m.names...)
	}
	p.addNames(typeNames...)
	if types[1] != "" || dispositions[1] != "" {
		// Some programs take another field than we do.
		for _, other := range slices.Concat(dispositions[1:], types[:]) {
			p.addNames(parseMedia(other, w.limits.Parameters).names...)
		}
	}
	for i, name := range p.Names {
		if i == 0 {
			p.Filename = name
		} else if extension(name) != extension(p.Filename) {
			p.Facts.add(ConflictingNames)
		}
	}
}

// contentType sets what a Content-Type field says.
func (w *walker) contentType(p *Part, field string) {
	if field == "" {
		return
	}
	m := parseMedia(field, w.limits.Parameters)
	p.Params, p.boundaries = m.params, m.boundaries
	p.Facts |= m.facts
	if m.value = mediaType(m.value, &p.Facts); m.value != "" {
		p.Type = m.value
	}
	p.addNames(lookup(m.params, "name"))
	p.addNames(m.names...)
	if !p.IsMultipart() {
		return
	}
	for _, b := range p.boundaries {
		if !goodBoundary(b) {
			p.Facts.add(BadBoundary)
		}
	}
	if len(p.boundaries) > 1 {
		p.Facts.add(DuplicateBoundary)
	}
}

// addNames notes the names of an attachment, each once.
func (p *Part) addNames(names ...string) {
	for _, name := range names {
		if name != "" && !slices.Contains(p.Names, name) {
			p.Names = append(p.Names, name)
		}
	}
}

func startsWithMultipart(value string) bool {
	const prefix = "multipart"
	value = strings.TrimLeft(value, " \t\r\n")
	return len(value) >= len(prefix) && strings.EqualFold(value[:len(prefix)], prefix)
}

// mediaType returns a Content-Type's type/subtype, or an empty string for one
// that makes no sense and means nothing (RFC 2045, section 5.2).
func mediaType(value string, found *Facts) string {
	main, sub, slash := strings.Cut(value, "/")
	main, sub = strings.TrimSpace(main), strings.TrimSpace(sub)
	if slash && isToken(main) && isToken(sub) {
		if len(main)+1+len(sub) < len(value) {
			return main + "/" + sub
		}
		return value
	}
	found.add(BadType)
	switch main {
	case "multipart":
		return "multipart/mixed"
	case "message":
		return "message/rfc822"
	}
	return ""
}

// maxBoundary is the length of a boundary (RFC 2046, section 5.1.1).
const maxBoundary = 70

func goodBoundary(b string) bool {
	for i := range len(b) {
		if c := b[i]; !isLetterDigit(c) && strings.IndexByte("'()+_,-./:=? ", c) < 0 {
			return false
		}
	}
	return len(b) <= maxBoundary && b[len(b)-1] != ' '
}

// extension returns what a name has after its last dot, in lower case.
func extension(name string) string {
	return strings.ToLower(strings.TrimSpace(name[strings.LastIndexByte(name, '.')+1:]))
}
