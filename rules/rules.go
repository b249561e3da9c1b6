// Package rules reads rule files: what milterd looks for in a message, and how
// many points each piece of evidence is worth. Rules are data, not programs.
//
//	rules:
//	  - name: SUBJ_URGENT_PAYMENT
//	    describe: Subject asks for an urgent payment
//	    header: Subject
//	    match: '(?i)\burgent\b.{0,20}\b(payment|invoice)\b'
//	    score: 1.8
//	    tests:
//	      hit:  ["Subject: URGENT: invoice attached"]
//	      miss: ["Subject: minutes of Monday"]
//	  - name: FORGED_BOSS
//	    when: "SUBJ_URGENT_PAYMENT && !SPF_PASS"
//	    score: 3
//	    state: shadow
//	groups: {phishing: {rules: [SUBJ_URGENT_PAYMENT, FORGED_BOSS], max: 4}}
//	scores: {SPF_FAIL: 2.5}
//
// # A rule
//
// A rule has a name and one condition. A text rule names a text and says what
// it asks of it; a composite has a when. Everything else may be left out.
//
//	name      UPPER_SNAKE, unique; what the log, the journal and other rules call it
//	describe  one line for people
//	header: F         field F, each occurrence by itself, unfolded and decoded (RFC 2047)
//	header_raw: F     the same as received: folds, encoded words, the blank after the colon
//	body:             the decoded text parts, HTML as its reader sees it, joined by line feeds;
//	                  a run of white space is one line feed if a line ends in it, else one blank
//	envelope.from:    the reverse-path without brackets; the null sender is an empty text
//	envelope.rcpt:    each forward-path without brackets
//	from_addr:        each address of the From field
//	from_name:        each display name of the From field, decoded
//	client.name:      the client's verified name; none when there is none
//	helo:             the argument of HELO or EHLO
//	match     an expression that one of the texts must match: RE2 syntax, linear time;
//	          ^ and $ are the ends of the whole text unless it says (?m)
//	exists    instead of match: true, there is such a text; false, there is none
//	when      an expression over names, see below
//	score     points, from -1000 to 1000; without one the rule is a fact worth 0
//	state     active; shadow: counted and shown, never scored, and seen by composites in
//	          shadow only; off: not even run
//	tests     what must hit and what must miss, see below
//
// For a header the condition stands beside the text, as above. The other texts
// may hold it instead: "body: {match: '(?i)lottery'}".
//
// # When
//
// A name stands for 1 when that rule or finding hit and for 0 when it did not.
// The composite hits when the result is not 0. Binding, from tight to loose:
//
//	! -              not, minus
//	*
//	+ -
//	== != < <= > >=  1 or 0; two of them in a row need parentheses
//	&&
//	||
//
// Numbers are decimal, from 0 to 1000000. A composite may name composites; a
// cycle is an error.
//
// # Tests
//
// Each rule carries its own tests, which run whenever it is loaded; one that
// fails stops the load. For a text rule a test is the text itself. For a header
// rule it may also be header lines as they stand in a message, which is told by
// their beginning with the name of the rule's field; with exists it always is.
// For a composite a test is the names that hit, separated by blanks.
//
// # Several files
//
// Files are read in order, the shipped ones first. A rule or group of a name
// that an earlier file has overrides the fields it gives and nothing else; a
// score overrides the score. Within one file a name is given once.
//
// The package knows neither the checks, whose findings it is handed as a list of
// names, nor what scoring does with the points.
package rules

import "milterd/internal/strictyaml"

// Set is what a list of rule files says, found to be in order. It does not
// change.
type Set struct {
	// Texts are the text rules and Composites the others. Both hold those that
	// are off, too. A composite stands behind all composites that it names;
	// apart from that the order is that of the files.
	Texts      []TextRule
	Composites []Composite
	// Groups stand in the order of their names.
	Groups []Group
	// Scores are the weights of what checks report, by name of the finding. One
	// that is not in it is worth 0.
	Scores map[string]Score
}

// A Rule is what all rules have.
type Rule struct {
	Name     string
	Describe string
	Score    float64 // -1000 to 1000, as it stands, whatever the State
	State    State
	Pos      strictyaml.Pos // where the rule first stands
}

// State is what becomes of a rule's hits.
type State string

// The states of a rule.
const (
	Active State = "active"
	Shadow State = "shadow" // counted and shown, never scored
	Off    State = "off"    // not run: to composites a rule that does not hit
)

// A TextRule looks at texts of one kind. It hits when one of them matches Match
// or, without a Match, when there being one or not is as Exists says.
type TextRule struct {
	Rule
	Text   Text
	Header string // the field's name, for Header and HeaderRaw
	Match  string // an expression that regexp compiles, or empty
	Exists bool
}

// Text is a kind of text that rules look at; its value is the key in the file.
type Text string

// The texts, as the package comment explains them.
const (
	Header       Text = "header"
	HeaderRaw    Text = "header_raw"
	Body         Text = "body"
	EnvelopeFrom Text = "envelope.from"
	EnvelopeRcpt Text = "envelope.rcpt"
	FromAddr     Text = "from_addr"
	FromName     Text = "from_name"
	ClientName   Text = "client.name"
	Helo         Text = "helo"
)

// A Composite hits when its expression over other rules and findings says so.
type Composite struct {
	Rule
	// Names are the rules and findings that the expression names, each once,
	// in the order of their first appearance.
	Names []string
	when  *expr
}

// Eval says whether the composite hits. The count of a name is 1 when it hit
// and 0 when it did not.
func (c *Composite) Eval(count func(name string) float64) bool { return c.when.hits(count) }

// When returns the expression with no more blanks and parentheses than it needs.
func (c *Composite) When() string { return c.when.String() }

// A Group bounds what its members may bring together.
type Group struct {
	Name  string
	Rules []string // rules and findings, each in one group at most
	Max   float64  // the most points that they may add up to, above 0
	Pos   strictyaml.Pos
}

// A Score is the weight of a finding.
type Score struct {
	Points float64 // -1000 to 1000
	Pos    strictyaml.Pos
}

// maxScore bounds every weight. One rule of this weight decides alone, which is
// what the test string GTUBE needs and nothing above it would change.
const maxScore = 1000

// Load reads rule files in their order. findings are the names of what checks
// report: other names than these and those of rules are unknown.
//
// All that is wrong is reported at once, as strictyaml.Errors with file, line
// and column; there is no Set then.
func Load(sources []Source, findings []string) (*Set, error) {
	l := newLoader(findings)
	for _, s := range sources {
		l.read(s)
	}
	return l.finish()
}
