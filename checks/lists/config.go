package lists

import (
	"errors"
	"fmt"
	"slices"

	"milterd/checks"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// config is the section lists; sample.yaml explains each key.
type config struct {
	Allow []item `yaml:"allow"`
	Block []item `yaml:"block"`
}

// item is one entry of a list, or several with a condition.
type item struct {
	Who       table.Entries `yaml:"who"`
	Recipient table.Entries `yaml:"recipient"`
	Unsigned  bool          `yaml:"unsigned"`
	Exempt    []string      `yaml:"exempt"`

	entry string // the item was a single text
}

// DecodeYAML implements [strictyaml.Decoder].
func (i *item) DecodeYAML(n *strictyaml.Node) error {
	*i = item{}
	if text, ok := n.Text(); ok {
		if _, err := table.New(text); err != nil {
			return n.Errorf("%w, or {who:, recipient:, unsigned:, exempt:}", err)
		}
		i.entry = text
		return nil
	}
	type mapping item // without this method
	read := mapping(*i)
	if err := n.Decode(&read); err != nil {
		return err
	}
	if read.Who.IsZero() && read.Recipient.IsZero() {
		return n.Errorf("for everybody, expected who or recipient")
	}
	*i = item(read)
	return nil
}

// ValidateYAML implements [strictyaml.Validator].
func (c *config) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	for i := range c.Block {
		for _, key := range []string{"unsigned", "exempt"} {
			if at := n.Key("block").Item(i).Key(key); at.Kind() != strictyaml.Null {
				errs.Add(at.Errorf("is for lists.allow, expected who or recipient alone"))
			}
		}
	}
	return errs.Err()
}

// list is an item in working order.
type list struct {
	who, recipient table.Tables // nil is everybody
	unsigned       bool
	exempt         []string
}

// open makes lists of items: those that are a single entry together make one,
// which stands first. The error is everything that is wrong.
func open(items []item, env checks.Env) ([]list, error) {
	var (
		all     []list
		entries []string
		errs    []error
	)
	for i := range items {
		it := &items[i]
		if it.entry != "" {
			entries = append(entries, it.entry)
			continue
		}
		who, err := it.Who.Open(env.Now, env.Logger)
		errs = append(errs, err)
		recipient, err := it.Recipient.Open(env.Now, env.Logger)
		errs = append(errs, err)
		all = append(all, list{who, recipient, it.Unsigned, it.Exempt})
	}
	if len(entries) > 0 {
		t, err := table.New(entries...)
		if err != nil {
			errs = append(errs, fmt.Errorf("lists: %w", err))
		}
		all = slices.Insert(all, 0, list{who: table.Fixed(t)})
	}
	return all, errors.Join(errs...)
}
