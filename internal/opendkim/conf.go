package opendkim

import (
	"bytes"
	"fmt"
	"strings"
)

// A setting is one line of opendkim.conf.
type setting struct {
	Pos
	name, value string
	valueCol    int
}

// A flaw is a line that OpenDKIM would not start with.
type flaw struct {
	Pos
	what, why string
}

// parseConf reads opendkim.conf(5): a name, blanks, a value to the end of the
// line; from # on, and from a carriage return on, a line is a comment, wherever
// that stands. Every line that is not blank is a setting or a flaw, in order.
func parseConf(file string, text []byte) (settings []setting, flaws []flaw) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSuffix(line, []byte("\n"))
		if end := bytes.IndexAny(line, "#\r\x00"); end >= 0 {
			line = line[:end]
		}
		rest := bytes.TrimLeft(line, " \t")
		if len(rest) == 0 {
			continue
		}
		at := Pos{file, number, len(line) - len(rest) + 1}
		name := rest
		if end := bytes.IndexAny(rest, " \t"); end >= 0 {
			name = rest[:end]
		}
		value := bytes.TrimLeft(rest[len(name):], " \t")
		col := len(line) - len(value) + 1
		value = bytes.TrimRight(value, " \t")
		switch {
		case len(line) > maxConf:
			flaws = append(flaws, flaw{at, string(name[:min(len(name), 100)]), fmt.Sprintf("a line of more than %d bytes, expected a shorter one", maxConf)})
		case len(value) == 0:
			flaws = append(flaws, flaw{at, string(name), "no value, expected one: OpenDKIM does not start with this line"})
		default:
			settings = append(settings, setting{at, string(name), string(value), col})
		}
	}
	return settings, flaws
}

// maxInclude is how deep OpenDKIM follows Include.
const maxInclude = 5

// readConf reads opendkim.conf and what it includes, and enters every line but
// those in force, which wait in im.settings. The last line of a name wins.
func (im *importer) readConf() error {
	text, err := im.files.get(im.main)
	if err != nil {
		return fmt.Errorf("%s: %w", im.main, err)
	}
	im.include(im.main, text, 0)
	return nil
}

func (im *importer) include(file string, text []byte, depth int) {
	settings, flaws := parseConf(file, text)
	for _, f := range flaws {
		im.enter(f.Pos, notCarried, f.what, "%s", f.why)
	}
	for _, s := range settings {
		key := strings.ToLower(s.name)
		if key != "include" {
			if _, known := directives[key]; !known {
				im.enter(s.Pos, notCarried, s.name, "no setting of OpenDKIM's: it does not start with this line")
				continue
			}
			if old, twice := im.settings[key]; twice {
				im.enter(old.Pos, notNeeded, old.name+" "+old.value, "%s:%d sets it again, and the last one counts", s.File, s.Line)
			}
			im.settings[key] = s
			continue
		}
		path := im.abs(s.value)
		if depth == maxInclude {
			im.enter(s.Pos, notCarried, "Include "+s.value, "nested deeper than %d files, where OpenDKIM stops", maxInclude)
			continue
		}
		included, err := im.files.get(path)
		if err != nil {
			im.enter(s.Pos, notCarried, "Include "+s.value, "%s: %v", path, err)
			continue
		}
		im.enter(s.Pos, carried, "Include "+s.value, "")
		im.include(path, included, depth+1)
	}
}

// take removes a setting from those that wait for their fate.
func (im *importer) take(name string) (setting, bool) {
	key := strings.ToLower(name)
	s, ok := im.settings[key]
	delete(im.settings, key)
	return s, ok
}

// flag takes a Boolean setting, which OpenDKIM reads by its first letter. Without
// it, and where it has no effect for the given reason, it is false.
func (im *importer) flag(name, noEffect string) bool {
	s, ok := im.take(name)
	if !ok {
		return false
	}
	on, ok := boolean(s.value)
	switch {
	case !ok:
		im.enter(s.Pos, notCarried, shown(s), "expected yes or no: OpenDKIM does not start with this line")
	case noEffect != "":
		im.enter(s.Pos, notNeeded, shown(s), "%s", noEffect)
	default:
		im.enter(s.Pos, carried, shown(s), "")
	}
	return on && noEffect == ""
}

func boolean(s string) (value, ok bool) {
	switch s[0] {
	case 't', 'T', 'y', 'Y', '1':
		return true, true
	case 'f', 'F', 'n', 'N', '0':
		return false, true
	}
	return false, false
}
