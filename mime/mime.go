// Package mime walks over the body of a message and finds its parts, however
// badly it was built.
//
// A message that breaks the rules of MIME is not refused here: mail programs
// show such messages, each in its own way, so a filter that gives up on them is
// a filter that can be passed. [Walk] always returns a tree. What was wrong,
// and what two readers may understand in two ways, is in its [Facts].
//
//	tree := mime.Walk(header, body, mime.Limits{})
//	for _, part := range tree.Parts {
//		if part.IsText() {
//			text, _ := part.Text()
//			...
//		}
//	}
//
// # One pass over one piece of memory
//
// Walk takes the body as one slice. A stream would spare its caller nothing,
// since the body is already held in memory or in a file up to scan_bytes, but
// would cost copies: so every part is a slice of the body, an unencoded
// attachment of any size takes no memory at all, and any number of checks can
// read the same tree at once.
//
// The walk goes over the body once, from left to right, with the boundaries of
// all open multiparts in hand. Its time grows with the size of the body and
// with nothing else: not with depth, not with the number of parts. The bytes of
// the body must not change while the tree is in use.
//
// [Limits] bound depth, parts, text and URLs, and what is made of them, and so the
// time: the worst message of 64 MiB that we know takes a third of a second, the
// worst text of 1 MiB a tenth. For those that we do not know there is a clock
// beside (Limits.Time), at which all work on a tree looks again and again. When the
// time is up it ends where it is, and the fact LimitTime says so.
//
// # What a reader sees, and what he does not
//
//	text, facts := tree.VisibleText()
//	hidden, _ := tree.HiddenText()
//
// Spam shows one text to its reader and another to filters: good words in white
// on white, letters of no size inside a bad word. So the text of HTML comes in two
// pieces, see [HTMLView] for what hides text. Honest mail hides text as well, the
// preview of a newsletter for one; that there is some (HTML_HIDDEN_TEXT) means
// little, what is in it may mean a lot.
//
// # Where it leads to
//
//	urls, facts := tree.URLs()
//	for i := range urls {
//		u := &urls[i]
//		fmt.Println(u.Where, u.Host, u.Domain(), u.Displayed)
//	}
//
// URLs are found in text as mail programs find them, and in HTML wherever it
// has some, and read as browsers read them: http://0x7f.1 is 127.0.0.1, and
// http://bank.example@evil.example is evil.example. Each has the facts of its own,
// such as URL_DISPLAYED_OTHER for a link whose text shows another domain, and each
// is there once. [TextURLs] does it for any text and [ParseURL] for one URL;
// [URL.Domain] is what lists of domains are asked for.
//
// # Attachments
//
// [Tree.Attachments] has the parts that are offered as files, those of enclosed
// messages too, each with every name that some program may read out of it.
//
// # Nothing is decoded that nobody asks for
//
// [Part.Content] undoes the transfer encoding, [Part.Text] the charset, and
// [Part.View] the HTML, each when it is first called, and each keeps its result;
// so do the methods of the tree above, which build on them. All return the facts
// they met. The facts of the tree are those of the walk alone, so they do not
// depend on who decoded what before. The one exception to laziness is an enclosed
// message in base64 or quoted-printable, which must be decoded to be walked.
//
// The functions for single values stand beside: [DecodeWords] for encoded words
// in header fields (RFC 2047), [HTMLText] and [HTMLView] for a source of HTML.
package mime

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits bound a walk. A limit of 0 stands for its default.
type Limits struct {
	Depth        int // of parts in parts, the message itself being 1; default 20
	Parts        int // in the whole tree; default 500
	Parameters   int // of one field; default 50
	TextBytes    int // of all text parts together, before charsets are decoded; default 1 MiB
	HeaderFields int // of one part; default 1000
	HeaderBytes  int // of one part; default 256 KiB
	URLs         int // in all texts together; default 1000
	// Time is for all work on a tree together: the walk, and what is decoded and read
	// of it later. Default 5 s.
	Time  time.Duration
	Clock Clock // by which Time is measured; default the system's
}

// withDefaults fills in what is 0.
func (l Limits) withDefaults() Limits {
	for _, limit := range []struct {
		value *int
		dflt  int
	}{{&l.Depth, 20}, {&l.Parts, 500}, {&l.Parameters, 50}, {&l.TextBytes, 1 << 20}, {&l.HeaderFields, 1000}, {&l.HeaderBytes, 256 << 10}, {&l.URLs, 1000}} {
		if *limit.value <= 0 {
			*limit.value = limit.dflt
		}
	}
	if l.Time <= 0 {
		l.Time = 5 * time.Second
	}
	if l.Clock == nil {
		l.Clock = systemClock{}
	}
	return l
}

// Field is one header field. Value is everything after the colon as it was
// received, with its folding.
type Field struct {
	Name, Value string
}

// Tree is what a walk found.
type Tree struct {
	Root  *Part   // the message itself
	Parts []*Part // all parts in the order of the message, the root first
	Facts Facts   // of all parts together

	limits Limits
	budget budget

	readOnce        sync.Once
	visible, hidden string
	readFact        Facts
	urlsOnce        sync.Once
	urls            []URL
	urlFact         Facts
}

// Part is one node of the tree: the message itself, a part of a multipart, or
// an enclosed message. Its fields do not change after the walk.
type Part struct {
	Header []Field
	// Type is the media type in lower case, such as "text/html". A part without
	// a Content-Type, or with one that makes no sense, is "text/plain", in a
	// multipart/digest "message/rfc822" (RFC 2046, section 5.1.5).
	Type   string
	Params []Param // of the Content-Type
	// Disposition is "inline", "attachment" or whatever the sender wrote, in
	// lower case; empty when there was no Content-Disposition.
	Disposition string
	// Filename is the name of an attachment, decoded, from Content-Disposition
	// or else Content-Type. It is a stranger's text: it may hold any character
	// and any path.
	Filename string
	// Names are all names that the part gives itself, Filename first: see
	// [Attachment].
	Names    []string
	Encoding Encoding
	// Raw is the body of the part as it lies in the message, still encoded;
	// for a multipart that is everything between its header and its end.
	Raw []byte
	// Preamble and Epilogue are the texts before the first and after the last
	// delimiter of a multipart, which readers do not show.
	Preamble, Epilogue []byte

	Parent   *Part // nil for the root
	Children []*Part
	Depth    int // 1 for the root
	Facts    Facts

	boundaries []string
	textBytes  int // how much of the content may be read as text
	budget     *budget

	contentOnce sync.Once
	content     []byte
	contentFact Facts
	textOnce    sync.Once
	text        string
	textFact    Facts
	viewOnce    sync.Once
	view        *View
	viewFact    Facts
}

// Param is one parameter of a Content-Type, its name in lower case and its
// value decoded.
type Param struct {
	Name, Value string
}

// Param returns the value of the Content-Type's parameter name, given in lower
// case, or an empty string.
func (p *Part) Param(name string) string { return lookup(p.Params, name) }

func lookup(params []Param, name string) string {
	for i := range params {
		if params[i].Name == name {
			return params[i].Value
		}
	}
	return ""
}

// IsMultipart says whether the part is of type multipart, with children or not.
func (p *Part) IsMultipart() bool { return strings.HasPrefix(p.Type, "multipart/") }

// IsMessage says whether the part is of a type that encloses a message.
func (p *Part) IsMessage() bool { return p.Type == "message/rfc822" || p.Type == "message/global" }

// IsHTML says whether a reader may be shown the part as a page: HTML, and SVG,
// which has links and scripts as well; by its type or, for application/octet-stream,
// by a name, since that is what counts for who opens an attachment.
func (p *Part) IsHTML() bool {
	switch p.Type {
	case "text/html", "application/xhtml+xml", "image/svg+xml":
		return true
	case "application/octet-stream":
		return slices.ContainsFunc(p.Names, func(name string) bool {
			switch extension(name) {
			case "htm", "html", "xhtml", "shtml", "svg":
				return true
			}
			return false
		})
	}
	return false
}

// IsText says whether a reader may be shown the part as text: text of any
// subtype, pages, the reports of type message that have no parts of their own, and
// a multipart in which no parts were found.
func (p *Part) IsText() bool {
	if strings.HasPrefix(p.Type, "text/") || p.IsHTML() {
		return true
	}
	return len(p.Children) == 0 && (p.IsMultipart() || strings.HasPrefix(p.Type, "message/"))
}

// Content returns the body of the part with its transfer encoding undone, and
// the facts met on the way. It is never longer than Raw; where nothing was
// encoded it is Raw. It must not be changed. Safe for concurrent use.
func (p *Part) Content() ([]byte, Facts) {
	w := p.budget.watch()
	return p.contentBy(&w)
}

// Head returns the first bytes of Content, at most n, and decodes no more for it: what a
// file is stands at its beginning.
func (p *Part) Head(n int) ([]byte, Facts) {
	w := p.budget.watch()
	return decodeTransfer(p.Raw, p.Encoding, n, &w)
}

func (p *Part) contentBy(w *watch) ([]byte, Facts) {
	p.contentOnce.Do(func() {
		p.content, p.contentFact = decodeTransfer(p.Raw, p.Encoding, len(p.Raw), w)
	})
	return p.content, p.contentFact
}

// Text returns the part as UTF-8 with LF line ends, and the facts met on the
// way. Bytes that the charset does not have become U+FFFD; NULs and a byte
// order mark are left out. For a page it is the source, see [Part.View].
//
// The text of all parts together is bounded by Limits.TextBytes, counted in
// bytes before charsets are decoded and in the order of the message, so that
// what is cut does not depend on who reads first. Of a file ([Part.IsFile]) it is the
// first 64 KiB at most, and that is no finding. Text of a part for which
// IsText is false is empty. Safe for concurrent use.
func (p *Part) Text() (string, Facts) {
	p.textOnce.Do(func() {
		if p.textBytes == 0 {
			return
		}
		w := p.budget.watch()
		data, found := decodeTransfer(p.Raw, p.Encoding, p.textBytes, &w)
		p.text, p.textFact = decodeText(data, p.Param("charset"), p.IsHTML(), &w)
		p.textFact |= found
		w.note(&p.textFact)
	})
	return p.text, p.textFact
}

// Walk finds the parts of a message. header are its fields; only those whose
// names begin with "Content-" matter, so the caller may leave out the rest. body
// is what there is of the body, and is not copied.
func Walk(header []Field, body []byte, limits Limits) *Tree {
	w, root := newWalker(body, limits)
	root.Header = header
	return w.finish(root, 0)
}

// WalkMessage finds the parts of a message that is given in one piece, header
// and body.
func WalkMessage(message []byte, limits Limits) *Tree {
	w, root := newWalker(message, limits)
	return w.finish(root, w.header(root, 0))
}
