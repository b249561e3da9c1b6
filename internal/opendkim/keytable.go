package opendkim

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"milterd/internal/keys"
	"milterd/message"
)

// A key is a line of the KeyTable: a name, and domain:selector:key.
type key struct {
	entry
	domain, selector string // d= and s=; the domain may be %, for the author's
	path             string // of the file; in it % stands for the domain
	why              string // why OpenDKIM or milterd cannot sign with it
	defers           bool   // OpenDKIM cannot either, and defers the mail
	used, lost       bool   // by a line of the SigningTable that was carried, that was not
}

// readKey takes a line of the KeyTable apart.
func (im *importer) readKey(e entry) *key {
	k := &key{entry: e}
	fields := strings.SplitN(e.value, ":", 3)
	if len(fields) < 3 || slices.Contains(fields, "") {
		k.why, k.defers = "not domain:selector:path, so OpenDKIM defers the mail that is to be signed with it", true
		return k
	}
	k.domain, k.selector = strings.ToLower(fields[0]), strings.ToLower(fields[1])
	if k.domain != "%" {
		if _, err := signingDomain(k.domain); err != nil {
			k.why = "its domain is " + err.Error()
			return k
		}
	}
	if k.checkSelector(); k.why != "" {
		return k
	}
	switch path := fields[2]; {
	case !utf8.ValidString(path) && path[0] == '/':
		k.why = "its path is not UTF-8, which YAML cannot say"
	case strings.HasPrefix(path, "/"):
		k.path = filepath.Join("/", im.root, path)
	case strings.HasPrefix(path, ".") && strings.Contains(path, "%"):
		k.why, k.defers = "OpenDKIM does not put a domain for % into a relative path", true
	case strings.HasPrefix(path, "./"), strings.HasPrefix(path, "../"):
		k.path = im.abs(path)
	default:
		k.why = "the private key itself stands here: write it to a file that only milterd reads, and name that in signing.domains"
	}
	return k
}

// checkSelector refuses what milterd would. DNS makes no difference between upper
// and lower case, so a selector is carried in lower case.
func (k *key) checkSelector() {
	if !keys.ValidSelector(k.selector) {
		k.why = "its selector is none for milterd: labels of letters, digits, - and _ with dots between them"
	}
}

// show is what the report prints of a key: not what stands in the place of a path.
func (k *key) show(table string) string {
	if k.path == "" {
		return table + " " + k.key
	}
	return table + " " + k.key + " " + k.domain + ":" + k.selector + ":" + k.path
}

// signs returns what the key makes of an author in a domain.
func (k *key) signs(author string) (d, path string) {
	d = k.domain
	if d == "%" {
		d = author
	}
	return d, strings.ReplaceAll(k.path, "%", d)
}

// domains returns the domains for which a key of the author's domain has a file
// here: those whose names, put for %, give the path of one.
func (k *key) domains() []string {
	if k.domain != "%" || !strings.Contains(k.path, "%") {
		return nil
	}
	literal := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(k.path)
	found, err := filepath.Glob(strings.ReplaceAll(literal, "%", "*"))
	if err != nil {
		return nil
	}
	before, rest, _ := strings.Cut(k.path, "%")
	after, _, _ := strings.Cut(rest, "%")
	var names []string
	for _, path := range found {
		// Up to the end of the element, what comes after % is not in a domain.
		name := strings.TrimPrefix(path, before)
		if end := strings.IndexByte(name, '/'); end >= 0 {
			name = name[:end]
		}
		element, _, _ := strings.Cut(after, "/")
		name = strings.TrimSuffix(name, element)
		if _, err := signingDomain(name); err == nil && name == strings.ToLower(name) && strings.ReplaceAll(k.path, "%", name) == path {
			names = append(names, name)
		}
	}
	return names
}

// signingDomain reads a domain that can stand in d=.
func signingDomain(s string) (message.Domain, error) {
	d, err := message.ParseDomain(s)
	if err == nil && d.Labels() < 2 {
		return d, errOneLabel
	}
	return d, err
}

var errOneLabel = errors.New("not a domain name of two labels or more")

// keyTable finds keys by name.
type keyTable struct {
	name    string
	all     []*key
	exact   map[string]*key
	pattern []*key // of a refile, in order
}

// readKeyTable reads the KeyTable.
func (im *importer) readKeyTable(d dataset) *keyTable {
	t := &keyTable{name: d.name, exact: map[string]*key{}}
	for _, e := range d.entries {
		if e.dead != "" {
			im.enter(e.Pos, notCarried, t.name+" "+e.key, "%s", e.dead)
			continue
		}
		k := im.readKey(e)
		if d.kind == pattern && strings.Contains(k.key, "*") {
			t.pattern = append(t.pattern, k)
		} else if first, twice := t.exact[k.key]; twice {
			im.enter(e.Pos, notNeeded, k.show(t.name), "the name stands in line %d already, and the first one counts", first.Line)
			continue
		} else {
			t.exact[k.key] = k
		}
		t.all = append(t.all, k)
	}
	return t
}

// get finds a key. Names are told apart by case.
func (t *keyTable) get(name string) *key {
	k := t.exact[name]
	for _, p := range t.pattern {
		if k != nil && p.Line > k.Line {
			break
		}
		if glob(p.key, name) {
			return p
		}
	}
	return k
}

// names are those that could be domains: a SigningTable may name a key by the
// author's domain.
func (t *keyTable) names() []string {
	var names []string
	for _, k := range t.all {
		if _, err := signingDomain(k.key); err == nil {
			names = append(names, strings.ToLower(k.key))
		}
	}
	return names
}

// enter gives every key its fate, once it is known which lines need it.
func (t *keyTable) enter(im *importer) {
	for _, k := range t.all {
		switch {
		case k.why != "":
			im.enter(k.Pos, notCarried, k.show(t.name), "%s", k.why)
		case k.used:
			im.enter(k.Pos, carried, k.show(t.name), "")
		case k.lost:
			im.enter(k.Pos, notCarried, k.show(t.name), "no line of the SigningTable that needs it was carried")
		default:
			im.enter(k.Pos, notNeeded, k.show(t.name), "no line of the SigningTable signs with it")
		}
	}
}

// exists reports whether there is a file, wherever it can be told.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil || !os.IsNotExist(err)
}
