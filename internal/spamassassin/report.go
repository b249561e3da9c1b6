package spamassassin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// silent are lines that change nothing about the rules: they steer programs, or
// texts for people that milterd does not write.
var silent = map[string]string{
	"lang": "texts in other languages", "priority": "milterd runs every rule", "reuse": "for mass checks of SpamAssassin's", "test": "tests of SpamAssassin's own",
	"report": "texts of reports", "unsafe_report": "texts of reports", "clear_report_template": "texts of reports", "clear_unsafe_report_template": "texts of reports",
	"report_contact": "texts of reports", "report_safe": "milterd never rewrites a message", "require_version": "asks for SpamAssassin itself",
	"rewrite_header":      "changing a subject breaks its signature; Sieve can file by X-Spam-Flag instead",
	"add_header":          "milterd writes X-Spam-* itself, see headers.compat",
	"clear_headers":       "milterd writes X-Spam-* itself, see headers.compat",
	"remove_header":       "milterd writes X-Spam-* itself, see headers.compat",
	"use_bayes":           "see checks.bayes",
	"bayes_auto_learn":    "milterd learns from users, never from its own verdicts",
	"bayes_path":          "export what was learned with sa-learn --backup",
	"ok_locales":          "milterd does not judge a language",
	"ok_languages":        "milterd does not judge a language",
	"lock_method":         "milterd has one process",
	"shortcircuit":        "milterd runs every rule",
	"dns_available":       "see dns",
	"dns_server":          "see dns.servers",
	"skip_rbl_checks":     "see checks.dnsbl",
	"util_rb_tld":         "milterd has the Public Suffix List",
	"util_rb_2tld":        "milterd has the Public Suffix List",
	"util_rb_3tld":        "milterd has the Public Suffix List",
	"clear_util_rb":       "milterd has the Public Suffix List",
	"score_set":           "no setting of SpamAssassin's",
	"razor_config":        "milterd has no Razor",
	"pyzor_options":       "milterd has no Pyzor",
	"use_razor2":          "milterd has no Razor",
	"use_pyzor":           "milterd has no Pyzor",
	"use_dcc":             "milterd has no DCC",
	"msa_networks":        "who logs in is not inbound for milterd",
	"bayes_ignore_header": "see checks.bayes",
}

// report writes what became of everything. Whole says that nothing got lost.
func (v *converter) report(res *Result) (text []byte, whole bool) {
	var b strings.Builder
	columns := []string{"1 (no network, no Bayes)", "2 (network)", "3 (Bayes)", "4 (Bayes and network)"}
	fmt.Fprintf(&b, "scores: column %s of those with four\n\n", columns[v.column])
	fmt.Fprintf(&b, "%-12s %7s %8s %13s\n", "rules", "all", "carried", "backtracking")
	for _, kind := range append(slices.Clone(regexKinds), Exists, Meta, Eval) {
		if n := res.Counts[kind]; n.All > 0 {
			fmt.Fprintf(&b, "%-12s %7d %8d %13d\n", kind, n.All, n.Carried, n.Backtracking)
		}
	}
	whole = true
	var lost, weak, renamed []*fate
	for _, f := range v.fates {
		switch {
		case !f.carried():
			lost = append(lost, f)
		case f.weak != "":
			weak = append(weak, f)
		}
		if f.carried() && f.name != strings.ToUpper(f.def.name) {
			renamed = append(renamed, f)
		}
	}
	for _, part := range []struct {
		title string
		list  []*fate
		line  func(*fate) string
	}{
		{"not carried", lost, func(f *fate) string { return f.why }},
		{"carried with something missing", weak, func(f *fate) string { return f.weak }},
		{"renamed, since milterd has the name already", renamed, func(f *fate) string { return "is " + f.name }},
	} {
		if len(part.list) == 0 {
			continue
		}
		slices.SortFunc(part.list, func(a, b *fate) int {
			return cmp.Or(strings.Compare(a.def.pos.File, b.def.pos.File), a.def.pos.Line-b.def.pos.Line, strings.Compare(a.def.name, b.def.name))
		})
		fmt.Fprintf(&b, "\n%s: %d\n", part.title, len(part.list))
		for _, f := range part.list {
			fmt.Fprintf(&b, "  %s: %s %s: %s\n", f.def.pos, f.def.kind, f.def.name, printable(part.line(f)))
		}
	}
	if len(v.notes) > 0 {
		whole = false
		fmt.Fprintf(&b, "\nlines not carried: %d\n", len(v.notes))
		for _, n := range v.notes {
			fmt.Fprintf(&b, "  %s: %s: %s\n", n.Pos, printable(n.What), printable(n.Why))
		}
	}
	if len(v.settings) > 0 {
		fmt.Fprintf(&b, "\nsettings not carried: %d\n", len(v.settings))
		for _, key := range slices.Sorted(maps.Keys(v.settings)) {
			why, known := silent[key]
			if !known {
				why, whole = "milterd has nothing like it", false
			}
			lines := "1 line"
			if n := v.settings[key]; n > 1 {
				lines = fmt.Sprintf("%d lines", n)
			}
			fmt.Fprintf(&b, "  %s: %s (%s): %s\n", v.first[key], printable(key), lines, why)
		}
	}
	return []byte(b.String()), whole && len(lost)+len(weak) == 0
}

// printable shows text of a file on any terminal.
func printable(text string) string {
	if quoted := quote(text); len(quoted) > 2 {
		text = strings.ReplaceAll(quoted[1:len(quoted)-1], "''", "'")
	}
	const most = 300
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "..."
	}
	return text
}
