package authres

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line lengths of RFC 5322, section 2.1.1: what a line should keep to. The 998
// that it must keep to is out of reach, as no single item is longer than twice
// MaxValue and a few names.
const lineWanted = 78

// maxKeyword bounds a method, result, ptype or property name, in bytes, so that
// MaxMethods bare results fit into MaxBytes.
const maxKeyword = 32

// maxVersion bounds both kinds of version; there has only ever been a 1.
const maxVersion = 9999

// String returns the field's value as [Field.AppendTo] writes it.
func (f Field) String() string { return string(f.AppendTo(make([]byte, 0, 512))) }

// AppendTo appends the field's value, without the field's name and without a
// leading space, and returns the extended buffer. Lines end in LF, as milter
// has it, and continuation lines begin with a tab.
//
// The writer cannot be talked into writing anything but the results it is
// given. A value is written as a bare word where the grammar allows one, as
// local-part@domain for a plain address, and otherwise as a quoted-string with
// quotes and backslashes escaped. Before that, in every value and comment:
//
//   - what is not printable becomes "?": CR, LF, NUL, TAB and all other control
//     characters, bidirectional controls, zero-width and other format
//     characters, spaces beyond ASCII, bytes that are not UTF-8;
//   - ";" becomes "?" too. Inside quotes it would be legal, but readers that
//     split the field at every semicolon are common, and one of them would find
//     its dmarc=pass there;
//   - a "=" that would make a passed result of ours ("dmarc=pass", in any case)
//     becomes "?": filters that look for those bytes anywhere in the field are
//     commoner still, and <dmarc=pass@example.net> is a valid address;
//   - more than [MaxValue] bytes are cut, and the rest ends in "...".
//
// Names of methods, results and properties keep their letters, digits and
// hyphens, in lower case. The value as a whole keeps to [MaxBytes] and
// [MaxMethods], so that [Parse] can read all we write: where many long values
// would break the limit all values are cut shorter, at last to nothing. A
// result itself is never lost to a long value.
func (f Field) AppendTo(dst []byte) []byte {
	start := len(dst)
	for _, limit := range [...]int{MaxValue, 64, 16, 0} {
		dst = f.appendLimited(dst[:start], limit)
		if len(dst)-start <= MaxBytes {
			break
		}
	}
	return dst
}

// appendLimited writes the field with no value longer than limit; a limit of 0
// leaves out reasons, comments and properties.
func (f Field) appendLimited(dst []byte, limit int) []byte {
	w := writer{buf: dst, line: len(dst) - len(Name) - len(": "), limit: limit}
	// RFC 8601, section 2.2: authserv-id [ CFWS authres-version ].
	w.buf = appendQuotable(w.buf, clean(f.AuthservID, MaxValue, false))
	if f.Version > 0 && f.Version <= maxVersion {
		w.buf = append(w.buf, ' ')
		w.buf = strconv.AppendInt(w.buf, int64(f.Version), 10)
	}
	if len(f.Methods) == 0 {
		return append(w.buf, "; none"...)
	}
	ranks := make([]int, len(f.Methods)) // by the names that are written, not those that were given
	for i := range f.Methods {
		var name [maxKeyword]byte
		ranks[i] = rank(string(appendKeyword(name[:0], f.Methods[i].Method)))
	}
	written := 0
	for r := range len(order) + 1 {
		for i := range f.Methods {
			if ranks[i] == r && written < MaxMethods {
				w.method(&f.Methods[i])
				written++
			}
		}
	}
	return w.buf
}

// writer writes items and folds between them.
type writer struct {
	buf   []byte
	line  int // where in buf the current line begins
	limit int // of one value
}

// method writes one resinfo (RFC 8601, section 2.2), on a line of its own.
func (w *writer) method(m *Method) {
	w.buf = append(w.buf, ";\n\t"...)
	w.line = len(w.buf) - 1
	w.buf = appendKeyword(w.buf, m.Method)
	if m.Version > 0 && m.Version <= maxVersion {
		w.buf = append(w.buf, '/')
		w.buf = strconv.AppendInt(w.buf, int64(m.Version), 10)
	}
	w.buf = append(w.buf, '=')
	w.buf = appendKeyword(w.buf, m.Result)
	if w.limit == 0 {
		return
	}
	if m.Comment != "" {
		at := w.space()
		w.buf = appendComment(w.buf, clean(m.Comment, w.limit, false))
		w.fold(at)
	}
	if m.Reason != "" {
		at := w.space()
		w.buf = append(w.buf, "reason="...)
		w.buf = appendQuotable(w.buf, clean(m.Reason, w.limit, false))
		w.fold(at)
	}
	for _, p := range m.Props {
		at := w.space()
		// A property read without a ptype is the writer's own business:
		// "policy" (RFC 8601, section 2.4).
		if p.Ptype == "" {
			p.Ptype = "policy"
		}
		w.buf = appendKeyword(w.buf, p.Ptype)
		w.buf = append(w.buf, '.')
		w.buf = appendKeyword(w.buf, p.Property)
		w.buf = append(w.buf, '=')
		w.buf = AppendValue(w.buf, p.Value, w.limit)
		w.fold(at)
	}
}

// space begins an item and returns where.
func (w *writer) space() int {
	w.buf = append(w.buf, ' ')
	return len(w.buf) - 1
}

// fold moves the item that begins at to a line of its own when it does not fit.
func (w *writer) fold(at int) {
	if len(w.buf)-w.line <= lineWanted {
		return
	}
	w.buf = slices.Insert(w.buf, at, '\n')
	w.buf[at+1] = '\t'
	w.line = at + 1
}

// AppendValue appends s as a pvalue (RFC 8601, section 2.2): bare where that is
// legal, else quoted. It cleans s as [Field.AppendTo] says and cuts it after
// limit bytes. Other fields that carry values of the same kind use it too
// (Received-SPF, ARC-Authentication-Results).
func AppendValue(dst []byte, s string, limit int) []byte {
	s = clean(s, limit, false)
	if isPlainAddress(s) {
		return append(dst, s...)
	}
	return appendQuotable(dst, s)
}

// AppendText appends s as unstructured text for any header field, on one line:
// what is not printable becomes "?", and more than limit bytes are cut and end
// in "...". The text keeps its semicolons, quotes and parentheses, so it must
// not be used inside a structured field.
func AppendText(dst []byte, s string, limit int) []byte {
	return append(dst, clean(s, limit, true)...)
}

// clean makes s printable and at most limit bytes long, and unless it is text
// for an unstructured field, free of what a careless reader could take for a
// result. It returns s itself when there is nothing to do, which is nearly
// always.
func clean(s string, limit int, text bool) string {
	limit = max(limit, 0)
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] <= '~' && (text || s[i] != ';' && !isForgedPass(s, i)) {
		i++
	}
	if i == len(s) && len(s) <= limit {
		return s
	}
	const dots = "..."
	out := make([]byte, 0, min(len(s), limit))
	cut := 0 // where out must end when the dots have to follow
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		good := unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) && (text || r != ';' && !isForgedPass(s, i))
		size := n
		if !good {
			size = 1
		}
		if len(out)+size > limit {
			return string(append(out[:cut], dots[:min(len(dots), limit)]...))
		}
		if good {
			out = append(out, s[i:i+n]...)
		} else {
			out = append(out, '?')
		}
		if len(out) <= limit-len(dots) {
			cut = len(out)
		}
		i += n
	}
	return string(out)
}

// isForgedPass says whether s[i] is the equals sign of a passed result.
func isForgedPass(s string, i int) bool {
	const pass = "pass"
	if s[i] != '=' || i+len(pass) >= len(s) || !strings.EqualFold(s[i+1:i+1+len(pass)], pass) {
		return false
	}
	for _, name := range order {
		if i >= len(name) && strings.EqualFold(s[i-len(name):i], name) {
			return true
		}
	}
	return false
}

// appendQuotable appends a value of RFC 2045: a token, or else a quoted-string.
// s is clean.
func appendQuotable(dst []byte, s string) []byte {
	if isToken(s) {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// appendComment appends s in parentheses (RFC 5322, section 3.2.2). s is clean.
func appendComment(dst []byte, s string) []byte {
	dst = append(dst, '(')
	for i := range len(s) {
		if s[i] == '(' || s[i] == ')' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, ')')
}

// appendKeyword appends s as a Keyword (RFC 5321, section 4.1.2: letters,
// digits and inner hyphens), in lower case. The names come from our own code,
// so a bad one is a programming error; it must still not break the field.
func appendKeyword(dst []byte, s string) []byte {
	start := len(dst)
	for i := range min(len(s), maxKeyword) {
		c := lower(s[i])
		if !isLetterDigit(c) {
			c = '-'
		}
		if c == '-' && len(dst) == start {
			continue
		}
		dst = append(dst, c)
	}
	for len(dst) > start && dst[len(dst)-1] == '-' {
		dst = dst[:len(dst)-1]
	}
	if len(dst) == start {
		return append(dst, "unknown"...)
	}
	return dst
}

// isPlainAddress says whether s is [ [ dot-atom ] "@" ] domain-name, the one
// form of a pvalue that needs no quotes although it is no token. A quoted local
// part is legal as well, but is written as one quoted-string: fewer readers
// stumble.
func isPlainAddress(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	if !found || domain == "" {
		return false
	}
	last := byte('.')
	for i := range len(local) {
		c := local[i]
		if c == '.' && last == '.' || c != '.' && !isLetterDigit(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
			return false
		}
		last = c
	}
	if local != "" && last == '.' {
		return false
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isLetterDigit(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

// isToken says whether s is a token (RFC 2045, section 5.1).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenChar(c byte) bool {
	return c > ' ' && c <= '~' && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

func isLetterDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	return c
}
