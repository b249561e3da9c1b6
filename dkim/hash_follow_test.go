package dkim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"milterd/message"
)

func newBody(t testing.TB) *message.Spool {
	spool := message.NewSpool(message.SpoolOptions{Memory: 1 << 20})
	t.Cleanup(spool.Release)
	return spool
}

func arrive(t testing.TB, spool *message.Spool, text string) {
	if _, err := spool.Write([]byte(text)); err != nil {
		t.Error(err)
	}
}

// checkSum holds a hash against a slow and plain one.
func checkSum(t testing.TB, b *BodyHashes, c Canonicalization, length int64, body string) {
	t.Helper()
	canonical := slowBody(c, body)
	sum, n := b.Sum(c, length)
	if n != int64(len(canonical)) {
		t.Errorf("%s: %d bytes, want %d", c, n, len(canonical))
	}
	switch {
	case length > n:
		if sum != nil {
			t.Errorf("%s, l=%d of %d: a hash", c, length, n)
		}
		return
	case length >= 0:
		canonical = canonical[:length]
	}
	if want := sha256.Sum256([]byte(canonical)); !bytes.Equal(sum, want[:]) {
		t.Errorf("%s, l=%d: %x, want %x", c, length, sum, want)
	}
}

// Whoever follows a body gets the same hashes as if he were alone, whatever he
// wants, whenever he comes and however the body does.
func TestFollow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := strings.Repeat("a  b \r\n\r\n", random.IntN(40)) + "end"
		spool := newBody(t)
		var all sync.WaitGroup
		for range 1 + random.IntN(4) {
			var b BodyHashes
			type want struct {
				c      Canonicalization
				length int64
			}
			var wants []want
			for range random.IntN(4) {
				w := want{Relaxed, -1}
				if random.IntN(3) == 0 {
					w.c = Simple
				}
				if random.IntN(3) == 0 {
					w.length = random.Int64N(int64(len(text)) + 5)
				}
				wants = append(wants, w)
				b.Want(w.c, w.length)
			}
			all.Go(func() {
				if err := b.Follow(t.Context(), spool.Reader()); err != nil {
					t.Error(err)
				}
				for _, w := range wants {
					checkSum(t, &b, w.c, w.length, text)
				}
			})
		}
		for rest := text; rest != ""; {
			n := 1 + random.IntN(len(rest))
			arrive(t, spool, rest[:n])
			rest = rest[n:]
		}
		spool.Finish()
		all.Wait()
	}
}

// A canonical form is hashed once for all who want it.
func TestFollowOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "a  b\r\nc\r\n\r\n"
		spool := newBody(t)
		var first, second, late, lame BodyHashes
		first.Want(Relaxed, -1)
		second.Want(Relaxed, -1)
		second.Want(Relaxed, 3)
		second.Want(Simple, -1)
		late.Want(Relaxed, 3)
		late.Want(Simple, -1)
		lame.Want(Relaxed, 4)
		var all sync.WaitGroup
		follow := func(b *BodyHashes) {
			all.Go(func() {
				if err := b.Follow(t.Context(), spool.Reader()); err != nil {
					t.Error(err)
				}
			})
		}
		// Two before the reading begins, two after.
		shared := spool.Shared(sharedKey{}, newSharedHashes).(*sharedHashes)
		shared.turn <- struct{}{}
		follow(&first)
		follow(&second)
		synctest.Wait()
		<-shared.turn
		synctest.Wait()
		arrive(t, spool, text[:5])
		synctest.Wait()
		follow(&late)
		follow(&lame)
		synctest.Wait()
		arrive(t, spool, text[5:])
		spool.Finish()
		all.Wait()
		if first.relaxed != second.relaxed || first.relaxed != late.relaxed || second.simple != late.simple {
			t.Error("hashed more than once")
		}
		if lame.relaxed == first.relaxed {
			t.Error("an end that nobody knew of was shared")
		}
		checkSum(t, &first, Relaxed, -1, text)
		checkSum(t, &second, Relaxed, 3, text)
		checkSum(t, &second, Simple, -1, text)
		checkSum(t, &late, Relaxed, 3, text)
		checkSum(t, &lame, Relaxed, 4, text)
		// And one who comes when all is over.
		var last BodyHashes
		last.Want(Relaxed, -1)
		if err := last.Follow(t.Context(), spool.Reader()); err != nil || last.relaxed != first.relaxed {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Where one gives up, the next goes on, and the first has nothing.
func TestFollowGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "a  b\r\nc\r\n"
		spool := newBody(t)
		var first, second BodyHashes
		first.Want(Relaxed, -1)
		second.Want(Relaxed, -1)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if err := first.Follow(ctx, spool.Reader()); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if sum, n := first.Sum(Relaxed, -1); sum != nil || n != 0 {
				t.Errorf("%x of %d bytes of a body that was not read to its end", sum, n)
			}
		})
		arrive(t, spool, text[:3])
		synctest.Wait() // the first reads
		all.Go(func() {
			if err := second.Follow(t.Context(), spool.Reader()); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		arrive(t, spool, text[3:])
		spool.Finish()
		all.Wait()
		checkSum(t, &second, Relaxed, -1, text)
	})
}

// A body that was dropped has no hashes for anybody, and no signature passes.
func TestFollowDropped(t *testing.T) {
	spool := newBody(t)
	arrive(t, spool, testBody)
	gone := errors.New("gone")
	spool.Fail(gone)
	fields, _ := parseMessage(t, testHeader)
	signatures := sign(t, &Signer{Keys: testKeys(t, "ed25519"), Names: []string{"From"}, Now: testNow}, fields, testBody)
	fields = append(signatures, fields...)
	v := &Verifier{Resolver: testZone(t, ""), Now: testNow}
	for range 2 {
		s := v.Start(t.Context(), fields, message.Domain{})
		if err := s.Follow(t.Context(), spool.Reader()); !errors.Is(err, gone) {
			t.Error(err)
		}
		if r := s.Finish(t.Context()); len(r) != 1 || r[0].Status != Fail || r[0].BodyMatches {
			t.Errorf("%+v", r)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s := v.Start(t.Context(), fields, message.Domain{})
	if err := s.Follow(ended, spool.Reader()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if r := s.Finish(t.Context()); len(r) != 1 || r[0].Status != Fail || r[0].BodyMatches {
		t.Errorf("%+v", r)
	}
	// Who wants nothing waits for nothing.
	var b BodyHashes
	if err := b.Follow(t.Context(), newBody(t).Reader()); err != nil {
		t.Error(err)
	}
}
