package dnslist

import (
	"bytes"
	"errors"
	"strings"

	"milterd/internal/strictyaml"
	"milterd/message"

	"golang.org/x/net/publicsuffix"
)

// Suffixes are the site's own words on where registrable domains begin, before those
// of the Public Suffix List that is compiled in. The zero value has none.
type Suffixes struct {
	rules map[string]suffixRule
}

type suffixRule uint8

const (
	isSuffix  suffixRule = 1 << iota // example.com: what is below belongs to others
	allBelow                         // *.example.com: each name below is such a suffix
	exception                        // !www.example.com: but not this one
)

// maxSuffixes bounds a file of suffixes; the Public Suffix List has 10,000.
const maxSuffixes = 100_000

// ReadSuffixes reads files in the form of the Public Suffix List: one suffix a line,
// *.suffix for all names below it, !name for an exception; what follows white space,
// // or # is a comment. The error tells everything that is wrong, with its place.
func ReadSuffixes(paths ...strictyaml.Path) (Suffixes, error) {
	s := Suffixes{rules: map[string]suffixRule{}}
	var errs strictyaml.Errors
	for _, path := range paths {
		text, err := strictyaml.ReadFile(string(path), strictyaml.MaxBytes)
		if err == nil {
			err = s.parse(string(path), text)
		}
		errs.Add(err)
	}
	return s, errs.Err()
}

// parse reads the text of one file.
func (s *Suffixes) parse(name string, text []byte) error {
	var errs strictyaml.Errors
	number := 0
	for line := range bytes.Lines(text) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "//") || strings.HasPrefix(fields[0], "#") {
			continue
		}
		rule, rest := isSuffix, fields[0]
		if below, ok := strings.CutPrefix(rest, "*."); ok {
			rule, rest = allBelow, below
		} else if not, ok := strings.CutPrefix(rest, "!"); ok {
			rule, rest = exception, not
		}
		d, err := message.ParseDomain(rest)
		if err == nil && len(s.rules) >= maxSuffixes {
			err = errors.New("too many suffixes")
		}
		if err != nil {
			at := strictyaml.Pos{File: name, Line: number, Col: bytes.Index(line, []byte(fields[0])) + 1}
			errs = append(errs, &strictyaml.Error{Pos: at, What: err.Error() + ", expected a suffix such as co.uk, *.ck or !www.ck", Err: err})
			if len(errs) == 20 {
				break
			}
			continue
		}
		s.rules[d.String()] |= rule
	}
	return errs.Err()
}

// Registrable returns the registrable domain of a host name in lower case and
// A-labels: by the site's own suffixes where one fits, the longest first, else by the
// Public Suffix List, private suffixes included. A suffix itself and a single label
// are what they are.
func (s Suffixes) Registrable(host string) string {
	if len(s.rules) > 0 {
		// before is the name in question with one more label than rest.
		for before, rest := host, host; rest != ""; {
			rule := s.rules[rest]
			if rule&exception != 0 {
				return rest
			}
			if rule&isSuffix != 0 {
				return before
			}
			_, above, _ := strings.Cut(rest, ".")
			if above != "" && s.rules[above]&allBelow != 0 { // rest is a suffix
				return before
			}
			before, rest = rest, above
		}
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return host
	}
	return domain
}
