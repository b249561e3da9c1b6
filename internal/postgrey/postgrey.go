// Package postgrey reads the white lists of postgrey, the greylisting policy server
// that milterd replaces, and writes what they say as keys of checks.greylist.
//
// postgrey (1.37) has one file for clients and one for recipients, each with a
// .local beside it for the operator's own. A line is an entry, # begins a comment:
//
//	example.com             # this client and all below it
//	192.0.2.1               # this address, 192.0.2 the /24, 192.0.2.0/28 a network
//	/^mta\d+\.example\.net$/  # clients with such a name, in Perl's words
//
//	example.org             # recipients in this domain and all below it
//	sales@example.org       # this one, and sales+anything@
//	help@                   # help at whatever domain
//	/^lists-/               # recipients such as this
//
// Each line has a fate: carried, not needed, or not carried with the reason.
package postgrey

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"milterd/message"
)

// Result is what has become of white lists.
type Result struct {
	// YAML is the part of a configuration file.
	YAML []byte
	// Report says what became of the lines, and how many were carried.
	Report []byte
	// Whole says that every line was carried or is not needed.
	Whole bool
}

// What one import reads at most.
const (
	maxFiles   = 100
	maxBytes   = 16 << 20 // of one file
	maxEntries = 100_000  // of all files
)

// Import reads files, and of directories those that postgrey looks for. Which of the
// two kinds a file is says its name, which has client or recipient in it.
func Import(paths []string) (Result, error) {
	var l lists
	files, err := find(paths)
	if err != nil {
		return Result{}, err
	}
	for _, path := range files {
		kind, err := kindOf(path)
		if err != nil {
			return Result{}, err
		}
		text, err := read(path)
		if err != nil {
			return Result{}, err
		}
		l.add(path, kind, text)
	}
	return l.result(), nil
}

// find replaces directories by the files in them that are white lists.
func find(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, plain(path, err)
		}
		if !info.IsDir() {
			all = append(all, path)
			continue
		}
		var found []string
		for _, pattern := range []string{"*whitelist_clients", "*whitelist_clients.local", "*whitelist_recipients", "*whitelist_recipients.local"} {
			some, err := filepath.Glob(filepath.Join(globQuote(path), pattern))
			if err != nil {
				return nil, plain(path, err)
			}
			found = append(found, some...)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s: no whitelist_clients and no whitelist_recipients in it", path)
		}
		all = append(all, found...)
	}
	if len(all) > maxFiles {
		return nil, fmt.Errorf("more than %d files, expected fewer", maxFiles)
	}
	return all, nil
}

// globQuote makes a path that stands for itself in a pattern.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// kind is what a file lists.
type kind int

const (
	clients kind = iota
	recipients
)

func kindOf(path string) (kind, error) {
	switch base := filepath.Base(path); {
	case strings.Contains(base, "client"):
		return clients, nil
	case strings.Contains(base, "recipient"):
		return recipients, nil
	}
	return 0, fmt.Errorf("%s: a list of clients or of recipients? expected a file whose name says so, as whitelist_clients", path)
}

// read reads a regular file. It never waits for one that is none, such as a pipe.
func read(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, plain(path, err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, plain(path, err)
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%s: larger than %d bytes, expected a smaller file", path, maxBytes)
	}
	return text, nil
}

// plain takes the name of the system call off an error.
func plain(path string, err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// A fate is what became of a line.
type fate int

const (
	carried    fate = iota // it is in the YAML
	notNeeded              // milterd does it anyway
	notCarried             // somebody has to look at it
)

func (f fate) String() string { return [...]string{"carried", "not needed", "not carried"}[f] }

// An item is a line with its fate.
type item struct {
	file string
	line int
	fate fate
	text string
	why  string
}

// lists is what was read so far: entries and patterns of clients and of recipients,
// and every line.
type lists struct {
	entries, patterns [2][]string
	seen              map[string]string // what was carried, and where it stood
	items             []item
}

// add reads the text of a file.
func (l *lists) add(file string, k kind, text []byte) {
	number := 0
	for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\ufeff"))) {
		number++
		// postgrey cuts at every #, in a regular expression as well.
		entry, _, _ := bytes.Cut(line, []byte("#"))
		if entry = bytes.TrimSpace(entry); len(entry) == 0 {
			continue
		}
		i := item{file: file, line: number, text: message.SafeText(string(entry), 100)}
		if len(l.items) > maxEntries {
			i.fate, i.why = notCarried, fmt.Sprintf("more than %d entries, expected fewer; this line and all behind it are left out", maxEntries)
			l.items = append(l.items, i)
			return
		}
		i.fate, i.why = l.carry(k, string(entry), fmt.Sprintf("%s:%d", file, number))
		l.items = append(l.items, i)
	}
}

// carry takes over one entry.
func (l *lists) carry(k kind, entry, at string) (fate, string) {
	t, why := translateClient, ""
	if k == recipients {
		t = translateRecipient
	}
	made, f, why := t(entry)
	if f != carried {
		return f, why
	}
	if l.seen == nil {
		l.seen = map[string]string{}
	}
	key := fmt.Sprint(k, made.pattern, made.text)
	if before, twice := l.seen[key]; twice {
		return notNeeded, "the same as " + before
	}
	l.seen[key] = at
	if made.pattern {
		l.patterns[k] = append(l.patterns[k], made.text)
	} else {
		l.entries[k] = append(l.entries[k], made.text)
	}
	return carried, ""
}

// result writes it all down.
func (l *lists) result() Result {
	r := Result{YAML: l.yaml(), Whole: true}
	var b bytes.Buffer
	var count [3]int
	for _, i := range slices.SortedStableFunc(slices.Values(l.items), func(a, b item) int { return cmp.Compare(b.fate, a.fate) }) {
		count[i.fate]++
		if i.fate != carried {
			fmt.Fprintf(&b, "%s:%d: %s: %s: %s\n", message.SafeText(i.file, 4096), i.line, i.fate, i.text, i.why)
		}
		r.Whole = r.Whole && i.fate != notCarried
	}
	fmt.Fprintf(&b, "%d carried, %d not needed, %d not carried\n", count[carried], count[notNeeded], count[notCarried])
	r.Report = b.Bytes()
	return r
}

// yaml writes the keys of the configuration.
func (l *lists) yaml() []byte {
	var b bytes.Buffer
	b.WriteString("# From postgrey's white lists, by milterd import postgrey.\nchecks:\n  greylist:\n    enabled: true\n")
	section := func(key string, values []string) {
		if len(values) == 0 {
			return
		}
		fmt.Fprintf(&b, "    %s:\n", key)
		for _, v := range values {
			fmt.Fprintf(&b, "      - '%s'\n", strings.ReplaceAll(v, "'", "''"))
		}
	}
	section("clients", l.entries[clients])
	section("client_patterns", l.patterns[clients])
	section("recipients", l.entries[recipients])
	section("recipient_patterns", l.patterns[recipients])
	return b.Bytes()
}
