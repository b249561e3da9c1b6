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
//	name        UPPER_SNAKE, unique; what the log, the journal and other rules call it
//	describe    one line for people
//	header: F   the text, see [Kinds]; or body, from_addr, uri.host, ...
//	match       an expression that one of the texts must match: RE2 syntax, linear time;
//	            ^ and $ are the ends of the whole text unless it says (?m)
//	in          instead of match: a list that must hold one of the texts
//	exists      instead of match: true, there is such a text; false, there is none
//	normalised  with match: true, the text is first freed of disguises; leet, of
//	            digits that stand for letters as well
//	times       with match: how many matches make a hit, in all texts together
//	count       with match: how far matches are counted, for composites
//	when        an expression over names, see below
//	score       points, from -1000 to 1000; without one the rule is a fact worth 0
//	state       active; shadow: counted and shown, never scored, and seen by composites in
//	            shadow only; off: not even run
//	tests       what must hit and what must miss, see below
//
// For a text that is named, as header fields are, the condition stands beside the
// text, as above. The other texts may hold it instead: "body: {match: '(?i)lottery'}".
//
// A file that begins with "backtracking: true" may hold expressions that look
// around and refer back. They are slow; that is for rules brought along from
// elsewhere.
//
// # Lists
//
// What stands behind in is a list of mailbox addresses, domains (of an address or
// the name itself), .domains (and all below) and networks, or the path of a file
// with one of them a line, see package table. Of a header field each address in it
// is looked for. Who searches follows the file when it changes.
//
// # When
//
// A name stands for 1 when that rule or finding hit and for 0 when it did not; a
// rule with count stands for the number of its matches. The composite hits when
// the result is not 0. Binding, from tight to loose:
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
// For a composite a test is the names that hit, separated by blanks; "A=3" is a
// rule that counted three.
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

import (
	"milterd/internal/match"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

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
	// Tests are what the rules promise, by name of the rule.
	Tests map[string]Tests
}

// Tests are the texts (of a composite: the names) that must make a rule hit, and
// those that must not.
type Tests struct{ Hit, Miss []string }

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

// A TextRule looks at texts of one kind and asks one thing of them: Match, In,
// or whether there is one at all.
type TextRule struct {
	Rule
	Text   Text
	Header string // the name, for a text that is named
	// Match is an expression that package match compiles, or empty.
	Match string
	// Backtracking says that Match may need more than RE2 has.
	Backtracking bool
	// Normalised is how the text is prepared before Match.
	Normalised Normalised
	// Times is how many matches make a hit, in all texts of the kind together:
	// 1 or more.
	Times int
	// Count is how far matches are counted for composites, Times or more; 0
	// where they see no more than that the rule hit.
	Count int
	// In is a list that must hold one of the texts; nil for other rules.
	In *List
	// Exists counts where there is neither Match nor In: true, there must be
	// such a text; false, there must be none.
	Exists bool
}

// Pattern is what package match searches for, under a number of the caller's.
func (t *TextRule) Pattern(id int) match.Pattern {
	return match.Pattern{ID: id, Expr: t.Match, Count: max(t.Times, t.Count), Backtracking: t.Backtracking, Leet: t.Normalised == Leet}
}

// Normalised is how far a text is freed of disguises before it is searched, see
// [match.Normalise].
type Normalised string

// The ways to prepare a text.
const (
	AsItIs Normalised = ""
	Plain  Normalised = "true" // look-alike letters, spacing, what does not show
	Leet   Normalised = "leet" // and digits that stand for letters
)

// A List is addresses, domains and networks.
type List struct {
	// Entries are where they stand: in the rule, or in a file that may change
	// while the rules do not. Who searches follows it.
	Entries *table.Entries
	// Table is what the list said when it was loaded.
	Table *table.Table
}

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
