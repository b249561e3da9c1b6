package message

import (
	"errors"
	"strings"
)

// authorParser reads a mailbox list (RFC 5322, section 3.4) from the tokens of one
// From field. It stops at the first problem that leaves no author.
type authorParser struct {
	field  string
	tokens []authorToken
	// looseAts counts the '@' that were tolerated in names.
	looseAts int
}

func (p *authorParser) text(i int) string { return p.field[p.tokens[i].start:p.tokens[i].end] }

// What stands between two commas of the list.
type memberKind uint8

const (
	noMember      memberKind = iota // nothing
	bareMember                      // words without quotes and encoding
	oddMember                       // quoted or bracketed words, or "name <word>"
	encodedMember                   // words, at least one encoded
	hollowMember                    // "name <>"
	addressMember
)

type authorMember struct {
	kind    memberKind
	address Address
	phrase  int // tokens up to here are its name
	end     int // the comma after it, or the number of tokens
}

// list reads the whole field into a.Addresses and a.Names.
func (p *authorParser) list(a *Author) AuthorProblem {
	var count [addressMember + 1]int
	members := 0
	// A bare word may turn out to be the beginning of a name with a comma in it.
	for lo, name := 0, 0; lo <= len(p.tokens); members++ {
		m, problem := p.member(lo, a)
		if problem != "" {
			return problem
		}
		count[m.kind]++
		if m.kind == addressMember {
			if name < lo {
				a.note(AuthorUnquotedComma)
			}
			a.Addresses = append(a.Addresses, m.address)
			p.appendName(a, name, m.phrase, m.end)
			name = m.end + 1
		} else if m.kind != bareMember && m.kind != noMember {
			name = m.end + 1
		}
		lo = m.end + 1
	}
	switch {
	case count[addressMember] == members:
		return ""
	case count[addressMember] == 0:
		if count[noMember]+count[hollowMember] == members {
			return AuthorEmpty
		}
		p.appendName(a, 0, len(p.tokens), len(p.tokens))
		return AuthorBareWord
	case count[encodedMember] > 0:
		return AuthorEncodedAddress
	case count[addressMember] == 1 && count[bareMember]+count[noMember] == members-1:
		a.note(AuthorUnquotedComma)
		return ""
	}
	return AuthorUnparsable
}

// member reads what begins at token lo, up to the next comma outside of angle
// brackets.
func (p *authorParser) member(lo int, a *Author) (authorMember, AuthorProblem) {
	var words, ats, encoded, odd int
	i := lo
scan:
	for ; i < len(p.tokens); i++ {
		switch t := &p.tokens[i]; t.kind {
		case wordToken:
			words++
			if t.encoded {
				encoded++
			}
		case quotedToken, literalToken:
			odd++
		case atToken:
			ats++
		case commentToken:
		default:
			break scan
		}
	}
	m := authorMember{end: i, phrase: lo}
	if i < len(p.tokens) && p.tokens[i].kind != commaToken {
		switch p.tokens[i].kind {
		case lessToken:
			return p.angle(lo, i, a)
		case greaterToken:
			return m, AuthorUnbalanced
		case colonToken:
			if first := p.skipComments(lo); p.tokens[first].kind == atToken {
				return m, AuthorRoute
			}
			return m, AuthorGroup
		}
		return m, AuthorUnparsable
	}
	switch {
	case ats > 0:
		m.kind = addressMember
		var problem AuthorProblem
		m.address, problem = p.addrSpec(lo, i, false, a)
		return m, problem
	case encoded > 0:
		m.kind = encodedMember
	case odd > 0:
		m.kind = oddMember
	case words > 0:
		m.kind = bareMember
	}
	return m, ""
}

// angle reads the name in tokens [lo, less) and the address in angle brackets after
// it.
func (p *authorParser) angle(lo, less int, a *Author) (authorMember, AuthorProblem) {
	m := authorMember{phrase: less}
	greater := less + 1
	for ; greater < len(p.tokens) && p.tokens[greater].kind != greaterToken; greater++ {
		if p.tokens[greater].kind == lessToken {
			return m, AuthorUnbalanced
		}
	}
	if greater == len(p.tokens) {
		return m, AuthorUnbalanced
	}
	m.end = p.skipComments(greater + 1)
	if m.end < len(p.tokens) {
		switch p.tokens[m.end].kind {
		case commaToken:
		case greaterToken:
			return m, AuthorUnbalanced
		default:
			return m, AuthorUnparsable // a19: <any@a.test>admin@b.test
		}
	}
	switch first := p.skipComments(less + 1); {
	case first == greater:
		m.kind = hollowMember
		return m, p.phrase(lo, less, Domain{}, a)
	case p.tokens[first].kind == wordToken && p.skipComments(first+1) == greater:
		m.kind = oddMember
		if p.tokens[first].encoded {
			return m, AuthorEncodedAddress
		}
		return m, p.phrase(lo, less, Domain{}, a)
	}
	m.kind = addressMember
	var problem AuthorProblem
	if m.address, problem = p.addrSpec(less+1, greater, true, a); problem != "" {
		return m, problem
	}
	return m, p.phrase(lo, less, m.address.Domain, a)
}

// phrase looks at a name before angle brackets for what should have been quoted. An
// '@' is tolerated in "a@example.org <a@example.org>" and where no dot comes after
// it, "Team @ Home <a@example.org>": there are readers who take whatever they can
// for an address, over blanks and comments.
func (p *authorParser) phrase(lo, hi int, domain Domain, a *Author) AuthorProblem {
	at, ats := hi, 0
	for i := lo; i < hi; i++ {
		switch p.tokens[i].kind {
		case literalToken:
			a.note(AuthorUnquotedBrackets)
		case atToken:
			at = min(at, i)
			ats++
		}
	}
	if at == hi {
		return ""
	}
	a.note(AuthorUnquotedAt)
	p.looseAts += ats
	if at+2 == hi && p.tokens[at+1].kind == wordToken && sameDomain(p.text(at+1), domain) {
		return ""
	}
	for i := at; i < hi; i++ {
		if kind := p.tokens[i].kind; kind != atToken && kind != wordToken {
			return AuthorUnparsable
		}
		if strings.ContainsFunc(p.text(i), isDot) {
			return AuthorTwoDomains
		}
	}
	return ""
}

// addrSpec reads tokens [lo, hi) as local-part "@" domain (RFC 5322, section 3.4.1),
// with comments where the current grammar has them and no others.
func (p *authorParser) addrSpec(lo, hi int, angle bool, a *Author) (Address, AuthorProblem) {
	var parts [3]int
	n := 0
	for i := lo; i < hi; i++ {
		if p.tokens[i].kind == commentToken {
			continue
		}
		if n < len(parts) {
			parts[n] = i
		}
		n++
	}
	local, at, host := parts[0], parts[1], parts[2]
	switch {
	case n == 0:
		return Address{}, AuthorEmpty
	case p.tokens[local].kind == atToken:
		return Address{}, AuthorRoute
	case n != 3 || p.tokens[at].kind != atToken:
		return Address{}, AuthorUnparsable
	}
	for i := lo; i < hi; i++ {
		if p.tokens[i].kind != commentToken {
			continue
		}
		inside := angle || i > local && i < host
		glued := i+1 == local && !p.tokens[local].space || i == host+1 && !p.tokens[i].space
		if (inside || glued) && !harmlessComment(p.text(i)) {
			return Address{}, AuthorAmbiguous
		}
	}
	if strings.Contains(p.text(local), "=?") || p.tokens[host].encoded {
		return Address{}, AuthorEncodedAddress
	}
	var address Address
	var problem AuthorProblem
	if address.Local, problem = p.localPart(local, a); problem != "" {
		return Address{}, problem
	}
	switch p.tokens[host].kind {
	case wordToken:
		var err error
		if address.Domain, err = ParseDomain(p.text(host)); err != nil {
			return Address{}, domainProblem(err)
		}
	case literalToken:
		var err error
		if address.Literal, err = parseLiteral(p.text(host)); err != nil {
			return Address{}, AuthorUnparsable
		}
	default:
		return Address{}, AuthorUnparsable
	}
	return address, ""
}

// localPart reads one token as a local part. Stray dots and great length are
// tolerated: such addresses exist, and nobody's view of the domain depends on them.
func (p *authorParser) localPart(i int, a *Author) (string, AuthorProblem) {
	text := p.text(i)
	local := text
	switch p.tokens[i].kind {
	case wordToken:
		if errors.Is(checkDotString(local), errLocalDots) {
			a.note(AuthorLocalDots)
		}
	case quotedToken:
		local = unescape(text[1 : len(text)-1])
	default:
		return "", AuthorUnparsable
	}
	if err := checkLocalText(local); errors.Is(err, ErrInvisibleLocal) {
		return "", AuthorZeroWidth
	} else if err != nil {
		return "", AuthorUnparsable
	}
	if len(text) > maxLocal {
		a.note(AuthorLongLocal)
	}
	return local, ""
}

// harmlessComment reports whether a comment may stand inside of an address, as in
// pete(his account)@silly.test(his host) of RFC 5322, appendix A.5: a reader who
// takes comments for text must find nothing there that continues a domain.
func harmlessComment(text string) bool {
	for i := 1; i < len(text)-1; i++ {
		c := text[i]
		if c != ' ' && c != '\'' && (!isAtext(c) || c == '=' || c == '?') {
			return false
		}
	}
	return true
}

func (p *authorParser) skipComments(i int) int {
	for i < len(p.tokens) && p.tokens[i].kind == commentToken {
		i++
	}
	return i
}
