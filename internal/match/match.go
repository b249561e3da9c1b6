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
// Expressions are those of package regexp (RE2 syntax), with the same matches: the time of a search is
// linear in the length of the text, whatever the expression. A [Run] bounds what
// many of them may take together. Only a pattern that says so may look around and
// back; it runs against the clock, and only where a linear relative of it matches.
//
// [Normalise] frees a text of the disguises that would otherwise stand in the
// expressions.
package match

import (
	"fmt"
	"regexp/syntax"
	"slices"
	"time"
)

// A Pattern is an expression and the caller's number for it. Numbers should be
// small, since a [Run] keeps a bit for each up to the greatest.
type Pattern struct {
	ID   int
	Expr string
	// Count is how many matches are looked for, in all texts of a run together;
	// 0 is 1.
	Count int
	// Backtracking lets the expression have what RE2 has not, see
	// [CheckBacktracking].
	Backtracking bool
}

// A Set is a list of compiled patterns, ready for use from many goroutines.
type Set struct {
	patterns []pattern
	machine  *automaton // of the literals; nil when there are none
	lists    int        // of literals: one for each pattern, and the second ones
}

type pattern struct {
	id       int
	index    int // in the set
	count    int
	literals []string // folded; every match contains one of them; none: it must be tried
	also     int      // in found: where another list of literals is noted, of which every match contains one, too; 0 is none
	engine   engine
	linear   *linear // the engine, if it is one
	reach    int     // the most bytes of a match of it
}

// Compile prepares patterns. They are tried in the order given. An expression
// that does not compile is an error.
func Compile(patterns []Pattern) (*Set, error) {
	s := &Set{patterns: make([]pattern, len(patterns))}
	some := false
	var companions []pattern // their literals are looked for in the same pass
	for i, p := range patterns {
		if p.ID < 0 {
			return nil, fmt.Errorf("match: a pattern with the number %d", p.ID)
		}
		compiled := &s.patterns[i]
		compiled.id, compiled.index, compiled.count = p.ID, i, max(1, p.Count)
		parsed, err := syntax.Parse(p.Expr, syntax.Perl)
		switch {
		case err == nil:
			parsed = parsed.Simplify()
			compiled.linear, compiled.reach = &linear{expr: p.Expr, standard: insideWords(parsed)}, reach(parsed)
			compiled.engine = compiled.linear
		case p.Backtracking:
			var b *backtracking
			if b, parsed, err = newBacktracking(p.Expr); err != nil {
				return nil, err
			}
			compiled.engine = b
		default:
			return nil, fmt.Errorf("match: %w", err)
		}
		found := literalsOf(parsed)
		compiled.literals = found.best()
		if second := found.second(); second != nil {
			companions = append(companions, pattern{literals: second})
			compiled.also = len(patterns) + len(companions) - 1
		}
		some = some || compiled.literals != nil
	}
	if some {
		all := append(slices.Clip(s.patterns), companions...)
		machine, full := newAutomaton(all, maxCells)
		for _, i := range full {
			if i < len(s.patterns) {
				s.patterns[i].literals, s.patterns[i].also = nil, 0
				continue
			}
			for j := range s.patterns {
				if s.patterns[j].also == i {
					s.patterns[j].also = 0
				}
			}
		}
		s.machine, s.lists = machine, len(all)
	}
	return s, nil
}

// Match tries every pattern of the set on a text and adds to r what it finds: for
// each pattern the leftmost matches, as many as it counts in all texts of r.
// When the time of r is up, the patterns not yet tried are noted as unfinished
// instead.
func (s *Set) Match(r *Run, text string) {
	mark := r.now()
	text = whole(text)
	exact := true // places in what is scanned are places in text
	if s.machine != nil {
		r.found.reset(len(s.patterns), s.lists)
		scanned := text
		if unfolded(text) {
			scanned, exact = string(appendFolded(nil, text)), false
		}
		s.machine.scan(scanned, &r.found)
	}
	for i := range s.patterns {
		p := &s.patterns[i]
		if r.settled(p.id) || p.literals != nil && (!r.found.has(i) || p.also > 0 && !r.found.has(p.also)) {
			continue
		}
		began := r.now()
		if r.limits.All > 0 && r.spent+began.Sub(mark) > r.limits.All {
			r.Unfinished = append(r.Unfinished, p.id)
			r.settle(p.id)
			continue
		}
		slow := r.try(p, text, exact, func() bool { return r.limits.Pattern > 0 && r.now().Sub(began) > r.limits.Pattern })
		took := r.now().Sub(began)
		if slow || r.limits.Pattern > 0 && took > r.limits.Pattern {
			r.Slow = append(r.Slow, Slow{p.id, took})
			r.settle(p.id)
		}
	}
	r.spent += r.now().Sub(mark)
}

// try searches a text for one pattern, in the way that suits it. exact says that
// the places of its literals are places in text; up, that time is.
func (r *Run) try(p *pattern, text string, exact bool, up clock) (slow bool) {
	i := p.index
	if p.count == 1 && p.linear != nil && p.reach <= maxReach {
		var loc []int
		if exact && p.literals != nil && !r.found.anywhere[i] {
			loc, slow = p.near(text, &r.found, r.found.first[i], up)
		} else {
			loc, slow = p.along(text, up)
		}
		if loc != nil {
			r.hit(p, text[loc[0]:loc[1]], 1)
		}
		return slow
	}
	before := 0
	for i := range r.Hits {
		if p.count > 1 && r.Hits[i].ID == p.id {
			before = r.Hits[i].Count
		}
	}
	first, n, slow := p.engine.search(text, p.count-before, r.limits.Pattern)
	if n > 0 {
		r.hit(p, first, n)
	}
	return slow
}

// Limits bound a [Run]. 0 is no bound.
type Limits struct {
	// Pattern is for one pattern on one text. Where matches are of bounded length
	// a search goes piece by piece and stops in between; where they are not, this
	// is looked at afterwards: what was found counts, but the pattern is not tried
	// on the texts that follow. One that backtracks is stopped.
	Pattern time.Duration
	// All is for all patterns on all texts together.
	All time.Duration
}

// A Run is the search through the texts of one message: what was found so far
// and the time it took. It is not for concurrent use.
type Run struct {
	Hits []Hit // in the order of the first match, one for a pattern at most
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

// A Hit is what a pattern found.
type Hit struct {
	ID    int
	Text  string // the first match; bytes that are no UTF-8 are U+FFFD in it
	Count int    // of matches, at most as many as the pattern counts
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

// hit notes matches of a pattern in one text.
func (r *Run) hit(p *pattern, first string, n int) {
	i := slices.IndexFunc(r.Hits, func(h Hit) bool { return p.count > 1 && h.ID == p.id })
	if i < 0 {
		i = len(r.Hits)
		r.Hits = append(r.Hits, Hit{ID: p.id, Text: first})
	}
	if r.Hits[i].Count += n; r.Hits[i].Count >= p.count {
		r.settle(p.id)
	}
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
