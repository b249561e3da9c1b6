// Package tokens takes a message apart as SpamAssassin's Bayes does, and reads what
// SpamAssassin's Bayes has learned.
//
// A backup of SpamAssassin's memory ("sa-learn --backup") says of each token in how
// many spam and ham messages it was seen. It does not say what the token was: it has
// the last five bytes of its SHA-1. So whoever wants to use the counts must cut a new
// message into the same tokens, spelled alike, and hash them in the same way. That is
// what [Of] does; [ReadBackup] reads the counts.
//
// SpamAssassin 4.0 is followed as far as its tokens come from the message itself:
// words of the text that is seen and that is hidden, of links, and of header fields.
// Tokens about the way that a message took (X-Spam-Relays-...) need a configuration
// of SpamAssassin's and are left out, and so are digests of MIME parts, which are off
// there. Words that it leaves out as too common need no list here: a backup does not
// have them.
package tokens

import (
	"crypto/sha1"
	"strings"

	"milterd/message"
	"milterd/mime"
)

// Token is a token as SpamAssassin stores it.
type Token struct {
	Sum  [5]byte // the last bytes of the SHA-1 of Text
	Text string
}

// Bounds on what is looked at of one message.
const (
	maxTokens = 4000
	maxBytes  = 128 << 10 // of the text that is seen; of that which is hidden a quarter
	maxURLs   = 300
	maxFields = 200
	maxValue  = 4 << 10
	maxName   = 320 // of a mail address or a name in the DNS; what is longer is none
)

// region is where a token comes from: the rules differ.
type region uint8

const (
	inHeader region = iota
	inBody
	inLinks
)

// cutter takes a message apart.
type cutter struct {
	tokens []Token
	seen   map[[5]byte]struct{}
	words  map[string]struct{} // of the text: most come again, and a hash is dear
}

// Of returns the tokens of a message, each once.
func Of(h *message.Header, tree *mime.Tree) []Token {
	c := &cutter{tokens: make([]Token, 0, 512), seen: make(map[[5]byte]struct{}, 1024), words: make(map[string]struct{}, 512)}
	c.header(h)
	c.line("", mime.DecodeWords(h.Text("Subject")), inBody)
	visible, _ := tree.VisibleText()
	c.text("", visible, maxBytes)
	urls, _ := tree.URLs()
	for i := range urls[:min(len(urls), maxURLs)] {
		c.line("", urls[i].Raw, inLinks)
	}
	c.mailboxes(visible[:min(len(visible), maxBytes)])
	hidden, _ := tree.HiddenText()
	c.text("I*:", hidden, maxBytes/4)
	return c.tokens
}

// add takes a token up.
func (c *cutter) add(prefix, text string) {
	if text == "" || len(c.tokens) == maxTokens {
		return
	}
	text = prefix + text
	sum := sha1.Sum([]byte(text))
	key := [5]byte(sum[len(sum)-5:])
	if _, known := c.seen[key]; !known {
		c.seen[key] = struct{}{}
		c.tokens = append(c.tokens, Token{key, text})
	}
}

// mailboxes adds the mail addresses in a text, which are links as well.
func (c *cutter) mailboxes(text string) {
	for from, found := 0, 0; found < maxURLs; found++ {
		at := strings.IndexByte(text[from:], '@')
		if at < 0 {
			return
		}
		at += from
		begin, end := at, at+1
		for begin > from && inAddress(text[begin-1]) {
			begin--
		}
		for end < len(text) && inAddress(text[end]) {
			end++
		}
		if begin < at && strings.IndexByte(text[at:end], '.') > 0 {
			c.line("", "mailto:"+text[begin:end], inLinks)
		}
		from = end
	}
}

func inAddress(c byte) bool { return isWord(c) || c == '.' || c == '-' || c == '+' || c == '=' }

// text adds the tokens of a text. What matters of its lines is where a paragraph
// begins.
func (c *cutter) text(prefix, text string, most int) {
	text = text[:min(len(text), most)]
	for text != "" {
		paragraph, rest, _ := strings.Cut(text, "\n\n")
		c.line(prefix, paragraph, inBody)
		text = rest
	}
}

// line adds the tokens of a paragraph, a link or a header field.
func (c *cutter) line(prefix, text string, in region) {
	text = clean(text)
	if in != inHeader {
		text = untitled(text)
	}
	for word := range strings.FieldsSeq(text) {
		c.word(prefix, word, in)
	}
}

const (
	trimmed   = `-'".,`
	minLength = 3
	maxLength = 15
	kept      = 7
)

func (c *cutter) word(prefix, word string, in region) {
	word = strings.Trim(word, trimmed)
	if len(word) < minLength {
		return
	}
	if in == inBody && prefix == "" {
		if _, again := c.words[word]; again {
			return
		}
		c.words[word] = struct{}{}
	}
	if in != inHeader && len(word) <= maxName {
		if at := strings.IndexByte(word[1:], '@'); at >= 0 && at+2 < len(word) {
			for _, t := range address(word) {
				c.add("", t)
			}
		} else if dotted(word) {
			c.add("UD:", word)
			for parent := range parents(word) {
				c.add("UD:", parent)
			}
		}
	}
	if len(word) > maxLength && strings.IndexByte(word, '*') < 0 {
		if wide(word) {
			some := false
			for _, r := range word {
				if r >= 0x800 {
					c.add(prefix+"u8:", string(r))
					some = true
				}
			}
			if some {
				return
			}
		}
		if in != inLinks {
			word = skipped(word)
		}
	}
	if in != inHeader {
		plain := strings.Map(wordCharacter, word)
		if plain != word {
			c.add(prefix, plain)
		}
		if low := lower(word); low != word {
			c.add(prefix, low)
			if plain != word {
				c.add(prefix, lower(plain))
			}
		}
	}
	c.add(prefix, word)
}
