package mime

import "slices"

// maxOpen is how many elements may be open at once, as in browsers.
const maxOpen = 512

// element is an element that is open. What ends it is found without looking at
// all of those in it: a mail can have many end tags that end nothing.
type element struct {
	name string
	kind tag
	look look // of what is in it
	same int  // where the next one outside has the same name; -1 for none
	// Where, here or outside, are elements beyond which some end tags do not
	// reach; -1 for nowhere.
	scope, table, list, special int
}

// elements are those open at one place of a source, the innermost last.
//
// It follows the rules of HTML for which element an end tag closes (HTML
// standard, section 13.2.6.4.7) as far as they matter here: text must not become
// hidden or visible by a tag that closes nothing in a browser.
type elements struct {
	open []element
	last map[string]int // where the innermost of each name is, plus one
	deep int            // how many more are open than are kept
}

// look returns how text shows here.
func (e *elements) look() look {
	if n := len(e.open); n > 0 {
		return e.open[n-1].look
	}
	return paper
}

// lookFor returns how an element would show here; the empty name is for text.
// What may not stand between the cells of a table stands in front of it (HTML
// standard, section 13.2.6.1, foster parenting).
func (e *elements) lookFor(name string) look {
	n := len(e.open)
	if n == 0 || !betweenCells(e.open[n-1].name) || ofTable(name) || name == "form" || name == "template" {
		return e.look()
	}
	if table := e.open[n-1].table; table > 0 {
		return e.open[table-1].look
	}
	return paper
}

// betweenCells says whether what is right inside an element is in a table and
// in none of its cells.
func betweenCells(name string) bool {
	switch name {
	case "table", "tr", "tbody", "thead", "tfoot":
		return true
	}
	return false
}

// push opens an element; it says whether it was kept.
func (e *elements) push(name string, kind tag, l look) bool {
	if len(e.open) == maxOpen {
		e.deep++
		return false
	}
	e.add(name, kind, l)
	return true
}

func (e *elements) add(name string, kind tag, l look) {
	if e.last == nil {
		e.last = make(map[string]int)
	}
	at := len(e.open)
	added := element{name: name, kind: kind, look: l, same: e.innermost(name), scope: -1, table: -1, list: -1, special: -1}
	if at > 0 {
		outside := &e.open[at-1]
		added.scope, added.table, added.list, added.special = outside.scope, outside.table, outside.list, outside.special
	}
	if kind.has(scope) {
		added.scope = at
	}
	if kind.has(special) {
		added.special = at
	}
	switch name {
	case "table":
		added.table = at
	case "ul", "ol":
		added.list = at
	}
	e.open = append(e.open, added)
	e.last[counted(name)] = at + 1
}

// innermost returns where the innermost open element of a name is; -1 if there is
// none.
func (e *elements) innermost(name string) int { return e.last[counted(name)] - 1 }

// cut closes the element at i and all inside it.
func (e *elements) cut(i int) {
	for j := len(e.open) - 1; j >= i; j-- {
		e.last[counted(e.open[j].name)] = e.open[j].same + 1
	}
	e.open = e.open[:i]
	e.deep = 0
}

// pop closes the element that an end tag names, if it may.
func (e *elements) pop(name string, kind tag) {
	if e.deep > 0 {
		e.deep-- // nobody knows which it was
		return
	}
	at := e.innermost(name)
	if at < 0 {
		return
	}
	inside := &e.open[len(e.open)-1]
	switch {
	case ofTable(name) && at < inside.table,
		!ofTable(name) && at < inside.scope,
		name == "li" && at < inside.list,
		!kind.has(special) && !kind.has(formatting) && at < inside.special:
		return
	}
	if !kind.has(formatting) || inside.special < at {
		e.cut(at)
		return
	}
	// A block is open in it. It stays, without the formatting around it.
	rest := slices.Clone(e.open[at+1:])
	e.cut(at)
	for i := range rest {
		e.add(rest[i].name, rest[i].kind, rest[i].look)
	}
}

// isHeading says whether an element is a heading; any ends any.
func isHeading(name string) bool {
	return len(name) == 2 && name[0] == 'h' && name[1] >= '1' && name[1] <= '6'
}

// counted returns the name under which an element is counted.
func counted(name string) string {
	if isHeading(name) {
		return "h1"
	}
	return name
}

// ofTable says whether an end tag reaches out of the cells of a table.
func ofTable(name string) bool {
	switch name {
	case "table", "tr", "td", "th", "tbody", "thead", "tfoot", "caption", "body", "html":
		return true
	}
	return false
}

// impliedEnds closes the elements that a start tag ends: a paragraph before a
// block, an item of a list before the next one.
func (e *elements) impliedEnds(name string, kind tag) {
	if kind.has(closesP) {
		e.end(e.around().scope, "p")
	}
	switch name {
	case "h1", "h2", "h3", "h4", "h5", "h6":
		if n := len(e.open); n > 0 && isHeading(e.open[n-1].name) {
			e.cut(n - 1)
		}
	case "li":
		e.end(max(e.around().scope, e.around().list), "li")
	case "dd", "dt":
		e.end(max(e.around().scope, e.innermost("dl")), "dd", "dt")
	case "option":
		e.end(max(e.around().scope, e.innermost("select")), "option")
	case "td", "th":
		e.end(max(e.around().table, e.innermost("tr")), "td", "th")
	case "tr":
		e.end(e.around().table, "td", "th", "tr")
	case "tbody", "thead", "tfoot":
		e.end(e.around().table, "td", "th", "tr", "tbody", "thead", "tfoot")
	case "a":
		e.pop(name, kind)
	}
}

// around returns the innermost element.
func (e *elements) around() element {
	if n := len(e.open); n > 0 {
		return e.open[n-1]
	}
	return element{scope: -1, table: -1, list: -1, special: -1}
}

// end closes the outermost of the innermost elements of these names that are
// inside the one at stop.
func (e *elements) end(stop int, names ...string) {
	found := len(e.open)
	for _, name := range names {
		if at := e.innermost(name); at > stop {
			found = min(found, at)
		}
	}
	if found < len(e.open) {
		e.cut(found)
	}
}
