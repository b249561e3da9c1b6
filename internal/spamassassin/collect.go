package spamassassin

import (
	"fmt"
	"strconv"
	"strings"
)

// Note is one thing of the files that was not carried, or not as it was.
type Note struct {
	Pos  Pos
	What string // the rule or the setting
	Why  string
}

// collector is what the lines of the files come to.
type collector struct {
	rules map[string]*definition
	order []string

	tags         tags
	replaceRules map[string]bool

	required *float64
	networks []string        // of trusted_networks and internal_networks
	lists    map[list][]glob // welcomelist_from and its family
	notes    []Note
	settings map[string]int // lines of each setting that is not carried
	first    map[string]Pos // where it first stands
}

func newCollector() *collector {
	return &collector{
		rules: map[string]*definition{}, replaceRules: map[string]bool{}, tags: newTags(), lists: map[list][]glob{},
		settings: map[string]int{}, first: map[string]Pos{},
	}
}

func (c *collector) note(pos Pos, what, why string) {
	c.notes = append(c.notes, Note{pos, what, why})
}

// rule returns the rule of a name, which may have a score or a flag before it has
// a definition.
func (c *collector) rule(name string) *definition {
	d := c.rules[name]
	if d == nil {
		d = &definition{name: name}
		c.rules[name] = d
		c.order = append(c.order, name)
	}
	return d
}

// line takes in one line.
func (c *collector) line(l line) {
	switch l.key {
	case "header", "body", "rawbody", "uri", "full", "mimeheader", "meta":
		c.define(l)
	case "describe":
		if name, text, _ := cutSpace(l.rest); goodName(name) {
			c.rule(name).describe = text
		}
	case "tflags":
		if words := strings.Fields(l.rest); len(words) > 0 && goodName(words[0]) {
			c.rule(words[0]).flags = words[1:]
		}
	case "score":
		c.score(l)
	case "replace_rules":
		for _, name := range strings.Fields(l.rest) {
			c.replaceRules[name] = true
		}
	case "replace_tag", "replace_pre", "replace_inter", "replace_post", "replace_start", "replace_end":
		c.tags.line(l)
	case "required_score", "required_hits":
		points, err := strconv.ParseFloat(l.rest, 64)
		if err != nil || points <= 0 || points > 1000 {
			c.note(l.pos, l.key, fmt.Sprintf("%q, expected points above 0", l.rest))
			return
		}
		c.required = &points
	case "trusted_networks", "internal_networks":
		c.networks = append(c.networks, strings.Fields(l.rest)...)
	case "clear_trusted_networks", "clear_internal_networks":
		c.networks = nil
	default:
		if c.listLine(l) {
			return
		}
		if c.settings[l.key]++; c.settings[l.key] == 1 {
			c.first[l.key] = l.pos
		}
	}
}

// goodName says whether SpamAssassin takes a name for a rule's.
func goodName(name string) bool {
	for i := range len(name) {
		if !isWord(name[i]) {
			return false
		}
	}
	return name != "" && (name[0] < '0' || name[0] > '9')
}

// define takes in a rule. One of a name that is there already replaces what that
// one looks at, and leaves score, flags and description.
func (c *collector) define(l line) {
	name, text, _ := cutSpace(l.rest)
	if !goodName(name) {
		c.note(l.pos, l.key, fmt.Sprintf("%.40q is no name of a rule", name))
		return
	}
	d := definition{name: name, pos: l.pos, kind: Kind(l.key)}
	var err error
	if call, ok := strings.CutPrefix(text, "eval:"); ok && d.kind != Meta {
		d.kind, d.of, d.call = Eval, Kind(l.key), strings.TrimSpace(call)
	} else {
		switch d.kind {
		case Meta:
			if d.meta = text; text == "" {
				err = fmt.Errorf("an empty expression")
			}
		case Header, MIMEHeader:
			err = d.parseHeader(text)
		default:
			err = d.parseText(text)
		}
	}
	if err != nil {
		c.note(l.pos, name, "cannot be read: "+err.Error())
		return
	}
	had := c.rule(name)
	d.describe, d.flags, d.scores = had.describe, had.flags, had.scores
	*had = d
}

// score takes in one score or four. In parentheses they are added to what is there.
func (c *collector) score(l line) {
	words := strings.Fields(l.rest)
	if len(words) != 2 && len(words) != 5 || !goodName(words[0]) {
		c.note(l.pos, "score", fmt.Sprintf("%.60q, expected the name of a rule and one score or four", l.rest))
		return
	}
	d := c.rule(words[0])
	var scores []float64
	for i, word := range words[1:] {
		inner, relative := strings.CutPrefix(word, "(")
		points, err := strconv.ParseFloat(strings.TrimSuffix(inner, ")"), 64)
		if err != nil {
			c.note(l.pos, words[0], fmt.Sprintf("%.20q is no score", word))
			return
		}
		if relative {
			points += d.score(i)
		}
		scores = append(scores, points)
	}
	d.scores = scores
}

// Column is which of four scores counts.
type Column int

// The columns: SpamAssassin has a set of scores for each combination of what it
// may use.
const (
	Local         Column = 0
	Network       Column = 1
	Bayes         Column = 2
	BayesAndNet   Column = 3
	columnsOfFour        = 4
)

// score returns the points in a column; where there are none, what SpamAssassin
// gives a rule without.
func (d *definition) score(column int) float64 {
	switch {
	case len(d.scores) == columnsOfFour:
		return d.scores[column]
	case len(d.scores) > 0:
		return d.scores[0]
	case strings.HasPrefix(d.name, "__"):
		return 0
	case strings.HasPrefix(d.name, "T_"):
		return 0.01
	case d.has("nice"):
		return -1
	}
	return 1
}

// off says whether SpamAssassin does not even run the rule: it has a score, and
// that is 0.
func (d *definition) off(column int) bool {
	return !strings.HasPrefix(d.name, "__") && len(d.scores) > 0 && d.score(column) == 0
}
