package spamassassin

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a rule looks at; the words of the files.
type Kind string

// The kinds of rules.
const (
	Header     Kind = "header"
	Body       Kind = "body"
	RawBody    Kind = "rawbody"
	URI        Kind = "uri"
	Full       Kind = "full"
	MIMEHeader Kind = "mimeheader"
	Meta       Kind = "meta"
	Eval       Kind = "eval"
)

// definition is a rule as the files have it.
type definition struct {
	name string
	pos  Pos
	kind Kind
	of   Kind // of an eval, the word that introduced it

	field   string // header, mimeheader: the name with its modifiers
	exists  bool   // instead of an expression
	negated bool   // !~
	regex   regex
	unset   string // what stands for a header that is missing
	call    string // of an eval: function and arguments
	meta    string

	flags    []string
	describe string
	scores   []float64 // one or four
}

// isRegex says whether the rule has an expression.
func (d *definition) isRegex() bool { return d.kind != Meta && d.kind != Eval && !d.exists }

func (d *definition) has(flag string) bool { return slices.Contains(d.flags, flag) }

// maxHits is how often the rule counts: once, unless it says multiple.
func (d *definition) maxHits() int {
	if !d.has("multiple") {
		return 1
	}
	for _, flag := range d.flags {
		if text, ok := strings.CutPrefix(flag, "maxhits="); ok {
			if n, err := strconv.Atoi(text); err == nil && n > 0 {
				return n
			}
		}
	}
	return anyHits
}

// anyHits stands for a multiple without maxhits.
const anyHits = 1 << 20

// regex is an expression as it was written.
type regex struct {
	text  string // without delimiters
	flags string
}

// parseRegex takes /.../i or m{...}xs apart. The last delimiter ends it, so that
// those inside need no backslash.
func parseRegex(text string) (r regex, err error) {
	body := strings.TrimSpace(text)
	if after, ok := strings.CutPrefix(body, "qr"); ok {
		body = after
	} else if after, ok := strings.CutPrefix(body, "m"); ok && after != "" && !isWord(after[0]) {
		body = after
	}
	if body == "" || isWord(body[0]) || body[0] == ' ' || body[0] == '\\' {
		return r, fmt.Errorf("%.20q, expected an expression between slashes, or m{...}", text)
	}
	closing := body[0]
	if i := strings.IndexByte("({[<", closing); i >= 0 {
		closing = ")}]>"[i]
	}
	inner := strings.TrimRight(body, "abcdefghijklmnopqrstuvwxyz")
	r.flags = body[len(inner):]
	if len(inner) < 2 || inner[len(inner)-1] != closing {
		return r, fmt.Errorf("%.20q has no end, expected %c and flags", text, closing)
	}
	r.text = unescapeDelimiter(inner[1:len(inner)-1], closing)
	if bad := strings.Trim(r.flags, "acdgilmnopsux"); bad != "" {
		return r, fmt.Errorf("%q are no flags of an expression", r.flags)
	}
	if strings.Trim(r.text, " \t") == "" {
		return r, errors.New("an empty expression")
	}
	return r, nil
}

// unescapeDelimiter takes the backslash away that a delimiter needs, where the
// delimiter means something to an expression.
func unescapeDelimiter(text string, closing byte) string {
	if !strings.ContainsRune(`,%!"'~;:=&@/`, rune(closing)) {
		return text
	}
	return strings.ReplaceAll(text, `\`+string(rune(closing)), string(rune(closing)))
}

// plainText says whether text is of printable ASCII alone.
func plainText(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// parseHeader reads what follows the name of a header or mimeheader rule.
func (d *definition) parseHeader(text string) error {
	if field, ok := strings.CutPrefix(text, "exists:"); ok {
		d.exists = true
		d.field = strings.TrimSpace(field)
		if d.field == "" || !plainText(d.field) {
			return fmt.Errorf("exists:%.20q, expected the name of a field", field)
		}
		return nil
	}
	at := strings.Index(text, "=~")
	if not := strings.Index(text, "!~"); at < 0 || not >= 0 && not < at {
		at, d.negated = not, true
	}
	if at < 0 {
		return fmt.Errorf("%.30q, expected FIELD =~ /expression/", text)
	}
	d.field = strings.TrimSpace(text[:at])
	if d.field == "" || !plainText(d.field) {
		return fmt.Errorf("%.30q, expected the name of one field", text[:at])
	}
	text = strings.TrimSpace(text[at+2:])
	if i := strings.LastIndex(text, "[if-unset:"); i > 0 && strings.HasSuffix(text, "]") {
		d.unset = strings.TrimSpace(text[i+len("[if-unset:") : len(text)-1])
		text = text[:i]
	}
	return d.parseText(text)
}

// parseText reads the expression of a rule.
func (d *definition) parseText(text string) (err error) {
	d.regex, err = parseRegex(text)
	return err
}
