// Package complexity asks of a parser whether its work grows in line with what it
// reads. For tests only.
//
// What a stranger sends is read by dozens of parsers, and one in which twice as
// many bytes are four times the work is a way to stop the mail with a message of
// ordinary size: DKIM tags, encoded words, nested comments have all been such in
// other programs. So every [Parser] is fed with the texts that make bad ones slow
// ([Shapes], and its own) at two sizes, and the CPU time of both is compared. Linear
// work gives the ratio of the sizes, 4; n·log n about 4.7; quadratic work 16.
//
// CPU time, not the clock on the wall, so that a busy machine spoils little; and
// the smallest of several measurements, since whatever disturbs makes them larger.
// Even so a ratio is nothing to hold every run of the tests to. [Check] holds them
// to a bound that no sound parser comes near, and to the ratio where
// MILTERD_COMPLEXITY is set ("make complexity").
package complexity

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/race"

	"golang.org/x/sys/unix"
)

const (
	// Small and Large are the sizes that are compared, in bytes.
	Small, Large = 16 << 10, 64 << 10

	// growth is how many times the work of Small may be needed for Large.
	growth = 6
	// bound is the CPU time that Large may take. Most parsers take a few
	// milliseconds; quadratic ones need seconds.
	bound = 500 * time.Millisecond

	// negligible is the CPU time for a byte below which nothing is compared: making
	// the input takes some of it, and what is quadratic takes far more.
	negligible = 16 * time.Nanosecond

	// sample is how long a measurement runs at least: the work is repeated, so that
	// what is measured is long beside what disturbs it.
	sample = 2 * time.Millisecond
	// tries is how often a ratio above growth is measured again. A neighbour on the
	// same core may spoil several measurements, not all of them.
	tries = 12
)

// A Parser is what is measured.
type Parser struct {
	Name string
	// Frame puts a text where the parser meets it, such as into a field; nil: as
	// it is.
	Frame func(text string) string
	// Shapes are texts that are hard on this parser, beside the common ones or, of
	// the same name, in place of them.
	Shapes map[string]Text
	// Alone leaves the common ones out: the parser is one whose input is not text.
	Alone bool
	// Most is the size above which the parser refuses all, and so the larger of the
	// two sizes; 0: Large.
	Most int
	// Run does the work.
	Run func(input string)
}

// Check measures parsers on all shapes, in a subtest each.
func Check(t *testing.T, parsers ...Parser) {
	t.Helper()
	if race.Enabled {
		t.Skip("the race detector makes the same work ten times as long")
	}
	compare := os.Getenv("MILTERD_COMPLEXITY") != ""
	for i := range parsers {
		p := &parsers[i]
		t.Run(p.Name, func(t *testing.T) {
			shapes := map[string]Text{}
			if !p.Alone {
				shapes = Shapes()
			}
			maps.Copy(shapes, p.Shapes)
			large := cmp.Or(p.Most, Large)
			slowest, longest := "", time.Duration(0)
			for _, name := range slices.Sorted(maps.Keys(shapes)) {
				if compare {
					if problem := p.compare(shapes[name], large/(Large/Small), large); problem != "" {
						t.Errorf("%s: %s", name, problem)
					}
					continue
				}
				input := p.input(shapes[name], large)
				took := p.once(input)
				for try := 1; took > bound && try < 3; try++ {
					took = min(took, p.once(input))
				}
				if took > bound {
					t.Errorf("%s: %d bytes take %v of CPU time, expected at most %v", name, large, took, bound)
				}
				if took > longest {
					slowest, longest = name, took
				}
			}
			if !compare {
				t.Logf("%d shapes of %d bytes, the slowest, %s, takes %v of CPU time", len(shapes), large, slowest, longest)
			}
		})
	}
}

func (p *Parser) input(shape Text, size int) string {
	text := shape(size)
	if p.Frame != nil {
		text = p.Frame(text)
	}
	return text
}

// compare measures both sizes until the ratio is in order, and says what is wrong
// when it never is.
func (p *Parser) compare(shape Text, small, large int) string {
	short, long := p.input(shape, small), p.input(shape, large)
	var one, four time.Duration
	for try := range tries {
		one, four = best(one, p.measure(short), try), best(four, p.measure(long), try)
		if four <= growth*one && four <= bound || four <= time.Duration(large)*negligible {
			return ""
		}
	}
	return fmt.Sprintf("%d bytes take %v of CPU time, %d bytes %v: %.1f times as long, expected at most %d", small, one, large, four, float64(four)/float64(one), growth)
}

func best(before, now time.Duration, try int) time.Duration {
	if try == 0 {
		return now
	}
	return min(before, now)
}

// measure gives the CPU time of one run, by as many as make a sample. Nothing is
// collected meanwhile: when that falls due has nothing to do with the parser.
func (p *Parser) measure(input string) time.Duration {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	took := p.once(input)
	for n := 1; took < sample; {
		n = max(2*n, int(int64(n)*int64(sample)/int64(max(took, time.Microsecond))))
		began := cpu()
		for range n {
			p.Run(input)
		}
		if took = cpu() - began; took >= sample {
			return took / time.Duration(n)
		}
	}
	return took
}

func (p *Parser) once(input string) time.Duration {
	began := cpu()
	p.Run(input)
	return cpu() - began
}

// cpu is the CPU time of this process so far, on all its threads: a server that is
// measured works on several.
func cpu() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		panic(err) // a Linux without that clock
	}
	return time.Duration(now.Nano())
}

// A Text makes an input of about size bytes.
type Text = func(size int) string

// Repeat is a piece again and again.
func Repeat(piece string) Text {
	return func(size int) string { return strings.Repeat(piece, max(1, size/len(piece))) }
}

// After is a piece again and again behind something that changes what it means.
func After(begin, piece string) Text {
	return func(size int) string { return begin + Repeat(piece)(size) }
}

// Nest is a depth: what opens, then what closes as often.
func Nest(begin, end string) Text {
	return func(size int) string {
		n := max(1, size/(len(begin)+len(end)))
		return strings.Repeat(begin, n) + strings.Repeat(end, n)
	}
}

// Shapes are the texts on which every parser is measured: what the formats of mail
// open and never close, close and never opened, separate nothing with, escape, fold,
// and nest; and plain text, in words and without.
func Shapes() map[string]Text {
	all := map[string]Text{
		"nested comments": Nest("(", ")"), "nested brackets": Nest("[", "]"), "nested braces": Nest("{", "}"), "nested angles": Nest("<", ">"),
		"numbers rising": rising, "words all different": different,
	}
	for _, piece := range []string{
		"(", ")", "() ", "(a) ", "<", ">", "<>", "[", "]", "{", "}", "\"", "\"\" ", "\"\\", "\\", "'", "`", ";", ";;=", ",", ", ,", ":", "::", "@", "@,", ".", "..",
		"/", "//", "*", "%", "%41", "&", "&#", "&amp;", "=", "==", "=?", "?=", "=?=?=?", "=?utf-8?q?a?= ", "=?utf-8?b?YQ==?=\n ", "=?a?q?", "=\n", "=41", "#", "!", "$", "^", "|", "~", "-", "--", "_", "+", "+AGE-",
		"a=b;", "a=b; ", "a = (x) b ; ", "a;b=c", "a*0*=b;", "a,", "a@b.test, ", "<a@b.test>, ", "\"a\" <a@b.test>,", "a@", "a.", "a ", "a", "é", "ß", "\u212a", "\u200b", "\xff", "\xe2\x80", "\x00", "\x1b[31m",
		" ", "\t", " \t", "\n", "\r", "\r\n", "\n ", "\r\n ", "\r\n\t", "a\n", "a: b\n", "a: b\r\n", "\n\n", "--b\n", "\n--b\n", "From \n", ">From ",
		"http://", "http://a", "http://a.test/ ", "www.", "a.test ", "xn--", "1.2.3.4 ", "0", "1", "127.0.0.1,",
	} {
		all[fmt.Sprintf("%q again and again", piece)] = Repeat(piece)
	}
	return all
}

// rising is names and values that all differ, as tags and parameters have them.
func rising(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "a%d=%d; ", i, i)
	}
	return b.String()
}

// different is words none of which is there twice.
func different(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "w%dx.test ", i)
	}
	return b.String()
}
