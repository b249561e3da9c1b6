// Package match searches texts for many regular expressions at once. It is the
// engine under the text rules and knows nothing of mail.
//
// Nearly every expression that people write for mail contains words. So before
// any of them is tried, one pass over the text finds the literals of which every
// match must contain one, whatever their case. For most expressions and most
// texts that is the end. The others are tried around the places where one of
// their literals stands, as far as a match there can be long. An expression without
// such literals is tried where a match may begin, if that can be told by a few rare
// bytes, else on all of every text: [Analyse] tells which have no literals.
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
	"iter"
	"math/bits"
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
	// Leet says that [Set.MatchPlain] tries the pattern on what [Leet] makes of a text.
	Leet bool
}

// A Set is a list of compiled patterns, ready for use from many goroutines.
type Set struct {
	patterns []pattern
	unsought []uint64   // a bit for each pattern that has to be tried on every text
	ascii    *automaton // of their needles in ASCII; nil when there are none
	beyond   *automaton // of the others, for texts with such characters: their bytes would double the table
	leads    []leads    // of those without
	needles  []sought   // of both
	lists    int        // of needles
}

type pattern struct {
	id     int
	index  int  // in the set; the list of its needles has the same number
	most   int  // matches that are looked for
	leet   bool // to be tried on what Leet makes of a text
	sought bool // every match contains one of its needles; else it must be tried
	also   int  // another list of needles of which every match contains one, too; 0 is none
	engine engine
	linear *linear // the engine, if it is one
	size   extent  // the most of a match of it
	reach  int     // and that in bytes
	begins bool    // all matches begin where the text does
	ends   bool    // and end where it ends
	least  int     // bytes that a match has at least
	signs  []sign  // that it has more than once
	lead   *lead   // with what they begin, if they begin where the text does and that tells anything; else nil
}

// Compile prepares patterns. They are tried in the order given. An expression
// that does not compile is an error.
func Compile(patterns []Pattern) (*Set, error) {
	s := &Set{patterns: make([]pattern, len(patterns))}
	lists := make([][]needle, len(patterns)) // of needles: one for each pattern, and the second ones
	for i, p := range patterns {
		if p.ID < 0 {
			return nil, fmt.Errorf("match: a pattern with the number %d", p.ID)
		}
		compiled := &s.patterns[i]
		compiled.id, compiled.index, compiled.most, compiled.leet = p.ID, i, max(1, p.Count), p.Leet
		parsed, err := syntax.Parse(p.Expr, syntax.Perl)
		switch {
		case err == nil:
			parsed = parsed.Simplify()
			compiled.linear = &linear{expr: p.Expr, standard: insideWords(parsed)}
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
		all := literalsOf(parsed)
		compiled.size, compiled.reach, compiled.least = all.size, all.size.reach(), least(parsed)
		compiled.signs = severalSigns(parsed)
		compiled.begins, compiled.ends = anchored(parsed), ended(parsed)
		lists[i] = all.best()
		compiled.sought = lists[i] != nil
		if second := all.second(); second != nil {
			compiled.also = len(lists)
			lists = append(lists, second)
		}
		if compiled.sought && compiled.begins && err == nil {
			if l := leadOf(parsed); l.size > 0 {
				compiled.lead = &l
			}
		}
		if !compiled.sought && err == nil {
			compiled.sought = s.addLeads(leadsOf(parsed), sought{spot: spot{list: int32(i)}, after: all.size})
		}
	}
	s.lists = len(lists)
	s.addNeedles(lists)
	for i := range s.leads {
		s.leads[i].first = int32(len(s.needles))
		s.needles = append(s.needles, s.leads[i].sought...)
	}
	s.unsought = make([]uint64, (s.lists+63)/64)
	for i := range s.patterns {
		if !s.patterns[i].sought {
			s.unsought[i/64] |= 1 << (i % 64)
		}
	}
	return s, nil
}

// addLeads adds what matches of a pattern begin with, if that is any good.
func (s *Set) addLeads(list []lead, as sought) bool {
	for i := range list {
		as.size = int32(list[i].size)
		if n := len(s.leads); n == 0 || !s.leads[n-1].add(&list[i], as) {
			s.leads = append(s.leads, leads{})
			s.leads[n].add(&list[i], as)
		}
	}
	return len(list) > 0
}

// addNeedles makes the automata of lists of needles.
func (s *Set) addNeedles(lists [][]needle) {
	ascii, beyond := make([][]needle, len(lists)), make([][]needle, len(lists))
	for i, list := range lists {
		for _, n := range list {
			if wide(n.bare()) == 0 {
				ascii[i] = append(ascii[i], n)
			} else {
				beyond[i] = append(beyond[i], n)
			}
		}
	}
	s.ascii, s.beyond = s.newAutomaton(ascii), s.newAutomaton(beyond)
}

// newAutomaton makes one of them, if there are any.
func (s *Set) newAutomaton(lists [][]needle) *automaton {
	if !slices.ContainsFunc(lists, func(list []needle) bool { return list != nil }) {
		return nil
	}
	machine, full := newAutomaton(lists, maxCells)
	machine.first = int32(len(s.needles))
	s.needles = append(s.needles, machine.needles...)
	for i := range s.patterns {
		p := &s.patterns[i]
		if slices.Contains(full, i) {
			p.sought, p.also = false, 0
		} else if slices.Contains(full, p.also) {
			p.also = 0
		}
	}
	return machine
}

// Match tries every pattern of the set on a text and adds to r what it finds: for
// each pattern the leftmost matches, as many as it counts in all texts of r.
// When the time of r is up, the patterns not yet tried are noted as unfinished
// instead.
func (s *Set) Match(r *Run, text string) {
	s.match(r, whole(text), func(*pattern) bool { return true })
}

// MatchPlain is Match for a text that [Normalise] has made without leet. Patterns for leet
// are tried on it as [Leet] makes it, which is mostly the same: then it is searched once.
func (s *Set) MatchPlain(r *Run, text string) {
	leet := Leet(text)
	if leet == text {
		s.match(r, text, func(*pattern) bool { return true })
		return
	}
	s.match(r, text, func(p *pattern) bool { return !p.leet })
	s.match(r, leet, func(p *pattern) bool { return p.leet })
}

// match tries some patterns of the set on a text that is UTF-8.
func (s *Set) match(r *Run, text string, which func(*pattern) bool) {
	exact := s.find(&r.found, text)
	r.began = time.Time{} // for most texts no pattern is tried, and nobody looks at the clock
	for p := range s.candidates(&r.found) {
		if r.settled(p.id) || !which(p) || exact && !p.possible(&r.found, text) {
			continue
		}
		if r.began.IsZero() {
			r.began = r.now()
		}
		if r.limits.All > 0 && r.spent > r.limits.All {
			r.Unfinished = append(r.Unfinished, p.id)
			r.settle(p.id)
			continue
		}
		slow := s.try(r, p, text, exact)
		ended := r.now() // and there the next one begins: to look at the clock takes time, too
		took := ended.Sub(r.began)
		r.spent += took
		if slow || r.limits.Pattern > 0 && took > r.limits.Pattern {
			r.Slow = append(r.Slow, Slow{p.id, took})
			r.settle(p.id)
		}
		r.began = ended
	}
}

// find notes in f where in a text the needles are. exact says that the places are those in
// text.
func (s *Set) find(f *found, text string) (exact bool) {
	f.reset(s.lists)
	if len(s.needles) == 0 {
		return true
	}
	if exact = !unfolded(text); exact {
		for i := range s.leads {
			s.leads[i].scan(text, f)
		}
	} else {
		for i := range s.leads {
			for _, lead := range s.leads[i].sought { // they are for texts as they are
				f.everywhere(lead.list)
			}
		}
		text = string(appendFolded(nil, text))
	}
	if s.ascii != nil {
		s.ascii.scan(text, exact, f)
	}
	if s.beyond != nil && !(exact && f.measure(text, false).wide == 0) {
		s.beyond.scan(text, exact, f)
	}
	return exact
}

// candidates yields, in their order, the patterns that may be in a text by what was found.
func (s *Set) candidates(f *found) iter.Seq[*pattern] {
	return func(yield func(*pattern) bool) {
		for i, lists := range f.lists {
			for rest := lists | s.unsought[i]; rest != 0; rest &= rest - 1 {
				n := 64*i + bits.TrailingZeros64(rest)
				if n >= len(s.patterns) {
					return // the other lists are second ones
				}
				if p := &s.patterns[n]; (p.also == 0 || f.has(p.also)) && !yield(p) {
					return
				}
			}
		}
	}
}

// try searches a text for one pattern, in the way that suits it. exact says that
// the places of its needles are places in text.
func (s *Set) try(r *Run, p *pattern, text string, exact bool) (slow bool) {
	most := p.most - r.before(p)
	var first string
	var n int
	var loc []int
	switch {
	case p.linear != nil && p.sought && exact && !r.found.anywhere[p.index]:
		windows := s.windows(r, p, text)
		if most > 1 {
			first, n = p.count(text, windows, most)
		} else {
			loc, slow = p.near(text, windows, r.late)
		}
	case p.linear != nil && most == 1 && p.reach <= maxReach && p.begins:
		loc, slow = p.near(text, []window{{0, min(len(text), p.size.in(r.found.measure(text, false))+margin)}}, r.late)
	case p.linear != nil && most == 1 && p.reach <= maxReach:
		loc, slow = p.along(text, window{0, len(text)}, r.late)
	default:
		first, n, slow = p.engine.search(text, most, r.limits.Pattern)
	}
	if loc != nil {
		first, n = text[loc[0]:loc[1]], 1
	}
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
	// All is for all patterns on all texts together. The search for literals, which is
	// the same work whatever the text says, does not count.
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
	// Of the pattern at hand:
	began time.Time
	late  clock // its time is up
	// Its windows: around needles of one list, of another, and what is in both.
	windows, others, both []window
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
func NewRun(limits Limits, now func() time.Time) *Run {
	r := &Run{limits: limits, now: now}
	r.late = func() bool { return limits.Pattern > 0 && now().Sub(r.began) > limits.Pattern }
	return r
}

// Reset makes r as new, but keeps its memory, for the next message.
func (r *Run) Reset() {
	clear(r.done)
	clear(r.Hits) // they hold the text of the message
	r.Hits, r.Slow, r.Unfinished, r.spent = r.Hits[:0], r.Slow[:0], r.Unfinished[:0], 0
}

// before returns how many matches of a pattern were found already.
func (r *Run) before(p *pattern) int {
	if p.most > 1 {
		for i := range r.Hits {
			if r.Hits[i].ID == p.id {
				return r.Hits[i].Count
			}
		}
	}
	return 0
}

// hit notes matches of a pattern in one text.
func (r *Run) hit(p *pattern, first string, n int) {
	i := slices.IndexFunc(r.Hits, func(h Hit) bool { return p.most > 1 && h.ID == p.id })
	if i < 0 {
		i = len(r.Hits)
		r.Hits = append(r.Hits, Hit{ID: p.id, Text: first})
	}
	if r.Hits[i].Count += n; r.Hits[i].Count >= p.most {
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
