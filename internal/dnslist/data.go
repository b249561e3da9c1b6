package dnslist

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"

	"milterd/internal/strictyaml"
)

// Shipped is the file of the well-known lists that comes with milterd, all of them
// switched off. It is also deploy/dnslists.yaml.
//
//go:embed dnslists.yaml
var Shipped []byte

// Lists are lists by their names.
type Lists map[string]List

// file is a file of lists.
type file struct {
	Lists Lists `yaml:"lists"`
	// Never are domains that nobody needs to be asked about.
	Never []string `yaml:"never"`
}

// Load returns the lists that ship, with those of files laid over them in their
// order. A list in a file replaces the keys that it gives, and may be new. The error
// tells everything that is wrong, with its place.
func Load(paths ...strictyaml.Path) (lists Lists, never []string, err error) {
	f := file{}
	var errs strictyaml.Errors
	errs.Add(f.read("dnslists.yaml", Shipped))
	never = slices.Clone(f.Never)
	for _, path := range paths {
		text, err := strictyaml.ReadFile(string(path), strictyaml.MaxBytes)
		if err != nil {
			errs.Add(fmt.Errorf("%w, expected a file of DNS lists", err))
			continue
		}
		f.Never = nil
		errs.Add(f.read(string(path), text))
		never = append(never, f.Never...)
	}
	return f.Lists, never, errs.Err()
}

// read lays a file over what f has already.
func (f *file) read(name string, text []byte) error {
	n, err := strictyaml.Parse(name, text)
	if err != nil {
		return err
	}
	if err := n.Expand(strictyaml.Expander{Env: os.LookupEnv, File: strictyaml.ReadFile}); err != nil {
		return err
	}
	return n.Decode(f)
}

// maxLists bounds how many lists one check asks: each costs a question a message.
const maxLists = 40

// listName is what a list may be called: it is a label of metrics.
var listName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// maxZone leaves room for an IPv6 address before the zone.
const maxZone = 180

// For returns the enabled lists that can be asked about one of the subjects, by
// name. The error tells everything that is wrong with enabled lists; a zone is
// never shown in it.
func (l Lists) For(section string, subjects ...Subject) ([]*List, error) {
	var active []*List
	var errs strictyaml.Errors
	for _, name := range slices.Sorted(maps.Keys(l)) {
		list := l[name]
		list.Name = name
		serves := slices.ContainsFunc(list.Ask, func(s Subject) bool { return slices.Contains(subjects, s) })
		bad := func(key, format string, args ...any) {
			path := section + ".lists." + name
			if key != "" {
				path += "." + key
			}
			errs = append(errs, &strictyaml.Error{Pos: list.Pos, Path: path, What: fmt.Sprintf(format, args...)})
		}
		if !listName.MatchString(name) {
			bad("", "not a name for a list, expected letters a to z, digits and hyphens, 40 at most")
			continue
		}
		if !list.Enabled {
			continue
		}
		if list.Zone == "" {
			bad("zone", "missing, expected the domain that questions end in")
		} else if !askable(list.Zone) || len(list.Zone) > maxZone {
			bad("zone", "not a domain name in lower case, expected one of at most %d characters", maxZone)
		}
		if len(list.Ask) == 0 {
			bad("ask", "missing, expected what the list is asked about, such as [client]")
		} else if !serves {
			bad("ask", "nothing that this check asks about, expected one of %v", subjects)
		}
		if len(list.Codes.patterns) == 0 && !list.Bits.any {
			bad("codes", "missing, expected what its answers mean, such as {127.0.0.2: spam}")
		}
		if list.Daily < 0 {
			bad("daily", "got %d, expected a number of questions, or 0 for as many as there are", list.Daily)
		}
		if list.allows() && slices.ContainsFunc(list.Ask, func(s Subject) bool { return s != Client }) {
			bad("codes", "a class that allows, expected ask: [client] beside it: whatever else a message says of its sender, anybody can write")
		}
		for key, label := range map[string]string{"listed": list.Test.Listed, "clear": list.Test.Clear} {
			if label != "" && !askable(label) {
				bad("test."+key, "not a name, expected the labels before the zone, or none")
			}
		}
		active = append(active, &list)
	}
	if len(active) > maxLists {
		errs = append(errs, &strictyaml.Error{Path: section + ".lists", What: fmt.Sprintf("%d lists are enabled, expected %d at most", len(active), maxLists)})
	}
	if err := errs.Err(); err != nil {
		return nil, err
	}
	return active, nil
}

// allows reports whether the list can speak for somebody.
func (l *List) allows() bool {
	return slices.ContainsFunc(l.Codes.patterns, func(p pattern) bool { return p.class.Allows() }) ||
		slices.ContainsFunc(l.Bits.classes[:], Class.Allows)
}

// OfAddresses reports whether the list has addresses and no names.
func (l *List) OfAddresses() bool { return l.Asks(Client) || l.Asks(Received) }

// Asks reports whether the list is asked about a subject.
func (l *List) Asks(s Subject) bool { return slices.Contains(l.Ask, s) }
