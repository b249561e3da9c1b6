package dkim

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"milterd/message"
)

// Signature is a signature field, read by the rules of RFC 6376, section 3.5.
type Signature struct {
	// Index is the field's place in the header.
	Index int
	// Instance is i= of an ARC-Message-Signature (RFC 8617, section 4.1.2), 0 in
	// a DKIM-Signature.
	Instance int

	Domain    message.Domain // d=
	Selector  string         // s=, in lower case, as A-labels
	Identity  string         // i=, without white space; "@" and d= when not given
	Algorithm Algorithm      // a=, in lower case
	Header    Canonicalization
	Body      Canonicalization
	Names     []string  // h=, as written; an empty one stands for no field
	BodyHash  []byte    // bh=
	Value     []byte    // b=
	Length    int64     // l=, -1 when not given
	Signed    time.Time // t=
	Expires   time.Time // x=

	copied    string // z=
	valueText string // b= without white space
	subdomain bool   // i= is a subdomain of d=
	unsigned  string // the field's value with an empty b=
}

// maxInstance is the highest i= in ARC (RFC 8617, section 4.2.1).
const maxInstance = 50

// ParseSignature reads the signature in fields[index], a DKIM-Signature or an
// ARC-Message-Signature by its name. An error is one of this package's and the
// first rule that the field breaks; the Signature then holds what could be read
// for a report, and must not be verified.
//
// It decides nothing that needs a clock or a configuration.
func ParseSignature(fields []message.Field, index int) (*Signature, error) {
	s := &Signature{Index: index, Length: -1, Header: Simple, Body: Simple}
	tags, err := ParseTags(fields[index].Value)
	if err != nil {
		return s, err
	}
	s.unsigned = tags.Without("b")
	p := signatureParser{s: s, tags: tags}
	arc := equalFold(fields[index].Name, ARCFieldName)
	if arc {
		p.instance()
	} else {
		p.version()
	}
	p.domain()
	p.selector()
	if !arc {
		p.identity()
	}
	p.algorithm()
	p.canonicalization()
	p.query()
	p.names(arc)
	p.hashes()
	p.length()
	p.times()
	s.copied, _ = tags.Get("z")
	return s, p.err
}

// A signatureParser reads all tags, so that a report has them, and remembers the
// first error.
type signatureParser struct {
	s    *Signature
	tags Tags
	err  error
}

func (p *signatureParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *signatureParser) malformed(name string) {
	p.fail(fmt.Errorf("%w: %s=", ErrSyntax, name))
}

// required returns the value of a tag that must be there.
func (p *signatureParser) required(name string) (string, bool) {
	value, ok := p.tags.Get(name)
	if !ok {
		p.fail(fmt.Errorf("%w: %s=", ErrMissingTag, name))
	}
	return value, ok
}

// version: v= is "1", compared as a string.
func (p *signatureParser) version() {
	if v, ok := p.required("v"); ok && v != "1" {
		p.fail(ErrVersion)
	}
}

// instance: i= of RFC 8617, section 4.1.2, one or two digits.
func (p *signatureParser) instance() {
	v, ok := p.required("i")
	if !ok {
		return
	}
	n, ok := number(v, 2)
	if !ok || n < 1 || n > maxInstance {
		p.malformed("i")
		return
	}
	p.s.Instance = int(n)
}

// domain: d= is a domain-name of two labels or more. It is what a pass stands
// for, so it is read by the strictest parser of the house and never repaired.
// RFC 8616, section 5 allows U-labels.
func (p *signatureParser) domain() {
	v, ok := p.required("d")
	if !ok {
		return
	}
	d, err := message.ParseDomain(v)
	switch {
	case err != nil:
		p.fail(fmt.Errorf("%w: %w", ErrDomain, err))
	case d.Labels() < 2:
		p.fail(fmt.Errorf("%w: a single label", ErrDomain))
	default:
		p.s.Domain = d
		p.s.Identity = "@" + d.String()
	}
}

// selector: s= is one label or several. An underscore is let through, as it has
// but one reading and is in use.
func (p *signatureParser) selector() {
	v, ok := p.required("s")
	if !ok {
		return
	}
	s, ok := parseSelector(v)
	if !ok || !p.s.Domain.IsZero() && len(KeyName(p.s.Domain, s)) > 253 {
		p.fail(ErrSelector)
		return
	}
	p.s.Selector = s
}

// parseSelector returns a selector in lower case, as A-labels.
func parseSelector(s string) (string, bool) {
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if s[i] >= utf8.RuneSelf {
				d, err := message.ParseDomain(s)
				return d.String(), err == nil
			}
			if c := s[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
				return "", false
			}
			continue
		}
		label := s[start:i]
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		start = i + 1
	}
	return lower(s), true
}

// identity: i= is [ Local-part ] "@" domain-name in dkim-quoted-printable, and
// its domain is d= or lies below it. The local part is not looked at: whatever
// stands before the last "@" is the domain's own affair.
func (p *signatureParser) identity() {
	v, ok := p.tags.Get("i")
	if !ok {
		return
	}
	decoded := decodeQP(v)
	at := strings.LastIndexByte(decoded, '@')
	if at < 0 {
		p.malformed("i")
		return
	}
	d, err := message.ParseDomain(decoded[at+1:])
	if err != nil || !d.HasSuffix(p.s.Domain) {
		p.fail(ErrIdentity)
		return
	}
	p.s.Identity, p.s.subdomain = dropSpace(v), d != p.s.Domain
}

func (p *signatureParser) algorithm() {
	v, ok := p.required("a")
	if !ok {
		return
	}
	p.s.Algorithm = Algorithm(lower(v))
	switch p.s.Algorithm {
	case RSASHA256, Ed25519SHA256:
	case RSASHA1:
		// RFC 8301, section 3.1.
		p.fail(ErrSHA1)
	default:
		p.fail(ErrAlgorithm)
	}
}

// canonicalization: c= names one for the header and one for the body, which is
// simple when not named.
func (p *signatureParser) canonicalization() {
	v, ok := p.tags.Get("c")
	if !ok {
		return
	}
	header, body, both := strings.Cut(lower(v), "/")
	if !both {
		body = string(Simple)
	}
	p.s.Header, p.s.Body = Canonicalization(header), Canonicalization(body)
	if p.s.Header != Simple && p.s.Header != Relaxed || p.s.Body != Simple && p.s.Body != Relaxed {
		p.fail(ErrCanonicalization)
	}
}

// query: q= lists ways to get the key, of which unknown ones are passed over.
func (p *signatureParser) query() {
	if v, ok := p.tags.Get("q"); ok && !hasMember(v, "dns/txt") {
		p.fail(ErrQuery)
	}
}

// names: h= lists the signed fields, From among them. ARC asks for no From.
// Empty names are let through; they can only ever stand for no field.
func (p *signatureParser) names(arc bool) {
	v, ok := p.required("h")
	if !ok {
		return
	}
	p.s.Names = make([]string, 0, strings.Count(v, ":")+1)
	from := false
	for name := range colonList(v) {
		for i := range len(name) {
			// RFC 5322, section 3.6.8: printable ASCII.
			if name[i] <= ' ' || name[i] > '~' {
				p.malformed("h")
				return
			}
		}
		from = from || equalFold(name, "From")
		p.s.Names = append(p.s.Names, name)
	}
	if !from && !arc {
		p.fail(ErrFromUnsigned)
	}
}

// hashes: bh= and b= are base64 with white space anywhere.
func (p *signatureParser) hashes() {
	if v, ok := p.required("bh"); ok {
		p.s.BodyHash, ok = decodeBase64(dropSpace(v))
		want := sha256.Size
		if p.s.Algorithm == RSASHA1 {
			want = sha1.Size
		}
		if !ok || len(p.s.BodyHash) != want {
			p.malformed("bh")
		}
	}
	if v, ok := p.required("b"); ok {
		text := dropSpace(v)
		if p.s.Value, ok = decodeBase64(text); !ok {
			p.malformed("b")
			return
		}
		p.s.valueText = text
	}
}

// length: l= has up to 76 digits. No body is longer than an int64 can say.
func (p *signatureParser) length() {
	v, ok := p.tags.Get("l")
	if !ok {
		return
	}
	if p.s.Length, ok = number(v, 76); !ok {
		p.malformed("l")
	}
}

// times: t= and x= are seconds since 1970, up to 12 digits, and x= is after t=.
func (p *signatureParser) times() {
	p.s.Signed = p.time("t")
	p.s.Expires = p.time("x")
	if !p.s.Signed.IsZero() && !p.s.Expires.IsZero() && !p.s.Expires.After(p.s.Signed) {
		p.fail(ErrTimes)
	}
}

func (p *signatureParser) time(name string) time.Time {
	v, ok := p.tags.Get(name)
	if !ok {
		return time.Time{}
	}
	n, ok := number(v, 12)
	if !ok {
		p.malformed(name)
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// number reads 1 to most decimal digits. What an int64 cannot hold is the
// largest one.
func number(s string, most int) (int64, bool) {
	if s == "" || len(s) > most {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		digit := int64(s[i] - '0')
		if n > (math.MaxInt64-digit)/10 {
			n = math.MaxInt64
			continue
		}
		n = 10*n + digit
	}
	return n, true
}
