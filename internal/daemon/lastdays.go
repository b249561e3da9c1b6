package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"milterd/internal/control"
	"milterd/internal/store"
)

const (
	// askSuccessor bounds a question to the successor, which answers from memory or,
	// for a safe batch, from its disk.
	askSuccessor = 5 * time.Second
	// gapTime is how long a question waits for a successor that does not serve yet.
	gapTime = 500 * time.Millisecond
	// lastPosts is how many batches wait for it. The sessions that are left make few.
	lastPosts = 4096
)

// lastDays is the store of a daemon that has given its own to a successor: it asks
// that one. From the moment the file is closed until the successor serves, some
// milliseconds, questions wait and batches queue.
type lastDays struct {
	log   *slog.Logger
	known chan struct{} // closed when the successor may be asked
	ended chan struct{} // closed at the end: there is none, or nobody asks any more
	done  chan struct{} // closed when the writer has ended
	ask   *control.Client

	mu    sync.Mutex // nothing is queued once over
	over  bool
	posts chan lastPost
}

type lastPost struct {
	ctx   context.Context // of Apply; for Post one without an end
	safe  bool
	space string
	ops   []store.Op
	err   chan error // holds one; nil for Post
}

func newLastDays(log *slog.Logger) *lastDays {
	return &lastDays{log: log, known: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{}), posts: make(chan lastPost, lastPosts)}
}

// meet begins to ask the successor with that control socket.
func (l *lastDays) meet(address string) {
	l.ask = control.NewClient(address)
	close(l.known)
	go l.write()
}

func (l *lastDays) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	select {
	case <-l.known:
	case <-l.ended:
		return nil, store.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(gapTime):
		return nil, store.ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, askSuccessor)
	defer cancel()
	return l.ask.Get(ctx, space, keys...)
}

func (l *lastDays) Apply(ctx context.Context, space string, ops ...store.Op) error {
	p := lastPost{ctx: ctx, safe: true, space: space, ops: ops, err: make(chan error, 1)}
	if err := l.queue(p); err != nil {
		return err
	}
	select {
	case err := <-p.err:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lastDays) Post(space string, ops ...store.Op) error {
	return l.queue(lastPost{ctx: context.Background(), space: space, ops: ops})
}

func (l *lastDays) queue(p lastPost) error {
	if _, err := store.Validate(p.space, p.ops); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return store.ErrClosed
	}
	select {
	case l.posts <- p:
		return nil
	default:
		return store.ErrBusy
	}
}

// write hands the batches on in their order. One that cannot be handed on is lost, as
// the last second is in a crash.
func (l *lastDays) write() {
	defer close(l.done)
	defer l.ask.Close()
	failing := false
	for {
		var p lastPost
		select {
		case p = <-l.posts:
		case <-l.ended:
			select {
			case p = <-l.posts:
			default:
				return
			}
		}
		ctx, cancel := context.WithTimeout(p.ctx, askSuccessor)
		err := l.ask.Write(ctx, p.safe, p.space, p.ops...)
		cancel()
		if p.err != nil {
			p.err <- err
		}
		if failed := err != nil && !errors.Is(err, store.ErrConflict); failed != failing {
			if failing = failed; failed {
				l.log.Warn("the successor does not take what the last sessions noted", "err", err)
			}
		}
	}
}

func (l *lastDays) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.ended)
	}
}

// giveBack ends l, which has met nobody, and does in s what waited.
func (l *lastDays) giveBack(s Store) {
	l.end()
	for {
		select {
		case p := <-l.posts:
			var err error
			if p.safe {
				err = s.Apply(p.ctx, p.space, p.ops...)
			} else {
				err = s.Post(p.space, p.ops...)
			}
			if p.err != nil {
				p.err <- err
			}
		default:
			return
		}
	}
}

// Walk implements [store.Walker]: the dump is the successor's to make.
func (l *lastDays) Walk(context.Context, func(string, []byte, store.Record) error) error {
	return store.ErrClosed
}

func (l *lastDays) Stats() store.Stats { return store.Stats{} }

// Close hands on what waits.
func (l *lastDays) Close(ctx context.Context) error {
	l.end()
	select {
	case <-l.known:
	default:
		return nil
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
