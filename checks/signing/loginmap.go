package signing

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"milterd/internal/strictyaml"
	"milterd/message"
)

// Bounds of the files that say who owns what.
const (
	maxFile    = 16 << 20
	maxMapLine = 64 << 10
	maxMapErrs = 100
)

// loginMap is a table as Postfix's smtpd_sender_login_maps names it.
type loginMap struct{ path string }

// DecodeYAML implements [strictyaml.Decoder]. Of "hash:/etc/postfix/senders" we
// read the text that postmap(1) reads, not the file that it makes.
func (m *loginMap) DecodeYAML(n *strictyaml.Node) error {
	text, _ := n.Text()
	kind, path, typed := strings.Cut(text, ":")
	switch {
	case !typed:
		path = text
	case !slices.Contains([]string{"hash", "texthash", "btree", "lmdb", "cdb", "dbm", "sdbm"}, kind):
		return n.Expected("a table in a text file, as hash:/etc/postfix/sender_login")
	}
	if path == "" || strings.ContainsRune(path, 0) {
		return n.Expected("the path of a table, as /etc/postfix/sender_login")
	}
	m.path = n.Beside(path)
	return nil
}

// readLoginMap reads the table at path.
func readLoginMap(path string) (*loginTable, error) {
	src, err := strictyaml.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	return parseLoginMap(path, string(src))
}

// loginTable is a table of smtpd_sender_login_maps: the logins that own an address.
// It does not change.
type loginTable struct {
	// logins by "local@domain", "@domain" or "local", in lower case, domains as
	// A-labels.
	entries map[string][]string
	domains map[string]map[message.Domain]bool // those of which a login owns something; the zero one is any
}

// parseLoginMap reads the text of a table (postmap(1); postconf(5),
// smtpd_sender_login_maps): a key and the logins that own it on a line, which
// lines that begin with a blank continue; comments are lines that begin with #.
//
// Nothing is guessed: every line that is not understood is an error with its
// place, and all are returned at once, as [strictyaml.Errors].
func parseLoginMap(name, text string) (*loginTable, error) {
	t := &loginTable{entries: map[string][]string{}, domains: map[string]map[message.Domain]bool{}}
	var errs strictyaml.Errors
	bad := func(line, col int, format string, args ...any) {
		if len(errs) < maxMapErrs {
			errs = append(errs, &strictyaml.Error{Pos: strictyaml.Pos{File: name, Line: line, Col: col}, What: fmt.Sprintf(format, args...)})
		}
	}
	lines := map[string]int{}
	for l := range logicalLines(text) {
		switch {
		case l.orphan:
			bad(l.number, 1, "begins with a blank but continues no line, expected a key in the first column")
			continue
		case len(l.text) > maxMapLine:
			bad(l.number, 1, "an entry of %d bytes, expected at most %d", len(l.text), maxMapLine)
			continue
		case !utf8.ValidString(l.text):
			bad(l.number, 1, "not UTF-8")
			continue
		}
		raw, rest := cutKey(l.text)
		key, of, what := tableKey(raw)
		if what != "" {
			bad(l.number, 1, "%s", what)
			continue
		}
		if first := lines[key]; first > 0 {
			bad(l.number, 1, "%q stands in line %d already", message.SafeText(raw, 60), first)
			continue
		}
		lines[key] = l.number
		logins := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
		if len(logins) == 0 {
			bad(l.number, utf8.RuneCountInString(l.text)+1, "no login behind %q, expected one or several", message.SafeText(raw, 60))
			continue
		}
		t.entries[key] = logins
		for i, login := range logins {
			login = loginKey(login)
			logins[i] = login
			if t.domains[login] == nil {
				t.domains[login] = map[message.Domain]bool{}
			}
			t.domains[login][of] = true
		}
	}
	return t, errs.Err()
}

// logicalLine is an entry with the lines that continue it.
type logicalLine struct {
	number int // of its first line
	text   string
	orphan bool // a continuation of nothing
}

// logicalLines divides a table into entries (postmap(1)): blank lines and comments
// do not end one.
func logicalLines(text string) func(yield func(logicalLine) bool) {
	return func(yield func(logicalLine) bool) {
		var open logicalLine
		number := 0
		for line := range strings.Lines(text) {
			number++
			line = strings.TrimRight(line, "\r\n\t ")
			trimmed := strings.TrimLeft(line, " \t")
			switch {
			case trimmed == "" || trimmed[0] == '#':
			case trimmed != line && open.number == 0:
				if !yield(logicalLine{number: number, orphan: true}) {
					return
				}
			case trimmed != line:
				open.text += " " + trimmed
			default:
				if open.number > 0 && !yield(open) {
					return
				}
				open = logicalLine{number: number, text: line}
			}
		}
		if open.number > 0 {
			yield(open)
		}
	}
}

// cutKey takes the key off an entry. One in quotes may hold blanks.
func cutKey(entry string) (key, rest string) {
	quoted := false
	for i, r := range entry {
		switch {
		case r == '"':
			quoted = !quoted
		case (r == ' ' || r == '\t') && !quoted:
			return entry[:i], entry[i:]
		}
	}
	return entry, ""
}

// tableKey returns a key in the form in which it is looked up and the domain that
// it is in, zero for a local part alone. Otherwise what is wrong with it.
func tableKey(s string) (key string, of message.Domain, what string) {
	local, _, at := strings.Cut(s, "@")
	switch {
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "!/"):
		return "", of, "a regular expression, expected an address: regexp and pcre tables cannot be read"
	case !at:
		// postconf(5): "user" matches user@site for the domains of this host.
		a, err := message.ParseAddress(s + "@example.org")
		if err != nil || a.Local == "" {
			return "", of, fmt.Sprintf("%q is no local part, expected user@domain, user or @domain", message.SafeText(s, 60))
		}
		return localOf(a), of, ""
	case local == "":
		d, err := message.ParseDomain(s[1:])
		if err != nil {
			return "", of, fmt.Sprintf("%q is no domain, expected user@domain, user or @domain", message.SafeText(s, 60))
		}
		return "@" + d.String(), d, ""
	}
	a, err := message.ParseAddress(s)
	if err != nil || a.Domain.IsZero() || a.Local == "" { // "" in quotes would be the whole domain
		return "", of, fmt.Sprintf("%q is no address, expected user@domain, user or @domain", message.SafeText(s, 60))
	}
	return localOf(a) + "@" + a.Domain.String(), a.Domain, ""
}

// owners returns the logins that the table gives an address to, and whether it
// says anything: the address first, then without its extension, then the local
// part, then the domain, as Postfix looks it up. With bindDomain only the domain
// matters.
func (t *loginTable) owners(a message.Address, bind binding) (logins []string, found bool) {
	keys := []string{"@" + a.Domain.String()}
	if bind == bindAddress {
		local := localOf(a)
		keys = []string{local + "@" + a.Domain.String(), untagged(local) + "@" + a.Domain.String(), local, untagged(local), keys[0]}
	}
	for _, k := range keys {
		if logins, found = t.entries[k]; found {
			return logins, true
		}
	}
	return nil, false
}

// lists reports whether the login owns anything by the table.
func (t *loginTable) lists(login string) bool { return t.domains[login] != nil }

// hasDomain reports whether the login owns anything in the domain.
func (t *loginTable) hasDomain(login string, d message.Domain) bool {
	return t.domains[login][d] || t.domains[login][message.Domain{}]
}
