package carry

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"milterd/internal/store"
)

// dead is a store that does not answer, until it is mended.
type dead struct {
	store.Store
	broken bool
	asked  int
}

var errDead = errors.New("dead")

func (d *dead) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	d.asked++
	if d.broken {
		return nil, errDead
	}
	return d.Store.Get(ctx, space, keys...)
}

// TestKeys: the hosts of a store have one key, and a store that comes back gives it.
func TestKeys(t *testing.T) {
	now := noon
	s := &dead{Store: store.NewMemory(func() time.Time { return now }, 1<<20)}
	hosts := []*Keys{}
	var first []byte
	for range 3 {
		k := &Keys{Store: s, Now: func() time.Time { return now }, Random: rand.Reader}
		hosts = append(hosts, k)
		key, err := k.Key(t.Context())
		if err != nil || len(key) != keyBytes || first != nil && !bytes.Equal(key, first) {
			t.Fatalf("%x, %v, the first has %x", key, err, first)
		}
		first = key
	}
	s.broken = true
	if key, err := hosts[0].Key(t.Context()); err != nil || !bytes.Equal(key, first) {
		t.Errorf("a key that was read is forgotten: %v", err)
	}
	late := &Keys{Store: s, Now: func() time.Time { return now }, Random: rand.Reader}
	before := s.asked
	for range 10 {
		if _, err := late.Key(t.Context()); !errors.Is(err, errDead) {
			t.Errorf("%v", err)
		}
	}
	if s.asked != before+1 {
		t.Errorf("a dead store was asked %d times", s.asked-before)
	}
	s.broken = false
	now = now.Add(retry)
	if key, err := late.Key(t.Context()); err != nil || !bytes.Equal(key, first) {
		t.Errorf("%x, %v", key, err)
	}
}

// TestKeysRace: of two that come at once to an empty store, the second takes the
// first one's key.
func TestKeysRace(t *testing.T) {
	memory := store.NewMemory(time.Now, 1<<20)
	slow := &Keys{Store: between{memory}, Now: time.Now, Random: rand.Reader}
	key, err := slow.Key(t.Context())
	if err != nil || !bytes.Equal(key, bytes.Repeat([]byte{7}, keyBytes)) {
		t.Errorf("%x, %v", key, err)
	}
}

// between is a store in which somebody else is quicker.
type between struct{ store.Store }

func (b between) Apply(ctx context.Context, space string, ops ...store.Op) error {
	if err := b.Store.Apply(ctx, space, store.Put(keyName, bytes.Repeat([]byte{7}, keyBytes), 0)); err != nil {
		return err
	}
	return b.Store.Apply(ctx, space, ops...)
}
