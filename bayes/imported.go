package bayes

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"time"

	"milterd/internal/spamassassin/tokens"
	"milterd/internal/store"
)

// Beside what was taught here may lie what another filter has learned: the counts of
// SpamAssassin's Bayes, as a backup hands them over. They are about other tokens than
// ours, so they are kept and weighed by themselves; see [Imported].
//
//	i scope                    what there is, see [Import]
//	s scope generation index   counts: the tokens whose hash begins with index
//
// Counts lie dozens together, because nobody changes a single one: an import is made
// as a whole, replaced as a whole and forgotten as a whole. A new one is written under
// another generation first and then takes the place of the old one at once.

// Import says what was imported, when, and by whom.
type Import struct {
	Spam   int64     `json:"spam"` // messages that the other filter had learned
	Ham    int64     `json:"ham"`
	Tokens int       `json:"tokens"`
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`

	Generation uint32 `json:"generation"`
	Bits       int    `json:"bits"` // of the hash, which choose the record
}

// importLife is how long an import lives. What was taught here has taken its place
// long before.
const importLife = lifeOfOld

const (
	perRecord   = 8       // tokens, about
	maxBits     = 20      // more than [tokens.MaxCounts] need
	importBatch = 1 << 20 // bytes written at once
)

func importKey(s scope) []byte { return binary.BigEndian.AppendUint64([]byte("i"), uint64(s)) }

func (i *Import) recordKey(s scope, index uint32) []byte {
	key := binary.BigEndian.AppendUint64([]byte("s"), uint64(s))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(key, i.Generation), index)
}

// index and rest of a token's hash: the record, and the name in it.
func (i *Import) index(hash uint64) uint32 { return uint32(hash >> (64 - i.Bits)) }

const restBytes = 5

func rest(hash uint64) [restBytes]byte {
	b := binary.BigEndian.AppendUint64(nil, hash)
	return [restBytes]byte(b[8-restBytes:])
}

// ErrImporting is an import that met another one.
var ErrImporting = errors.New("bayes: somebody else has imported something at the same time")

// Import keeps the counts of a backup for a user, or with an empty name for the site,
// in place of those that were imported before, and returns when they are on stable
// storage. On error nothing has changed.
func (c *Classifier) Import(ctx context.Context, user, by string, b *tokens.Backup) (Import, error) {
	key, err := c.made(ctx)
	if err != nil {
		return Import{}, err
	}
	s := key.scope(user)
	was, old, err := c.importOf(ctx, s)
	if err != nil {
		return Import{}, err
	}
	counts := hashed(key, b.Counts)
	now := Import{Spam: b.Spam, Ham: b.Ham, Tokens: len(counts), At: c.now().UTC(), By: cut(by), Bits: bits.Len(uint(len(counts) / perRecord))}
	var generation [4]byte
	if _, err := io.ReadFull(c.random, generation[:]); err != nil {
		return Import{}, fmt.Errorf("bayes: no random bytes: %w", err)
	}
	now.Generation = binary.BigEndian.Uint32(generation[:])
	if now.Generation == was.Generation {
		now.Generation++
	}
	if err := c.writeCounts(ctx, s, &now, counts); err != nil {
		return Import{}, errors.Join(err, c.deleteCounts(ctx, s, &now))
	}
	value, err := json.Marshal(now)
	if err != nil {
		return Import{}, fmt.Errorf("bayes: %w", err)
	}
	switch err := c.exchange(ctx, s, old, store.Put(importKey(s), value, importLife)); {
	case errors.Is(err, ErrImporting):
		return Import{}, errors.Join(err, c.deleteCounts(ctx, s, &now))
	case err != nil:
		return Import{}, err
	}
	if old != nil {
		_ = c.deleteCounts(ctx, s, &was) // what is left expires
	}
	return now, nil
}

// DropImport forgets what was imported for a user, or with an empty name for the
// site. It returns what that was; ok is false when there was nothing.
func (c *Classifier) DropImport(ctx context.Context, user string) (was Import, ok bool, err error) {
	key, err := c.known(ctx)
	if err != nil || key == nil {
		return Import{}, false, err
	}
	s := key.scope(user)
	was, old, err := c.importOf(ctx, s)
	if err != nil || old == nil {
		return Import{}, false, err
	}
	if err := c.exchange(ctx, s, old, store.Delete(importKey(s))); err != nil {
		return Import{}, false, err
	}
	_ = c.deleteCounts(ctx, s, &was) // what is left expires
	return was, true, nil
}

// exchange does something to the record of what was imported, if that is still old.
func (c *Classifier) exchange(ctx context.Context, s scope, old []byte, op store.Op) error {
	err := c.store.Apply(ctx, Space, store.If(importKey(s), old), op)
	c.imports.forget(s)
	switch {
	case errors.Is(err, store.ErrConflict):
		return ErrImporting
	case err != nil:
		return fmt.Errorf("bayes: %w", err)
	}
	return nil
}

// Imported returns what was imported for a user, or with an empty name for the site;
// ok is false when there is nothing.
func (c *Classifier) Imported(ctx context.Context, user string) (i Import, ok bool, err error) {
	key, err := c.known(ctx)
	if err != nil || key == nil {
		return Import{}, false, err
	}
	i, _, err = c.importOf(ctx, key.scope(user))
	return i, i.Spam > 0, err
}

// importOf reads what there is of a user, and the record itself, nil when there is
// nothing.
func (c *Classifier) importOf(ctx context.Context, s scope) (i Import, record []byte, err error) {
	values, err := c.store.Get(ctx, Space, importKey(s))
	if err != nil {
		return Import{}, nil, fmt.Errorf("bayes: %w", err)
	}
	i, _ = readImport(values[0])
	return i, values[0], nil
}

func readImport(value []byte) (i Import, ok bool) {
	if value == nil || json.Unmarshal(value, &i) != nil || i.Spam < 1 || i.Ham < 1 || i.Bits < 0 || i.Bits > maxBits {
		return Import{}, false
	}
	return i, true
}

// counted is a token of an import as it is stored.
type counted struct {
	hash      uint64
	spam, ham uint32
}

// hashed returns the counts in the order of their hashes, each token once.
func hashed(key *secret, all []tokens.Count) []counted {
	sorted := make([]counted, len(all))
	for n := range all {
		sorted[n] = counted{key.imported(all[n].Sum), all[n].Spam, all[n].Ham}
	}
	slices.SortStableFunc(sorted, func(a, b counted) int { return cmp.Compare(a.hash, b.hash) })
	return slices.CompactFunc(sorted, func(a, b counted) bool { return a.hash == b.hash })
}

func (c *Classifier) writeCounts(ctx context.Context, s scope, i *Import, sorted []counted) error {
	var ops []store.Op
	size := 0
	for len(sorted) > 0 {
		index := i.index(sorted[0].hash)
		var value []byte
		n := 0
		for ; n < len(sorted) && i.index(sorted[n].hash) == index; n++ {
			value = sorted[n].appendTo(value)
		}
		sorted = sorted[n:]
		op := store.Put(i.recordKey(s, index), value, importLife)
		ops, size = append(ops, op), size+len(value)+64
		if size > importBatch || len(sorted) == 0 {
			if err := c.store.Apply(ctx, Space, ops...); err != nil {
				return fmt.Errorf("bayes: %w", err)
			}
			ops, size = nil, 0 // the store keeps them
		}
	}
	return nil
}

func (c *Classifier) deleteCounts(ctx context.Context, s scope, i *Import) error {
	ctx = context.WithoutCancel(ctx) // what is left behind would stay for a year
	var ops []store.Op
	for index := range uint64(1) << i.Bits {
		ops = append(ops, store.Delete(i.recordKey(s, uint32(index))))
		if len(ops) == importBatch/64 || index == 1<<i.Bits-1 {
			if err := c.store.Apply(ctx, Space, ops...); err != nil {
				return fmt.Errorf("bayes: %w", err)
			}
			ops = nil
		}
	}
	return nil
}

func (n counted) appendTo(dst []byte) []byte {
	name := rest(n.hash)
	dst = append(dst, name[:]...)
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(n.spam)), uint64(n.ham))
}

// findCounts looks for a token in a record. ok is false when it is not there.
func findCounts(record []byte, hash uint64) (spam, ham uint64, ok bool) {
	name := rest(hash)
	for len(record) > restBytes {
		found := [restBytes]byte(record[:restBytes]) == name
		record = record[restBytes:]
		spam, n := binary.Uvarint(record)
		if n <= 0 {
			return 0, 0, false
		}
		ham, m := binary.Uvarint(record[n:])
		if m <= 0 {
			return 0, 0, false
		}
		if found {
			return spam, ham, true
		}
		record = record[n+m:]
	}
	return 0, 0, false
}

// imported hashes a token of another filter's, so that nobody reads those out of the
// store who could not read ours.
func (s *secret) imported(sum [5]byte) uint64 {
	return s.hash(append([]byte("imported\x00"), sum[:]...))
}
