package main

import (
	"fmt"
	"slices"
	"strings"

	"milterd/internal/journal"
	"milterd/internal/mailbox"
	"milterd/message"
)

// comparison is a message on which two configurations disagree.
type comparison struct {
	File   string          `json:"file"`
	Before *journal.Record `json:"before"`
	After  *journal.Record `json:"after"`
}

// differs reports whether a message would be treated otherwise: another action,
// or another one if the mode allowed it.
func (c *comparison) differs() bool {
	return c.Before.Action != c.After.Action || c.Before.Would != c.After.Would
}

// String says what changes, and which findings make the change.
func (c *comparison) String() string {
	return fmt.Sprintf("%s: %s (%.1f) -> %s (%.1f)%s", safe(c.File), verdictWords(c.Before), c.Before.Score,
		verdictWords(c.After), c.After.Score, c.reasons())
}

// reasons lists the findings that weigh otherwise, the heaviest change first.
func (c *comparison) reasons() string {
	points := map[string]float64{}
	var names []string
	tally := func(findings []message.Finding, sign float64) {
		for _, f := range findings {
			if _, seen := points[f.Name]; !seen {
				names = append(names, f.Name)
			}
			points[f.Name] += sign * f.Score
		}
	}
	tally(c.Before.Findings, -1)
	tally(c.After.Findings, 1)
	names = slices.DeleteFunc(names, func(name string) bool { return abs(points[name]) < 0.005 })
	slices.SortStableFunc(names, func(a, b string) int {
		switch {
		case abs(points[a]) > abs(points[b]):
			return -1
		case abs(points[a]) < abs(points[b]):
			return 1
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	for i, name := range names {
		if i == maxReasons {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		fmt.Fprintf(&b, " %s %+.1f", name, points[name])
	}
	if b.Len() == 0 {
		return ", by other thresholds or modes"
	}
	return ":" + b.String()
}

// maxReasons is how many findings a line names.
const maxReasons = 6

func abs(x float64) float64 { return max(x, -x) }

// compare scans every message under two configurations and shows those that the
// second would treat otherwise. It ends with 1 if there is one.
func (c *scanCmd) compare(g *globals) error {
	before, err := c.open(g)
	if err != nil {
		return err
	}
	defer before.close()
	other := *g
	other.Config = c.Compare
	after, err := c.open(&other)
	if err != nil {
		return err
	}
	defer after.close()

	total, changed, unreadable := 0, 0, false
	err = c.each(g, func(m mailbox.Message) error {
		both := comparison{File: m.Name}
		var err error
		if both.Before, err = before.scan(m); err == nil {
			both.After, err = after.scan(m)
		}
		if err != nil {
			unreadable = true
			return c.printError(g, m.Name, err)
		}
		total++
		if !both.differs() {
			return nil
		}
		changed++
		if c.JSON {
			return writeJSON(g, &both)
		}
		_, err = fmt.Fprintln(g.stdout, &both)
		return err
	})
	switch {
	case err != nil:
		return err
	case !c.JSON:
		fmt.Fprintf(g.stdout, "%d of %d messages would be treated otherwise\n", changed, total)
	}
	return c.ended(unreadable, changed > 0)
}
