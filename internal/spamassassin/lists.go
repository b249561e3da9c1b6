package spamassassin

import (
	"fmt"
	"slices"
	"strings"
)

// list is one of the families of addresses.
type list struct {
	block bool
	proof proof
	to    bool // of recipients
	more  int  // of recipients: more_spam_to, all_spam_to
	deflt bool // one of those that come with SpamAssassin, at a lower weight
}

// proof is what must vouch for an address before the list counts.
type proof string

const (
	proofNone proof = ""     // nothing: anyone may write it
	proofRcvd proof = "rcvd" // a relay with a name in a domain
	proofSPF  proof = "spf"
	proofDKIM proof = "dkim"
	proofAuth proof = "auth" // SPF or DKIM
)

// glob is an address with * and ?, and what it is bound to: the domain of a relay
// or of a signature.
type glob struct {
	pos   Pos
	text  string // in lower case
	bound string // empty for the address's own
}

var listKeys = map[string]list{
	"welcomelist_from":          {},
	"welcomelist_from_rcvd":     {proof: proofRcvd},
	"welcomelist_from_spf":      {proof: proofSPF},
	"welcomelist_from_dkim":     {proof: proofDKIM},
	"welcomelist_auth":          {proof: proofAuth},
	"welcomelist_to":            {to: true},
	"more_spam_to":              {to: true, more: 1},
	"all_spam_to":               {to: true, more: 2},
	"def_welcomelist_from_rcvd": {proof: proofRcvd, deflt: true},
	"def_welcomelist_from_spf":  {proof: proofSPF, deflt: true},
	"def_welcomelist_from_dkim": {proof: proofDKIM, deflt: true},
	"def_welcomelist_auth":      {proof: proofAuth, deflt: true},
	"blocklist_from":            {block: true},
	"blocklist_to":              {block: true, to: true},
}

// listLine takes in a line of one of the families; false if it is none.
func (c *collector) listLine(l line) bool {
	key := strings.Replace(strings.Replace(l.key, "whitelist", "welcomelist", 1), "blacklist", "blocklist", 1)
	un := strings.HasPrefix(key, "un")
	of, ok := listKeys[strings.TrimPrefix(key, "un")]
	if !ok {
		return false
	}
	words := strings.Fields(strings.ToLower(l.rest))
	var globs []glob
	if (of.proof == proofRcvd || of.proof == proofDKIM) && !un {
		// An address and what it is bound to.
		g := glob{pos: l.pos}
		switch {
		case len(words) == 2:
			g.text, g.bound = words[0], strings.Trim(words[1], "[]")
		case len(words) == 1 && of.proof == proofDKIM:
			g.text = words[0]
		default:
			c.note(l.pos, l.key, fmt.Sprintf("%.60q, expected an address and a domain", l.rest))
			return true
		}
		globs = append(globs, g)
	} else {
		for _, word := range words {
			globs = append(globs, glob{pos: l.pos, text: word})
		}
	}
	for _, g := range globs {
		if !plainText(g.text) || !plainText(g.bound) {
			c.note(l.pos, l.key, fmt.Sprintf("%.60q is no address", l.rest))
			continue
		}
		if un {
			c.lists[of] = remove(c.lists[of], g.text)
		} else if !contains(c.lists[of], g) {
			c.lists[of] = append(c.lists[of], g)
		}
	}
	return true
}

func remove(list []glob, text string) []glob {
	var kept []glob
	for _, g := range list {
		if g.text != text {
			kept = append(kept, g)
		}
	}
	return kept
}

// recent is how many entries are looked through for one that is there already, so
// that a list of any length is read in linear time.
const recent = 3000

// contains says whether the list has the entry; both spellings of a family are
// often given, one for each version of SpamAssassin.
func contains(list []glob, g glob) bool {
	return slices.ContainsFunc(list[max(0, len(list)-recent):], func(other glob) bool { return other.text == g.text && other.bound == g.bound })
}
