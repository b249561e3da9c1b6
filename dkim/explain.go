package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"milterd/message"
)

// Explanation tells people about one signature: what was hashed, and if it does
// not verify, what may have happened to the message on its way. It is for a
// command line, not for decisions: guesses cost time, and an attacker can make
// them come out as they like.
type Explanation struct {
	Result

	// Fields are what h= names, in its order.
	Fields []SignedField
	// Text is what was hashed for the signature: these fields and the signature
	// field itself, in canonical form. Empty when the field cannot be used.
	Text string
	// BodyHash is the hash of the body, WantHash the one in bh=.
	BodyHash, WantHash []byte

	// Changes are what would explain a mismatch. Those that are proven are all it
	// takes: with them undone, header or body is what was signed.
	Changes []Change
}

// SignedField is a name in h= and the field that it stands for.
type SignedField struct {
	Name  string
	Index int // in the header; -1 when the name signs that there is no such field
}

// ChangeKind says what happened to a message.
type ChangeKind string

// What mailing lists, forwarders and mail servers do to messages.
const (
	FieldAdded    ChangeKind = "field added"     // Field was not there
	FieldChanged  ChangeKind = "field changed"   // by z=, Field was Was
	SubjectTag    ChangeKind = "subject tag"     // Subject was Was
	FromRewritten ChangeKind = "From rewritten"  // From was Was
	Footer        ChangeKind = "footer"          // the last Lines lines were added
	Preface       ChangeKind = "preface"         // the first Lines lines were added
	Wrapped       ChangeKind = "put into a part" // the body is now one part of a multipart body
	Recoded       ChangeKind = "recoded"         // the body has another transfer encoding
)

// Change is one thing that happened to a message. Was and Is are text of the
// message, unfolded.
type Change struct {
	Kind   ChangeKind
	Field  string
	Was    string
	Is     string
	Lines  int
	Proven bool
}

// String describes the change in a line. Text of the message is quoted.
func (c Change) String() string {
	var s string
	switch c.Kind {
	case Footer:
		s = fmt.Sprintf("footer: the last %d lines were not there", c.Lines)
	case Preface:
		s = fmt.Sprintf("preface: the first %d lines were not there", c.Lines)
	case FieldAdded:
		s = fmt.Sprintf("field added: %s: %q was not there", c.Field, c.Is)
	case Wrapped, Recoded:
		s = "body " + string(c.Kind)
	default:
		s = fmt.Sprintf("%s: %s is %q, was %q", c.Kind, c.Field, c.Is, c.Was)
	}
	if !c.Proven {
		s += " (which does not explain all)"
	}
	return s
}

// Explain verifies a message, like Start to Finish, and explains the outcome.
func (v *Verifier) Explain(ctx context.Context, fields []message.Field, body []byte) []Explanation {
	s := v.Start(ctx, fields, message.Domain{})
	s.Write(body)
	var explanations []Explanation
	for i, r := range s.Finish(ctx) {
		e := Explanation{Result: r}
		p := &s.chosen[i]
		header := NewHeader(fields)
		for j, at := range header.Select(p.sig.Names, p.sig.Index) {
			e.Fields = append(e.Fields, SignedField{p.sig.Names[j], at})
		}
		e.WantHash = p.sig.BodyHash
		if p.err == nil {
			e.Text = string(header.appendSigned(nil, p.sig))
			e.BodyHash, _ = s.body.Sum(p.sig.Body, p.sig.Length)
			if p.key.err == nil && !r.HeaderMatches {
				e.Changes = (&headerGuess{v: v, p: p, fields: fields, selected: e.Fields}).guess()
			}
			if !r.BodyMatches && p.sig.Length < 0 {
				e.Changes = append(e.Changes, guessBody(p.sig, fields, body)...)
			}
		}
		explanations = append(explanations, e)
	}
	return explanations
}

// A headerGuess looks for changes that, undone, make the signature verify.
type headerGuess struct {
	v        *Verifier
	p        *pending
	fields   []message.Field
	selected []SignedField
	tries    int
}

// maxTries is the most verifications spent on one signature.
const maxTries = 500

// An undo puts one field back to what it may have been.
type undo struct {
	index  int
	value  string // with its leading blank
	remove bool
	change Change
}

func (g *headerGuess) guess() []Change {
	copied := g.copied()
	if len(copied) > 0 && g.proves(copied...) {
		return changes(copied, true)
	}
	// One change alone, then several together, which lists like to do.
	subject, from, added := g.subject(), g.from(), g.added()
	none := []undo{{index: -1}}
	for _, choice := range [][3][]undo{
		{subject, none, none}, {none, from, none}, {none, none, added},
		{subject, from, none}, {subject, none, added}, {none, from, added}, {subject, from, added},
	} {
		for _, a := range choice[0] {
			for _, b := range choice[1] {
				for _, c := range choice[2] {
					tried := slices.DeleteFunc([]undo{a, b, c}, func(u undo) bool { return u.index < 0 })
					if g.proves(tried...) {
						return changes(tried, true)
					}
				}
			}
		}
	}
	return changes(copied, false)
}

func changes(undone []undo, proven bool) []Change {
	var list []Change
	for _, u := range undone {
		u.change.Proven = proven
		list = append(list, u.change)
	}
	return list
}

// proves reports whether the signature verifies with the changes undone.
func (g *headerGuess) proves(undone ...undo) bool {
	if g.tries++; g.tries > maxTries {
		return false
	}
	fields := slices.Clone(g.fields)
	for _, u := range undone {
		if u.remove {
			fields[u.index].Name = "" // no name in h= finds it any more
		} else {
			fields[u.index].Value = u.value
		}
	}
	digest := NewHeader(fields).Digest(g.p.sig)
	_, ok, _ := g.v.VerifyDigest(g.p.key.keys, g.p.sig, digest[:])
	return ok
}

// put returns the undo that gives a field another value.
func (g *headerGuess) put(kind ChangeKind, index int, value string) undo {
	f := &g.fields[index]
	return undo{index: index, value: " " + value, change: Change{Kind: kind, Field: f.Name, Was: value, Is: message.Unfold(f.Value)}}
}

// copied compares with the copies in z= (RFC 6376, section 3.5), as far as a
// name occurs once.
func (g *headerGuess) copied() []undo {
	var list []undo
	header := NewHeader(g.fields)
	for text := range strings.SplitSeq(g.p.sig.copied, "|") {
		name, value, _ := strings.Cut(text, ":")
		name, value = trimSpace(name), decodeQP(value)
		at := slices.IndexFunc(g.selected, func(f SignedField) bool { return equalFold(f.Name, name) && f.Index >= 0 })
		if at < 0 || header.Count(name) != 1 {
			continue
		}
		index := g.selected[at].Index
		if !bytes.Equal(appendRelaxed(nil, value), appendRelaxed(nil, g.fields[index].Value)) {
			u := g.put(FieldChanged, index, message.Unfold(value))
			u.value = value
			list = append(list, u)
		}
	}
	return list
}

// subject takes off a tag: "[list] x", "Re: [list] x", "***SPAM*** x".
func (g *headerGuess) subject() []undo {
	var list []undo
	for _, f := range g.selected {
		if f.Index < 0 || !equalFold(f.Name, "Subject") {
			continue
		}
		text := message.Unfold(g.fields[f.Index].Value)
		for at := range len(text) {
			end := -1
			switch text[at] {
			case '[':
				end = strings.IndexByte(text[at:], ']')
			case '*':
				end = strings.IndexByte(text[at:], ' ') - 1
			}
			if end > 0 && (at == 0 || text[at-1] == ' ') && len(list) < 4 {
				list = append(list, g.put(SubjectTag, f.Index, text[:at]+strings.TrimLeft(text[at+end+1:], " ")))
			}
		}
	}
	return list
}

// from puts back an author whom a list has moved elsewhere.
func (g *headerGuess) from() []undo {
	var list []undo
	for _, f := range g.selected {
		if f.Index < 0 || !equalFold(f.Name, "From") {
			continue
		}
		for i := range g.fields {
			for _, name := range []string{"X-Original-From", "Original-From", "Author", "Reply-To", "Cc"} {
				if equalFold(g.fields[i].Name, name) && len(list) < 6 {
					list = append(list, g.put(FromRewritten, f.Index, message.Unfold(g.fields[i].Value)))
				}
			}
		}
	}
	return list
}

// added takes away the signed fields one at a time.
func (g *headerGuess) added() []undo {
	var list []undo
	for _, f := range g.selected {
		if f.Index >= 0 && !slices.ContainsFunc(list, func(u undo) bool { return u.index == f.Index }) {
			c := Change{Kind: FieldAdded, Field: g.fields[f.Index].Name, Is: message.Unfold(g.fields[f.Index].Value)}
			list = append(list, undo{index: f.Index, remove: true, change: c})
		}
	}
	return list
}

// hashOf returns bh= for a body.
func hashOf(c Canonicalization, body []byte) []byte {
	var b BodyHashes
	b.Want(c, -1)
	b.Write(body)
	sum, _ := b.Sum(c, -1)
	return sum
}

// canonicalLines returns the lines of the canonical body, with their ends.
func canonicalLines(c Canonicalization, body []byte) [][]byte {
	var text collector
	b := &bodyCanonicalizer{relaxed: c == Relaxed, out: &bodyHash{hash: &text}}
	b.write(body)
	b.close()
	return bytes.SplitAfter(text.Bytes(), crlf[:2])
}

// A collector is a hash.Hash that keeps what it is given.
type collector struct{ bytes.Buffer }

func (*collector) Sum(b []byte) []byte { return b }
func (*collector) Size() int           { return 0 }
func (*collector) BlockSize() int      { return sha256.BlockSize }
