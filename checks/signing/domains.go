package signing

import (
	"crypto"
	"errors"
	"fmt"
	"time"

	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/message"
)

// domain is a signing domain: an SDID, its keys and how it signs.
type domain struct {
	name       message.Domain
	subdomains bool // signs for authors below it as well
	files      []keyFile
	directory  string // of managed keys, "" for none
	cache      keyring

	names, oversign []string
	header, body    dkim.Canonicalization
	expire          time.Duration
}

type keyFile struct{ selector, path string }

// keyring is where private keys come from; [keys.Cache] is one.
type keyring interface {
	Get(path string) (crypto.Signer, error)
	State(dir string) (*keys.State, error)
}

// keys returns the keys to sign with, those with a file of their own first, then
// the managed ones that are active. All of them must be usable: a domain that
// publishes two kinds of keys wants its mail to have both.
func (d *domain) keys() ([]dkim.SigningKey, error) {
	list := make([]dkim.SigningKey, 0, len(d.files)+1)
	add := func(selector, path string) error {
		private, err := d.cache.Get(path)
		if err == nil {
			list = append(list, dkim.SigningKey{Domain: d.name, Selector: selector, Private: private})
		}
		return err
	}
	for _, f := range d.files {
		if err := add(f.selector, f.path); err != nil {
			return nil, err
		}
	}
	if d.directory == "" {
		return list, nil
	}
	state, err := d.cache.State(d.directory)
	if err != nil {
		return nil, err
	}
	if state.Domain != d.name.String() {
		return nil, fmt.Errorf("%s: holds the keys of %s", d.directory, state.Domain)
	}
	for _, k := range state.Active() {
		if err := add(k.Selector, k.Path); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", d.directory, errNoActiveKey)
	}
	return list, nil
}

var errNoActiveKey = errors.New("no key in it is active")

// signer returns what signs for the domain.
func (d *domain) signer(list []dkim.SigningKey, now func() time.Time) *dkim.Signer {
	return &dkim.Signer{Keys: list, Names: d.names, Oversign: d.oversign, Header: d.header, Body: d.body, Expire: d.expire, Now: now}
}

// ours returns the signing domain that signs for an author's domain: the domain
// itself, or the nearest above it that does so for subdomains. Nil if there is none.
func (c *check) ours(author message.Domain) *domain {
	if d := c.domains[author]; d != nil {
		return d
	}
	for up, ok := author.Parent(); ok; up, ok = up.Parent() {
		if d := c.domains[up]; d != nil && d.subdomains {
			return d
		}
	}
	return nil
}

// above returns the signing domain that a name is in, at whatever depth.
func (c *check) above(name message.Domain) *domain {
	for ok := !name.IsZero(); ok; name, ok = name.Parent() {
		if d := c.domains[name]; d != nil {
			return d
		}
	}
	return nil
}
