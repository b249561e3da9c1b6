// Package archive says what is in an archive, and in the archives in it, without
// unpacking anything to a disk and hardly anything to memory.
//
// An archive in a mail was made by a stranger, and the formats make it easy to ask
// for more than there is: 42 kB that unpack to petabytes, a million entries, files
// that overlap, a dictionary of four gigabytes. So every walk has a [Budget], which
// all archives of one message share. Where it ends the walk ends, and says so in its
// [Facts]: a bomb is found by not setting it off.
//
//	budget := archive.NewBudget(archive.Limits{})
//	facts := archive.Walk(ctx, content, "invoices.zip", budget, func(e *archive.Entry) {
//		fmt.Println(e.Path, e.Size, e.Encrypted)
//	})
//
// Of each entry the first bytes are unpacked, [HeadBytes], which is enough to tell
// what it is. Only an archive in an archive is unpacked as a whole, up to a quarter
// of the budget.
//
// zip, 7z, cabinets and TNEF are read by readers of our own, since what their readers in libraries
// reserve goes by what the file claims. Decompression is that of the standard library
// and of github.com/ulikunitz/xz; rar is read by github.com/nwaples/rardecode, with a
// small dictionary. A panic of one of them is a broken archive.
package archive

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// HeadBytes is how much of an entry is unpacked to see what it is.
const HeadBytes = 4 << 10

// Limits bound what all archives of a message may cost together. A limit of 0 stands
// for its default.
type Limits struct {
	Depth   int   // of archives in archives, the outermost being 1; default 3
	Entries int   // in all archives; default 1000
	Ratio   int   // unpacked to packed, of what is larger than 1 MiB unpacked; default 100
	Bytes   int64 // unpacked; default 64 MiB
}

// Budget is what is left of the limits. It is not for concurrent use.
type Budget struct {
	limits  Limits
	entries int
	bytes   int64
}

// NewBudget returns a whole budget.
func NewBudget(l Limits) *Budget {
	if l.Depth <= 0 {
		l.Depth = 3
	}
	if l.Entries <= 0 {
		l.Entries = 1000
	}
	if l.Ratio <= 0 {
		l.Ratio = 100
	}
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	return &Budget{limits: l, entries: l.Entries, bytes: l.Bytes}
}

// Entry is a file or a directory in an archive. It is valid during the call that
// hands it over.
type Entry struct {
	// Path are the names from the outermost archive inward, the entry's own last.
	// They are a stranger's text: any bytes, any length up to 64 KiB.
	Path []string
	// Alias is the entry's other name, where the archive gives it two that differ:
	// programs choose differently. Else it is empty.
	Alias     string
	Directory bool
	// Size and Packed are what the archive claims, -1 where it claims nothing.
	Size, Packed int64
	// Encrypted entries cannot be looked into.
	Encrypted bool
	// Head are the first bytes, as far as they could be unpacked.
	Head []byte

	rest func() ([]byte, error) // unpacks all of it, once
}

// Content unpacks all of the entry, as far as the budget goes; where it ends there,
// or nothing can be unpacked, it is nil. It is valid as long as the entry.
func (e *Entry) Content() []byte {
	if e.rest == nil {
		return nil
	}
	content, err := e.rest()
	if err != nil {
		return nil
	}
	return content
}

// Name returns the entry's own name.
func (e *Entry) Name() string { return e.Path[len(e.Path)-1] }

// Names returns the entry's own name and, where there is one, its alias.
func (e *Entry) Names() []string {
	if e.Alias == "" {
		return []string{e.Name()}
	}
	return []string{e.Name(), e.Alias}
}

// Facts is a set of what was met on a walk.
type Facts uint16

// What may be met on a walk.
const (
	// Encrypted says that an entry, or the list of entries, is encrypted.
	Encrypted Facts = 1 << iota
	// Broken says that an archive could not be read to its end.
	Broken
	// Unsupported says that something is packed in a way that is not unpacked here, or
	// lies in another file.
	Unsupported
	// Overlap says that entries of a zip share their bytes, which no packer does.
	Overlap
	// LimitDepth, LimitEntries, LimitRatio, LimitBytes: the walk ended there.
	LimitDepth
	LimitEntries
	LimitRatio
	LimitBytes
	// LimitTime says that the context ended first.
	LimitTime
)

// Limited are the facts of a walk that stopped before it had seen everything.
const Limited = Overlap | LimitDepth | LimitEntries | LimitRatio | LimitBytes | LimitTime

var factNames = [...]string{"encrypted", "broken", "unsupported", "overlap", "depth", "entries", "ratio", "bytes", "time"}

// Has says whether one of the facts is in the set.
func (f Facts) Has(one Facts) bool { return f&one != 0 }

// String returns the facts in words, separated by commas.
func (f Facts) String() string {
	var words []string
	for i, name := range factNames {
		if f.Has(1 << i) {
			words = append(words, name)
		}
	}
	return strings.Join(words, ",")
}

// Walk calls visit for each entry of the archive that content is, and of those in it;
// name is that of the archive. Content that is no archive has no entries and no facts.
func Walk(ctx context.Context, content []byte, name string, b *Budget, visit func(*Entry)) Facts {
	w := &walker{ctx: ctx, budget: b, visit: visit, path: []string{name}}
	if f := FormatOf(content, name); f != None {
		w.archive(f, content)
	}
	return w.facts
}

// errStop ends a walk whose reason is in its facts.
var errStop = errors.New("archive: walk ended")

// walker carries a walk.
type walker struct {
	ctx    context.Context
	budget *Budget
	visit  func(*Entry)
	path   []string // of the archive that is being read
	facts  Facts
	// buffers hold the archives in archives that are being read, by their depth.
	buffers [][]byte
}

// archive walks through an archive that is in memory. It returns false when the whole
// walk has to end.
func (w *walker) archive(f Format, content []byte) (goOn bool) {
	if len(w.path) > w.budget.limits.Depth {
		w.facts |= LimitDepth
		return true
	}
	err := w.read(f, content)
	if err != nil && !errors.Is(err, errStop) {
		w.facts |= Broken
	}
	return !errors.Is(err, errStop)
}

// read walks through an archive. Decoders of libraries see it first after us; one
// that panics has met a broken archive.
func (w *walker) read(f Format, content []byte) (err error) {
	depth := len(w.path)
	defer func() {
		if v := recover(); v != nil {
			w.path, err = w.path[:depth], errBroken
		}
	}()
	switch f {
	case Zip:
		return w.zip(content)
	case SevenZip:
		return w.sevenZip(content)
	case Rar:
		return w.rar(content)
	case Tar:
		return w.tar(newBytesReader(content))
	case Cab:
		return w.cab(content)
	case Tnef:
		return w.tnef(content)
	case Foreign:
		w.facts |= Unsupported
		return nil
	default:
		return w.stream(f, content)
	}
}

var errBroken = errors.New("archive: broken")

// entry visits an entry and, if it is an archive, walks through that. open unpacks
// it, and is nil for what cannot be; each byte it gives costs the budget price bytes.
func (w *walker) entry(e *Entry, price int64, open opener) error {
	if w.budget.entries--; w.budget.entries < 0 {
		w.facts |= LimitEntries
		return errStop
	}
	if w.ctx.Err() != nil {
		w.facts |= LimitTime
		return errStop
	}
	if e.Encrypted {
		w.facts |= Encrypted
	}
	if e.Packed >= 0 && w.tooDense(e.Size, e.Packed) {
		w.facts |= LimitRatio
	}
	e.Path = append(slices.Clip(w.path), e.Path...)
	if open == nil || e.Encrypted || e.Directory {
		w.visit(e)
		return nil
	}
	return w.open(e, price, open)
}

// honestSize is up to where nobody asks how well something is packed.
const honestSize = 1 << 20

func (w *walker) tooDense(size, packed int64) bool {
	return size > honestSize && size/int64(w.budget.limits.Ratio) > packed
}
