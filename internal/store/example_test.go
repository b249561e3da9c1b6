package store_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"milterd/internal/store"
)

// A clock: how long has this been going on? DMARC keeps one for each domain whose
// policy nobody can look up.
func ExampleNotes() {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := store.NewMemory(func() time.Time { return now }, 1<<20)
	clocks := store.Notes{Store: s, Space: "dmarc"}
	waited := func(domain string) time.Duration {
		return now.Sub(clocks.Since(context.Background(), domain, now, 30*24*time.Hour))
	}
	fmt.Println(waited("bank.example"))
	now = now.Add(40 * time.Minute)
	fmt.Println(waited("bank.example"), waited("other.example"))
	clocks.Forget(context.Background(), "bank.example") // its policy resolves again
	now = now.Add(time.Minute)
	fmt.Println(waited("bank.example"), waited("other.example"))
	// Output:
	// 0s
	// 40m0s 0s
	// 0s 1m0s
}

// Learning once: the counters change only if the message is new, whoever else is
// learning it at the same moment, and the answer comes when they are stored.
func Example_learning() {
	s := store.NewMemory(time.Now, 1<<20)
	learn := func(ctx context.Context, hash string, words ...string) (bool, error) {
		key := []byte("seen " + hash)
		ops := []store.Op{store.If(key, nil), store.Put(key, []byte("spam"), 90*24*time.Hour)}
		for _, w := range words {
			ops = append(ops, store.Add([]byte("word "+w), 0, 1, 0)) // spam, ham
		}
		err := s.Apply(ctx, "bayes", ops...)
		if errors.Is(err, store.ErrConflict) {
			return false, nil
		}
		return err == nil, err
	}
	ctx := context.Background()
	fmt.Println(learn(ctx, "m1", "cheap", "pills"))
	fmt.Println(learn(ctx, "m1", "cheap", "pills"))
	fmt.Println(learn(ctx, "m2", "cheap", "flights"))
	values, _ := s.Get(ctx, "bayes", []byte("word cheap"), []byte("word pills"), []byte("word lunch"))
	for _, v := range values {
		fmt.Print(store.Counter(v, 0), " ")
	}
	// Output:
	// true <nil>
	// false <nil>
	// true <nil>
	// 2 1 0
}
