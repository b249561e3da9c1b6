package spamassassin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"milterd/internal/spamassassin/perlre"
)

func matchLinear(expr, text string) bool {
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(perlre.Latin1([]byte(text)))
}

// appendFile writes a rule file.
func appendFile(to []byte, list []rule, scores map[string]float64, backtracking bool) []byte {
	if backtracking {
		to = append(to, "backtracking: true\n"...)
	}
	if len(list) > 0 {
		to = append(to, "rules:\n"...)
	}
	for i := range list {
		to = list[i].append(to)
	}
	if len(scores) > 0 {
		to = append(to, "scores:\n"...)
		for _, name := range slices.Sorted(maps.Keys(scores)) {
			to = fmt.Appendf(to, "  %s: %s\n", name, points(scores[name]))
		}
	}
	return to
}

func points(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

// append writes one rule.
func (r *rule) append(to []byte) []byte {
	to = fmt.Appendf(to, "  - name: %s\n", r.name)
	if r.describe != "" {
		to = fmt.Appendf(to, "    describe: %s\n", quote(r.describe))
	}
	switch {
	case r.when != "":
		to = fmt.Appendf(to, "    when: %s\n", quote(r.when))
	case r.field != "":
		to = fmt.Appendf(to, "    %s: %s\n", r.text, quote(r.field))
	default:
		to = fmt.Appendf(to, "    %s:\n", r.text)
	}
	indent := "    "
	if r.when == "" && r.field == "" {
		indent = "      "
	}
	switch {
	case r.match != "":
		to = fmt.Appendf(to, "%smatch: %s\n", indent, quote(r.match))
	case r.exists != nil:
		to = fmt.Appendf(to, "%sexists: %t\n", indent, *r.exists)
	case r.in != nil:
		to = fmt.Appendf(to, "%sin:\n", indent)
		for _, entry := range r.in {
			to = fmt.Appendf(to, "%s  - %s\n", indent, quote(entry))
		}
	}
	if r.times > 1 {
		to = fmt.Appendf(to, "%stimes: %d\n", indent, r.times)
	}
	if r.count > 1 {
		to = fmt.Appendf(to, "%scount: %d\n", indent, r.count)
	}
	if r.score != 0 {
		to = fmt.Appendf(to, "    score: %s\n", points(r.score))
	}
	if r.off {
		to = append(to, "    state: off\n"...)
	}
	return to
}

// quote writes a scalar of YAML. What is not to be printed becomes a question
// mark: it can only stand in descriptions.
func quote(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' || r == '\ufeff' || r >= 0xe000 && r <= 0xf8ff || r == '\u2028' || r == '\u2029' {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
