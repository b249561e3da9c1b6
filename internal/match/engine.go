package match

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/wasilibs/go-re2"
)

// engine searches for one expression. It is for concurrent use. Texts are UTF-8.
type engine interface {
	// search returns the leftmost match and how many there are that do not
	// overlap, up to most. slow says that it gave up, over limit.
	search(text string, most int, limit time.Duration) (first string, n int, slow bool)
}

// linear is an expression in RE2 syntax. It is compiled when it is first needed,
// which for most of the rules of a large set is never.
//
// It is searched for by RE2 itself, which go-re2 has as Go code, no C: where package
// regexp steps through a text with all the states that an expression may be in,
// RE2 builds an automaton as it goes and takes one step for each byte.
// docs/performance.md has the figures.
//
// RE2 takes longer to begin with. So the first few short texts are for package
// regexp: many an expression is never asked again.
type linear struct {
	expr string
	// standard leaves RE2 out: it knows no characters when it looks for a place that
	// is no word boundary, and finds one inside of a character.
	standard bool

	uses  atomic.Int32 // up to fewUses
	first sync.Once
	short *regexp.Regexp

	once sync.Once
	re   finder
}

const (
	fewUses   = 8
	shortText = 512 // bytes
)

// finder is what RE2 and package regexp have in common.
type finder interface {
	FindStringIndex(text string) []int
	FindAllStringIndex(text string, most int) [][]int
}

// insideWords reports whether an expression asks for a place that is no word
// boundary.
func insideWords(re *syntax.Regexp) bool {
	return re.Op == syntax.OpNoWordBoundary || slices.ContainsFunc(re.Sub, insideWords)
}

// get returns what searches a text of so many bytes.
func (l *linear) get(size int) finder {
	if l.standard || size <= shortText && l.uses.Load() < fewUses {
		l.uses.Add(1)
		l.first.Do(func() { l.short = regexp.MustCompile(l.expr) }) // what syntax.Parse takes, it takes
		return l.short
	}
	l.once.Do(func() {
		if re, err := re2.Compile(l.expr); err == nil {
			l.re = re
			return
		}
		l.re = regexp.MustCompile(l.expr)
	})
	return l.re
}

// index returns where the leftmost match is, nil when there is none.
func (l *linear) index(text string) []int { return l.get(len(text)).FindStringIndex(text) }

// all returns where the first matches are that do not overlap, as many as most.
func (l *linear) all(text string, most int) [][]int {
	return l.get(len(text)).FindAllStringIndex(text, most)
}

func (l *linear) search(text string, most int, _ time.Duration) (first string, n int, slow bool) {
	if most == 1 {
		loc := l.index(text)
		if loc == nil {
			return "", 0, false
		}
		return text[loc[0]:loc[1]], 1, false
	}
	all := l.all(text, most)
	if len(all) == 0 {
		return "", 0, false
	}
	return text[all[0][0]:all[0][1]], len(all), false
}

// whole makes a text UTF-8: each byte that is none becomes U+FFFD, as package
// regexp reads it. RE2 would match nothing there, not even a dot.
func whole(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	b := make([]byte, 0, len(text)+64)
	for _, r := range text {
		b = utf8.AppendRune(b, r)
	}
	return string(b)
}
