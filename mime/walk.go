package mime

import (
	"bytes"
	"slices"
)

// walker carries a walk. It reads buf from left to right; open holds the
// multiparts it is in, the outermost first.
type walker struct {
	limits      Limits
	tree        *Tree
	buf         []byte
	open        []*Part
	spans       []span // of the header that is being read
	watch       watch
	textBytes   int  // left for text
	decodeBytes int  // left for decoding during the walk
	full        bool // the limit of parts is reached: read no further
}

// delimiter is a delimiter line, or the end of buf.
type delimiter struct {
	end  int   // where the text before it ends, without its line break
	next int   // where the line after it begins
	of   *Part // the multipart it belongs to; nil at the end
	last bool  // a closing delimiter
}

func newWalker(buf []byte, limits Limits) (w *walker, root *Part) {
	// An enclosed message in base64 takes three quarters of its size to decode,
	// one in that three quarters of the rest: four times the whole is never
	// reached, and honest mail nests one or two.
	w = &walker{limits: limits.withDefaults(), buf: buf, tree: new(Tree), spans: make([]span, 0, 32), decodeBytes: 2*len(buf) + 64<<10}
	w.textBytes = w.limits.TextBytes
	w.tree.limits = w.limits
	w.tree.budget.clock = w.limits.Clock
	w.tree.budget.left.Store(int64(w.limits.Time))
	w.watch = w.tree.budget.watch()
	w.tree.Root = w.add(nil)
	return w, w.tree.Root
}

// finish walks from the root's body on.
func (w *walker) finish(root *Part, from int) *Tree {
	w.part(root, from)
	w.watch.note(&root.Facts)
	for _, p := range w.tree.Parts {
		w.tree.Facts |= p.Facts
	}
	return w.tree
}

// add makes a new part inside parent.
func (w *walker) add(parent *Part) *Part {
	p := &Part{Parent: parent, Depth: 1, budget: &w.tree.budget}
	if parent != nil {
		p.Depth = parent.Depth + 1
		parent.Children = append(parent.Children, p)
	}
	w.tree.Parts = append(w.tree.Parts, p)
	return p
}

// part reads the body of p, whose header is known and whose body begins at
// from, with all that is in it. It returns the delimiter that ends it.
func (w *walker) part(p *Part, from int) delimiter {
	w.readFields(p)
	isMultipart, isMessage := p.IsMultipart(), p.IsMessage()
	encoded := p.Encoding == Base64 || p.Encoding == QuotedPrintable
	if isMultipart && encoded {
		// RFC 2045, section 6.4: a composite type has no encoding of its own.
		p.Facts.add(EncodedMultipart)
		p.Encoding = Identity
	}
	if (isMultipart || isMessage) && p.Depth >= w.limits.Depth {
		p.Facts.add(LimitDepth)
		isMultipart, isMessage = false, false
	}
	var end delimiter
	switch {
	case isMultipart:
		end = w.multipart(p, from)
	case isMessage && encoded:
		end = w.next(from, nil)
		p.Raw = w.buf[from:end.end]
		w.encodedMessage(p)
	case isMessage && w.room(p):
		child := w.add(p)
		end = w.part(child, w.header(child, from))
	default:
		end = w.next(from, nil)
	}
	p.Raw = w.buf[from:max(from, end.end)]
	w.reserveText(p)
	return end
}

// multipart reads the parts of p (RFC 2046, section 5.1).
func (w *walker) multipart(p *Part, from int) delimiter {
	if len(p.boundaries) == 0 {
		p.Facts.add(MissingBoundary)
		if b := guessBoundary(w.buf[from:]); b != "" {
			p.boundaries = append(p.boundaries, b)
		}
	}
	for _, outer := range w.open {
		for _, b := range p.boundaries {
			if slices.Contains(outer.boundaries, b) {
				p.Facts.add(ReusedBoundary)
			}
		}
	}
	w.open = append(w.open, p)
	at := w.next(from, nil)
	if at.of == p {
		p.Preamble = w.buf[from:at.end]
	}
	for at.of == p && !at.last {
		if !w.room(p) {
			at = delimiter{end: len(w.buf), next: len(w.buf)}
			break
		}
		child := w.add(p)
		at = w.part(child, w.header(child, at.next))
	}
	w.open = w.open[:len(w.open)-1]
	if len(p.Children) == 0 {
		p.Preamble = nil
		if !w.full {
			p.Facts.add(NoParts)
		}
	}
	if at.of == p {
		from = at.next
		at = w.next(from, p)
		p.Epilogue = w.buf[from:max(from, at.end)]
	} else if !w.full && len(p.Children) > 0 {
		p.Facts.add(MissingEnd)
	}
	return at
}

// encodedMessage walks over the message that p encloses in base64 or
// quoted-printable. It is another piece of memory, so the boundaries outside
// mean nothing in it. Each level costs the walk as much as it decodes; the
// budget keeps the sum linear in the size of the body.
func (w *walker) encodedMessage(p *Part) {
	p.Facts.add(EncodedMessage)
	if w.decodeBytes -= len(p.Raw); w.decodeBytes < 0 {
		p.Facts.add(LimitDecode)
		return
	}
	if !w.room(p) {
		return
	}
	content, found := p.contentBy(&w.watch)
	p.Facts |= found
	outside, open := w.buf, w.open
	w.buf, w.open = content, nil
	child := w.add(p)
	w.part(child, w.header(child, 0))
	w.buf, w.open = outside, open
}

// inTime says whether there is time for so much work. If not, the walk ends as if the message did.
func (w *walker) inTime(work int) bool {
	if !w.watch.spend(work) {
		w.full = true
	}
	return !w.full
}

// partWork is about what a part costs besides its bytes, in bytes.
const partWork = 256

// room says whether there may be one more part.
func (w *walker) room(p *Part) bool {
	if !w.inTime(partWork) {
		return false
	}
	if len(w.tree.Parts) >= w.limits.Parts {
		w.full = true
		p.Facts.add(LimitParts)
	}
	return !w.full
}

// reserveText gives p its share of the text budget, which it may use up later.
func (w *walker) reserveText(p *Part) {
	if !p.IsText() {
		return
	}
	want := len(p.Raw)
	if p.Encoding == Base64 {
		want = want/4*3 + 3
	}
	if p.IsFile() {
		want = min(want, fileBytes)
	}
	p.textBytes = min(want, w.textBytes)
	w.textBytes -= p.textBytes
	if p.textBytes < want {
		p.Facts.add(LimitText)
	}
}

// next finds the next delimiter of an open multipart in buf from from on, which
// is the start of a line. Delimiters of closed, a multipart that has ended, are
// noted and passed over.
func (w *walker) next(from int, closed *Part) delimiter {
	end := delimiter{end: len(w.buf), next: len(w.buf)}
	if len(w.open) == 0 && closed == nil || w.full {
		return end
	}
	for at := from; ; {
		i := bytes.Index(w.buf[at:], dashes)
		if i < 0 || !w.inTime(i+len(dashes)*(1+len(w.open))) {
			return end
		}
		at += i
		if at == from || w.buf[at-1] == '\n' {
			if d, ok := w.delimiterAt(at, closed); ok {
				if d.end = lineEnd(w.buf, at); d.end < from {
					d.end = from
				}
				return d
			}
		} else if w.buf[at-1] == '\r' {
			for _, p := range w.open {
				if p.delimits(w.buf[at:]) {
					p.Facts.add(BareCR)
				}
			}
		}
		// Only the first of a row of dashes can stand at the start of a line.
		for at += len(dashes); at < len(w.buf) && w.buf[at] == '-'; {
			at++
		}
	}
}

var dashes = []byte("--")

// lineEnd returns where the line before at ends without its line break.
func lineEnd(buf []byte, at int) int {
	if at > 0 && buf[at-1] == '\n' {
		at--
		if at > 0 && buf[at-1] == '\r' {
			at--
		}
	}
	return at
}

// delimits says whether line begins with one of p's delimiters.
func (p *Part) delimits(line []byte) bool {
	for _, b := range p.boundaries {
		if hasDelimiter(line, b) {
			return true
		}
	}
	return false
}

func hasDelimiter(line []byte, boundary string) bool {
	return len(line) >= 2+len(boundary) && line[0] == '-' && line[1] == '-' && string(line[2:2+len(boundary)]) == boundary
}

// delimiterAt says whether the line that begins at at is a delimiter of an open
// multipart, and which.
//
// RFC 2046, section 5.1.1 asks to compare the beginning of the line only. But
// boundaries that are prefixes of one another are common, and not every reader
// follows it. So a line that is a delimiter and nothing else wins, the
// innermost multipart first; then one that goes on with white space or, after
// its closing dashes, with anything. A line that goes on with other characters
// is text, and noted.
func (w *walker) delimiterAt(at int, closed *Part) (delimiter, bool) {
	line := w.buf[at:]
	next := -1 // where the next line begins, once somebody needs to know
	var loose, suffixed *Part
	looseLast := false
	for i := len(w.open) - 1; i >= -1; i-- {
		p := closed // comes last: open multiparts win
		if i >= 0 {
			p = w.open[i]
		}
		if p == nil {
			continue
		}
		for _, b := range p.boundaries {
			if !hasDelimiter(line, b) {
				continue
			}
			if next < 0 {
				next = len(w.buf)
				if end := bytes.IndexByte(line, '\n'); end >= 0 {
					line, next = line[:end], at+end+1
				}
			}
			rest := bytes.TrimRight(line[2+len(b):], " \t\r")
			last := bytes.HasPrefix(rest, dashes)
			switch exact := len(rest) == 0 || last && len(rest) == len(dashes); {
			case exact && i < 0:
				p.Facts.add(PartsAfterEnd)
			case exact:
				return delimiter{next: next, of: p, last: last}, true
			case i < 0:
			case loose == nil && (last || rest[0] == ' ' || rest[0] == '\t'):
				loose, looseLast = p, last
			default:
				suffixed = p
			}
		}
	}
	if loose != nil {
		loose.Facts.add(DelimiterJunk)
		return delimiter{next: next, of: loose, last: looseLast}, true
	}
	if suffixed != nil {
		suffixed.Facts.add(DelimiterSuffix)
	}
	return delimiter{}, false
}

// guessBoundary returns the boundary of a multipart that names none: its first
// line that is not blank, if that looks like a delimiter.
func guessBoundary(body []byte) string {
	line := bytes.TrimLeft(body, " \t\r\n")
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	boundary, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t\r"), dashes)
	if !ok || len(boundary) > maxBoundary {
		return ""
	}
	return string(boundary)
}
