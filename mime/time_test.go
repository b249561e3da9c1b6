package mime_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/mime"
)

// ticking is a clock that goes on by a step with each look at it.
type ticking struct {
	at    time.Time
	step  time.Duration
	looks int
}

func (c *ticking) Now() time.Time {
	c.looks++
	c.at = c.at.Add(c.step)
	return c.at
}

// newTicking returns a clock that stands still.
func newTicking() *ticking { return &ticking{at: time.Unix(1_800_000_000, 0)} }

// everything asks a tree for all there is, and returns it as one text, with the facts of all.
func everything(tree *mime.Tree) (all string, found mime.Facts) {
	var b strings.Builder
	found = tree.Facts
	b.WriteString(outline(tree.Root))
	for _, p := range tree.Parts {
		content, facts := p.Content()
		b.Write(content)
		found |= facts
	}
	visible, facts := tree.VisibleText()
	hidden, _ := tree.HiddenText()
	b.WriteString(visible + hidden)
	urls, more := tree.URLs()
	for i := range urls {
		b.WriteString(urls[i].Raw)
	}
	return b.String(), found | facts | more
}

// In time, all is as if there were no clock.
func TestInTime(t *testing.T) {
	const size = 64 << 10
	for _, name := range slices.Sorted(maps.Keys(bombs)) {
		message := []byte(bombs[name](size))
		clock := newTicking()
		all, found := everything(mime.WalkMessage(message, mime.Limits{Clock: clock}))
		if found.Has(mime.LimitTime) {
			t.Errorf("%s: no time passed, and it was too much", name)
		}
		if same, untimed := everything(mime.WalkMessage(message, mime.Limits{})); same != all || untimed != found {
			t.Errorf("%s: %v with a clock, %v without", name, found, untimed)
		}
	}
}

// What is soon done is done without a look at the clock.
func TestShortMessage(t *testing.T) {
	clock := newTicking()
	everything(mime.WalkMessage(threeParts, mime.Limits{Clock: clock}))
	if clock.looks > 0 {
		t.Errorf("%d looks at the clock for %d bytes", clock.looks, len(threeParts))
	}
}

// When the time is up, all that is not done ends, says so, and the clock is looked at no more. The tree is one all the same.
func TestTimeIsUp(t *testing.T) {
	const size = 64 << 10
	stopped := 0
	for _, name := range slices.Sorted(maps.Keys(bombs)) {
		message := []byte(bombs[name](size))
		whole, _ := everything(mime.WalkMessage(message, mime.Limits{}))
		for _, ticks := range []int{1, 4} {
			clock := newTicking()
			clock.step = time.Millisecond
			limits := defaults
			limits.Clock, limits.Time = clock, time.Duration(ticks)*clock.step
			tree := mime.WalkMessage(message, limits)
			check(t, tree, limits)
			all, found := everything(tree)
			if tree.Late() {
				stopped++
			}
			if found.Has(mime.LimitTime) != tree.Late() {
				t.Errorf("%s, %d ticks: facts %v, late %t", name, ticks, found, tree.Late())
			}
			// One look begins each piece of work: the walk, and what is asked for.
			if most := ticks + 2 + 3*len(tree.Parts); clock.looks > most {
				t.Errorf("%s, %d ticks: %d looks, want at most %d", name, ticks, clock.looks, most)
			}
			if len(all) > len(whole)+len(message) {
				t.Errorf("%s, %d ticks: %d bytes of text, and %d with all the time there is", name, ticks, len(all), len(whole))
			}
			looks := clock.looks
			again, _ := everything(tree)
			if again != all || clock.looks != looks {
				t.Errorf("%s, %d ticks: other text when asked again, or more looks", name, ticks)
			}
		}
	}
	if stopped < len(bombs)/2 { // some are soon done: a tag that never ends is none
		t.Errorf("the time was up %d times: little is proved", stopped)
	}
}

// Each kind of work looks at the clock once for 32 KiB at the least, stops by itself, and what comes after it is not begun.
func TestTimeIsUpIn(t *testing.T) {
	const size = 128 << 10
	encoded := func(encoding, text string) string {
		return "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: " + encoding + "\n\n" + text
	}
	for name, message := range map[string]string{
		"the walk":         mixed + strings.Repeat("--b\n\nx\n", size/7),
		"a header":         strings.Repeat("A: b\n", size/5) + "\nx",
		"a broken header":  "Content-Type: a/b\njunk\n" + strings.Repeat("junk\n", size/5) + "Content-Type: a/b\n\nx",
		"base64":           encoded("base64", strings.Repeat(strings.Repeat("QUFB", 19)+"\n", size/77)),
		"one line":         encoded("base64", strings.Repeat("QUFB", size/4)),
		"quoted-printable": encoded("quoted-printable", strings.Repeat("one line of it=\n", size/16)),
		"equals signs":     encoded("quoted-printable", strings.Repeat("=41", size/3)),
		"ISO-2022-JP":      "Content-Type: text/plain; charset=iso-2022-jp\n\n" + strings.Repeat("\x1b$B$3$s\x1b(B ", size/11),
		"Windows-1252":     "Content-Type: text/plain; charset=windows-1252\n\n" + strings.Repeat("caf\xe9 ", size/5),
		"UTF-7":            "Content-Type: text/plain; charset=utf-7\n\n" + strings.Repeat("caf+AOk- ", size/9),
		"HTML":             html + strings.Repeat("<p>hello</p> ", size/13),
		"a tag":            html + "<p " + strings.Repeat("a=b ", size/4) + ">hello",
		"classes":          html + "<style>.a{color:red}</style><p class='" + strings.Repeat("a ", size/2) + "'>hello",
		"a sheet":          html + "<style>" + strings.Repeat(".a{color:red}", size/13) + "</style>hello",
		"links":            html + strings.Repeat("<a href=http://a.test/>x</a> ", size/28),
		"URLs":             "\n" + strings.Repeat("http://a.test/b ", size/16),
		"dots":             "\n" + strings.Repeat(". ", size/2),
		"plain text":       "\n" + strings.Repeat("word  ", size/6),
	} {
		t.Run(name, func(t *testing.T) {
			clock := newTicking()
			limits := mime.Limits{Clock: clock, Parts: 1 << 20, URLs: 1 << 20}
			everything(mime.WalkMessage([]byte(message), limits))
			most := clock.looks
			if least := len(message) / (32 << 10); most < least {
				t.Errorf("%d looks at the clock in %d bytes, want %d", most, len(message), least)
			}
			stopped := map[string]bool{}
			for ticks := 1; ; ticks *= 2 {
				if ticks > 4*most {
					t.Fatal("the time is always up")
				}
				clock := newTicking()
				clock.step = time.Second
				limits.Clock, limits.Time = clock, time.Duration(ticks)*clock.step
				tree := mime.WalkMessage([]byte(message), limits)
				inWalk := tree.Late()
				if inWalk != tree.Facts.Has(mime.LimitTime) {
					t.Fatalf("%d ticks: late %t, facts %v", ticks, inWalk, tree.Facts)
				}
				visible, shows := tree.VisibleText()
				inText := tree.Late()
				if inText && !inWalk && !shows.Has(mime.LimitTime) {
					t.Fatalf("%d ticks: late in the text, facts %v", ticks, shows)
				}
				urls, leads := tree.URLs()
				switch {
				case inWalk:
					stopped["walk"] = true
					if tree.Root.IsText() && visible != "" && len(tree.Root.Raw) > 16<<10 {
						t.Fatalf("%d ticks: %d bytes of text after the time was up", ticks, len(visible))
					}
				case inText:
					stopped["text"] = true
					if len(urls) > 0 || !leads.Has(mime.LimitTime) {
						t.Fatalf("%d ticks: %d URLs after the time was up, facts %v", ticks, len(urls), leads)
					}
				case tree.Late():
					stopped["URLs"] = true
					if !leads.Has(mime.LimitTime) {
						t.Fatalf("%d ticks: facts %v", ticks, leads)
					}
				default:
					if len(stopped) == 0 {
						t.Error("the time is never up")
					}
					return
				}
			}
		})
	}
}

// What passes while nobody works on the tree is not its time.
func TestTimeOfOthers(t *testing.T) {
	clock := newTicking()
	tree := mime.WalkMessage([]byte(html+strings.Repeat("<p>hello</p> http://a.test/ ", 10_000)), mime.Limits{Clock: clock, Time: time.Second})
	for _, work := range []func() mime.Facts{
		func() mime.Facts { _, found := tree.Root.Content(); return found },
		func() mime.Facts { _, found := tree.Root.Text(); return found },
		func() mime.Facts { _, found := tree.VisibleText(); return found },
		func() mime.Facts { _, found := tree.URLs(); return found },
	} {
		clock.at = clock.at.Add(time.Hour)
		if found := work(); found.Has(mime.LimitTime) || tree.Late() {
			t.Errorf("facts %v, late %t", found, tree.Late())
		}
	}
	if clock.looks < 4 {
		t.Errorf("%d looks at the clock: nothing is proved", clock.looks)
	}
}
