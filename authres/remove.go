package authres

import "strings"

// IsOurs decides whether an Authentication-Results field that came with a
// message must be removed before ours is added (RFC 8601, section 5): it is
// true for every field that bears our authserv-id id, or that some reader
// further on could believe to bear it. value is the field's value as received.
//
// All of these are removed: the id in any case, with comments before and after
// it, with a version, folded, quoted, escaped, with a dot or other punctuation
// around it; an id with bytes beyond ASCII, as there are readers that map
// full-width letters, the ideographic full stop or U-labels to what we are
// called; a comment beside a foreign id that mentions ours, or could in such a
// reader's eyes (bytes beyond ASCII, an encoded word), since not every reader
// knows comments; and every field that [Parse] cannot read to its end,
// so that no other reader can find something in it that we did not see.
//
// What stays is a field that is well-formed throughout and names another host.
//
// One pass over the value, of at most [MaxBytes]; anything longer is removed
// unread. When several fields of a message go, remove them from the last to the
// first: in ascending order the indexes of the remaining ones shift and every
// second forgery survives (CVE-2022-48521).
func IsOurs(value []byte, id string) bool {
	if len(value) > MaxBytes {
		return true
	}
	s := scanner{text: string(value)}
	f, err := s.field()
	if err != nil {
		return true
	}
	ours := plainID(id)
	theirs := f.AuthservID
	if !isASCII(theirs) {
		return true
	}
	if !isASCII(id) && strings.Contains(strings.ToLower(theirs), "xn--") {
		return true // our name is in U-labels; theirs may be the same in A-labels
	}
	if strings.EqualFold(plainID(theirs), ours) {
		return true
	}
	// A host name has one reading. One with other characters in it, and what
	// stands in comments, has several.
	if strings.IndexFunc(theirs, notInName) >= 0 && mentions(theirs, ours) {
		return true
	}
	for _, remark := range s.remarks {
		if mentions(remark, ours) || !isASCII(remark) || strings.Contains(remark, "=?") {
			return true
		}
	}
	return false
}

// plainID takes off what a careless reader takes off as well: whatever stands
// around the name and cannot be part of it.
func plainID(id string) string {
	return strings.TrimFunc(id, func(r rune) bool { return r < 0x80 && !isLetterDigit(byte(r)) })
}

// notInName says whether r is ASCII that host names do not have.
func notInName(r rune) bool {
	return r < 0x80 && !isLetterDigit(byte(r)) && r != '.' && r != '-' && r != '_'
}

// mentions says whether id can be read in text when all but the characters of
// names is passed over.
func mentions(text, id string) bool {
	squeeze := func(r rune) rune {
		if notInName(r) {
			return -1
		}
		return r
	}
	text = strings.ToLower(strings.Map(squeeze, text))
	return strings.Contains(text, strings.ToLower(strings.Map(squeeze, id)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
