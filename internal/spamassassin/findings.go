package spamassassin

import (
	"fmt"
	"strings"
)

// equals says, for functions of SpamAssassin's plugins, which findings of milterd
// say the same. The value is an expression over their names; a rule is carried
// where all of them are findings of this milterd. Functions that are neither here
// nor in tests are not carried: something near would be something else.
var equals = map[string]string{
	"check_for_spf_pass":           "SPF_PASS",
	"check_for_spf_fail":           "SPF_FAIL",
	"check_for_spf_softfail":       "SPF_SOFTFAIL",
	"check_for_spf_neutral":        "SPF_NEUTRAL",
	"check_for_spf_none":           "SPF_NONE",
	"check_for_spf_temperror":      "SPF_TEMPERROR",
	"check_for_spf_permerror":      "SPF_PERMERROR",
	"check_for_spf_helo_pass":      "SPF_HELO_PASS",
	"check_for_spf_helo_fail":      "SPF_HELO_FAIL",
	"check_for_spf_helo_softfail":  "SPF_HELO_SOFTFAIL",
	"check_for_spf_helo_neutral":   "SPF_HELO_NEUTRAL",
	"check_for_spf_helo_none":      "SPF_HELO_NONE",
	"check_for_spf_helo_temperror": "SPF_HELO_TEMPERROR",
	"check_for_spf_helo_permerror": "SPF_HELO_PERMERROR",

	"check_dkim_valid":            "DKIM_PASS",
	"check_dkim_valid_author_sig": "DKIM_PASS_AUTHOR",
	"check_arc_valid":             "ARC_PASS",

	"check_dmarc_pass":       "DMARC_PASS",
	"check_dmarc_reject":     "DMARC_FAIL_REJECT",
	"check_dmarc_quarantine": "DMARC_FAIL_QUARANTINE",
	"check_dmarc_none":       "DMARC_FAIL_NONE",
	"check_dmarc_missing":    "DMARC_NONE",

	"check_bayes('0.00','0.01')":  "BAYES_00",
	"check_bayes('0.01','0.05')":  "BAYES_05",
	"check_bayes('0.05','0.20')":  "BAYES_20",
	"check_bayes('0.20','0.40')":  "BAYES_40",
	"check_bayes('0.40','0.60')":  "BAYES_50",
	"check_bayes('0.60','0.80')":  "BAYES_60",
	"check_bayes('0.80','0.95')":  "BAYES_80",
	"check_bayes('0.95','0.99')":  "BAYES_95",
	"check_bayes('0.99','1.00')":  "BAYES_99",
	"check_bayes('0.999','1.00')": "BAYES_999",

	"check_msg_parse_flags('missing_mime_head_body_separator')": "MIME_MISSING_BLANK_LINE",
}

// A textTest is one thing that a function asks of a text that rules have.
type textTest struct {
	suffix string // of the rule for it, where a function asks several things
	text   string // the key in a rule file
	field  string
	match  string // empty: the field is missing
	times  int
	not    bool
}

// What several functions ask.
var (
	anyHTML   = textTest{suffix: "_HTML", text: "sa.mimeheader", field: "Content-Type", match: `(?i)^text/html\b`}
	inside    = textTest{suffix: "_INSIDE", text: "sa.header", field: "X-Spam-Relays-Trusted", match: `ip=`}
	noInside  = textTest{suffix: "_INSIDE", text: "sa.header", field: "X-Spam-Relays-Trusted", match: `ip=`, not: true}
	noOutside = textTest{suffix: "_OUTSIDE", text: "sa.header", field: "X-Spam-Relays-Untrusted", match: `ip=`, not: true}
	noPlain   = textTest{suffix: "_PLAIN", text: "sa.mimeheader", field: "Content-Type", match: `(?i)^text/plain\b`, not: true}
)

// tests are functions that ask no more than expressions can: all of a list.
var tests = map[string][]textTest{
	"check_for_mime_html":                                {anyHTML},
	"check_for_mime_html_only":                           {anyHTML, noPlain},
	"html_test('html')":                                  {anyHTML},
	"check_for_mime('mime_base64_count')":                {{text: "sa.mimeheader", field: "Content-Transfer-Encoding", match: `(?i)^base64\b`}},
	"check_for_mime('mime_attachment')":                  {{text: "sa.mimeheader", field: "Content-Disposition", match: `(?i)^attachment\b`}},
	"html_text_match('comment','<!.*?>')":                {anyHTML, {suffix: "_COMMENT", text: "sa.rawbody", match: `<!--`}},
	"check_for_missing_to_header":                        {{text: "header", field: "To"}},
	"check_all_trusted":                                  {inside, noOutside},
	"check_no_relays":                                    {noInside, noOutside},
	"check_header_count_range('Subject','2','999')":      {{text: "header", field: "Subject", match: `\A`, times: 2}},
	"check_header_count_range('Content-Type','2','999')": {{text: "header", field: "Content-Type", match: `\A`, times: 2}},
}

// testsOf returns what a call asks of texts.
func testsOf(call string) ([]textTest, bool) {
	if t, ok := tests[call]; ok {
		return t, true
	}
	if tag, ok := strings.CutPrefix(call, "html_tag_exists('"); ok {
		if tag, ok = strings.CutSuffix(tag, "')"); ok && tag != "" && strings.Trim(tag, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
			return []textTest{anyHTML, {suffix: "_FOUND", text: "sa.rawbody", match: fmt.Sprintf(`(?i)<%s[\s/>]`, tag)}}, true
		}
	}
	return nil, false
}

// normal writes a call in one way: no blanks, no quotes that differ, no
// parentheses where there are no arguments.
func normal(call string) string {
	call = strings.NewReplacer(" ", "", "\t", "", `"`, "'").Replace(call)
	return strings.TrimSuffix(call, "()")
}

// function is the name of a call.
func function(call string) string {
	name, _, _ := strings.Cut(call, "(")
	return strings.TrimSpace(name)
}
