package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"time"

	"milterd/internal/config"
	"milterd/internal/keys"
	"milterd/internal/rotation"
)

type dkimGenkeyCmd struct {
	keyFlags
	Domain   string `arg:"" help:"Domain that mail is signed for."`
	Selector string `help:"Name of the keys; that of Ed25519 gets an e behind it when both are made. Default: year and month." placeholder:"NAME"`
	RSA      int    `name:"rsa" help:"Make an RSA key of that many bits." placeholder:"BITS"`
	Ed25519  bool   `name:"ed25519" help:"Make an Ed25519 key."`
	Both     bool   `help:"Make both, RSA of 2048 bits. The default."`
}

// Run makes keys and says what to do with them. They sign when the DNS shows them.
func (c *dkimGenkeyCmd) Run(g *globals) error {
	wishes, err := c.wishes()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	cfg, err := c.config(g)
	if err != nil {
		return err
	}
	t, err := c.target(g, cfg, c.Domain)
	if err != nil {
		return err
	}
	configured := slices.Contains(configuredDirectories(cfg), t.Directory)
	if t.Directory == "" { // its keys have files of their own so far
		t.Directory = c.keyDirectory(g, t.Domain)
	}
	state, err := rotation.Generate(t.Directory, t.Domain, wishes, time.Now())
	switch {
	case errors.Is(err, rotation.ErrNextIsThere):
		return &exitError{exitFindings, fmt.Errorf("%w: publish it (milterd dkim dns %s) and let it sign (milterd dkim rotate %s)", err, t.Domain, t.Domain)}
	case err != nil:
		return keysFailed(err)
	}
	if _, err := user.Lookup(keys.User); err != nil && os.Geteuid() == 0 {
		fmt.Fprintf(g.stderr, "milterd: there is no user %s on this host: the keys are root's alone, a daemon that is not root cannot read them\n", keys.User)
	}
	made := state.Keys[len(state.Keys)-len(wishes):]
	for i := range made {
		verb := "made"
		if made[i].TakenUp {
			verb = "took the key that was there:"
		}
		fmt.Fprintf(g.stdout, "%s %s (%s)\n", verb, made[i].Path, describe(&made[i]))
	}
	fmt.Fprintf(g.stdout, "\n1. Publish in the zone of %s (other forms: milterd dkim dns %s --form line|provider):\n\n", t.Domain, t.Domain)
	for _, k := range made {
		fmt.Fprintln(g.stdout, keys.ZoneLines(k.Name, k.Record))
	}
	fmt.Fprintf(g.stdout, "\n2. When every name server shows them, let them sign (or leave that to the daemon, which looks once an hour):\n\n"+
		"milterd dkim rotate %s\n", t.Domain)
	if !configured {
		fmt.Fprintf(g.stdout, "\n3. Put into milterd.yaml, and reload. Not before 2 is done: mail that shall be signed waits for a key that may.\n\n"+
			"signing:\n  domains:\n    %s: {directory: %s}\n", t.Domain, g.besideConfig(t.Directory))
	}
	return nil
}

// configuredDirectories are those of managed keys that the configuration names.
func configuredDirectories(cfg *config.Config) (all []string) {
	targets, _ := rotation.Targets(cfg.Signing) // target has said what is wrong
	for _, t := range targets {
		if t.Directory != "" {
			all = append(all, t.Directory)
		}
	}
	return all
}

// wishes are the keys that the flags ask for.
func (c *dkimGenkeyCmd) wishes() ([]rotation.Wish, error) {
	bits, ed := c.RSA, c.Ed25519
	if c.Both || bits == 0 && !ed {
		bits, ed = max(bits, keys.GoodBits), true
	}
	if bits != 0 && (bits < keys.GoodBits || bits > 4096) {
		return nil, fmt.Errorf("--rsa %d: expected 2048 to 4096 bits, which everybody verifies (RFC 8301)", bits)
	}
	if c.Selector != "" && !keys.ValidSelector(c.Selector) {
		return nil, fmt.Errorf("--selector %q: expected lower case letters, digits, hyphens and dots", c.Selector)
	}
	var all []rotation.Wish
	if bits != 0 {
		all = append(all, rotation.Wish{Algorithm: keys.RSA, Bits: bits, Selector: c.Selector})
	}
	if ed {
		w := rotation.Wish{Algorithm: keys.Ed25519, Selector: c.Selector}
		if bits != 0 && c.Selector != "" {
			w.Selector += "e"
		}
		all = append(all, w)
	}
	return all, nil
}
