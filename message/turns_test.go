package message

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns(10)
		give, err := turns.Take(t.Context(), 25) // more than there is: all
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turns.Take(short, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing was left: %v", err)
		}
		// Who came first goes first, and a large one is not passed by small ones for ever.
		order := make(chan int64, 3)
		var all sync.WaitGroup
		defer all.Wait()
		for _, n := range []int64{8, 1, 9} {
			all.Go(func() {
				give, err := turns.Take(t.Context(), n)
				if err != nil {
					t.Error(err)
					return
				}
				order <- n
				time.Sleep(time.Minute)
				give()
			})
			synctest.Wait()
		}
		began := time.Now()
		give()
		if a, b := <-order, <-order; a+b != 9 || time.Since(began) != 0 { // 8 and 1, at once
			t.Errorf("%d and %d after %v", a, b, time.Since(began))
		}
		if n := <-order; n != 9 || time.Since(began) != time.Minute {
			t.Errorf("%d after %v", n, time.Since(began))
		}
	})
}
