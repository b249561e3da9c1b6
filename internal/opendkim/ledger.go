package opendkim

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"milterd/message"
)

// A fate is what became of a setting or of an entry of a table.
type fate int

const (
	carried    fate = iota // it is in the YAML
	notNeeded              // milterd does it anyway, or OpenDKIM itself takes no notice
	notCarried             // somebody has to look at it
)

func (f fate) String() string {
	return [...]string{"carried", "not needed", "not carried"}[f]
}

// An item is a setting or an entry, and its fate.
type item struct {
	Pos
	fate fate
	what string // the setting or entry, shortened; never a private key
	why  string
}

// ledger has an item for everything that was read, so that nothing gets lost.
type ledger struct {
	items []item
	notes []string // what the reader should know and no line says
}

func (l *ledger) enter(p Pos, f fate, what, format string, args ...any) {
	l.items = append(l.items, item{p, f, message.SafeText(what, 100), message.SafeText(fmt.Sprintf(format, args...), 500)})
}

func (l *ledger) note(format string, args ...any) {
	l.notes = append(l.notes, message.SafeText(fmt.Sprintf(format, args...), 500))
}

// whole reports whether nothing was left behind.
func (l *ledger) whole() bool {
	return !slices.ContainsFunc(l.items, func(i item) bool { return i.fate == notCarried })
}

// report prints what was not carried, then what is not needed, each in the order
// of the files, then the notes and the counts. What was carried is in the YAML.
func (l *ledger) report() []byte {
	var b bytes.Buffer
	order := map[string]int{}
	for _, i := range l.items {
		if _, ok := order[i.File]; !ok {
			order[i.File] = len(order)
		}
	}
	slices.SortStableFunc(l.items, func(a, b item) int {
		return cmp.Or(cmp.Compare(b.fate, a.fate), cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	var count [3]int
	for _, i := range l.items {
		count[i.fate]++
		if i.fate != carried {
			fmt.Fprintf(&b, "%s: %s: %s: %s\n", message.SafeText(i.Pos.String(), 4200), i.fate, i.what, i.why)
		}
	}
	for _, n := range l.notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	fmt.Fprintf(&b, "%d carried, %d not needed, %d not carried\n", count[carried], count[notNeeded], count[notCarried])
	return b.Bytes()
}

// list joins names for a sentence, the first few of them.
func list(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
