package spamassassin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Pos is a line of a file.
type Pos struct {
	File string
	Line int
}

func (p Pos) String() string { return p.File + ":" + strconv.Itoa(p.Line) }

// line is one line of a .cf file that says something.
type line struct {
	pos  Pos
	key  string // in lower case
	rest string // bytes as they stand, without the white space around
}

const (
	maxFile  = 64 << 20 // bytes: the largest channel of rules has 5 MiB
	maxLine  = 1 << 20
	maxFiles = 10000
	maxNest  = 16 // files that include files
)

// reader goes through files, line by line, and leaves out what conditions leave
// out.
type reader struct {
	world *world
	files int
	each  func(line)
	note  func(Pos, string) // what is wrong with a file, for people
}

// paths reads files and directories in the order given. Of a directory it takes
// *.pre, then *.cf, each in name order, as SpamAssassin does.
func (r *reader) paths(paths []string) error {
	var errs []error
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !info.IsDir() {
			errs = append(errs, r.file(path, 0))
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, ext := range []string{".pre", ".cf"} {
			for _, entry := range entries {
				if name := entry.Name(); !entry.IsDir() && strings.HasSuffix(name, ext) && !strings.HasPrefix(name, ".") {
					errs = append(errs, r.file(filepath.Join(path, name), 0))
				}
			}
		}
	}
	return errors.Join(errs...)
}

func (r *reader) file(path string, depth int) error {
	if r.files++; r.files > maxFiles {
		return errors.New("more than " + strconv.Itoa(maxFiles) + " files")
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s: %d bytes, expected at most %d", path, info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return r.text(path, text, depth)
}

// block is an if that is open.
type block struct {
	pos   Pos
	outer bool // what stands around it counts
	taken bool // one of its branches did count
	now   bool // the branch at hand counts
}

// text goes through the text of one file. Conditions do not reach beyond it.
func (r *reader) text(path string, text []byte, depth int) error {
	var open []block
	counts := func() bool { return len(open) == 0 || open[len(open)-1].now }
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, maxLine)
	for n := 1; scanner.Scan(); n++ {
		l, ok := parseLine(scanner.Bytes())
		if l.pos = (Pos{path, n}); !ok {
			continue
		}
		switch l.key {
		case "if", "ifplugin":
			b := block{pos: l.pos, outer: counts()}
			b.now = b.outer && r.condition(l)
			b.taken = b.now
			open = append(open, b)
		case "elsif", "elif", "else":
			if len(open) == 0 {
				r.note(l.pos, l.key+" without an if; the line means nothing")
				continue
			}
			b := &open[len(open)-1]
			b.now = b.outer && !b.taken && (l.key == "else" || r.condition(l))
			b.taken = b.taken || b.now
		case "endif":
			if len(open) == 0 {
				r.note(l.pos, "endif without an if; the line means nothing")
				continue
			}
			open = open[:len(open)-1]
		case "include":
			if counts() {
				if err := r.include(path, l, depth); err != nil {
					return err
				}
			}
		case "loadplugin", "tryplugin":
			if name, _, _ := strings.Cut(l.rest, " "); counts() && name != "" {
				r.world.plugins[name] = true
			}
		case "enable_compat":
			if counts() {
				r.world.compat[l.rest] = true
			}
		default:
			if counts() {
				r.each(l)
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, b := range open {
		r.note(b.pos, "an if without its endif; it holds to the end of the file")
	}
	return nil
}

func (r *reader) condition(l line) bool {
	expr := l.rest
	if l.key == "ifplugin" {
		expr = "plugin(" + l.rest + ")"
	}
	holds, err := r.world.holds(expr)
	if err != nil {
		r.note(l.pos, fmt.Sprintf("the condition cannot be read (%v), so what it encloses is left out", err))
		return false
	}
	return holds
}

func (r *reader) include(path string, l line, depth int) error {
	name := strings.Trim(l.rest, `"'`)
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	if depth+1 >= maxNest {
		return fmt.Errorf("%s: files include files deeper than %d", l.pos, maxNest)
	}
	err := r.file(name, depth+1)
	if errors.Is(err, fs.ErrNotExist) {
		r.note(l.pos, "the included file "+name+" is not there")
		return nil
	}
	return err
}

// parseLine takes a line apart. It is not ok when there is nothing in it. A # is
// the beginning of a comment unless a backslash stands before it.
func parseLine(raw []byte) (l line, ok bool) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '#' {
			if n := len(out); n == 0 || out[n-1] != '\\' {
				break
			}
			out[len(out)-1] = '#'
			continue
		}
		out = append(out, c)
	}
	text := strings.Trim(string(out), " \t\r\n\f\v")
	key, rest, _ := cutSpace(text)
	if key == "" {
		return l, false
	}
	l.key, l.rest = strings.ToLower(strings.ReplaceAll(key, "-", "_")), rest
	if l.key == "lang" { // texts of one language; English is what we keep
		language, rest, _ := cutSpace(rest)
		if !slices.Contains([]string{"en", "C"}, language) {
			l.key, l.rest = "lang", ""
			return l, true
		}
		l.key, l.rest, _ = cutSpace(rest)
	}
	return l, true
}

// cutSpace cuts text at its first white space; found says that there is some.
func cutSpace(text string) (before, after string, found bool) {
	i := strings.IndexAny(text, " \t")
	if i < 0 {
		return text, "", false
	}
	return text[:i], strings.TrimLeft(text[i:], " \t"), true
}
