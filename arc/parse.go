package arc

import (
	"slices"
	"strings"

	"milterd/dkim"
	"milterd/message"
)

// A link is a set of the chain on its way to a [Set].
type link struct {
	set Set

	// Places in the header, -1 for a field that is not there.
	results, signature, seal int

	signed    *dkim.Signature // ARC-Message-Signature
	signedErr error
	anyForm   bool            // ... has no c=
	sealed    *dkim.Signature // ARC-Seal
	sealedErr error
	refused   *fault // why the message signature is of no use, known from the field alone
	unsealed  string // the seal's value without that of b=
}

// A chain is what a header has of ARC.
type chain struct {
	links   []link // oldest first, each with a field at least
	highest int    // the highest instance, MaxSets when there are too many to look
	fault   *fault // of its structure, nil when it is in order
}

// parse collects the sets of a message and judges the structure of the chain
// (RFC 8617, section 5.2, steps 1 to 3).
func parse(fields []message.Field, most int) *chain {
	c := &chain{}
	var places []int
	var counts [len(kinds)]int
	for i := range fields {
		k := kindOf(&fields[i])
		if k < 0 {
			continue
		}
		places = append(places, i)
		if counts[k]++; counts[k] > most {
			c.highest = MaxSets
			c.fail(&fault{err: ErrTooMany})
			return c
		}
	}
	for _, i := range places {
		c.add(fields, i)
	}
	if len(c.links) > 0 {
		newest := c.links[len(c.links)-1].set
		if c.highest = newest.Instance; newest.CV == Fail {
			// Step 2 comes before all that is wrong with the structure.
			c.fault = &fault{instance: c.highest, err: ErrSealedFail}
		}
	}
	for i := range c.links {
		c.inspect(i)
	}
	return c
}

// readings returns the message signature in the forms in which it may have been
// made. A missing c= is simple for both header and body (RFC 6376, section 3.5).
// It was relaxed to those who wrote the first implementations and their common
// test suite, and what was signed covers the message in either form.
func (l *link) readings() []*dkim.Signature {
	if !l.anyForm {
		return []*dkim.Signature{l.signed}
	}
	relaxed := *l.signed
	relaxed.Header, relaxed.Body = dkim.Relaxed, dkim.Relaxed
	return []*dkim.Signature{l.signed, &relaxed}
}

// fail notes the first fault.
func (c *chain) fail(f *fault) {
	if c.fault == nil {
		c.fault = f
	}
}

// fieldName returns a field's name without the white space that old mail has
// before the colon (RFC 5322, section 4.5.3).
func fieldName(f *message.Field) string { return strings.TrimRight(f.Name, " \t") }

// kinds are the fields of a set in the order in which a seal signs them.
var kinds = [...]string{ResultsName, SignatureName, SealName} // read only

// kindOf returns which of the kinds a field is, -1 for none.
func kindOf(f *message.Field) int {
	if len(f.Name) < len(SealName) || f.Name[0]|0x20 != 'a' {
		return -1
	}
	name := fieldName(f)
	return slices.IndexFunc(kinds[:], func(kind string) bool { return strings.EqualFold(name, kind) })
}

// at returns the link of an instance.
func (c *chain) at(instance int) *link {
	i, found := slices.BinarySearchFunc(c.links, instance, func(l link, n int) int { return l.set.Instance - n })
	if !found {
		c.links = slices.Insert(c.links, i, link{set: Set{Instance: instance}, results: -1, signature: -1, seal: -1})
	}
	return &c.links[i]
}

// add puts fields[i] where it belongs.
func (c *chain) add(fields []message.Field, i int) {
	switch kinds[kindOf(&fields[i])] {
	case ResultsName:
		n, payload, ok := parseResults(fields[i].Value)
		if !ok {
			c.fail(&fault{err: ErrResults})
			return
		}
		l := c.at(n)
		if c.place(l, &l.results, i) {
			l.set.payload = payload
		}
	case SignatureName:
		sig, err := dkim.ParseSignature(fields, i)
		if sig.Instance == 0 {
			c.fail(&fault{field: SignatureName, err: err})
			return
		}
		l := c.at(sig.Instance)
		if c.place(l, &l.signature, i) {
			l.signed, l.signedErr = sig, err
			l.set.Message = signature(sig)
			if err == nil && sig.Header == dkim.Simple && sig.Body == dkim.Simple {
				tags, _ := dkim.ParseTags(fields[i].Value)
				_, named := tags.Get("c")
				l.anyForm = !named
			}
		}
	case SealName:
		sig, tags, err := dkim.ParseSeal(fields, i)
		if sig.Instance == 0 {
			c.fail(&fault{field: SealName, err: err})
			return
		}
		l := c.at(sig.Instance)
		if !c.place(l, &l.seal, i) {
			return
		}
		l.sealed, l.sealedErr, l.unsealed = sig, err, tags.Without("b")
		l.set.Seal = signature(sig)
		switch cv, _ := tags.Get("cv"); Status(cv) {
		case None, Pass, Fail:
			l.set.CV = Status(cv)
		}
		if _, ok := tags.Get("h"); ok {
			// RFC 8617, section 4.1.3.
			c.fail(&fault{instance: sig.Instance, err: ErrSealFields})
		}
	}
}

// place notes where a field of the set stands. The first one counts for reports.
func (c *chain) place(l *link, place *int, i int) bool {
	if *place >= 0 {
		c.fail(&fault{instance: l.set.Instance, err: ErrDuplicate})
		return false
	}
	*place = i
	return true
}

// signature returns what a field says about itself.
func signature(s *dkim.Signature) Signature {
	return Signature{Status: None, Domain: s.Domain, Selector: s.Selector, Algorithm: s.Algorithm, Signed: s.Signed,
		SignsFrom: slices.ContainsFunc(s.Names, func(n string) bool { return strings.EqualFold(n, "From") })}
}

// inspect judges a set in its place in the chain (step 3).
func (c *chain) inspect(i int) {
	l := &c.links[i]
	n := l.set.Instance
	switch {
	case l.results < 0 || l.signature < 0 || l.seal < 0:
		c.fail(&fault{instance: n, err: ErrIncomplete})
	case n != i+1:
		c.fail(&fault{instance: n, err: ErrGap})
	case l.sealedErr != nil:
		c.fail(&fault{instance: n, field: SealName, err: l.sealedErr})
	case n == 1 && l.set.CV != None, n > 1 && l.set.CV != Pass:
		c.fail(&fault{instance: n, err: ErrCV})
	}
}
