package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTargets(t *testing.T) {
	targets, err := findTargets("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(targets) < 90 || !slices.Contains(targets, target{"milter", "FuzzServer"}) || !slices.IsSortedFunc(targets, func(a, b target) int { return strings.Compare(a.dir, b.dir) }) {
		t.Errorf("%d targets: %v", len(targets), targets)
	}
}

// TestSpell is a fuzzer that works for a moment.
func TestSpell(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "fuzz.test")
	script := "#!/bin/sh\necho \"fuzz: elapsed: 3s, execs: 7 (2/sec)\"\necho \"fuzz: elapsed: 6s, execs: 41 (2/sec)\"\ni=0; while [ $i -lt 20000 ]; do i=$((i+1)); done\ntest $2 = '-test.fuzz=^FuzzGood$'\n"
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	s, out, err := target{".", "FuzzGood"}.run(binary, "6s", t.TempDir())
	if err != nil || s.runs != 41 || s.seconds <= 0 || !strings.Contains(string(out), "elapsed") {
		t.Errorf("%+v, %s, %v", s, out, err)
	}
	if _, _, err := (target{".", "FuzzBad"}).run(binary, "6s", t.TempDir()); err == nil {
		t.Error("a failure is none")
	}
	script = "#!/bin/sh\necho '--- FAIL: FuzzLate (35.21s)'\necho '    context deadline exceeded'\nexit 1\n"
	if err := os.WriteFile(binary, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (target{".", "FuzzLate"}).run(binary, "6s", t.TempDir()); err != nil {
		t.Errorf("the end of the time is a failure: %v", err)
	}
}

func TestLedger(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "l.tsv")
	for _, e := range []struct {
		name string
		s    spell
	}{{"FuzzB", spell{1.2, 10}}, {"FuzzA", spell{3, 5}}, {"FuzzB", spell{2, 1}}} {
		if err := enter(ledger, target{"a/b", e.name}, e.s); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(ledger)
	if want := "a/b\tFuzzA\t3.0\t5\na/b\tFuzzB\t3.2\t11\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if err := os.WriteFile(ledger, []byte("half a line\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := enter(ledger, target{"a", "FuzzA"}, spell{}); err == nil {
		t.Error("a spoiled ledger is overwritten")
	}
}
