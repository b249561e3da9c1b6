package spf

// redirect is RFC 7208, section 6.1: the record of another domain takes the place
// of this one.
func (c *check) redirect(spec, record, domain string, depth int) outcome {
	out := outcome{record: record, domain: domain}
	fail := func(err *Error) outcome {
		if err.Domain == "" {
			err.Domain, err.Term = domain, "redirect="+spec
		}
		out.status, out.reason, out.err = err.Status, err.Reason.Error(), err
		return out
	}
	if err := c.countTerm(); err != nil {
		return fail(err)
	}
	target, ok, err := c.target(spec, domain)
	if err != nil {
		return fail(err)
	}
	if c.v.Trace != nil {
		c.v.Trace(2*depth+1, "redirect=%s: %q (look-ups %d of %d)", spec, target, c.lookups, c.maxLookups)
	}
	// Without a record there, or with a malformed target, it is a permerror, not none.
	if !ok {
		return fail(&Error{Status: PermError, Reason: ErrRedirect})
	}
	to := c.checkHost(target, depth+1)
	if to.status == None {
		return fail(&Error{Status: PermError, Reason: ErrRedirect})
	}
	// RFC 7208, section 6.2: exp= is the one of the target, never of this record.
	return to
}

// maxExplanation is the longest explanation returned, in bytes: it is meant for
// an SMTP reply line, which has 512 (RFC 5321, section 4.5.3.1.5).
const maxExplanation = 450

// explain is RFC 7208, section 6.2: the explanation of a fail that the record of
// domain decided. The result stands already, so nothing counts against the limits
// here, and whatever goes wrong means that there is no explanation.
func (c *check) explain(spec, domain string) string {
	if spec == "" {
		return ""
	}
	// %{p} would count as a look-up: there is room for it now.
	c.maxLookups = c.lookups + 1
	target, ok, err := c.target(spec, domain)
	if err != nil || !ok {
		return ""
	}
	txts, _, err := c.lookupTXT(target)
	if err != nil || len(txts) != 1 || len(txts[0]) > maxRecord {
		return ""
	}
	text, err := c.expandText(txts[0], domain)
	if err != nil || len(text) > maxExplanation {
		return ""
	}
	// The text is US-ASCII for an SMTP reply. HELO and local-part can bring other
	// bytes, line ends among them.
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	return text
}
