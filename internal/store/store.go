// Package store is what milterd remembers from one message to the next: the
// clock of a domain whose policy nobody can look up, the first sight of a
// greylisted sender, the words that were learned.
//
// A store holds records. A record is a value of bytes under a key of bytes in a
// space, and may have an end: a time to live, after which nobody sees it any
// more. A space is the memory of one check and bears its name; keys of different
// spaces never meet.
//
// # What can be done
//
// [Store.Get] reads many keys at once. Writing is a batch of operations on one
// space, all or nothing: [Put], [Add] (to counters), [Delete], and [If], which
// makes the whole batch depend on what a key holds. That is enough to remember
// when something was seen first, which is what [Notes] does, and to learn a message
// once, which an example shows, on one host and on many that share a store.
//
// The caller chooses how a batch is written. [Store.Apply] waits until it is
// safe. [Store.Post] does not wait at all and is for mail on its way: losing the
// last second of such notes in a crash costs a sender one more try.
//
// # What is guaranteed
//
//   - Apply returned nil: the batch is on stable storage, and every later Get sees it.
//   - Post returned nil: the batch is on stable storage, and seen by Get, a second
//     later at most, while the storage works. While it does not, the batch waits its
//     turn in memory. It is lost if the process or the machine dies before, or if
//     the store is closed while the storage still refuses.
//   - A batch is seen and survives as a whole or not at all. Batches of one caller
//     keep their order, posted and applied ones alike. An Apply without operations
//     returns when all that was handed over before it is stored.
//   - An expired record is never returned. Its space is given back some time later;
//     should the clock be set back before that, the record lives again.
//   - Nobody waits for long. Get and Apply end with their context. What waits to be
//     written is bounded in bytes; more than that is refused at once, with [ErrBusy].
//
// Whoever asks a store therefore needs an answer for the case that it has none:
// no Bayes, the greylist passes, the clock starts anew. A store that fails is
// never a reason to refuse mail or to lose it.
//
// # Implementations
//
// Package bolt keeps a file on one host; package redis a server that several hosts
// share; [Memory] keeps nothing beyond the process. Package storetest holds what
// each must pass.
package store

import (
	"context"
	"errors"
)

// Store is a memory that outlives the message. Its methods may be called from many
// goroutines at once.
type Store interface {
	// Get returns the values of keys, in their order. A value is nil where the key
	// holds nothing or has expired, and not nil where it holds the empty value.
	// Values belong to the caller. On error there are none at all.
	Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error)

	// Apply does the operations in their order, as one, and returns when they are
	// on stable storage. The error is [ErrConflict] when an [If] did not hold;
	// nothing was done then. An error of ctx leaves open whether the batch was or
	// will be done. The store keeps ops: do not change what they point to.
	Apply(ctx context.Context, space string, ops ...Op) error

	// Post hands over operations to be done soon, as one, and returns at once. An
	// error means that they will never be done; that an If did not hold is none.
	// The store keeps ops: do not change what they point to.
	Post(space string, ops ...Op) error
}

// Stats is the state of a store at one moment, and what has happened since it was
// opened.
type Stats struct {
	QueuedBytes int   // waiting to be written
	UsedBytes   int64 // of a file, as of the last transaction
	Failing     bool  // the last transaction failed, or nothing can be read

	Commits  uint64 // transactions that are stored
	Failures uint64 // transactions that failed
	Refused  uint64 // batches refused with ErrBusy or ErrFull
	Swept    uint64 // expired records deleted
}

// What can go wrong. Other errors are the storage's own.
var (
	// ErrConflict is an [If] that did not hold.
	ErrConflict = errors.New("store: the record is not what the batch expects")
	// ErrBusy is a queue with no room left: storage is slow or does not work.
	ErrBusy = errors.New("store: too much waits to be written")
	// ErrFull is a store that has reached its size. Deleting still works.
	ErrFull = errors.New("store: full")
	// ErrClosed is a store that has been closed.
	ErrClosed = errors.New("store: closed")
	// ErrInvalid is a call that no store can serve, a mistake of the caller: see
	// the limits.
	ErrInvalid = errors.New("store: invalid call")
)

// Limits of every store. They are wide for what checks need and keep one caller's
// mistake from becoming everybody's.
const (
	MaxSpace    = 64       // bytes of the name of a space: a-z, 0-9 and _
	MaxKey      = 1 << 10  // bytes of a key, at least one
	MaxKeys     = 1 << 16  // of one Get
	MaxValue    = 64 << 10 // bytes of a value
	MaxCounters = 16       // of one record
	MaxBatch    = 4 << 20  // bytes of one batch, see [Validate]
)
