package view

import (
	"strings"

	"milterd/mime"
)

// rendered is one text part.
type rendered struct {
	text  string   // what is read of it; empty for kinds of text that are not shown
	raw   string   // decoded, in its own charset
	links []string // of HTML
}

// parts renders the text parts, each once.
func (v *View) parts() []rendered {
	if v.html != nil {
		return *v.html
	}
	all := []rendered{}
	left := v.src.TextBytes
	if v.src.Tree != nil {
		for _, part := range v.src.Tree.Parts {
			if left <= 0 {
				break
			}
			// A multipart without parts was read as text, too.
			if len(part.Children) > 0 || part.Type == "text/calendar" || !strings.HasPrefix(part.Type, "text/") && !part.IsMultipart() {
				continue
			}
			r := render(part, left)
			left -= len(r.raw)
			all = append(all, r)
		}
	}
	v.html = &all
	return all
}

func render(part *mime.Part, most int) rendered {
	content, _ := part.Content()
	end := ""
	if part.Parent != nil && part.Parent.IsMultipart() && part.Encoding != mime.Base64 {
		end = "\n" // the line end before a delimiter is one of the part
	}
	r := rendered{raw: lineFeeds(string(content[:min(len(content), most, maxRaw)])) + end}
	switch {
	case part.Type == "text/plain" || part.IsMultipart():
		text, _ := part.Text()
		r.text = lineFeeds(text[:min(len(text), most)]) + end
	case part.Type == "text/html":
		text, _ := part.Text()
		r.text, r.links = renderHTML(lineFeeds(text[:min(len(text), most)]) + end)
	}
	r.text = r.text[:min(len(r.text), maxRead)]
	return r
}

// Bounds of a part, in bytes, by SpamAssassin's defaults.
const (
	maxRead = 50000  // body_part_scan_size
	maxRaw  = 500000 // rawbody_part_scan_size
)

const maxParagraph = 2048 // bytes

// Body is the paragraphs of what is read, the subject before them.
func (v *View) Body() []string {
	subject, _ := v.values("Subject", decoded)
	if subject == "" {
		subject = "\n"
	}
	return append(short(nil, subject), v.paragraphs()...)
}

// paragraphs is what is read, without the subject.
func (v *View) paragraphs() []string {
	if v.read != nil {
		return *v.read
	}
	var b strings.Builder
	for i, p := range v.parts() {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.text)
	}
	all := paragraphs(nil, b.String())
	v.read = &all
	return all
}

// paragraphs cuts a text where there are empty lines, and joins the other lines. A
// run of white space is one blank, and a no-break space is white space as well,
// but no end of a line.
func paragraphs(to []string, text string) []string {
	var b strings.Builder
	space := false // the last byte written is a blank
	blank := func() {
		if !space {
			b.WriteByte(' ')
		}
		space = true
	}
	for i := 0; i < len(text); {
		if strings.HasPrefix(text[i:], nbsp) {
			blank()
			i += len(nbsp)
			continue
		}
		if !isSpace(text[i]) {
			b.WriteByte(text[i])
			space = false
			i++
			continue
		}
		end := i
		for end < len(text) && isSpace(text[end]) {
			end++
		}
		run := text[i:end]
		first, last := strings.IndexByte(run, '\n'), strings.LastIndexByte(run, '\n')
		if first == last { // no empty line
			blank()
		} else {
			if first > 0 {
				blank()
			}
			b.WriteByte('\n')
			to = short(to, b.String())
			b.Reset()
			if space = false; last < len(run)-1 {
				blank()
			}
		}
		i = end
	}
	return short(to, b.String())
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

const nbsp = "\u00a0"

// short cuts a text in pieces, at a blank if there is one.
func short(to []string, text string) []string {
	for len(text) > maxParagraph {
		n := strings.LastIndexByte(text[:maxParagraph+1], ' ') + 1
		if n == 0 {
			n = maxParagraph
		}
		to = append(to, text[:n])
		text = text[n:]
	}
	if text == "" {
		return to
	}
	return append(to, text)
}

const (
	minPiece = 2048 // bytes of a piece of a raw part
	maxPiece = 4096
)

// RawBody is the decoded text parts in pieces.
func (v *View) RawBody() (texts []string) {
	for _, p := range v.parts() {
		texts = pieces(texts, p.raw)
	}
	return texts
}

// pieces cuts a text of more than maxPiece behind the first line end from minPiece
// on, else behind the first blank, else there.
func pieces(to []string, text string) []string {
	for len(text) > maxPiece {
		window := text[minPiece:maxPiece]
		n := strings.IndexByte(window, '\n')
		if n < 0 {
			n = strings.IndexByte(window, ' ')
		}
		n = minPiece + max(n, 0) + 1
		to = append(to, text[:n])
		text = text[n:]
	}
	if text == "" {
		return to
	}
	return append(to, text)
}
