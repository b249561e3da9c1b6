package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"milterd/dkim"
	"milterd/message"
)

// StateFile is the name of the state file in the directory of a domain's keys.
const StateFile = "state.json"

const (
	maxStateFile = 256 << 10
	maxKeys      = 100
	stateVersion = 1
)

// Stage is where a managed key stands in its life. It only ever moves on.
type Stage string

// The stages, in their order.
const (
	// Next is a key that has been made. It is to be published, and does not sign
	// before the DNS has shown it everywhere for long enough.
	Next Stage = "next"
	// Active is a key that signs.
	Active Stage = "active"
	// Retiring is a key that signs no more, but stays published for the mail that
	// it has signed.
	Retiring Stage = "retiring"
	// Retired is a key that is over. An empty p= is to be published in its place.
	Retired Stage = "retired"
)

// A Key is one managed key.
type Key struct {
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"` // RSA or Ed25519
	Bits      int    `json:"bits"`
	File      string `json:"file"` // its name in the directory
	Stage     Stage  `json:"stage"`

	// What shall stand in the DNS now: the name and the text of a TXT record. That
	// of a retired key is the one with an empty p=.
	Name   string `json:"name"`
	Record string `json:"record"`

	// TTL is how long, in seconds, the DNS may go on showing what it showed before:
	// the larger of the record's time to live and that of its absence, the longest
	// seen. Zero as long as nothing has been seen.
	TTL int `json:"ttl,omitempty"`

	// When it came to where it stands; zero for what has not happened. Visible is
	// since when every server has shown the record, each time that we looked.
	Created       time.Time `json:"created,omitzero"`
	Visible       time.Time `json:"visible,omitzero"`
	Activated     time.Time `json:"activated,omitzero"`
	RetiringSince time.Time `json:"retiring_since,omitzero"`
	RetiredAt     time.Time `json:"retired_at,omitzero"`

	// Path is the file, with its directory. It is not in the state file.
	Path string `json:"-"`

	// TakenUp marks a new key whose file was there before. It is not in the state file.
	TakenUp bool `json:"-"`
}

// A State is what is in a state file: the managed keys of one domain.
type State struct {
	Version int    `json:"version"`
	Domain  string `json:"domain"`
	Keys    []Key  `json:"keys"`
}

// Active returns the keys that sign, in the order of the file.
func (s *State) Active() []Key {
	return slices.DeleteFunc(slices.Clone(s.Keys), func(k Key) bool { return k.Stage != Active })
}

// ReadState reads the state file in dir. The errors are those of Load; others may
// read the file, but only root and we may be able to change it.
func ReadState(dir string) (*State, error) {
	text, _, err := read(filepath.Join(dir, StateFile), publicly, maxStateFile)
	if err != nil {
		return nil, err
	}
	return parseState(dir, text)
}

// parseState reads a state file of the directory dir.
func parseState(dir string, text []byte) (*State, error) {
	s, err := ParseState(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, StateFile), err)
	}
	for i := range s.Keys {
		s.Keys[i].Path = filepath.Join(dir, s.Keys[i].File)
	}
	return s, nil
}

// ParseState reads the text of a state file. It is strict: what it does not know,
// or what does not fit together, is an error. A State without one can be trusted
// to have a valid domain, selectors that differ, and files in its directory.
func ParseState(text []byte) (*State, error) {
	if len(text) > maxStateFile {
		return nil, fmt.Errorf("larger than %d bytes", maxStateFile)
	}
	s := new(State)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("is not a state file: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("is not a state file: something follows its end")
	}
	return s, s.Check()
}

// Check reports what is wrong with s.
func (s *State) Check() error {
	if s.Version != stateVersion {
		return fmt.Errorf("version %d, expected %d", s.Version, stateVersion)
	}
	domain, err := message.ParseDomain(s.Domain)
	if err != nil || domain.String() != s.Domain || domain.Labels() < 2 {
		return fmt.Errorf("domain: %q is not a signing domain in lower case", s.Domain)
	}
	if len(s.Keys) > maxKeys {
		return fmt.Errorf("%d keys, expected at most %d", len(s.Keys), maxKeys)
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		if err := k.check(domain); err != nil {
			return fmt.Errorf("keys[%d]: %w", i, err)
		}
		for _, other := range s.Keys[:i] {
			if other.Selector == k.Selector {
				return fmt.Errorf("keys[%d]: selector %q is taken", i, k.Selector)
			}
			if other.File == k.File {
				return fmt.Errorf("keys[%d]: file %q is taken", i, k.File)
			}
		}
	}
	return nil
}

// check reports what is wrong with a key of that domain.
func (k *Key) check(domain message.Domain) error {
	if !ValidSelector(k.Selector) {
		return fmt.Errorf("selector: %q is not a selector in lower case", k.Selector)
	}
	if name := dkim.KeyName(domain, k.Selector); k.Name != name {
		return fmt.Errorf("name: %q, expected %q", k.Name, name)
	}
	switch k.Algorithm {
	case RSA:
		if k.Bits < MinBits {
			return fmt.Errorf("bits: %d, expected %d or more", k.Bits, MinBits)
		}
	case Ed25519:
		if k.Bits != ed25519Bits {
			return fmt.Errorf("bits: %d, expected %d", k.Bits, ed25519Bits)
		}
	default:
		return fmt.Errorf("algorithm: %q, expected rsa or ed25519", k.Algorithm)
	}
	if k.File == "" || k.File[0] == '.' || len(k.File) > 255 || strings.ContainsAny(k.File, "/\x00\n\r") || k.File == StateFile {
		return fmt.Errorf("file: %q is not the name of a file in this directory", k.File)
	}
	if k.TTL < 0 || k.TTL > 1<<31-1 {
		return fmt.Errorf("ttl: %d is out of range", k.TTL)
	}
	return k.checkStage()
}

// checkStage reports a record or a time that does not fit the stage.
func (k *Key) checkStage() error {
	published, err := dkim.ParseKey(k.Record)
	switch {
	case k.Stage == Retired:
		if k.Record != Revoked(k.Algorithm) {
			return fmt.Errorf("record: %q, expected %q of a retired key", k.Record, Revoked(k.Algorithm))
		}
	case err != nil:
		return fmt.Errorf("record: %w", err)
	case published.Bits != k.Bits:
		return fmt.Errorf("record: publishes a key of %d bits, not of %d", published.Bits, k.Bits)
	}
	needed := map[Stage]time.Time{Next: k.Created, Active: k.Activated, Retiring: k.RetiringSince, Retired: k.RetiredAt}
	since, known := needed[k.Stage]
	if !known {
		return fmt.Errorf("stage: %q, expected next, active, retiring or retired", k.Stage)
	}
	if since.IsZero() {
		return fmt.Errorf("stage: it is %s, but the file does not say since when", k.Stage)
	}
	return nil
}

// ValidSelector reports whether s can be a selector and the name of a file: labels
// of lower case letters, digits, hyphens and underscores with dots between them
// (RFC 6376, section 3.1).
func ValidSelector(s string) bool {
	if len(s) > 128 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
