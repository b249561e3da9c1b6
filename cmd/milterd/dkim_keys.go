package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/keys"
	"milterd/internal/rotation"
	"milterd/message"
)

// keyFlags say which keys a command is about.
type keyFlags struct {
	Dir string `help:"Directory of managed keys, with one for each domain in it. Default: what the configuration says, else keys beside it." placeholder:"DIR"`
	// Port is where authoritative name servers are asked; another one is for tests.
	Port uint16 `hidden:"" default:"53"`
}

// keyDirectory is where the keys of a domain are looked for that the
// configuration does not name.
func (f *keyFlags) keyDirectory(g *globals, domain string) string {
	dir := f.Dir
	if dir == "" {
		dir = filepath.Join(filepath.Dir(cmp.Or(g.Config, config.DefaultPath)), "keys")
	}
	return filepath.Join(dir, domain)
}

// target returns where the keys of a domain are: what the configuration says,
// unless --dir says otherwise or it says nothing.
func (f *keyFlags) target(g *globals, cfg *config.Config, name string) (rotation.Target, error) {
	domain, err := message.ParseDomain(name)
	if err != nil || domain.Labels() < 2 {
		return rotation.Target{}, &exitError{exitUsage, fmt.Errorf("%q is not a domain that mail can be signed for", name)}
	}
	targets, err := rotation.Targets(cfg.Signing)
	if err != nil {
		return rotation.Target{}, g.configFailed(err)
	}
	found := rotation.Target{Domain: domain.String(), Overlap: rotation.DefaultOverlap}
	for _, t := range targets {
		if of, err := message.ParseDomain(t.Domain); err == nil && of == domain {
			found = t
			found.Domain = domain.String()
		}
	}
	if f.Dir != "" || found.Directory == "" && len(found.Keys) == 0 {
		found.Directory, found.Keys = f.keyDirectory(g, domain.String()), nil
	}
	return found, nil
}

// targets returns those of the named domains, or of all in the configuration.
func (f *keyFlags) targets(g *globals, cfg *config.Config, names []string) ([]rotation.Target, error) {
	var all []rotation.Target
	for _, name := range names {
		t, err := f.target(g, cfg, name)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if len(names) > 0 {
		return all, nil
	}
	if f.Dir != "" {
		return f.inDirectory()
	}
	all, err := rotation.Targets(cfg.Signing)
	if err != nil {
		return nil, g.configFailed(err)
	}
	if len(all) == 0 {
		return nil, &exitError{exitConfig, errors.New("no signing.domains in the configuration: name a domain, or make its keys with milterd dkim genkey DOMAIN")}
	}
	return all, nil
}

// inDirectory returns a target for each directory of keys in --dir.
func (f *keyFlags) inDirectory() (all []rotation.Target, err error) {
	states, err := filepath.Glob(filepath.Join(f.Dir, "*", keys.StateFile))
	if err != nil || len(states) == 0 {
		return nil, &exitError{exitConfig, fmt.Errorf("%s: no keys in it, expected DOMAIN/%s", f.Dir, keys.StateFile)}
	}
	for _, path := range states {
		dir := filepath.Dir(path)
		all = append(all, rotation.Target{Domain: filepath.Base(dir), Directory: dir, Overlap: rotation.DefaultOverlap})
	}
	return all, nil
}

// A listed key is one of a target, whoever looks after it.
type listedKey struct {
	keys.Key
	state *keys.State // nil for a key with a file of its own
}

// signs reports whether mail is signed with the key now.
func (k *listedKey) signs() bool { return k.Stage == keys.Active }

// listKeys returns the keys of a target, those with a file of their own first.
func listKeys(t rotation.Target) (all []listedKey, err error) {
	domain, err := message.ParseDomain(t.Domain)
	if err != nil {
		return nil, err
	}
	for _, f := range t.Keys {
		k, err := rotation.Own(domain, f)
		if err != nil {
			return nil, keysFailed(err)
		}
		all = append(all, listedKey{Key: k})
	}
	if t.Directory == "" {
		return all, nil
	}
	state, err := keys.ReadState(t.Directory)
	if err != nil {
		if errors.Is(err, keys.ErrMissing) {
			err = fmt.Errorf("%w; milterd dkim genkey %s makes keys", err, t.Domain)
		}
		return nil, keysFailed(err)
	}
	if state.Domain != t.Domain {
		return nil, keysFailed(fmt.Errorf("%s: holds the keys of %s", t.Directory, state.Domain))
	}
	for _, k := range state.Keys {
		all = append(all, listedKey{k, state})
	}
	return all, nil
}

// keysFailed gives an error about keys its exit code.
func keysFailed(err error) error {
	var unsafe *keys.UnsafeError
	switch {
	case errors.Is(err, rotation.ErrBusy):
		return &exitError{exitTemporary, err}
	case errors.As(err, &unsafe), errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	}
	return &exitError{exitConfig, err}
}

// passOver prints an error that does not keep a command from the domains that
// follow. The command ends with the code of the first one.
func passOver(g *globals, first, err error) error {
	fmt.Fprintln(g.stderr, "milterd:", safe(err.Error()))
	var exit *exitError
	switch {
	case first != nil:
		return first
	case errors.As(err, &exit):
		return &exitError{code: exit.code}
	}
	return &exitError{code: exitTemporary}
}

// observer looks at the DNS through the servers of the configuration.
func (f *keyFlags) observer(cfg *config.Config) *rotation.Observer {
	return &rotation.Observer{Fresh: func() (*dns.Resolver, error) { return resolverOf(cfg) }, Port: f.Port}
}

// config loads the configuration for a command about keys.
func (f *keyFlags) config(g *globals) (*config.Config, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, g.configFailed(err)
	}
	return cfg, nil
}

// describe is a key's algorithm in words.
func describe(k *keys.Key) string {
	if k.Algorithm == keys.RSA {
		return fmt.Sprintf("rsa %d", k.Bits)
	}
	return k.Algorithm
}

// besideConfig is a path as it would be written in the configuration.
func (g *globals) besideConfig(path string) string {
	base, err := filepath.Abs(filepath.Dir(cmp.Or(g.Config, config.DefaultPath)))
	if err != nil {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(base, abs); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return abs
}
