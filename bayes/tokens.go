package bayes

import (
	"math"
	"math/bits"
	"strconv"
	"strings"

	"milterd/message"
	"milterd/mime"
)

// A place is where in a message a token stands. Places are weighed apart from each
// other: each has its own average.
type place uint8

const (
	inHeader place = iota // values of header fields
	inLead                // the first words that a reader sees
	inText                // what he sees, and what is hidden from him
	inLinks               // hosts, paths
	inFacts               // structure, oddities
	inNames               // which header fields there are
	inForm                // how it is written, and what fields are beside each other, see form.go
	places
)

// Bounds on what is looked at of one message. Nobody reads more than that of an
// unknown sender's mail either; measured, more of it makes nothing better.
const (
	maxTokens      = 1000
	leadWords      = 80
	maxTextWords   = 1500
	maxHiddenWords = 300
	maxFieldWords  = 60
	maxFields      = 200
	maxURLs        = 200
	maxParts       = 100
)

// Token is one piece of evidence in a message.
type Token struct {
	// ID is the keyed hash by which the token is stored.
	ID    uint64
	place place
	kind  string // "subject", "text", the name of a header field ...
	text  string // as it stands in the message
}

// String returns the token for people, as kind:text. The text is a stranger's: it
// may hold anything.
func (t Token) String() string { return string(t.Append(nil)) }

// Append appends what String returns.
func (t Token) Append(dst []byte) []byte {
	dst, _ = appendFolded(append(append(dst, t.kind...), ':'), t.text)
	return dst
}

// tokenizer takes a message apart.
type tokenizer struct {
	secret *secret
	tokens []Token
	seen   idSet
	buf    []byte
	left   int // words that may be looked at
	cut    bool
}

// idSet holds the tokens of one message: a table at most half full, in which an id
// stands at its lowest bits or behind. They are keyed hashes, so no sender can make
// them meet; the id 0 counts as seen.
type idSet [2048]uint64

// add takes an id up. It reports false if it was there already.
func (s *idSet) add(id uint64) bool {
	i := id % uint64(len(s))
	for s[i] != 0 && s[i] != id {
		i = (i + 1) % uint64(len(s))
	}
	if s[i] == id {
		return false
	}
	s[i] = id
	return true
}

// tokens returns the tokens of a message, each once, in a fixed order: what they are
// depends on nothing that transport or a filter on the way adds. Of more words than most the rest is cut.
func (s *secret) tokens(m Message, most int) (tokens []Token, cut bool) {
	t := &tokenizer{tokens: make([]Token, 0, 384), buf: make([]byte, 0, 128)}
	t.read(s, m, most)
	return t.tokens, t.cut
}

// read takes a message apart. What t held of another one is gone.
func (t *tokenizer) read(s *secret, m Message, most int) {
	t.secret, t.left, t.cut = s, most, false
	t.tokens, t.seen = t.tokens[:0], idSet{}
	visible, facts := m.Tree.VisibleText()
	t.words(inLead, "text", visible, leadWords) // first: who comes first says where a word stands
	t.header(m.Header)
	t.structure(m.Tree)
	t.facts(facts)
	t.one(inFacts, "length", strconv.Itoa(bits.Len(uint(len(visible)))))
	t.measures(visible)
	t.links(m.Tree) // before the text, which may fill what there is room for
	t.text(visible)
	hidden, _ := m.Tree.HiddenText()
	t.words(inText, "hidden", hidden, maxHiddenWords)
}

// more says whether there may be one more word.
func (t *tokenizer) more() bool {
	if t.left == 0 {
		t.cut = true
		return false
	}
	t.left--
	return true
}

// add takes a token up. It reports false if it was there already, or there is no room.
func (t *tokenizer) add(id uint64, p place, kind, text string) bool {
	if len(t.tokens) >= maxTokens || !t.seen.add(id) {
		return false
	}
	t.tokens = append(t.tokens, Token{id, p, kind, text})
	return true
}

// hash hashes the word s[from:to] as a token of a kind, of which o is the opening. loud
// says that it is written in capitals.
func (t *tokenizer) hash(o *opening, kind, s string, from, to int) (id uint64, loud bool) {
	id, loud, ok := o.word(s, from, to)
	if !ok {
		t.buf, loud = appendFolded(append(append(t.buf[:0], kind...), 0), s[from:to])
		id = t.secret.hash(t.buf)
	}
	return id, loud
}

// one adds a token as a whole.
func (t *tokenizer) one(p place, kind, text string) {
	if text != "" {
		o := t.secret.open(kind)
		id, _ := t.hash(&o, kind, text, 0, len(text))
		t.add(id, p, kind, text)
	}
}

// words adds the first words of a text.
func (t *tokenizer) words(p place, kind, text string, most int) {
	o := t.secret.open(kind)
	for from, to := range words(text) {
		if most--; most < 0 || !t.more() {
			return
		}
		id, _ := t.hash(&o, kind, text, from, to)
		t.add(id, p, kind, text[from:to])
	}
}

// The kinds of words in capitals, as they are hashed: no other kind begins so.
const (
	loudText    = "\xf4ext"
	loudSubject = "\xf3ubject"
)

// text adds the words that a reader sees; those in capitals are a second token.
func (t *tokenizer) text(visible string) {
	left, o, capitals := maxTextWords, t.secret.open("text"), t.secret.open(loudText)
	for from, to := range words(visible) {
		if left--; left < 0 || !t.more() {
			return
		}
		id, loud := t.hash(&o, "text", visible, from, to)
		if t.add(id, inText, "text", visible[from:to]); loud {
			id, _ := t.hash(&capitals, loudText, visible, from, to)
			t.add(id, inText, "text in capitals", visible[from:to])
		}
	}
}

func (t *tokenizer) facts(facts mime.Facts) {
	for f := range facts.All() {
		t.one(inFacts, "fact", f.String())
	}
}

func (t *tokenizer) header(h *message.Header) {
	t.subject(mime.DecodeWords(h.Text("Subject")))
	author := h.Author()
	for i, a := range author.Addresses[:min(len(author.Addresses), 5)] {
		domain := a.Domain.String()
		t.one(inHeader, "from", a.String())
		t.one(inHeader, "from domain", domain)
		t.one(inHeader, "from tld", domain[strings.LastIndexByte(domain, '.')+1:])
		if i < len(author.Names) {
			t.words(inHeader, "from name", author.Names[i], maxFieldWords)
		}
	}
	t.messageID(h.Text("Message-ID"))
	t.comparisons(h, author)
	for i := range h.Fields[:min(len(h.Fields), maxFields)] {
		f := &h.Fields[i]
		name := strings.ToLower(f.Name)
		if onTheWay(name) {
			continue
		}
		t.one(inNames, "field", name)
		switch name {
		case "date":
			t.date(message.Unfold(f.Value))
		case "to", "cc":
			t.recipients(name, f.Value)
		}
		if telling(name) {
			t.words(inHeader, name, mime.DecodeWords(message.Unfold(f.Value)), maxFieldWords)
		}
	}
}

// subject adds the words of the Subject, as its own and as words of the text.
func (t *tokenizer) subject(text string) {
	left, o := maxFieldWords, t.secret.open("subject")
	for from, to := range words(text) {
		if left--; left < 0 || !t.more() {
			return
		}
		w := text[from:to]
		id, loud := t.hash(&o, "subject", text, from, to)
		if t.add(id, inHeader, "subject", w); loud {
			capitals := t.secret.open(loudSubject)
			id, _ := t.hash(&capitals, loudSubject, text, from, to)
			if t.add(id, inHeader, "subject in capitals", w) {
				t.one(inFacts, "subject", "capitals")
			}
		}
		t.one(inText, "text", w)
	}
}

// onTheWay says which fields are left out altogether: what mail servers, filters and
// mail programs add after the sender, and what we add ourselves. The same message
// must be the same when it is judged, delivered, and moved to another folder.
func onTheWay(name string) bool {
	switch name {
	case "received", "x-received", "return-path", "delivered-to", "x-delivered-to", "delivery-date", "x-original-to", "envelope-to",
		"apparently-to", "x-apparently-to", "status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", "lines", "content-length",
		"x-original-date", "x-evolution", "x-evolution-source", "x-mozilla-status", "x-mozilla-status2", "x-mozilla-keys",
		"authentication-results", "received-spf", "x-bogosity", "x-clientproxiedby", "bcc":
		return true
	}
	for _, prefix := range []string{"x-spam", "x-milterd-", "x-rspamd-", "x-virus-", "x-amavis", "arc-", "x-ms-exchange-", "x-forefront-", "x-microsoft-antispam"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// telling says whether the words of a field are worth a look, not its name alone.
// Subject, From and Message-ID have their own; others hold nothing but numbers.
func telling(name string) bool {
	switch name {
	case "subject", "from", "message-id", "date", "content-type", "references", "in-reply-to", "thread-index", "dkim-signature",
		"domainkey-signature", "x-google-dkim-signature", "x-gm-message-state", "x-google-smtp-source":
		return false
	}
	return true
}

// date adds how the Date is written and its zone, which tell programs and places
// apart; when it was says nothing.
func (t *tokenizer) date(value string) {
	t.shape(inFacts, "date", value, false)
	zone, n := "", 0
	for word := range strings.FieldsSeq(value) {
		if n++; n == 6 { // Thu, 20 Nov 2026 12:00:00 +0000
			zone = word
		}
	}
	t.one(inFacts, "zone", zone)
}

// recipients adds how many recipients a field names, and whether with their names.
func (t *tokenizer) recipients(name, value string) {
	t.one(inFacts, name+" addresses", strconv.Itoa(min(strings.Count(value, "@"), 6)))
	if strings.IndexByte(value, '<') >= 0 {
		t.one(inFacts, name, "named")
	} else {
		t.one(inFacts, name, "bare")
	}
}

// messageID adds what made the Message-ID: its host, and the shape of its number.
func (t *tokenizer) messageID(id string) {
	id = strings.Trim(id, "<>")
	at := strings.LastIndexByte(id, '@')
	if at < 0 {
		t.one(inHeader, "message-id", "none")
		return
	}
	t.one(inHeader, "message-id", id[at+1:])
	t.shape(inHeader, "message-id shape", id[:at], false)
	t.shape(inHeader, "message-id length", id[:at], true)
	t.shape(inHeader, "message-id host", id[at+1:], false)
}

// shape adds what a string looks like, whatever it says: a for letters and 0 for
// digits, runs of them once or, if long, letter by letter.
func (t *tokenizer) shape(p place, kind, s string, long bool) {
	t.buf = appendShape(append(append(t.buf[:0], kind...), 0), s, long)
	t.add(t.secret.hash(t.buf), p, kind, s)
}

func appendShape(dst []byte, s string, long bool) []byte {
	var last byte
	for i := range min(len(s), 60) {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c = '0'
		case 'a' <= c && c <= 'z':
			c = 'a'
		case 'A' <= c && c <= 'Z':
			c = 'A'
		}
		if long || c != last {
			dst, last = append(dst, c), c
		}
	}
	return dst
}

func (t *tokenizer) structure(tree *mime.Tree) {
	t.facts(tree.Facts)
	for _, p := range tree.Parts[:min(len(tree.Parts), maxParts)] {
		t.one(inFacts, "part", p.Type)
		t.one(inFacts, "charset", p.Param("charset"))
		t.one(inFacts, "encoding", p.Encoding.String())
		t.one(inFacts, "disposition", p.Disposition)
	}
	attachments := tree.Attachments()
	for _, a := range attachments[:min(len(attachments), maxParts)] {
		t.one(inFacts, "attachment", a.Type)
		for _, name := range a.Names[:min(len(a.Names), 5)] {
			t.words(inFacts, "attachment name", name, 10)
			if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
				t.one(inFacts, "attachment ending", name[dot:])
			}
		}
	}
}

func (t *tokenizer) links(tree *mime.Tree) {
	urls, facts := tree.URLs()
	t.facts(facts)
	for i := range urls[:min(len(urls), maxURLs)] {
		u := &urls[i]
		if i == 0 || u.Host != urls[i-1].Host {
			t.one(inLinks, "host", u.Host)
			t.one(inLinks, "domain", u.Domain())
			for label := range strings.SplitSeq(u.Host, ".") {
				t.one(inLinks, "label", label)
			}
		}
		t.one(inLinks, "scheme", u.Scheme+u.Port)
		t.one(inLinks, "link in", u.Where.String())
		t.words(inLinks, "path", u.Path, 20)
	}
}

// spread is by what the weights of a message's tokens are divided, so that long and
// short ones count alike.
func spread(tokens []Token) float64 { return math.Sqrt(float64(max(len(tokens), 1))) }
