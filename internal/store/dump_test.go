package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var dumpNow = time.UnixMilli(1795269600000)

func dumpStore() *Memory { return NewMemory(func() time.Time { return dumpNow }, 16<<20) }

func dumped(t testing.TB, s *Memory) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := s.Walk(t.Context(), func(space string, key []byte, r Record) error {
		all[space+"/"+string(key)] = fmt.Sprintf("%q %d", r.Value, r.Expires)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDump(t *testing.T) {
	from, to := dumpStore(), dumpStore()
	for i := range 3000 {
		ops := []Op{Put(fmt.Append(nil, "k", i), bytes.Repeat([]byte{byte(i), 0, '\n'}, i%50), time.Duration(i%3)*time.Hour), Add(fmt.Append(nil, "c", i), 0, int64(i), -1)}
		if err := from.Apply(t.Context(), fmt.Sprintf("space%d", i%3), ops...); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Apply(t.Context(), "space1", Put([]byte("k1"), []byte("old"), 0)); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	n, err := Dump(t.Context(), from, &text)
	if err != nil || n != 6000 {
		t.Fatalf("%d, %v", n, err)
	}
	n, err = Load(t.Context(), to, bytes.NewReader(text.Bytes()), func() time.Time { return dumpNow })
	if err != nil || n != 6000 {
		t.Fatalf("%d, %v", n, err)
	}
	if a, b := dumped(t, from), dumped(t, to); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("what is loaded is not what was dumped")
	}
	// A day later a third has expired.
	later := dumpNow.Add(time.Hour)
	if n, err = Load(t.Context(), dumpStore(), bytes.NewReader(text.Bytes()), func() time.Time { return later }); err != nil || n != 5000 {
		t.Errorf("an hour later: %d, %v", n, err)
	}
	// Every cut is noticed.
	whole := text.String()
	for _, at := range []int{0, 1, 32, 100, len(whole) / 2, len(whole) - 5, len(whole) - len("{\"records\":6000}\n")} {
		if _, err := Load(t.Context(), dumpStore(), strings.NewReader(whole[:at]), time.Now); !errors.Is(err, ErrDump) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	const head = `{"milterd":"store","version":1}` + "\n"
	for text, want := range map[string]string{
		"":                                "it ends after line 0",
		"x\n":                             "line 1",
		"{}\n":                            `"" version 0, expected store version 1`,
		`{"milterd":"store","version":2}`: "version 2, expected",
		head:                              "it ends after line 1",
		head + `{"records":1}`:            "it has 0 records, its last line says 1",
		head + `{"records":0}` + "\nx":    "line 3 stands behind the end",
		head + `{"space":"A","key":"YQ==","value":""}`:              "line 2: store: invalid call",
		head + `{"space":"a","key":"","value":""}`:                  "line 2: store: invalid call",
		head + `{"space":"a","key":"YQ==","value":"","more":1}`:     "unknown field",
		head + `{"space":"a","key":"YQ==","value":""}{"space":"a"}`: "more than one object",
		head + strings.Repeat("x", maxDumpLine+1):                   "line 2 is longer than any record",
	} {
		if _, err := Load(t.Context(), dumpStore(), strings.NewReader(text), time.Now); !errors.Is(err, ErrDump) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

// TestLoadStoreFails: an error of the store is told as such.
func TestLoadStoreFails(t *testing.T) {
	s := dumpStore()
	s.Close(context.Background())
	text := `{"milterd":"store","version":1}` + "\n" + `{"space":"a","key":"YQ==","value":""}` + "\n" + `{"records":1}`
	if n, err := Load(t.Context(), s, strings.NewReader(text), time.Now); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("%d, %v", n, err)
	}
}

// FuzzLoad: what is loaded and dumped again loads as the same.
func FuzzLoad(f *testing.F) {
	const head = `{"milterd":"store","version":1}` + "\n"
	f.Add(head + `{"records":0}`)
	f.Add(head + `{"space":"a","key":"YQ==","value":"Yg=="}` + "\n" + `{"space":"b","key":"YQ==","value":null,"expires":1795269600001}` + "\n" + `{"records":2}` + "\n")
	f.Add(head + `{"space":"a","key":"YQ==","value":"Yg==","expires":-1}`)
	f.Add(head + `{"space":"a","key":"YQ==","value":"","expires":9223372036854775807}` + "\n" + `{"records":1}`)
	f.Fuzz(func(t *testing.T, text string) {
		clock := func() time.Time { return dumpNow }
		first := dumpStore()
		if _, err := Load(t.Context(), first, strings.NewReader(text), clock); err != nil {
			if !errors.Is(err, ErrDump) {
				t.Fatal(err)
			}
			return
		}
		var again bytes.Buffer
		n, err := Dump(t.Context(), first, &again)
		if err != nil {
			t.Fatal(err)
		}
		second := dumpStore()
		if m, err := Load(t.Context(), second, &again, clock); err != nil || m != n {
			t.Fatalf("%d of %d, %v", m, n, err)
		}
		if a, b := dumped(t, first), dumped(t, second); fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%v, then %v", a, b)
		}
	})
}
