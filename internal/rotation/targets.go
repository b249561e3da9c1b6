package rotation

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/internal/strictyaml"
	"milterd/message"
)

// A Target is one domain that is signed for, and where its keys are.
type Target struct {
	Domain string
	// Directory holds managed keys; empty for none.
	Directory string
	// Keys are those with a file of their own, which are looked after by hand.
	Keys []File
	// Overlap is for how long the domain's signatures may be on their way.
	Overlap time.Duration
}

// A File is a key with a file of its own.
type File struct {
	Selector string
	Path     string
}

// Own describes a key with a file of its own: it is active for as long as it is
// named, and as old as its file.
func Own(domain message.Domain, f File) (keys.Key, error) {
	private, err := keys.Load(f.Path)
	if err != nil {
		return keys.Key{}, err
	}
	info, err := os.Stat(f.Path)
	if err != nil {
		return keys.Key{}, err
	}
	k := keys.Key{Selector: f.Selector, File: filepath.Base(f.Path), Path: f.Path, Stage: keys.Active,
		Name: dkim.KeyName(domain, f.Selector), Record: keys.Record(private.Public()), Created: info.ModTime().UTC().Truncate(time.Second)}
	k.Algorithm, k.Bits = keys.Describe(private.Public())
	return k, nil
}

// overlapOf is the overlap for signatures that hold that long: a day more, for
// mail that was signed just before and clocks that differ. Those that hold for ever
// are kept verifiable for a month, which is longer than mail stays in queues.
func overlapOf(expire string) time.Duration {
	if expire == "off" {
		return 30 * 24 * time.Hour
	}
	holds, err := strictyaml.ParseDuration(expire)
	if err != nil {
		return DefaultOverlap
	}
	return holds + 24*time.Hour
}

// Targets reads from the section signing of the configuration what this package
// has to know of it, in the order of the domains. That the section is in order is
// found out by the check that signs.
func Targets(section strictyaml.Section) ([]Target, error) {
	node := section.Node()
	var domains map[string]target
	if err := node.Key("domains").Decode(&domains); err != nil {
		return nil, err
	}
	forAll, _ := node.Key("expire").Text()
	var all []Target
	for _, name := range slices.Sorted(maps.Keys(domains)) {
		d := domains[name]
		t := Target{Domain: name, Directory: string(d.Directory), Overlap: overlapOf(cmp.Or(d.expire, forAll))}
		for _, k := range d.Keys {
			t.Keys = append(t.Keys, File{k.Selector, string(k.File)})
		}
		all = append(all, t)
	}
	return all, nil
}

// target is a domain in the configuration, as far as it concerns us.
type target struct {
	Directory strictyaml.Path
	Keys      []struct {
		Selector string          `yaml:"selector"`
		File     strictyaml.Path `yaml:"file"`
	}
	expire string
}

// DecodeYAML implements [strictyaml.Decoder]. It passes over the keys that say how
// a domain signs.
func (t *target) DecodeYAML(n *strictyaml.Node) error {
	t.expire, _ = n.Key("expire").Text()
	if err := n.Key("directory").Decode(&t.Directory); err != nil {
		return err
	}
	return n.Key("keys").Decode(&t.Keys)
}
