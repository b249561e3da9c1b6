package spf

import (
	"fmt"
	"strings"
)

// outcome is what check_host() returns for one domain.
type outcome struct {
	status    Status
	reason    string // for none, temperror, permerror
	mechanism string // the directive that matched, or "default"
	domain    string // where record was found
	record    string
	exp       string // the record's exp=
	err       *Error // for temperror and permerror
}

func failed(err *Error) outcome {
	return outcome{status: err.Status, reason: err.Reason.Error(), err: err}
}

// checkHost is check_host(<ip>, <domain>, <sender>) of RFC 7208, section 4; ip
// and sender are in c. Depth counts include and redirect.
func (c *check) checkHost(domain string, depth int) outcome {
	out := c.checkDomain(domain, depth)
	if c.v.Trace != nil {
		reason := ""
		if out.reason != "" {
			reason = " (" + out.reason + ")"
		}
		c.v.Trace(2*depth, "%s: %s%s", domain, out.status, reason)
	}
	return out
}

func (c *check) checkDomain(domain string, depth int) outcome {
	if depth > maxDepth {
		return failed(&Error{Status: PermError, Reason: ErrDepth, Domain: domain})
	}

	// RFC 7208, section 4.3, initial processing: a malformed domain, or one that
	// is not multi-label, is none. The sender's own domain was read more strictly
	// already; this is for the targets of include and redirect.
	if !c.isDomain(domain) {
		return outcome{status: None, reason: reasonName}
	}

	// RFC 7208, section 4.4, record lookup: TXT only.
	txts, exists, err := c.lookupTXT(domain)
	if err != nil {
		err.Domain = domain
		return failed(err)
	}
	// RFC 7208, section 4.3: a domain that does not exist is none.
	if !exists {
		return outcome{status: None, reason: reasonNXDomain}
	}

	// RFC 7208, section 4.5, selecting records.
	record, n := selectRecord(txts)
	switch {
	case n == 0:
		return outcome{status: None, reason: reasonNoRecord}
	case n > 1:
		return failed(&Error{Status: PermError, Reason: ErrMultipleRecords, Domain: domain})
	case len(record) > maxRecord:
		return failed(&Error{Status: PermError, Reason: ErrRecordSize, Domain: domain})
	}
	if c.v.Trace != nil {
		c.v.Trace(2*depth, "%s: %q", domain, record)
	}

	// RFC 7208, section 4.6, record evaluation: a syntax error anywhere is a
	// permerror, before any term is evaluated.
	var modifiers Record
	if err := modifiers.parse(record, c.v.SingleLabel, false); err != nil {
		return failed(&Error{Status: PermError, Reason: ErrSyntax, Domain: domain, Err: err})
	}
	return c.evaluate(&modifiers, record, domain, depth)
}

// isDomain reports whether domain, from a record, can be a <domain> of check_host().
func (c *check) isDomain(domain string) bool {
	return isName(domain) && (c.v.SingleLabel || strings.IndexByte(domain, '.') >= 0)
}

// selectRecord returns the record and how many there are.
//
// RFC 7208, section 4.5: records begin with exactly "v=spf1", in any case (section
// 12), then a space or the end. All other TXT records are ignored, whatever their
// bytes.
func selectRecord(txts []string) (record string, n int) {
	for _, txt := range txts {
		if !hasVersion(txt) {
			continue
		}
		if n++; n == 1 {
			record = txt
		}
	}
	return record, n
}

func hasVersion(txt string) bool {
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) &&
		(len(txt) == len(version) || txt[len(version)] == ' ')
}

// evaluate tries the terms of a record without errors, found at domain; modifiers
// has its redirect= and exp=.
func (c *check) evaluate(modifiers *Record, record, domain string, depth int) outcome {
	out := outcome{record: record, domain: domain, exp: modifiers.Explanation}

	// RFC 7208, section 4.6.2, mechanisms: from left to right; the first that
	// matches or ends in an exception ends the evaluation.
	var d Directive
	for term, rest := cutTerm(record[len(version):]); term != ""; term, rest = cutTerm(rest) {
		if _, _, ok := cutModifier(term); ok {
			continue
		}
		d.parse(term, c.v.SingleLabel)
		match, target, err := c.matches(&d, domain, depth)
		if c.v.Trace != nil {
			c.traceDirective(&d, target, match, err, depth)
		}
		if err != nil {
			if err.Domain == "" {
				err.Domain, err.Term = domain, d.Text
			}
			out.status, out.reason, out.err = err.Status, err.Reason.Error(), err
			return out
		}
		if match {
			out.status, out.mechanism = d.Qualifier.Status(), d.Text
			return out
		}
	}

	// RFC 7208, section 4.6.3, modifiers: redirect takes effect when no mechanism
	// matched.
	if modifiers.Redirect != "" {
		return c.redirect(modifiers.Redirect, record, domain, depth)
	}

	// RFC 7208, section 4.7, default result.
	out.status, out.mechanism = Neutral, "default"
	return out
}

// traceDirective tells what became of d; target is shown where macros hide it.
func (c *check) traceDirective(d *Directive, target string, match bool, err *Error, depth int) {
	said, spent := "no match", ""
	switch {
	case err != nil:
		said = err.Reason.Error()
	case match:
		said = "match"
	}
	if strings.IndexByte(d.Domain, '%') >= 0 {
		said = fmt.Sprintf("%q: %s", target, said)
	}
	if d.Mechanism.asksDNS() && d.Mechanism != MechInclude {
		spent = fmt.Sprintf(" (look-ups %d of %d, void %d of %d)", c.lookups, c.maxLookups, c.voids, c.maxVoids)
	}
	c.v.Trace(2*depth+1, "%s: %s%s", d.Text, said, spent)
}
