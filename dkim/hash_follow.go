package dkim

import (
	"context"
	"errors"
	"io"
	"sync"

	"milterd/message"
)

// Follow computes what is wanted of a body while it arrives, and returns when it is
// complete. The error is that of the body or of ctx; then there are no hashes.
//
// DKIM and ARC want the same hash of nearly every message that has both. So each
// canonical form of a body is hashed once for all who follow it: whoever comes first
// reads, the others wait and take over where he stopped, should he give up. Only what
// is wanted too late, an end at l= of which nobody knew when the reading began, is
// hashed by itself.
func (b *BodyHashes) Follow(ctx context.Context, body *message.BodyReader) error {
	if b.Empty() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		b.failed = true
		return err
	}
	spool := body.Spool()
	shared := spool.Shared(sharedKey{}, newSharedHashes).(*sharedHashes)
	joined, alone := shared.join(b)
	err := alone.read(ctx, body)
	if err == nil && !joined.Empty() {
		err = shared.read(ctx, spool)
	}
	// From here on nothing is written to b: others may still be at work on it.
	b.closed, b.failed = true, err != nil
	return err
}

// read hashes what is left of the body.
func (b *BodyHashes) read(ctx context.Context, body *message.BodyReader) error {
	if b.Empty() {
		return nil
	}
	for {
		piece, err := body.Next(ctx)
		if errors.Is(err, io.EOF) {
			b.close()
			return nil
		}
		if err != nil {
			return err
		}
		b.Write(piece)
	}
}

// sharedKey is the place of the sharedHashes of a body.
type sharedKey struct{}

// sharedHashes are the hashes of one body for all who follow it.
type sharedHashes struct {
	turn chan struct{}       // holds a value while somebody reads
	body *message.BodyReader // where the reading stands

	mu     sync.Mutex
	begun  bool       // hashes is complete, and belongs to whose turn it is
	hashes BodyHashes // until then what has been wanted so far
}

func newSharedHashes() any { return &sharedHashes{turn: make(chan struct{}, 1)} }

// join lets b have the canonical forms that are hashed here: joined are those, alone
// are the others.
func (s *sharedHashes) join(b *BodyHashes) (joined, alone BodyHashes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	each := func(ours, wanted, joined, alone **bodyCanonicalizer) {
		switch {
		case *wanted == nil:
			return
		case !s.begun && *ours == nil:
			*ours = *wanted
		case !s.begun:
			for i := range (*wanted).out.stops {
				(*ours).out.stopAt((*wanted).out.stops[i].at)
			}
		case *ours == nil || !(*ours).out.stopsAt((*wanted).out.stops):
			*alone = *wanted
			return
		}
		*wanted, *joined = *ours, *ours
	}
	each(&s.hashes.simple, &b.simple, &joined.simple, &alone.simple)
	each(&s.hashes.relaxed, &b.relaxed, &joined.relaxed, &alone.relaxed)
	return joined, alone
}

// read sees to it that the body has been hashed: by the caller or by somebody else.
func (s *sharedHashes) read(ctx context.Context, spool *message.Spool) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	s.begun = true
	s.mu.Unlock()
	if s.hashes.closed {
		return nil
	}
	if s.body == nil {
		s.body = spool.Reader()
	}
	return s.hashes.read(ctx, s.body)
}
