// Package spamassassin carries the rules of SpamAssassin over to milterd.
//
// It reads .cf files as SpamAssassin does (conditions, includes, tags in
// expressions, later lines that override earlier ones) and writes rule files of
// milterd's language:
//
//	result, err := spamassassin.Import([]string{"/etc/spamassassin"}, spamassassin.Options{
//		Column: spamassassin.AnyColumn, Findings: findings})
//	os.Stdout.Write(result.Rules)
//	os.Stderr.Write(result.Report)
//
// A rule with an expression becomes one over a text that begins with "sa.", which
// is the message as SpamAssassin shows it to its rules (package view), and its
// expression one of RE2's or, with Options.Backtracking, of an engine that looks
// around and back (package perlre). A meta becomes a composite. A rule that calls
// code of SpamAssassin's becomes a finding of milterd's where one says the same.
//
// Whatever is not carried is in the report, by name and line, with the reason. A
// meta that names a rule that is not carried is carried only where the lack can
// make it hit less often, never more often: what was written as an exception must
// not get lost.
//
// The package reads files that an operator has and trusts, but bounds what it takes
// in all the same: channels of rules come from the network.
package spamassassin

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
)

// Result is what an import comes to.
type Result struct {
	// Rules is the rule file. Backtracking is another one, for rules whose
	// expressions need it; empty where there are none.
	Rules, Backtracking []byte
	// Config is what belongs into milterd.yaml; empty where there is nothing.
	Config []byte
	// Report tells what became of everything, for people.
	Report []byte
	// Whole says that everything was carried.
	Whole bool
	// Counts are the rules of each kind, and how many of them were carried.
	Counts map[Kind]Count

	all    []rule
	scores map[string]float64
}

// File is everything in one rule file. What belongs into milterd.yaml stands in
// comments at its top.
func (r *Result) File() []byte {
	out := []byte(heading)
	if len(r.Config) > 0 {
		out = append(out, "# Into milterd.yaml:\n"...)
		for line := range strings.Lines(string(r.Config)) {
			out = append(out, "#   "+line...)
		}
	}
	return appendFile(out, r.all, r.scores, len(r.Backtracking) > 0)
}

const heading = "# From SpamAssassin's files, by milterd import spamassassin.\n"

// Count is a number of rules.
type Count struct {
	All          int
	Carried      int // those with backtracking among them
	Backtracking int
}

// Regex adds up the rules that have an expression.
func (r *Result) Regex() (sum Count) {
	for _, kind := range regexKinds {
		c := r.Counts[kind]
		sum.All += c.All
		sum.Carried += c.Carried
		sum.Backtracking += c.Backtracking
	}
	return sum
}

var regexKinds = []Kind{Header, Body, RawBody, URI, Full, MIMEHeader}

// Exists is the kind of the rules that ask only whether a header field is there.
const Exists Kind = "exists"

// Import reads files and directories. An error is one of reading; what is wrong
// inside of the files is in the report.
func Import(paths []string, opts Options) (*Result, error) {
	c := newCollector()
	r := reader{world: newWorld(), each: c.line, note: func(pos Pos, why string) { c.note(pos, "", why) }}
	if err := r.paths(paths); err != nil {
		return nil, fmt.Errorf("spamassassin: %w", err)
	}
	if r.files == 0 {
		return nil, fmt.Errorf("spamassassin: no *.cf in %s: %w", strings.Join(paths, ", "), fs.ErrNotExist)
	}
	return c.result(opts), nil
}

// result turns what was collected into files and a report.
func (c *collector) result(opts Options) *Result {
	v := convert(c, opts)
	res := &Result{Counts: map[Kind]Count{}, all: v.out, scores: v.scores}
	var plain, back []rule
	for i := range v.out {
		if v.out[i].backtracking {
			back = append(back, v.out[i])
		} else {
			plain = append(plain, v.out[i])
		}
	}
	res.Rules = appendFile([]byte(heading), plain, v.scores, false)
	if len(back) > 0 {
		res.Backtracking = appendFile([]byte(heading), back, nil, true)
	}
	res.Config = c.config()
	for _, f := range v.fates {
		kind := f.def.kind
		if f.def.exists {
			kind = Exists
		}
		n := res.Counts[kind]
		if n.All++; f.carried() {
			n.Carried++
		}
		if f.more && f.carried() {
			n.Backtracking++
		}
		res.Counts[kind] = n
	}
	res.Report, res.Whole = v.report(res)
	return res
}

// config writes the settings that belong into milterd.yaml.
func (c *collector) config() []byte {
	var out []byte
	if c.required != nil {
		out = fmt.Appendf(out, "thresholds: {junk: %s}\n", points(*c.required))
	}
	var networks []string
	for _, word := range c.networks {
		network, err := networkOf(word)
		switch {
		case err != nil:
			c.note(Pos{}, "trusted_networks "+word, err.Error())
		case !slices.Contains(networks, network):
			networks = append(networks, network)
		}
	}
	if len(networks) > 0 {
		out = append(out, "networks:\n  relays:\n"...)
		for _, n := range networks {
			out = fmt.Appendf(out, "    - %s\n", quote(n))
		}
	}
	return out
}

// networkOf reads a network as SpamAssassin's files have it: 192.0.2.1, 192.0.2.0/24,
// 192.0.2. for the same, [2001:db8::]/32.
func networkOf(word string) (string, error) {
	if strings.HasPrefix(word, "!") {
		return "", errors.New("an exception (!), which a list of networks in milterd does not have: write what is left of the network")
	}
	text := strings.NewReplacer("[", "", "]", "").Replace(word)
	if strings.HasSuffix(text, ".") && strings.Trim(text, "0123456789.") == "" {
		n := strings.Count(text, ".")
		if n < 1 || n > 3 {
			return "", errors.New("no network")
		}
		text = fmt.Sprintf("%s%s/%d", text, strings.TrimSuffix(strings.Repeat("0.", 4-n), "."), 8*n)
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().String(), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return "", errors.New("no network, expected an address, or one with a length behind a slash")
	}
	return netip.PrefixFrom(a, a.BitLen()).String(), nil
}
