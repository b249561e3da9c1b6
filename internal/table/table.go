// Package table keeps lists of addresses, domains and networks, as operators
// write them into files: one entry a line, comments after #.
//
//	# partners.txt
//	alice@example.org     # this mailbox
//	example.com           # every mailbox there, and the host itself
//	.example.net          # the same, and all domains below it
//	192.0.2.0/24          # addresses of clients
//	2001:db8::1
//
// [Parse] reads such a text and names what is wrong with it by line and column.
// [New] makes a table of entries that stand elsewhere. A [File] follows a file:
// it notices a change by itself, and a broken file changes nothing.
//
// Nothing in a table depends on case. A domain in letters of its own script is
// the same as its A-label (RFC 5890).
package table

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"milterd/internal/strictyaml"

	"golang.org/x/net/idna"
)

// Bounds of a table.
const (
	MaxBytes   = 64 << 20 // of a file
	maxEntry   = 320      // bytes: RFC 5321 allows an address of 254
	maxProblem = 100      // errors told of one file
)

// Table is a list of entries. It does not change; the zero Table is empty.
type Table struct {
	addresses, domains, below map[string]struct{} // below without its dot
	networks                  map[netip.Prefix]struct{}
	bits                      []int // lengths of networks, longest first; IPv4's negative
}

// New makes a table of entries. The error is about the first one that is none.
func New(entries ...string) (*Table, error) {
	t := empty()
	for _, e := range entries {
		if err := t.add(e); err != nil {
			return nil, err
		}
	}
	t.sort()
	return t, nil
}

// Union makes a table of all entries of some tables.
func Union(tables ...*Table) *Table {
	u := empty()
	for _, t := range tables {
		maps.Copy(u.addresses, t.addresses)
		maps.Copy(u.domains, t.domains)
		maps.Copy(u.below, t.below)
		maps.Copy(u.networks, t.networks)
	}
	u.sort()
	return u
}

// Parse reads the text of a file. name is what errors call it. The error is
// [strictyaml.Errors]: of each line that is wrong, where and why.
func Parse(name string, text []byte) (*Table, error) {
	t := empty()
	var errs strictyaml.Errors
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		entry, col := entryIn(string(line))
		if entry == "" {
			continue
		}
		if err := t.add(entry); err != nil && len(errs) < maxProblem {
			errs = append(errs, &strictyaml.Error{Pos: strictyaml.Pos{File: name, Line: number, Col: col}, What: err.Error()})
		}
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	t.sort()
	return t, nil
}

// entryIn takes the comment and the blanks off a line. A # inside an entry is
// none of a comment: local parts may have it. col counts characters from 1.
func entryIn(line string) (entry string, col int) {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			line = line[:i]
			break
		}
	}
	rest := strings.TrimLeft(line, " \t\r\n")
	return strings.TrimRight(rest, " \t\r\n"), utf8.RuneCountInString(line[:len(line)-len(rest)]) + 1
}

func empty() *Table {
	return &Table{addresses: map[string]struct{}{}, domains: map[string]struct{}{}, below: map[string]struct{}{}, networks: map[netip.Prefix]struct{}{}}
}

// add puts one entry in. The error says what was wrong and what was expected.
func (t *Table) add(entry string) error {
	const expected = "expected an address, a domain, a .domain or a network"
	switch {
	case entry == "":
		return fmt.Errorf("an empty entry, %s", expected)
	case len(entry) > maxEntry:
		return fmt.Errorf("an entry of %d bytes, %s", len(entry), expected)
	case !utf8.ValidString(entry):
		return fmt.Errorf("%q is no UTF-8, %s", entry, expected)
	case strings.ContainsFunc(entry, unicode.IsSpace):
		return fmt.Errorf("%q, expected one entry in a line", entry)
	}
	if n, err := strictyaml.ParsePrefix(entry); err == nil {
		if n != n.Masked() {
			return fmt.Errorf("%s has bits behind its length, expected %s or %s", n, n.Masked(), n.Addr())
		}
		t.networks[n] = struct{}{}
		return nil
	}
	if local, host, ok := cutAddress(entry); ok {
		if local == "" {
			return fmt.Errorf("%q has no local part, expected %s for every address there", entry, strings.TrimPrefix(host, "."))
		}
		if local == "*" {
			return fmt.Errorf("%q, expected %s for every address there", entry, host)
		}
		name, err := domain(host)
		if err != nil && !isLiteral(host) {
			return fmt.Errorf("%q: %w, %s", entry, err, expected)
		}
		t.addresses[strings.ToLower(local)+"@"+name] = struct{}{}
		return nil
	}
	if host, star := strings.CutPrefix(entry, "*."); star {
		return fmt.Errorf("%q, expected .%s for the domain and all below it", entry, host)
	}
	host, below := strings.CutPrefix(entry, ".")
	name, err := domain(host)
	switch {
	case err != nil:
		return fmt.Errorf("%q: %w, %s", entry, err, expected)
	case below:
		t.below[name] = struct{}{}
	default:
		t.domains[name] = struct{}{}
	}
	return nil
}

// cutAddress splits an address at its last @.
func cutAddress(s string) (local, host string, ok bool) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// domain gives a domain name as tables keep it: A-labels in lower case without
// the dot at the end. What cannot be one is lower case all the same, with an
// error, so that it can be looked for without success.
func domain(s string) (string, error) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if !isASCII(name) {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return name, fmt.Errorf("%q is not a domain name", s)
		}
		name = ascii
	}
	if name == "" || len(name) > 253 {
		return name, fmt.Errorf("%q is not a domain name", s)
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return name, fmt.Errorf("%q is not a domain name", s)
		}
	}
	return name, nil
}

// isLabel says whether s, in lower case, can be a label of a name.
func isLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// isLiteral says whether host is an address literal (RFC 5321, section 4.1.3).
func isLiteral(host string) bool {
	_, ok := literal(host)
	return ok && strings.HasPrefix(host, "[")
}

// literal reads an IP address, in the brackets of a literal or without.
func literal(s string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return netip.Addr{}, false
		}
		s = strings.TrimPrefix(inner, "IPv6:")
	}
	ip, err := netip.ParseAddr(s)
	return ip, err == nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// sort finds the lengths of networks that there are.
func (t *Table) sort() {
	seen := map[int]bool{}
	for n := range t.networks {
		bits := n.Bits()
		if n.Addr().Is4() {
			bits = -1 - bits
		}
		if !seen[bits] {
			seen[bits] = true
			t.bits = append(t.bits, bits)
		}
	}
	slices.SortFunc(t.bits, func(a, b int) int { return width(b) - width(a) })
}

// width is the length that an entry of bits stands for.
func width(bits int) int {
	if bits < 0 {
		return -1 - bits
	}
	return bits
}

// Len returns the number of different entries.
func (t *Table) Len() int {
	return len(t.addresses) + len(t.domains) + len(t.below) + len(t.networks)
}

// Find looks for a text: a mailbox address (without brackets), a host or domain
// name, or an IP address, in brackets or not. It returns the entry that has it,
// as the table keeps it; the narrowest one where there are several.
func (t *Table) Find(text string) (entry string, ok bool) {
	if t == nil || text == "" || len(text) > maxEntry {
		return "", false
	}
	if local, host, isAddress := cutAddress(text); isAddress {
		name, _ := domain(host)
		address := strings.ToLower(local) + "@" + name
		if _, ok := t.addresses[address]; ok {
			return address, true
		}
		return t.host(name)
	}
	if ip, ok := literal(text); ok {
		return t.FindAddr(ip)
	}
	name, _ := domain(text)
	return t.host(name)
}

// host looks for a domain name and those above it.
func (t *Table) host(name string) (entry string, ok bool) {
	if _, ok := t.domains[name]; ok {
		return name, true
	}
	for rest := name; rest != ""; _, rest, _ = strings.Cut(rest, ".") {
		if _, ok := t.below[rest]; ok {
			return "." + rest, true
		}
	}
	return "", false
}

// FindAddr looks for the narrowest network that holds an address.
func (t *Table) FindAddr(ip netip.Addr) (entry string, ok bool) {
	ip = ip.Unmap().WithZone("")
	for _, bits := range t.bits {
		if ip.Is4() != (bits < 0) {
			continue
		}
		if n, err := ip.Prefix(width(bits)); err == nil {
			if _, ok := t.networks[n]; ok {
				return n.String(), true
			}
		}
	}
	return "", false
}
