package spamassassin

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// listRule is a function of SpamAssassin's that asks one of the lists, the rule
// that calls it where nobody changed that, and its score.
type listRule struct {
	functions []string // in both spellings
	name      string
	score     float64
	lists     []list
}

var listRules = []listRule{
	{[]string{"check_from_in_welcomelist", "check_from_in_whitelist"}, "USER_IN_WELCOMELIST", -100, []list{{}, {proof: proofRcvd}}},
	{[]string{"check_from_in_default_welcomelist", "check_from_in_default_whitelist"}, "USER_IN_DEF_WELCOMELIST", -15, []list{{proof: proofRcvd, deflt: true}}},
	{[]string{"check_for_spf_welcomelist_from", "check_for_spf_whitelist_from"}, "USER_IN_SPF_WELCOMELIST", -100, []list{{proof: proofSPF}, {proof: proofAuth}}},
	{[]string{"check_for_def_spf_welcomelist_from", "check_for_def_spf_whitelist_from"}, "USER_IN_DEF_SPF_WL", -7.5, []list{{proof: proofSPF, deflt: true}, {proof: proofAuth, deflt: true}}},
	{[]string{"check_for_dkim_welcomelist_from", "check_for_dkim_whitelist_from"}, "USER_IN_DKIM_WELCOMELIST", -100, []list{{proof: proofDKIM}, {proof: proofAuth}}},
	{[]string{"check_for_def_dkim_welcomelist_from", "check_for_def_dkim_whitelist_from"}, "USER_IN_DEF_DKIM_WL", -7.5, []list{{proof: proofDKIM, deflt: true}, {proof: proofAuth, deflt: true}}},
	{[]string{"check_from_in_blocklist", "check_from_in_blacklist"}, "USER_IN_BLOCKLIST", 100, []list{{block: true}}},
	{[]string{"check_to_in_welcomelist", "check_to_in_whitelist"}, "USER_IN_WELCOMELIST_TO", -6, []list{{to: true}}},
	{[]string{"check_to_in_more_spam"}, "USER_IN_MORE_SPAM_TO", -20, []list{{to: true, more: 1}}},
	{[]string{"check_to_in_all_spam"}, "USER_IN_ALL_SPAM_TO", -100, []list{{to: true, more: 2}}},
	{[]string{"check_to_in_blocklist", "check_to_in_blacklist"}, "USER_IN_BLOCKLIST_TO", 10, []list{{block: true, to: true}}},
}

// asksList returns the list that a call asks.
func asksList(call string) (*listRule, bool) {
	for i := range listRules {
		if slices.Contains(listRules[i].functions, function(call)) {
			return &listRules[i], true
		}
	}
	return nil, false
}

// missing defines the rules for lists that have entries, where the files that were
// read do not: who carries over a local.cf alone wants its lists to count.
func (c *collector) missing() {
	for i := range listRules {
		r := &listRules[i]
		asked := slices.ContainsFunc(c.order, func(name string) bool {
			d := c.rules[name]
			if d.kind != Eval {
				return false
			}
			other, ok := asksList(normal(d.call))
			return ok && other == r
		})
		pos, some := c.firstEntry(r)
		if asked || !some {
			continue
		}
		d := c.rule(r.name)
		d.pos, d.kind, d.of, d.call = pos, Eval, Header, r.functions[0]+"()"
		if len(d.scores) == 0 {
			d.scores = []float64{r.score}
		}
	}
}

func (c *collector) firstEntry(r *listRule) (Pos, bool) {
	for _, l := range r.lists {
		if entries := c.lists[l]; len(entries) > 0 {
			return entries[0].pos, true
		}
	}
	return Pos{}, false
}

// listed decides on a rule that asks a list: it becomes the parts that find an
// address in a list, and one that joins them with what must prove the address.
func (v *converter) listed(f *fate, r *listRule) {
	var terms []string
	for _, l := range r.lists {
		entries := v.collector.lists[l]
		if len(entries) == 0 {
			continue
		}
		proof := ""
		text := "from_addr"
		switch {
		case l.to:
			text = "envelope.rcpt"
		case strings.Contains(r.name, "SPF"):
			proof, text = "SPF_PASS", "envelope.from"
		case strings.Contains(r.name, "DKIM"):
			proof = "DKIM_PASS_AUTHOR"
		case l.proof == proofNone && !l.block:
			f.weak = "its addresses count without proof, and anyone can write them; welcomelist_auth asks for it"
		}
		if proof != "" && !v.finding[proof] {
			f.why = proof + ", which must prove its addresses, is no finding of this milterd"
			return
		}
		bound := map[string][]glob{}
		var order []string
		for _, g := range entries {
			if l.proof == proofDKIM && g.bound != "" && !strings.HasSuffix(g.text, "@"+g.bound) {
				v.note(g.pos, g.text, "the list wants the signature of another domain ("+g.bound+"), which milterd's DKIM findings do not name")
				continue
			}
			key := ""
			if l.proof == proofRcvd {
				key = g.bound
			}
			if bound[key] == nil {
				order = append(order, key)
			}
			bound[key] = append(bound[key], g)
		}
		for _, key := range order {
			parts := v.addresses(f.def, text, bound[key])
			if len(parts) == 0 {
				continue
			}
			term := strings.Join(parts, " || ")
			if key != "" {
				relay := v.relay(f.def, key)
				if len(parts) > 1 {
					term = "(" + term + ")"
				}
				term = relay + " && " + term
			}
			if proof != "" {
				if len(parts) > 1 {
					term = "(" + term + ")"
				}
				term = proof + " && " + term
			}
			if strings.Contains(term, "&&") {
				term = "(" + term + ")"
			}
			terms = append(terms, term)
		}
	}
	if len(terms) == 0 {
		f.why, f.absent = "its list has no entries", true
		return
	}
	v.add(f, rule{when: strings.Join(terms, " || ")})
}

// plainEntry is an address or *@domain, which a list of milterd's can hold.
var plainEntry = regexp.MustCompile(`^(?:\*|[a-z0-9!#$%&'+/=^_{|}~.-]+)@[a-z0-9-]+(?:\.[a-z0-9-]+)+$`)

// maxAlternatives is how long the expression for addresses with wildcards gets.
const maxAlternatives = 3000 // bytes

// addresses adds the rules that find an address: in a list, or, for those with
// wildcards inside, by expressions.
func (v *converter) addresses(d *definition, text string, entries []glob) (names []string) {
	off := d.off(int(v.column))
	var in []string
	var patterns []string
	flush := func() {
		if len(patterns) > 0 {
			match := `(?i)^(?:` + strings.Join(patterns, "|") + `)$`
			names = append(names, v.part(d, "_LIKE", rule{text: text, match: match, off: off}))
			patterns = nil
		}
	}
	size := 0
	for _, g := range entries {
		if domain, ok := strings.CutPrefix(g.text, "*@"); plainEntry.MatchString(g.text) {
			if ok {
				in = append(in, domain)
			} else {
				in = append(in, g.text)
			}
			continue
		}
		pattern := globPattern(g.text)
		if size += len(pattern) + 1; size > maxAlternatives {
			flush()
			size = len(pattern)
		}
		patterns = append(patterns, pattern)
	}
	flush()
	if len(in) > 0 {
		r := rule{text: text, in: in, off: off}
		if why := v.refused(&r); why != "" {
			v.note(d.pos, d.name, "its list: "+why)
			return names
		}
		names = append([]string{v.part(d, "_IN", r)}, names...)
	}
	return names
}

// globPattern writes a glob as an expression.
func globPattern(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch c {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteByte('.')
		default:
			b.WriteString(regexp.QuoteMeta(string(rune(c))))
		}
	}
	return b.String()
}

// relay adds the rule that finds the client in a domain or at an address.
func (v *converter) relay(d *definition, bound string) string {
	off := d.off(int(v.column))
	if _, err := netip.ParseAddr(bound); err == nil {
		return v.part(d, "_CLIENT", rule{text: "client.addr", in: []string{bound}, off: off})
	}
	if _, err := netip.ParsePrefix(bound); err == nil {
		return v.part(d, "_CLIENT", rule{text: "client.addr", in: []string{bound}, off: off})
	}
	return v.part(d, "_CLIENT", rule{text: "client.name", match: fmt.Sprintf(`(?i)(?:^|\.)%s$`, regexp.QuoteMeta(bound)), off: off})
}
