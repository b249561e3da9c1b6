package complexity

import (
	"strings"
	"testing"

	"milterd/internal/race"
)

// work spends CPU time in proportion to n.
func work(n int) int {
	sum := 0
	for i := range n {
		sum ^= i * i
	}
	return sum
}

func TestCompare(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector makes the same work ten times as long")
	}
	sink := 0
	for name, c := range map[string]struct {
		run func(string)
		bad bool
	}{
		"linear":    {func(text string) { sink += work(100 * len(text)) }, false},
		"square":    {func(text string) { sink += work(len(text) * len(text) / 64) }, true},
		"next to 0": {func(text string) { sink += work(len(text) * len(text) / (64 << 10)) }, false},
	} {
		p := &Parser{Run: c.run}
		if got := p.compare(Repeat("a"), Small, Large); (got != "") != c.bad {
			t.Errorf("%s: %q", name, got)
		}
	}
	if sink == 0 {
		t.Error("nothing was done")
	}
}

func TestShapes(t *testing.T) {
	all := Shapes()
	all["after"], all["nest"] = After("<style>", "a{"), Nest("<p>", "</p>")
	for name, shape := range all {
		if n := len(shape(Large)); n < Large-20 || n > Large+20 {
			t.Errorf("%s has %d bytes", name, n)
		}
		if shape(1) == "" {
			t.Errorf("%s of one byte is nothing", name)
		}
	}
	if got := Nest("(", ")")(6); got != "((()))" {
		t.Errorf("nested %q", got)
	}
	if got := rising(10); !strings.HasPrefix(got, "a0=0; a1=1; ") {
		t.Errorf("%q", got)
	}
}
