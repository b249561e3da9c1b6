package match

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// An expression need not be tried on a whole text: only around each place where one of
// its needles stands, as far as a match with that needle can be long. Most texts that
// pass the needles are passed over in this way, too, and cost a hundredth.

const (
	// maxReach is up to which length of its matches a long text is searched for an
	// expression in pieces.
	maxReach = 1000
	// margin is left around a window, so that a match in it does not touch its
	// edges: there, the expression would see the end of the text where there is
	// none, or a character cut in two.
	margin = utf8.UTFMax
	// minGap is what windows are apart at least: to begin a search costs as much as so
	// many bytes of it.
	minGap = 128
	// usualRun is what few runs are longer than, in bytes.
	usualRun = 16
	// maxNear is in how many bytes beside a needle runs are measured before they are
	// in all of the text.
	maxNear = 512
	// maxWindow is, in bytes, the piece of a text that is searched before the clock
	// is looked at.
	maxWindow = 16 << 10
)

// runeSize returns the bytes of a character. The replacement character also stands
// for a byte that is no UTF-8, which is shorter.
func runeSize(r rune) int { return max(1, utf8.RuneLen(r)) }

// A window is a piece of a text, with margins.
type window struct{ from, to int }

// windows returns, in order, windows with all matches of a pattern in a text. A match that
// has a needle of each of two lists is in a window of both.
func (s *Set) windows(r *Run, p *pattern, text string) []window {
	r.windows = r.found.windows(r.windows[:0], s.needles, p.index, text)
	if p.also == 0 || r.found.anywhere[p.also] {
		return r.windows
	}
	r.others = r.found.windows(r.others[:0], s.needles, p.also, text)
	r.both = inBoth(r.both[:0], r.windows, r.others)
	return r.both
}

// inBoth appends what is in a and in b, both in order.
func inBoth(to, a, b []window) []window {
	for len(a) > 0 && len(b) > 0 {
		if w := (window{max(a[0].from, b[0].from), min(a[0].to, b[0].to)}); w.from < w.to {
			to = append(to, w)
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return to
}

// windows appends, in order and apart from each other, windows with all places of the
// needles of a list that is there and, around them, the matches in a text of their pattern.
func (f *found) windows(to []window, needles []sought, list int, text string) []window {
	sorted := true
	for n := f.chains[list].first; n >= 0; n = f.places[n].next {
		w := f.window(&f.places[n], needles, text)
		if len(to) > 0 {
			last := &to[len(to)-1]
			if last.from <= w.from && w.from <= last.to+minGap {
				last.to = max(last.to, w.to)
				continue
			}
			sorted = sorted && last.to < w.from
		}
		to = append(to, w)
	}
	if !sorted {
		to = merged(to)
	}
	for i := range to {
		to[i].from = wholeRune(text, to[i].from)
	}
	return to
}

// window returns where the matches are that have a needle at a place.
func (f *found) window(at *place, needles []sought, text string) window {
	s := &needles[at.needle]
	end := int(at.end)
	from := end - int(s.size)
	before := f.most(s.before, text, func(size int) string { return text[max(0, from-size):from] })
	after := f.most(s.after, text, func(size int) string { return text[end:min(len(text), end+size)] })
	return window{max(0, from-before-margin), min(len(text), end+after+margin)}
}

// most returns the bytes in a text of what is on one side of a needle. near returns so many
// bytes of that side, or all.
//
// Runs are measured close by: if what there may be with the longest of so many bytes is
// less than these, it is no more whatever follows.
func (f *found) most(e extent, text string, near func(size int) string) int {
	m := f.measure(text, false)
	if e.runs == 0 || e.bytes >= unbounded {
		return e.in(m)
	}
	m.run = usualRun
	for size := e.in(m); size <= maxNear; size *= 2 {
		piece := near(size)
		m.run = longestRun(piece)
		if e.in(m) < size || len(piece) < size {
			return e.in(m)
		}
	}
	return e.in(f.measure(text, true))
}

// merged sorts windows and joins those that are not apart.
func merged(list []window) []window {
	slices.SortFunc(list, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	n := 0
	for _, w := range list[1:] {
		if w.from <= list[n].to+minGap {
			list[n].to = max(list[n].to, w.to)
			continue
		}
		n++
		list[n] = w
	}
	return list[:n+1]
}

// clock says whether the time for a search is up.
type clock func() bool

// near returns the leftmost match in text, as regexp does, or nil. All matches are in
// the windows. slow says that it gave up.
func (p *pattern) near(text string, windows []window, up clock) (loc []int, slow bool) {
	searched := 0
	for _, w := range windows {
		if w.to-w.from < p.least {
			continue
		}
		if searched > maxWindow {
			if up() {
				return nil, true
			}
			searched = 0
		}
		searched += w.to - w.from
		if p.reach <= maxReach && w.to-w.from > 2*maxWindow {
			loc, slow = p.along(text, w, up)
		} else {
			var sure bool
			if loc, sure = p.within(text, w.from, w.to); !sure {
				return p.linear.index(text), false
			}
		}
		if loc != nil || slow {
			return loc, slow
		}
	}
	return nil, false
}

// count returns the leftmost match in text and how many there are that do not
// overlap, up to most. All are in the windows.
func (p *pattern) count(text string, windows []window, most int) (first string, n int) {
	for _, w := range windows {
		for _, loc := range p.linear.all(text[w.from:w.to], most-n) {
			loc[0] += w.from
			loc[1] += w.from
			if !w.holds(loc, text) {
				first, n, _ = p.linear.search(text, most, 0)
				return first, n
			}
			if n == 0 {
				first = text[loc[0]:loc[1]]
			}
			n++
		}
		if n == most {
			break
		}
	}
	return first, n
}

// along returns the leftmost match that begins in a window of which nothing else is
// known, or nil. It goes piece by piece, so that it can give up.
func (p *pattern) along(text string, w window, up clock) (loc []int, slow bool) {
	if len(text) <= 2*maxWindow {
		return p.linear.index(text), false
	}
	for from := w.from; from < w.to; from += maxWindow {
		if from > w.from && up() {
			return nil, true
		}
		if loc := p.leftmost(text, wholeRune(text, max(0, from-margin)), from+maxWindow+p.reach+margin); loc != nil {
			return loc, false
		}
	}
	return nil, false
}

// leftmost returns the leftmost match in text if it begins in text[from:to]. It
// may reach beyond; nothing matches before.
func (p *pattern) leftmost(text string, from, to int) []int {
	loc, sure := p.within(text, from, min(to, len(text)))
	if loc == nil {
		return nil
	}
	if sure && loc[0]+p.reach+margin > to {
		// Further to the right there may be more of this match, or of one
		// that begins before it.
		loc, sure = p.within(text, from, min(loc[0]+p.reach+margin, len(text)))
	}
	if !sure {
		return p.linear.index(text)
	}
	return loc
}

// within searches text[from:to]. It is not sure of a match at the edges.
func (p *pattern) within(text string, from, to int) (loc []int, sure bool) {
	loc = p.linear.index(text[from:to])
	if loc == nil {
		return nil, true
	}
	loc[0] += from
	loc[1] += from
	return loc, window{from, to}.holds(loc, text)
}

// holds says whether a match in a window does not touch its edges, or they are those
// of the text.
func (w window) holds(loc []int, text string) bool {
	return (w.from == 0 || loc[0] > w.from) && (w.to == len(text) || loc[1] <= w.to-margin)
}

// wholeRune returns i, or where the character begins that i is inside of.
func wholeRune(text string, i int) int {
	for back := range min(utf8.UTFMax, i+1) {
		if utf8.RuneStart(text[i-back]) {
			return i - back
		}
	}
	return i
}
