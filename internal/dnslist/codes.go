package dnslist

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"milterd/internal/strictyaml"
)

// A Class is what it means to be listed. There are few of them, so that scores and
// rules can name each; which list said it stands in the finding's text.
type Class string

// The classes.
const (
	Malware     Class = "malware"      // spreads malware, or controls it
	Phish       Class = "phish"        // takes passwords
	Exploit     Class = "exploit"      // a hijacked host: open proxy, infected machine
	Spam        Class = "spam"         // sends spam, or is made for it
	Abused      Class = "abused"       // honest, and abused by others at the moment
	Policy      Class = "policy"       // should not send mail by itself, such as a dial-up address
	Suspect     Class = "suspect"      // new, or in bad company
	AllowHigh   Class = "allow-high"   // never sends spam
	AllowMedium Class = "allow-medium" // rarely
	AllowLow    Class = "allow-low"    // sometimes
	Ignore      Class = "ignore"       // known, and says nothing
	NotWelcome  Class = "refused"      // the list does not want to answer us
)

// gravity has the classes with the one first that counts where a list has several
// codes for one thing.
var gravity = []Class{Malware, Phish, Exploit, Spam, Abused, Policy, Suspect, AllowHigh, AllowMedium, AllowLow, Ignore, NotWelcome}

// Allows reports whether the class speaks for who is listed.
func (c Class) Allows() bool { return c == AllowHigh || c == AllowMedium || c == AllowLow }

// Blocks reports whether the class speaks against who is listed.
func (c Class) Blocks() bool { return !c.Allows() && c != Ignore && c != NotWelcome }

// Graver reports whether c counts before other.
func (c Class) Graver(other Class) bool {
	return slices.Index(gravity, c) < slices.Index(gravity, other)
}

// DecodeYAML implements [strictyaml.Decoder].
func (c *Class) DecodeYAML(n *strictyaml.Node) error { return strictyaml.OneOf(n, c, gravity...) }

// Codes map return codes to classes. A code is 127.0.0.2, or has ranges and stars
// in it: 127.0.0.4-7, 127.0.*.1. Of several that fit, the narrowest counts.
type Codes struct{ patterns []pattern }

type pattern struct {
	low, high [4]byte
	class     Class
}

// size is how many codes a pattern has, as its order among others.
func (p *pattern) size() int {
	n := 1
	for i := range p.low {
		n *= int(p.high[i]-p.low[i]) + 1
	}
	return n
}

func (p *pattern) has(code [4]byte) bool {
	for i := range code {
		if code[i] < p.low[i] || code[i] > p.high[i] {
			return false
		}
	}
	return true
}

// DecodeYAML implements [strictyaml.Decoder]. What is there already stays, unless the
// same code is given again.
func (c *Codes) DecodeYAML(n *strictyaml.Node) error {
	read := map[string]Class{}
	if err := n.Decode(&read); err != nil {
		return err
	}
	var errs strictyaml.Errors
	all := slices.Clone(c.patterns)
	for text, class := range read {
		p, err := parsePattern(text)
		if err != nil {
			errs.Add(n.Key(text).Errorf("%w", err))
			continue
		}
		p.class = class
		all = slices.DeleteFunc(all, func(o pattern) bool { return o.low == p.low && o.high == p.high })
		all = append(all, p)
	}
	if err := errs.Err(); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b pattern) int {
		if d := a.size() - b.size(); d != 0 {
			return d
		}
		return slices.Compare(append(a.low[:], a.high[:]...), append(b.low[:], b.high[:]...))
	})
	c.patterns = all
	return nil
}

var errPattern = errors.New("not a return code, expected 127.0.0.2, 127.0.0.4-7 or 127.0.*.1")

// parsePattern reads one key of Codes.
func parsePattern(text string) (pattern, error) {
	fields := strings.Split(text, ".")
	if len(fields) != 4 || fields[0] != "127" {
		return pattern{}, errPattern
	}
	var p pattern
	for i, field := range fields {
		if field == "*" {
			p.high[i] = 255
			continue
		}
		low, high, ranged := strings.Cut(field, "-")
		if !ranged {
			high = low
		}
		a, errA := strconv.ParseUint(low, 10, 8)
		b, errB := strconv.ParseUint(high, 10, 8)
		if errA != nil || errB != nil || a > b || low[0] == '+' || high[0] == '+' {
			return pattern{}, errPattern
		}
		p.low[i], p.high[i] = byte(a), byte(b)
	}
	if p.low[1] == 255 && p.low[2] == 255 {
		return pattern{}, errors.New("127.255.255.x always means that the list does not answer us, expected another code")
	}
	return p, nil
}

// find returns what a code means.
func (c *Codes) find(code [4]byte) (Class, bool) {
	for i := range c.patterns {
		if p := &c.patterns[i]; p.has(code) {
			return p.class, true
		}
	}
	return "", false
}

// Bits map bits of the last octet of 127.0.0.x to classes: lists that join several
// into one answer so.
type Bits struct {
	classes [8]Class
	any     bool
}

// DecodeYAML implements [strictyaml.Decoder].
func (b *Bits) DecodeYAML(n *strictyaml.Node) error {
	read := map[string]Class{}
	if err := n.Decode(&read); err != nil {
		return err
	}
	for text, class := range read {
		i := slices.Index([]string{"1", "2", "4", "8", "16", "32", "64", "128"}, text)
		if i < 0 {
			return n.Key(text).Errorf("not a bit, expected 1, 2, 4, 8, 16, 32, 64 or 128")
		}
		b.classes[i], b.any = class, true
	}
	return nil
}

// find returns the gravest class of the bits of code. It is false when one of them
// is set that nobody knows, and none that somebody does.
func (b *Bits) find(code [4]byte) (class Class, ok bool) {
	if code[1] != 0 || code[2] != 0 {
		return "", false
	}
	for i, c := range b.classes {
		if code[3]&(1<<i) == 0 || c == "" {
			continue
		}
		if c == NotWelcome {
			return c, true
		}
		if !ok || c.Graver(class) {
			class, ok = c, true
		}
	}
	return class, ok
}

// maxRecords is how many addresses an answer may have: the largest lists give a
// handful.
const maxRecords = 64

// Classify reads the addresses that a list answered with. It is Listed only by a
// code that the description knows, and never when one of the addresses says that
// the answer is none.
func (l *List) Classify(addrs []netip.Addr) Answer {
	if len(addrs) == 0 {
		return Answer{Status: Clear}
	}
	if len(addrs) > maxRecords {
		return Answer{Status: Failed, Reason: ReasonRewritten}
	}
	a := Answer{Status: Failed, Reason: ReasonUnmapped}
	for _, addr := range addrs {
		if !addr.Is4() || addr.As4()[0] != 127 {
			return Answer{Status: Failed, Reason: ReasonRewritten}
		}
		code := addr.As4()
		class, known := l.Codes.find(code)
		if !known {
			class, known = l.Bits.find(code)
		}
		switch {
		case code[1] == 255 && code[2] == 255, known && class == NotWelcome:
			a = Answer{Status: Refused, Reason: ReasonRefused}
		case a.Status == Refused || !known:
		case a.Status != Listed || class.Graver(a.Class):
			a = Answer{Status: Listed, Class: class, Code: addr}
		}
	}
	return a
}

func (a Answer) String() string {
	switch a.Status {
	case Listed:
		return fmt.Sprintf("listed (%s, %s)", a.Class, a.Code)
	case Clear:
		return string(Clear)
	}
	return fmt.Sprintf("%s (%s)", a.Status, a.Reason)
}
