package dmarc

import (
	"errors"
	"fmt"
	"strings"
)

// version is the one value of the tag v.
const version = "DMARC1"

// Errors of Parse.
var (
	// ErrVersion is a text that is no DMARC Policy Record at all: it does not
	// begin with v=DMARC1.
	ErrVersion = errors.New("not a DMARC record")
	// ErrRequest is a record with a p, sp or np that is neither none, quarantine
	// nor reject, and without a usable rua: nothing can be done with it (RFC 9989,
	// section 4.10.1).
	ErrRequest = errors.New("policy is not none, quarantine or reject, and there is nobody to report to")
)

// Alignment is how closely an identifier must match the Author Domain: the tags
// adkim and aspf (RFC 9989, section 4.7).
type Alignment string

// The two modes.
const (
	Relaxed Alignment = "r" // of the same Organizational Domain
	Strict  Alignment = "s" // identical
)

// PSD is what a record says about its domain: the tag psd (RFC 9989, section 4.7).
type PSD string

// The three values.
const (
	PSDUnknown PSD = "u" // no Public Suffix Domain; whether an Organizational Domain the walk tells
	PSDYes     PSD = "y" // a Public Suffix Domain
	PSDNo      PSD = "n" // an Organizational Domain
)

// FailureOptions is when a Domain Owner wants failure reports: the tag fo.
type FailureOptions uint8

// The options, to be combined. ReportAll and ReportAny exclude each other.
const (
	ReportAll  FailureOptions = 1 << iota // 0: when no mechanism gives an aligned pass
	ReportAny                             // 1: when any mechanism fails to
	ReportDKIM                            // d: when a signature fails
	ReportSPF                             // s: when SPF fails
)

// String returns the value of the tag, options in the order 0, 1, d, s.
func (o FailureOptions) String() string {
	var b strings.Builder
	for i, c := range "01ds" {
		if o&(1<<i) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(':')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// Record is a DMARC Policy Record with its defaults filled in (RFC 9989, section
// 4.7). Records may be compared with ==.
type Record struct {
	// Policy is p. It is none where the record has no p (section 4.7), and where
	// it cannot be used (section 4.10.1, see Parse).
	Policy Disposition
	// Subdomains is sp and NonExistent is np, "" when absent.
	Subdomains, NonExistent Disposition
	// DKIM and SPF are adkim and aspf.
	DKIM, SPF Alignment
	PSD       PSD
	// Testing is t=y: the policy shall be applied one level lower.
	Testing bool
	// Aggregate is rua and Failure is ruf.
	Aggregate, Failure URIs
	// FailureOptions is fo, ReportAll unless there is a ruf as well.
	FailureOptions FailureOptions
}

// Parse reads a DMARC Policy Record. The tags are read in any order after v, their
// names and values in any case but that of DMARC1, with white space around both.
// Unknown tags are ignored, and so are pct, rf and ri of RFC 7489. A tag that is
// there twice counts the first time. A bad value of adkim, aspf, fo, psd or t is
// the default (RFC 9989, section 4.8).
//
// A p, sp or np that is there but bad turns the whole policy: with at least one
// valid URI in rua the record is taken as p=none, else the error is ErrRequest
// (section 4.10.1); the rest of the record is filled in even then. A p that is
// not there is p=none, and sp and np keep their meaning (section 4.7).
func Parse(txt string) (Record, error) {
	p := parser{}
	return p.parse(txt)
}

// A Problem is something in a record that its owner should repair.
type Problem struct {
	Tag  string // its name in lower case, or "" where the text is no tag
	Text string // from a fixed list, without text of the record
}

// String returns "tag: text".
func (p Problem) String() string {
	if p.Tag == "" {
		return p.Text
	}
	return p.Tag + ": " + p.Text
}

// maxProblems bounds what Lint returns.
const maxProblems = 20

// Lint says what is wrong with a record, in the record's order, 20 problems at
// most. Parse gets along with most of them.
func Lint(txt string) []Problem {
	p := parser{lint: true}
	_, err := p.parse(txt)
	if errors.Is(err, ErrVersion) {
		p.problem("v", "the record does not begin with v=DMARC1, so it is none")
	}
	return p.problems
}

// hasVersion reports whether txt is a DMARC Policy Record (RFC 9989, section 4.10,
// step 2), and returns what follows its version.
func hasVersion(txt string) (rest string, ok bool) {
	s := strings.TrimLeft(txt, blanks)
	if s == "" || s[0]|0x20 != 'v' {
		return "", false
	}
	s, ok = strings.CutPrefix(strings.TrimLeft(s[1:], blanks), "=")
	if !ok {
		return "", false
	}
	s, ok = strings.CutPrefix(strings.TrimLeft(s, blanks), version)
	if !ok {
		return "", false
	}
	s = strings.TrimLeft(s, blanks)
	if s == "" {
		return "", true
	}
	return s[1:], s[0] == ';'
}

// blanks is the white space of a tag-list (RFC 9989, section 4.8, and the folding
// that RFC 6376, section 3.2 has).
const blanks = " \t\r\n"

// parser reads one record.
type parser struct {
	record   Record
	seen     [len(tagNames)]bool
	request  bool // a p, sp or np is bad
	lint     bool
	problems []Problem
}

// tagNames are the tags of RFC 9989, section 9.3, without v.
var tagNames = [...]string{"p", "sp", "np", "adkim", "aspf", "psd", "t", "fo", "rua", "ruf"}

func (p *parser) parse(txt string) (Record, error) {
	rest, ok := hasVersion(txt)
	if !ok {
		return Record{}, ErrVersion
	}
	p.record = Record{DKIM: Relaxed, SPF: Relaxed, PSD: PSDUnknown, FailureOptions: ReportAll}
	for tag := range strings.SplitSeq(rest, ";") {
		p.tag(tag)
	}
	r := &p.record
	// RFC 9989, section 4.7: fo is ignored without ruf.
	if r.Failure == "" {
		r.FailureOptions = ReportAll
	}
	// RFC 9989, section 4.10.1: a bad request counts as p=none where reports are
	// wanted; otherwise there is no DMARC processing.
	var err error
	if p.request {
		if !r.Aggregate.any() {
			err = ErrRequest
		}
		r.Policy, r.Subdomains, r.NonExistent = DispositionNone, "", ""
	}
	// RFC 9989, section 4.7: without p it is none.
	if r.Policy == "" {
		r.Policy = DispositionNone
		if !p.seen[0] {
			p.problem("p", "missing, so it is none")
		}
	}
	return *r, err
}

// tag reads one name=value.
func (p *parser) tag(text string) {
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.Trim(name, blanks), strings.Trim(value, blanks)
	switch {
	case !ok && name == "": // nothing between two semicolons, or behind the last
		return
	case !ok:
		p.problem("", "something that is no tag")
		return
	case !isTagName(name):
		p.problem("", "a tag whose name is not made of letters")
		return
	}
	name = strings.ToLower(name)
	for i := range tagNames {
		if tagNames[i] != name {
			continue
		}
		if p.seen[i] {
			p.problem(name, "there twice; the first one counts")
			return
		}
		p.seen[i] = true
		p.value(name, value)
		return
	}
	switch name {
	case "pct", "rf", "ri":
		p.problem(name, "historic, and ignored since RFC 9989")
	case "v":
		p.problem(name, "there twice; the first one counts")
	default:
		p.problem(name, "unknown, and ignored")
	}
}

// value reads the value of a known tag.
func (p *parser) value(name, value string) {
	if !isPrintable(value) {
		value = "" // which is valid for no tag
	}
	r := &p.record
	good := true
	switch name {
	case "rua":
		r.Aggregate, good = URIs(value), URIs(value).any()
	case "ruf":
		r.Failure, good = URIs(value), URIs(value).any()
	}
	value = strings.ToLower(value)
	switch name {
	case "p":
		r.Policy, good = p.disposition(value)
	case "sp":
		r.Subdomains, good = p.disposition(value)
	case "np":
		r.NonExistent, good = p.disposition(value)
	case "adkim":
		r.DKIM, good = alignment(value)
	case "aspf":
		r.SPF, good = alignment(value)
	case "psd":
		good = value == "y" || value == "n" || value == "u"
		if good {
			r.PSD = PSD(value)
		}
	case "t":
		good, r.Testing = value == "y" || value == "n", value == "y"
	case "fo":
		r.FailureOptions, good = failureOptions(value)
	}
	if !good {
		p.problem(name, expected(name))
	}
}

// expected says what the value of a tag can be.
func expected(name string) string {
	switch name {
	case "p", "sp", "np":
		return "not none, quarantine or reject"
	case "adkim", "aspf":
		return "not r or s, so it is r"
	case "psd":
		return "not y, n or u, so it is u"
	case "t":
		return "not y or n, so it is n"
	case "fo":
		return "not 0 or 1 with d and s, so it is 0"
	}
	return "no valid URI in it"
}

// disposition reads a dmarc-request and remembers a bad one.
func (p *parser) disposition(value string) (Disposition, bool) {
	switch d := Disposition(value); d {
	case DispositionNone, Quarantine, Reject:
		return d, true
	}
	p.request = true
	return "", false
}

// alignment reads a dmarc-rors.
func alignment(value string) (Alignment, bool) {
	if a := Alignment(value); a == Relaxed || a == Strict {
		return a, true
	}
	return Relaxed, false
}

// failureOptions reads a dmarc-fo: each option once at most, not both 0 and 1.
func failureOptions(value string) (FailureOptions, bool) {
	var all FailureOptions
	for item := range strings.SplitSeq(value, ":") {
		item = strings.Trim(item, blanks)
		i := strings.Index("01ds", item)
		if len(item) != 1 || i < 0 || all&(1<<i) != 0 {
			return ReportAll, false
		}
		all |= 1 << i
	}
	if all&(ReportAll|ReportAny) == ReportAll|ReportAny {
		return ReportAll, false
	}
	return all, true
}

func (p *parser) problem(tag, text string) {
	if p.lint && len(p.problems) < maxProblems {
		const longest = 32 // of the tags there are the longest has five letters
		p.problems = append(p.problems, Problem{Tag: tag[:min(len(tag), longest)], Text: text})
	}
}

// isTagName reports a tag name: 1*ALPHA (RFC 9989, section 4.8). There it need
// not be a known one.
func isTagName(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return s != ""
}

// isPrintable reports whether s can be the value of a tag (RFC 9989, section 4.8);
// it holds no semicolon.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// String returns the record in its shortest form, tags in the order of Record.
// Parse reads back the same record.
func (r Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "v=%s; p=%s", version, r.Policy)
	tag := func(name, value string, show bool) {
		if show {
			b.WriteString("; " + name + "=" + value)
		}
	}
	tag("sp", string(r.Subdomains), r.Subdomains != "")
	tag("np", string(r.NonExistent), r.NonExistent != "")
	tag("adkim", string(r.DKIM), r.DKIM == Strict)
	tag("aspf", string(r.SPF), r.SPF == Strict)
	tag("psd", string(r.PSD), r.PSD == PSDYes || r.PSD == PSDNo)
	tag("t", "y", r.Testing)
	tag("rua", string(r.Aggregate), r.Aggregate != "")
	tag("ruf", string(r.Failure), r.Failure != "")
	tag("fo", r.FailureOptions.String(), r.Failure != "" && r.FailureOptions != ReportAll)
	return b.String()
}
