package spf

import (
	"net/netip"
	"strconv"
	"strings"
)

// version begins every record (RFC 7208, section 4.5).
const version = "v=spf1"

// Record is one parsed SPF record.
type Record struct {
	Directives  []Directive // in the order in which they are tried
	Redirect    string      // domain-spec of redirect=; "" when there is none
	Explanation string      // domain-spec of exp=; "" when there is none
	Modifiers   []Modifier  // all others; RFC 7208, section 6: ignored
}

// Directive is a mechanism with its qualifier (RFC 7208, section 4.6.1).
type Directive struct {
	Qualifier Qualifier
	Mechanism Mechanism
	Domain    string       // domain-spec, with its macros; "" when there is none
	Network   netip.Prefix // of ip4 and ip6, host bits as written
	Bits4     uint8        // prefix length of a and mx for an IPv4 client, 32 if not written
	Bits6     uint8        // the same for IPv6, 128 if not written
	Text      string       // as written
}

// Modifier is a modifier this package does not know.
type Modifier struct {
	Name  string
	Value string
}

// Qualifier says what a match means.
type Qualifier byte

// Qualifiers (RFC 7208, section 4.6.2).
const (
	Plus     Qualifier = '+'
	Minus    Qualifier = '-'
	Tilde    Qualifier = '~'
	Question Qualifier = '?'
)

// Status is the result of a match.
func (q Qualifier) Status() Status {
	switch q {
	case Minus:
		return Fail
	case Tilde:
		return Softfail
	case Question:
		return Neutral
	}
	return Pass
}

// Mechanism is the name of a mechanism.
type Mechanism string

// Mechanisms (RFC 7208, section 5).
const (
	MechAll     Mechanism = "all"
	MechInclude Mechanism = "include"
	MechA       Mechanism = "a"
	MechMX      Mechanism = "mx"
	MechPTR     Mechanism = "ptr"
	MechIP4     Mechanism = "ip4"
	MechIP6     Mechanism = "ip6"
	MechExists  Mechanism = "exists"
)

func (m Mechanism) asksDNS() bool { return m != MechAll && m != MechIP4 && m != MechIP6 }

// Problems of a syntax error.
const (
	problemVersion  = `record does not begin with "v=spf1"`
	problemByte     = "record has a byte that is not printable ASCII"
	problemName     = "modifier name is not letters, digits, '-', '_', '.', letter first"
	problemTwice    = "modifier appears twice"
	problemUnknown  = "unknown mechanism"
	problemArgument = "mechanism takes no such argument"
	problemDomain   = "domain-spec is missing"
	problemTop      = "domain-spec ends neither in a macro nor in a dot and a top label"
	problemNetwork4 = "not an IPv4 network"
	problemNetwork6 = "not an IPv6 network"
	problemPrefix   = "prefix length is not a number in range, without leading zeros"
)

// Parse reads an SPF record, the text of one TXT record, by the grammar of RFC
// 7208, section 12. Errors are [*SyntaxError].
//
// Read to the letter the grammar makes redirect= or exp= with a bad domain-spec an
// unknown modifier. It is an error here, as in the public test suite of the RFC.
func Parse(txt string) (*Record, error) {
	r := &Record{Directives: make([]Directive, 0, countTerms(txt))}
	if err := r.parse(txt, false, true); err != nil {
		return nil, err
	}
	return r, nil
}

// parse reads txt into r. Without keep only redirect= and exp= are kept: a check
// verifies the whole record first and then reads it term by term, so that a record
// of four thousand terms, included ten times over, takes no memory.
func (r *Record) parse(txt string, singleLabel, keep bool) error {
	// record = version terms *SP
	if !hasVersion(txt) {
		return &SyntaxError{Term: txt, Problem: problemVersion}
	}
	// RFC 7208, section 3.1: US-ASCII. Space is the only separator of terms and no
	// term contains a control character.
	for i := range len(txt) {
		if c := txt[i]; c < ' ' || c > '~' {
			return &SyntaxError{Term: txt, Problem: problemByte}
		}
	}
	var d Directive
	for term, rest := cutTerm(txt[len(version):]); term != ""; term, rest = cutTerm(rest) {
		problem := ""
		if name, value, ok := cutModifier(term); ok {
			problem = r.addModifier(name, value, singleLabel, keep)
		} else if problem = d.parse(term, singleLabel); problem == "" && keep {
			r.Directives = append(r.Directives, d)
		}
		if problem != "" {
			return &SyntaxError{Term: term, Problem: problem}
		}
	}
	return nil
}

// cutTerm returns the first term of s, "" at the end, and what follows.
//
//	terms = *( 1*SP ( directive / modifier ) )
func cutTerm(s string) (term, rest string) {
	term, rest, _ = strings.Cut(strings.TrimLeft(s, " "), " ")
	return term, rest
}

func countTerms(s string) int {
	n := 0
	for i := 1; i < len(s); i++ {
		if s[i-1] == ' ' && s[i] != ' ' {
			n++
		}
	}
	return n
}

// cutModifier splits a term that is a modifier.
//
// RFC 7208, section 4.6.1: a modifier has its "=" before any ":" and "/".
func cutModifier(term string) (name, value string, ok bool) {
	i := strings.IndexAny(term, "=:/")
	if i < 0 || term[i] != '=' {
		return "", "", false
	}
	return term[:i], term[i+1:], true
}

// addModifier: RFC 7208, section 6.
//
//	modifier         = redirect / explanation / unknown-modifier
//	unknown-modifier = name "=" macro-string
//	name             = ALPHA *( ALPHA / DIGIT / "-" / "_" / "." )
func (r *Record) addModifier(name, value string, singleLabel, keep bool) (problem string) {
	if name == "" || !isAlpha(name[0]) {
		return problemName
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanum(c) && c != '-' && c != '_' && c != '.' {
			return problemName
		}
	}
	var known *string
	switch {
	case strings.EqualFold(name, "redirect"):
		known = &r.Redirect
	case strings.EqualFold(name, "exp"):
		known = &r.Explanation
	default:
		if keep {
			r.Modifiers = append(r.Modifiers, Modifier{Name: name, Value: value})
		}
		return checkMacros(value, false)
	}
	// RFC 7208, section 6: these two appear at most once.
	if *known != "" {
		return problemTwice
	}
	*known = value
	return checkDomainSpec(value, singleLabel)
}

// parse reads a directive:
//
//	directive = [ qualifier ] mechanism
func (d *Directive) parse(term string, singleLabel bool) (problem string) {
	*d = Directive{Qualifier: Plus, Bits4: 32, Bits6: 128, Text: term}
	name, argument := term, "" // the latter with the ":" or "/" that ends the former
	if i := strings.IndexAny(term, ":/"); i >= 0 {
		name, argument = term[:i], term[i:]
	}
	if name != "" && strings.IndexByte("+-?~", name[0]) >= 0 {
		d.Qualifier, name = Qualifier(name[0]), name[1:]
	}
	switch {
	case strings.EqualFold(name, "all"):
		d.Mechanism = MechAll
		if argument != "" {
			return problemArgument
		}
		return ""
	case strings.EqualFold(name, "ip4"):
		d.Mechanism = MechIP4
		return d.parseNetwork(argument, 32, problemNetwork4)
	case strings.EqualFold(name, "ip6"):
		d.Mechanism = MechIP6
		return d.parseNetwork(argument, 128, problemNetwork6)
	case strings.EqualFold(name, "a"), strings.EqualFold(name, "mx"):
		// A  = "a"  [ ":" domain-spec ] [ dual-cidr-length ]
		// MX = "mx" [ ":" domain-spec ] [ dual-cidr-length ]
		d.Mechanism = MechA
		if len(name) == 2 {
			d.Mechanism = MechMX
		}
		if argument, problem = d.cutPrefixes(argument); problem != "" || argument == "" {
			return problem
		}
	case strings.EqualFold(name, "ptr"):
		// PTR = "ptr" [ ":" domain-spec ]
		d.Mechanism = MechPTR
		if argument == "" {
			return ""
		}
	case strings.EqualFold(name, "include"):
		d.Mechanism = MechInclude
	case strings.EqualFold(name, "exists"):
		d.Mechanism = MechExists
	default:
		return problemUnknown
	}
	spec, ok := strings.CutPrefix(argument, ":")
	if !ok {
		if argument == "" {
			return problemDomain
		}
		return problemArgument
	}
	d.Domain = spec
	return checkDomainSpec(spec, singleLabel)
}

// parseNetwork:
//
//	IP4 = "ip4" ":" ip4-network [ ip4-cidr-length ]
//	IP6 = "ip6" ":" ip6-network [ ip6-cidr-length ]
func (d *Directive) parseNetwork(argument string, bits int, problem string) string {
	text, ok := strings.CutPrefix(argument, ":")
	if !ok {
		return problem
	}
	text, length, hasLength := strings.Cut(text, "/")
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.BitLen() != bits || ip.Zone() != "" {
		return problem
	}
	if hasLength {
		n, ok := parseLength(length, bits)
		if !ok {
			return problemPrefix
		}
		bits = n
	}
	d.Network = netip.PrefixFrom(ip, bits)
	return ""
}

// cutPrefixes takes the prefix lengths from the end of an argument. No domain-spec
// can end like that: a top label has no "/" and a macro ends in another character.
//
//	dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]
//	ip4-cidr-length  = "/" ( "0" / %x31-39 0*1DIGIT )
//	ip6-cidr-length  = "/" ( "0" / %x31-39 0*2DIGIT )
func (d *Directive) cutPrefixes(argument string) (rest, problem string) {
	rest, length, ok := cutLength(argument)
	if !ok {
		return argument, ""
	}
	if before, ok := strings.CutSuffix(rest, "/"); ok {
		n, ok := parseLength(length, 128)
		if !ok {
			return "", problemPrefix
		}
		d.Bits6 = uint8(n)
		if rest, length, ok = cutLength(before); !ok {
			return before, ""
		}
	}
	n, ok := parseLength(length, 32)
	if !ok {
		return "", problemPrefix
	}
	d.Bits4 = uint8(n)
	return rest, ""
}

// cutLength splits "rest/123".
func cutLength(s string) (rest, length string, ok bool) {
	i := len(s)
	for i > 0 && isDigit(s[i-1]) {
		i--
	}
	if i == len(s) || i == 0 || s[i-1] != '/' {
		return s, "", false
	}
	return s[:i-1], s[i:], true
}

func parseLength(s string, most int) (int, bool) {
	if s == "" || len(s) > 3 || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, n <= most
}

// checkDomainSpec: RFC 7208, section 7.1.
//
//	domain-spec = macro-string domain-end
//	domain-end  = ( "." toplabel [ "." ] ) / macro-expand
func checkDomainSpec(spec string, singleLabel bool) (problem string) {
	if spec == "" {
		return problemDomain
	}
	if problem := checkMacros(spec, true); problem != "" {
		return problem
	}
	tail := spec // what follows the last macro
	for i := strings.IndexByte(tail, '%'); i >= 0; i = strings.IndexByte(tail, '%') {
		_, n, _ := readMacro(tail[i:])
		tail = tail[i+n:]
	}
	if tail == "" {
		return ""
	}
	tail = strings.TrimSuffix(tail, ".")
	dot := strings.LastIndexByte(tail, '.')
	if dot < 0 && !(singleLabel && len(tail) >= len(spec)-1) || !isTopLabel(tail[dot+1:]) {
		return problemTop
	}
	return ""
}

// isTopLabel: letters, digits and inner hyphens, not digits alone.
//
//	toplabel = ( *alphanum ALPHA *alphanum ) /
//	           ( 1*alphanum "-" *( alphanum / "-" ) alphanum )
func isTopLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	numeric := true
	for i := range len(s) {
		c := s[i]
		if !isAlphanum(c) && c != '-' {
			return false
		}
		numeric = numeric && isDigit(c)
	}
	return !numeric
}

// String is the record in canonical spelling: names in lower case, no "+",
// addresses as [netip.Addr] prints them, modifiers last. Parse reads it back.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString(version)
	for i := range r.Directives {
		b.WriteString(" " + r.Directives[i].String())
	}
	if r.Redirect != "" {
		b.WriteString(" redirect=" + r.Redirect)
	}
	if r.Explanation != "" {
		b.WriteString(" exp=" + r.Explanation)
	}
	for _, m := range r.Modifiers {
		b.WriteString(" " + m.Name + "=" + m.Value)
	}
	return b.String()
}

// String is the directive in canonical spelling.
func (d *Directive) String() string {
	s := string(d.Mechanism)
	if d.Qualifier != Plus {
		s = string(d.Qualifier) + s
	}
	if d.Domain != "" {
		s += ":" + d.Domain
	}
	if d.Network.IsValid() {
		s += ":" + d.Network.Addr().String()
		if !d.Network.IsSingleIP() {
			s += "/" + strconv.Itoa(d.Network.Bits())
		}
	}
	if d.Bits4 != 32 {
		s += "/" + strconv.Itoa(int(d.Bits4))
	}
	if d.Bits6 != 128 {
		s += "//" + strconv.Itoa(int(d.Bits6))
	}
	return s
}
