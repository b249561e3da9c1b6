package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"milterd/internal/store"
)

// testWalk: a walk shows all that has not expired, of every space, once it is stored.
func testWalk(t *testing.T, s Store, c *Clock) {
	w, ok := s.(store.Walker)
	if !ok {
		t.Fatalf("%T cannot be walked through", s)
	}
	want := map[string]string{}
	for i := range 5000 { // more than fits into one stretch
		name := fmt.Sprintf("key:%d\x00\xff*", i)
		value := bytes.Repeat([]byte{byte(i)}, 300)
		if err := s.Post(fmt.Sprintf("walk%d", i%2), store.Put([]byte(name), value, 0)); err != nil {
			t.Fatal(err)
		}
		want[fmt.Sprintf("walk%d/%s", i%2, name)] = string(value)
	}
	apply(t, s, store.Put(k("short"), k("x"), time.Hour), store.Put(k("long"), nil, 3*time.Hour), store.Add(k("counter"), 0, 7))
	want[space+"/long"] = ""
	want[space+"/counter"] = "\x00\x00\x00\x00\x00\x00\x00\x07"
	end := c.Now().Add(3 * time.Hour).UnixMilli()
	c.Add(2 * time.Hour)
	got := map[string]string{}
	err := w.Walk(t.Context(), func(in string, key []byte, r store.Record) error {
		name := in + "/" + string(key)
		got[name] = string(r.Value)
		if expires := map[string]int64{space + "/long": end}[name]; r.Expires != expires {
			t.Errorf("%q ends at %d, want %d", name, r.Expires, expires)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range want {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%q: %.20q, %v", name, v, ok)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records, want %d", len(got), len(want))
	}
	stop := errors.New("stop")
	seen := 0
	if err := w.Walk(t.Context(), func(string, []byte, store.Record) error { seen++; return stop }); !errors.Is(err, stop) || seen != 1 {
		t.Errorf("%v after %d", err, seen)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Walk(ended, func(string, []byte, store.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a walk without time: %v", err)
	}
}
