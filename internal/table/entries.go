package table

import (
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"milterd/internal/strictyaml"
)

// Entries is a table in a configuration file: a list of entries, or the path of
// a file that holds them, relative to the file in which it stands.
//
//	sender: [alice@example.org, .example.net, 192.0.2.0/24]
//	sender: maps/partners.txt
type Entries struct {
	list *Table
	path string
	node *strictyaml.Node
}

// DecodeYAML implements [strictyaml.Decoder].
func (e *Entries) DecodeYAML(n *strictyaml.Node) error {
	read := Entries{node: n}
	switch n.Kind() {
	case strictyaml.List:
		read.list = empty()
		var errs strictyaml.Errors
		for i := range n.Len() {
			item := n.Item(i)
			text, ok := item.Text()
			if !ok {
				errs.Add(item.Expected("an address, a domain, a .domain or a network"))
			} else if err := read.list.add(text); err != nil {
				errs.Add(item.Errorf("%w", err))
			}
		}
		if err := errs.Err(); err != nil {
			return err
		}
		read.list.sort()
	case strictyaml.Scalar:
		var path strictyaml.Path
		if err := path.DecodeYAML(n); err != nil {
			return err
		}
		read.path = string(path)
	default:
		return n.Expected("a list of entries, or the path of a file that holds them")
	}
	*e = read
	return nil
}

// IsZero reports whether nothing was given.
func (e *Entries) IsZero() bool { return e.list == nil && e.path == "" }

// Path returns where the file is; empty for a list.
func (e *Entries) Path() string { return e.path }

// Tables gives the table as it is now; nil holds nothing.
type Tables interface{ Table() *Table }

// Open reads the file, where there is one, and follows it as [Open] says; a list
// stays as it is. Zero Entries give nil.
func (e *Entries) Open(now func() time.Time, logger *slog.Logger) (Tables, error) {
	switch {
	case e.path != "":
		f, err := Open(e.path, now, logger)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, e.node.Errorf("%s is not there, expected a file of entries", e.path)
		}
		if err != nil {
			return nil, err
		}
		return f, nil
	case e.list != nil:
		return Fixed(e.list), nil
	}
	return nil, nil
}

// Fixed gives a table that stays as it is.
func Fixed(t *Table) Tables { return fixed{t} }

type fixed struct{ table *Table }

func (f fixed) Table() *Table { return f.table }
