package clamav

import (
	"bytes"
	"fmt"
	"iter"
	"strings"

	"milterd/mime"
)

// A piece is something of a message that clamd is to look at by itself.
type piece struct {
	where   string // for the log
	content []byte
}

// pieces yields every decoded part of a message and, if programs may read the message
// in more than one way, every reading of it.
//
// clamd takes a message apart itself, so the raw message would do if all programs took
// messages apart alike. They do not: what clamd takes for text, the program of the
// recipient may take for an attachment. So base64 is decoded wherever it stands in what
// is no base64 by its header; that costs next to nothing, since hardly any text has
// some. The readings are those of the transfer encoding, of what stands around the
// parts, and of base64 in all of the body, whether a boundary that somebody believes in
// encloses it or not.
//
// After maxPieces there are no more, and cut is set; so it is when the time to read the message
// is up before a part is decoded.
func pieces(tree *mime.Tree, body []byte, limits mime.Limits, cut *bool) iter.Seq[piece] {
	return func(yield func(piece) bool) {
		out := &sink{yield: yield, cut: cut}
		for i, p := range tree.Parts {
			where := fmt.Sprintf("part %d", i+1)
			if len(p.Children) == 0 {
				content, facts := p.Content()
				if facts.Has(mime.LimitTime) { // the raw message is looked at all the same
					*cut = true
				}
				out.add(where, content)
				if p.Encoding != mime.Base64 {
					out.runs(where, p.Raw)
				}
			}
			out.runs(where+", preamble", p.Preamble)
			out.runs(where+", epilogue", p.Epilogue)
		}
		if !isAmbiguous(tree) {
			return
		}
		for i, p := range tree.Parts {
			out.readings(fmt.Sprintf("part %d", i+1), p, limits)
		}
		out.runs("the body", body)
	}
}

// maxPieces bounds the pieces of a message: twice as many as it has parts at most.
// Those that turn out too small to be looked at count as well.
const maxPieces = 1000

// sink takes pieces until nobody wants more.
type sink struct {
	yield func(piece) bool
	count int
	done  bool
	cut   *bool
}

// smallest is the least that a scanner could find something in.
const smallest = 16

func (s *sink) add(where string, content []byte) {
	if s.done {
		return
	}
	if s.count++; s.count > maxPieces {
		*s.cut, s.done = true, true
		return
	}
	if len(content) < 4096 && len(bytes.TrimSpace(content)) < smallest {
		return
	}
	s.done = !s.yield(piece{where, content})
}

// readings adds what a part is with each transfer encoding but its own, and what stands
// around its parts. A multipart that is encoded as a whole is taken apart again.
func (s *sink) readings(where string, p *mime.Part, limits mime.Limits) {
	for _, other := range []mime.Encoding{mime.Identity, mime.Base64, mime.QuotedPrintable} {
		if s.done || other == p.Encoding && len(p.Children) == 0 {
			continue // had its turn
		}
		as := where + " as " + other.String()
		content := decode(p.Raw, other)
		s.add(as, content)
		if !p.IsMultipart() || other == mime.Identity || s.done {
			continue
		}
		var fields []mime.Field
		for _, f := range p.Header {
			if strings.EqualFold(f.Name, "Content-Type") {
				fields = append(fields, f)
			}
		}
		for _, inner := range mime.Walk(fields, content, limits).Parts {
			if len(inner.Children) == 0 {
				content, _ := inner.Content()
				s.add(as, content)
			}
		}
	}
	s.add(where+", preamble", p.Preamble)
	s.add(where+", epilogue", p.Epilogue)
}

// runs adds what base64 in a text stands for: as programs read it that go on after
// padding, and as those do that take each piece between padding for itself.
func (s *sink) runs(where string, text []byte) {
	for run := range base64Runs(text) {
		s.add(where+", base64 in it", decode(run, mime.Base64))
		for from := 0; from < len(run) && !s.done; {
			end := bytes.IndexByte(run[from:], '=')
			if end < 0 {
				end = len(run)
			} else {
				end += from
			}
			for end < len(run) && (run[end] == '=' || run[end] == '\r' || run[end] == '\n') {
				end++
			}
			if from > 0 || end < len(run) {
				s.add(where+", base64 between padding", decode(run[from:end], mime.Base64))
			}
			from = end
		}
		if s.done {
			return
		}
	}
}

// isAmbiguous reports whether programs may read the message in more than one way; parts
// must have been decoded before, else it is not known of their content.
func isAmbiguous(tree *mime.Tree) bool {
	facts := tree.Facts
	for _, p := range tree.Parts {
		if len(p.Children) == 0 {
			_, found := p.Content()
			facts |= found
		}
	}
	return facts.Has(mime.Ambiguous)
}

// decode undoes a transfer encoding, as the walk does it.
func decode(raw []byte, e mime.Encoding) []byte {
	if e == mime.Identity {
		return raw
	}
	fields := []mime.Field{{Name: "Content-Type", Value: " application/octet-stream"}, {Name: "Content-Transfer-Encoding", Value: " " + e.String()}}
	content, _ := mime.Walk(fields, raw, mime.Limits{}).Root.Content()
	return content
}

// leastRun is how many characters of base64 in a row make a run. Words on lines of their
// own look like it; what a scanner finds is longer.
const leastRun = 60

// base64Runs yields the pieces of a body that consist of lines of base64 and nothing
// else but blank lines. Blanks around a line count for nothing.
func base64Runs(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start, end := -1, 0
		for at := 0; at < len(body); {
			next := len(body)
			if nl := bytes.IndexByte(body[at:], '\n'); nl >= 0 {
				next = at + nl + 1
			}
			line := bytes.TrimSpace(body[at:next])
			switch {
			case len(line) == 0:
			case isBase64(line):
				if start < 0 {
					start = at
				}
				end = next
			default:
				if start >= 0 && end-start >= leastRun && !yield(body[start:end]) {
					return
				}
				start = -1
			}
			at = next
		}
		if start >= 0 && end-start >= leastRun {
			yield(body[start:end])
		}
	}
}

func isBase64(line []byte) bool {
	for _, c := range line {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/', c == '=':
		default:
			return false
		}
	}
	return true
}
