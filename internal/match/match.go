// Package match searches texts for many regular expressions at once. It is the
// engine under the text rules and knows nothing of mail.
//
// Nearly every expression that people write for mail contains words. So before
// any of them is tried, one pass over the text finds the literals of which every
// match must contain one, whatever their case. For most expressions and most
// texts that is the end. The others are tried around the places where one of
// their literals stands, if their matches are of bounded length, else on the whole
// text. An expression without such literals has to be tried on every text:
// [Analyse] tells which those are.
//
//	set, err := match.Compile([]match.Pattern{{ID: 1, Expr: `(?i)\burgent\b.{0,20}\binvoice\b`}})
//	run := match.NewRun(match.Limits{Pattern: 50 * time.Millisecond, All: 2 * time.Second}, time.Now)
//	set.Match(run, subject)
//	for _, hit := range run.Hits { ... }
//
// Expressions are those of package regexp (RE2 syntax): the time of a search is
// linear in the length of the text, whatever the expression. A [Run] bounds what
// many of them may take together.
package match

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"time"
)

// A Pattern is an expression and the caller's number for it. Numbers should be
// small, since a [Run] keeps a bit for each up to the greatest.
type Pattern struct {
	ID   int
	Expr string
}

// A Set is a list of compiled patterns, ready for use from many goroutines.
type Set struct {
	patterns []pattern
	machine  *automaton // of the literals; nil when there are none
}

type pattern struct {
	id       int
	literals []string // folded; every match contains one of them; none: it must be tried
	reach    int      // the most bytes of a match
	re       *regexp.Regexp
}

// Compile prepares patterns. They are tried in the order given. An expression
// that does not compile is an error.
func Compile(patterns []Pattern) (*Set, error) {
	s := &Set{patterns: make([]pattern, len(patterns))}
	some := false
	for i, p := range patterns {
		if p.ID < 0 {
			return nil, fmt.Errorf("match: a pattern with the number %d", p.ID)
		}
		re, err := regexp.Compile(p.Expr)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		parsed, err := syntax.Parse(p.Expr, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("match: %w", err)
		}
		parsed = parsed.Simplify()
		s.patterns[i] = pattern{p.ID, literalsOf(parsed).best(), reach(parsed), re}
		some = some || s.patterns[i].literals != nil
	}
	if some {
		machine, full := newAutomaton(s.patterns, maxCells)
		for _, i := range full {
			s.patterns[i].literals = nil
		}
		s.machine = machine
	}
	return s, nil
}

// Match tries every pattern of the set on a text and adds to r what it finds: for
// each pattern the leftmost match, and nothing for one that r has a hit of
// already. When the time of r is up, the patterns not yet tried are noted as
// unfinished instead.
func (s *Set) Match(r *Run, text string) {
	mark := r.now()
	exact := true // places in what is scanned are places in text
	if s.machine != nil {
		r.found.reset(len(s.patterns))
		scanned := text
		if unfolded(text) {
			scanned, exact = string(appendFolded(nil, text)), false
		}
		s.machine.scan(scanned, &r.found)
	}
	for i := range s.patterns {
		p := &s.patterns[i]
		if r.settled(p.id) || p.literals != nil && r.found.first[i] == 0 && !r.found.anywhere[i] {
			continue
		}
		began := r.now()
		if r.limits.All > 0 && r.spent+began.Sub(mark) > r.limits.All {
			r.Unfinished = append(r.Unfinished, p.id)
			r.settle(p.id)
			continue
		}
		var loc []int
		if exact && p.literals != nil && p.reach <= maxReach && !r.found.anywhere[i] {
			loc = p.near(text, &r.found, r.found.first[i])
		} else {
			loc = p.re.FindStringIndex(text)
		}
		took := r.now().Sub(began)
		if loc != nil {
			r.Hits = append(r.Hits, Hit{p.id, text[loc[0]:loc[1]]})
			r.settle(p.id)
		}
		if r.limits.Pattern > 0 && took > r.limits.Pattern {
			r.Slow = append(r.Slow, Slow{p.id, took})
			r.settle(p.id)
		}
	}
	r.spent += r.now().Sub(mark)
}

// Limits bound a [Run]. 0 is no bound.
type Limits struct {
	// Pattern is for one pattern on one text. A search cannot be stopped, so
	// this is looked at afterwards: what it found counts, but the pattern is
	// not tried on the texts that follow.
	Pattern time.Duration
	// All is for all patterns on all texts together.
	All time.Duration
}

// A Run is the search through the texts of one message: what was found so far
// and the time it took. It is not for concurrent use.
type Run struct {
	Hits []Hit // in the order found, one for a pattern at most
	// Slow are the patterns that took longer than they may.
	Slow []Slow
	// Unfinished are the patterns that were not tried on some text, because
	// time was up.
	Unfinished []int

	limits Limits
	now    func() time.Time
	spent  time.Duration
	done   []uint64 // a bit for each pattern that needs no further look
	found  found    // in the text at hand
}

// A Hit is a match.
type Hit struct {
	ID   int
	Text string // what matched, a part of the text
}

// Slow is a pattern and what it took on one text.
type Slow struct {
	ID   int
	Took time.Duration
}

// NewRun begins a run. now is the clock.
func NewRun(limits Limits, now func() time.Time) *Run { return &Run{limits: limits, now: now} }

// Reset makes r as new, but keeps its memory, for the next message.
func (r *Run) Reset() {
	clear(r.done)
	clear(r.Hits) // they hold the text of the message
	r.Hits, r.Slow, r.Unfinished, r.spent = r.Hits[:0], r.Slow[:0], r.Unfinished[:0], 0
}

func (r *Run) settled(id int) bool {
	return id/64 < len(r.done) && r.done[id/64]&(1<<(id%64)) != 0
}

func (r *Run) settle(id int) {
	for id/64 >= len(r.done) {
		r.done = append(r.done, 0)
	}
	r.done[id/64] |= 1 << (id % 64)
}
