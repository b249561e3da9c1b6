package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxErrors is how many errors one decoding collects: nobody reads more, and a hostile file must not make millions.
const maxErrors = 100

// An Error is one thing wrong in a file.
type Error struct {
	Pos  Pos
	Path string // the key, as limits.idle or listen[1]; empty for the document as a whole
	What string // what is there and what was expected
	Err  error  // the cause, where there is one to test with errors.Is
}

// Error gives "file:line:col: key.path: what".
func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []string{e.Pos.String(), e.Path} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	b.WriteString(e.What)
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors is all that is wrong. Printed, it is one error a line; len counts them.
type Errors []*Error

// Error gives one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single errors, for [errors.Is] and [errors.As].
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// Err is e as an error: nil when there is none, sorted by position otherwise.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	e.Sort()
	return e
}

// Sort orders by file name, line, column; what stands at one place keeps its order.
func (e Errors) Sort() {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
}

// Add appends err, taken apart when it is several (Errors, [errors.Join]). Nil adds nothing; an error without a
// position is kept without one.
func (e *Errors) Add(err error) {
	e.add(err, func(err error) *Error { return &Error{What: err.Error(), Err: err} })
}

// add is Add with a word from the caller on where an error without a position belongs.
func (e *Errors) add(err error, place func(error) *Error) {
	if err == nil {
		return
	}
	switch err := err.(type) {
	case *Error:
		*e = append(*e, err)
	case Errors:
		*e = append(*e, err...)
	case interface{ Unwrap() []error }:
		for _, one := range err.Unwrap() {
			e.add(one, place)
		}
	default:
		if found, ok := errors.AsType[*Error](err); ok {
			*e = append(*e, found)
			return
		}
		*e = append(*e, place(err))
	}
}

// cut shortens text from a file for an error message and makes it safe to print.
func cut(s string) string {
	const most = 60
	if r := []rune(s[:min(len(s), 4*most)]); len(r) > most {
		return fmt.Sprintf("%q...", string(r[:most]))
	}
	return fmt.Sprintf("%q", s)
}
