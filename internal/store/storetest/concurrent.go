package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"milterd/internal/store"
)

// each runs f in n goroutines and waits for them.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func testConcurrentAdd(t *testing.T, s Store, _ *Clock) {
	each(8, func(i int) {
		for range 25 {
			if err := s.Post(space, store.Add(k("n"), 0, 1, 1)); err != nil {
				t.Error(err)
			}
			if err := s.Apply(t.Context(), space, store.Add(k("n"), 0, 1), store.Add(fmt.Append(nil, i), 0, 1)); err != nil {
				t.Error(err)
			}
		}
	})
	want(t, counters(t, s, "n", 2)+" "+counters(t, s, "3", 1), "400 200 25")
}

func testConcurrentIf(t *testing.T, s Store, _ *Clock) {
	each(4, func(int) {
		for done := 0; done < 10; {
			values, err := s.Get(t.Context(), space, k("n"))
			if err != nil {
				t.Error(err)
				return
			}
			switch err := s.Apply(t.Context(), space, store.If(k("n"), values[0]), store.Put(k("n"), append(values[0], 'x'), 0)); {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrConflict):
				t.Error(err)
				return
			}
		}
	})
	want(t, get(t, s, "n"), strings.Repeat("x", 40))
}

func testTorn(t *testing.T, s Store, _ *Clock) {
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				values, err := s.Get(t.Context(), space, k("a"), k("b"))
				if err != nil || !bytes.Equal(values[0], values[1]) {
					t.Errorf("half a batch: %q, %v", values, err)
					return
				}
			}
		})
	}
	for i := range 60 {
		v := fmt.Append(nil, i)
		if err := s.Post(space, store.Put(k("a"), v, 0), store.Put(k("b"), v, 0)); err != nil {
			t.Error(err)
		}
		if i%10 == 9 {
			if err := s.Apply(t.Context(), space, store.Delete(k("b")), store.Delete(k("a"))); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	readers.Wait()
}
