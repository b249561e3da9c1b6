package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Walker is a store that can show all it holds.
type Walker interface {
	// Walk calls each for every record that has not expired, in no order, and stops at
	// its first error. What changes meanwhile is seen as it was or as it is. Key and
	// value are each's to keep.
	Walk(ctx context.Context, each func(space string, key []byte, r Record) error) error
}

// A dump is lines of JSON: a head, a line for each record with the bytes in base64,
// and a last line that says how many there were, so that half a dump is known as
// such:
//
//	{"milterd":"store","version":1}
//	{"space":"carry","key":"a2V5","value":"…"}
//	{"space":"greylist","key":"…","value":"…","expires":1795269600000}
//	{"records":2}
//
// A dump does not depend on the kind of store.

const dumpVersion = 1

type dumpHead struct {
	Milterd string `json:"milterd"`
	Version int    `json:"version"`
}

type dumpRecord struct {
	Space   string `json:"space,omitempty"`
	Key     []byte `json:"key,omitempty"`
	Value   []byte `json:"value"`
	Expires int64  `json:"expires,omitempty"` // milliseconds since 1970, absent for never
}

type dumpEnd struct {
	Records int `json:"records"`
}

// ErrDump is a text that is no whole dump.
var ErrDump = errors.New("store: not a dump")

// Dump writes all that s holds, and returns how many records that is.
func Dump(ctx context.Context, s Walker, w io.Writer) (records int, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	if err := lines.Encode(dumpHead{"store", dumpVersion}); err != nil {
		return 0, err
	}
	err = s.Walk(ctx, func(space string, key []byte, r Record) error {
		records++
		return lines.Encode(dumpRecord{space, key, r.Value, r.Expires})
	})
	if err != nil {
		return records, err
	}
	if err := lines.Encode(dumpEnd{records}); err != nil {
		return records, err
	}
	return records, out.Flush()
}

// What one line may be: a record of the largest key and value, in base64.
const maxDumpLine = (MaxValue+MaxKey)*4/3 + 1024

// loadBytes is how much is written at once.
const loadBytes = 256 << 10

// Load puts the records of a dump into s, where they replace those of the same keys;
// others stay. Those that have expired since are left out. It returns how many are
// safely stored. Where the dump is damaged or cut off the error wraps [ErrDump] and
// names the line; what stands before it has been loaded.
func Load(ctx context.Context, s Store, r io.Reader, now func() time.Time) (records int, err error) {
	l := &loading{ctx: ctx, store: s, now: now}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxDumpLine)
	number, ended := 0, false
	for lines.Scan() {
		number++
		if ended {
			err = fmt.Errorf("%w: line %d stands behind the end", ErrDump, number)
			break
		}
		if ended, err = l.line(number, lines.Bytes()); err != nil {
			break
		}
	}
	switch scanned := lines.Err(); {
	case err != nil:
	case errors.Is(scanned, bufio.ErrTooLong):
		err = fmt.Errorf("%w: line %d is longer than any record", ErrDump, number+1)
	case scanned != nil:
		err = scanned
	case !ended:
		err = fmt.Errorf("%w: it ends after line %d, before its last line", ErrDump, number)
	}
	if flushed := l.flush(); flushed != nil {
		err = errors.Join(err, flushed)
	}
	return l.stored, err
}

// loading is a dump on its way into a store.
type loading struct {
	ctx   context.Context
	store Store
	now   func() time.Time

	space        string // of what waits
	waiting      []Op
	size         int
	read, stored int
}

// line takes one line; ended tells that it was the last.
func (l *loading) line(number int, text []byte) (ended bool, err error) {
	strict := func(into any) error {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrDump, number, err)
		}
		if d.InputOffset() != int64(len(text)) {
			return fmt.Errorf("%w: line %d has more than one object", ErrDump, number)
		}
		return nil
	}
	if number == 1 {
		var head dumpHead
		if err := strict(&head); err != nil {
			return false, err
		}
		if head.Milterd != "store" || head.Version != dumpVersion {
			return false, fmt.Errorf("%w: %q version %d, expected store version %d", ErrDump, head.Milterd, head.Version, dumpVersion)
		}
		return false, nil
	}
	if bytes.HasPrefix(text, []byte(`{"records"`)) {
		var end dumpEnd
		if err := strict(&end); err != nil {
			return false, err
		}
		if end.Records != l.read {
			return false, fmt.Errorf("%w: it has %d records, its last line says %d", ErrDump, l.read, end.Records)
		}
		return true, nil
	}
	var r dumpRecord
	if err := strict(&r); err != nil {
		return false, err
	}
	l.read++
	put := Put(r.Key, r.Value, 0)
	if r.Expires != 0 {
		if put.TTL = time.UnixMilli(r.Expires).Sub(l.now()).Truncate(time.Millisecond); put.TTL <= 0 {
			return false, nil
		}
	}
	size, err := Validate(r.Space, []Op{put})
	if err != nil {
		return false, fmt.Errorf("%w: line %d: %w", ErrDump, number, err)
	}
	if r.Space != l.space || l.size+size > loadBytes {
		if err := l.flush(); err != nil {
			return false, err
		}
	}
	l.space, l.waiting, l.size = r.Space, append(l.waiting, put), l.size+size
	return false, nil
}

// flush stores what waits.
func (l *loading) flush() error {
	if len(l.waiting) == 0 {
		return nil
	}
	waiting := l.waiting
	l.waiting, l.size = nil, 0 // the store keeps them
	if err := l.store.Apply(l.ctx, l.space, waiting...); err != nil {
		return err
	}
	l.stored += len(waiting)
	return nil
}

// EndsDump reports whether text, the end of something, ends as a whole dump does.
func EndsDump(text []byte) bool {
	line := bytes.TrimSuffix(text, []byte("\n"))
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	return bytes.HasPrefix(line, []byte(`{"records":`)) && bytes.HasSuffix(line, []byte("}"))
}
