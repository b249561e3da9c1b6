package opendkim

import (
	"bytes"
	"fmt"
	"strings"
)

// source is where a data set comes from (opendkim(8), "DATA SETS").
type source int

const (
	inline  source = iota // csl: or nothing: a list in the setting itself
	flat                  // file: or an absolute path
	pattern               // refile: patterns with *
	foreign               // a data base or a program
)

// cutSource takes a data set's name apart as OpenDKIM does: the word before the
// first colon is a kind, unless a comma comes first.
func cutSource(value string) (kind source, rest string, ok bool) {
	colon, comma := strings.IndexByte(value, ':'), strings.IndexByte(value, ',')
	if colon < 0 || comma >= 0 && comma < colon {
		switch {
		case strings.HasSuffix(value, ".db"):
			return foreign, value, true
		case value[0] == '/':
			return flat, value, true
		}
		return inline, value, true
	}
	rest = value[colon+1:]
	switch strings.ToLower(value[:colon]) {
	case "csl":
		return inline, rest, true
	case "file":
		return flat, rest, true
	case "refile":
		return pattern, rest, true
	case "db", "bdb", "dsn", "ldap", "ldaps", "ldapi", "lua", "memcache", "erlang", "mdb", "socket", "repute":
		return foreign, rest, true
	}
	return 0, rest, false
}

// An entry is one element of a data set.
type entry struct {
	Pos
	key, value string
	dead       string // why OpenDKIM takes no notice of it, or cannot read it
}

// parseFlat reads a file of keys and values: a key, blanks, a value to the end of
// the line; # begins a comment. Every line that is not blank is an entry.
func parseFlat(file string, text []byte) []entry {
	return parseTable(file, text, func(content []byte) (key, value []byte, dead string) {
		content = bytes.TrimLeft(content, blanks)
		key, value = cutKey(content)
		return key, value, ""
	})
}

// parsePatterns reads a refile. It is a flat file whose keys are patterns, but for
// one thing: OpenDKIM takes the first blank of a line for the end of the pattern,
// so a line that begins with one has no pattern.
func parsePatterns(file string, text []byte) []entry {
	return parseTable(file, text, func(content []byte) (key, value []byte, dead string) {
		key, value = cutKey(bytes.TrimLeft(content, blanks))
		if strings.IndexByte(blanks, content[0]) >= 0 {
			dead = "it begins with a blank, and OpenDKIM passes over such a line of a pattern file"
		}
		return key, value, dead
	})
}

// blanks are what isspace(3) says of ASCII, but for the end of a line.
const blanks = " \t\r\v\f"

func cutKey(content []byte) (key, value []byte) {
	if end := bytes.IndexAny(content, blanks); end >= 0 {
		return content[:end], bytes.Trim(content[end:], blanks)
	}
	return content, nil
}

func parseTable(file string, text []byte, cut func([]byte) (key, value []byte, dead string)) []entry {
	var all []entry
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		content := line
		if end := bytes.IndexByte(content, '#'); end >= 0 {
			content = content[:end]
		}
		trimmed := bytes.TrimLeft(content, blanks)
		if len(trimmed) == 0 {
			continue
		}
		e := entry{Pos: Pos{file, number, len(content) - len(trimmed) + 1}}
		key, value, dead := cut(content)
		e.key, e.value, e.dead = string(key), string(value), dead
		switch {
		case len(line) > maxTable:
			e.dead = fmt.Sprintf("longer than %d bytes, where OpenDKIM cuts it in two", maxTable)
		case bytes.IndexByte(content, 0) >= 0:
			e.dead = "a zero byte in it, where OpenDKIM stops reading"
		}
		all = append(all, e)
	}
	return all
}

// parseList reads a list in a setting, whose value begins at the given place: keys,
// or key=value, with commas between them. Every element that is not blank is an
// entry.
func parseList(at Pos, text string) []entry {
	var all []entry
	offset := 0
	for part := range strings.SplitSeq(text, ",") {
		trimmed := strings.TrimLeft(part, blanks)
		e := entry{Pos: Pos{at.File, at.Line, at.Col + offset + len(part) - len(trimmed)}}
		offset += len(part) + 1
		if strings.Trim(trimmed, blanks) == "" {
			continue
		}
		key, value, _ := strings.Cut(trimmed, "=")
		e.key, e.value = strings.Trim(key, blanks), strings.Trim(value, blanks)
		all = append(all, e)
	}
	return all
}

// A dataset is what a setting names.
type dataset struct {
	setting
	kind    source
	entries []entry
}

// open reads the data set of a setting. A set that cannot be read is entered as
// not carried, with what that means for the mail; the caller goes on without it.
// A file's setting is carried, and its entries are for the caller to enter; those
// of a list stand for the setting.
func (im *importer) open(s setting, without string) (d dataset, ok bool) {
	kind, rest, known := cutSource(s.value)
	d = dataset{setting: s, kind: kind}
	switch {
	case !known:
		im.enter(s.Pos, notCarried, shown(s), "no kind of data set: OpenDKIM does not start with this line. Write csl: before a list whose first element has a colon. %s", without)
		return d, false
	case kind == foreign:
		im.enter(s.Pos, notCarried, shown(s), "milterd reads no data bases and runs no programs: export it to a file and import that. %s", without)
		return d, false
	case kind == inline:
		d.entries = parseList(Pos{s.File, s.Line, s.valueCol + len(s.value) - len(rest)}, rest)
		if len(d.entries) == 0 {
			im.enter(s.Pos, notCarried, shown(s), "an empty list. %s", without)
			return d, false
		}
		return d, true
	}
	found, text, err := im.table(rest)
	if err != nil {
		im.enter(s.Pos, notCarried, shown(s), "%s: %v. %s", found, err, without)
		return d, false
	}
	if kind == flat {
		d.entries = parseFlat(found, text)
	} else {
		d.entries = parsePatterns(found, text)
	}
	im.enter(s.Pos, carried, shown(s), "")
	return d, true
}

// shown is a setting for the report: without a value that may hold a password.
func shown(s setting) string {
	kind, _, known := cutSource(s.value)
	if secret(s.name) || known && kind == foreign {
		word, _, _ := strings.Cut(s.value, ":")
		if secret(s.name) {
			return s.name
		}
		return s.name + " " + word + ":..."
	}
	return s.name + " " + s.value
}

// glob reports whether a pattern of OpenDKIM's fits all of s: * is any text, also
// none; everything else is itself. It goes back to the last * only, so the time is
// bounded by the product of the lengths.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
