package lab

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestImpostorNeverHonest: no lie is the answer of a clamd that has found nothing.
func TestImpostorNeverHonest(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "i") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	i := &Impostor{Socket: filepath.Join(dir, "clamd.ctl")}
	if err := i.Start(); err != nil {
		t.Fatal(err)
	}
	for n := range ways {
		conn, err := net.Dial("unix", i.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "zINSTREAM\x00\x00\x00\x00\x01x\x00\x00\x00\x00") // it may have hung up
		answer, _ := io.ReadAll(io.LimitReader(conn, 1<<20))
		if string(answer) == "stream: OK\x00" {
			t.Errorf("lie %d is no lie", n)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if i.served != len(ways) {
		t.Errorf("%d connections served, expected %d", i.served, len(ways))
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", i.Socket); err == nil {
		t.Error("it listens after its end")
	}
}

// TestEverythingIsUsed: each fault and deed is part of a scenario, so that none is left
// out by mistake, and the random faults are among them.
func TestEverythingIsUsed(t *testing.T) {
	scenarios, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, s := range scenarios {
		for _, step := range s.Steps {
			used[step.Break], used[step.Do] = true, true
			if step.Send != nil {
				used[step.Send.Kind] = true
			}
			if step.Load != nil {
				for _, kind := range step.Load.Kinds {
					used[kind] = true
				}
			}
		}
	}
	for _, all := range [][]string{names(Faults()), names(Deeds()), names(Kinds())} {
		for _, name := range all {
			if !used[name] {
				t.Errorf("%q is in no scenario", name)
			}
		}
	}
	l := &Lab{Benches: []*Bench{{Config: Config{Disk: Small}}}}
	for _, a := range l.areas() {
		for _, name := range append(a.faults, a.deeds...) {
			if !used[name] {
				t.Errorf("%q breaks at random and is in no scenario", name)
			}
		}
	}
}

// TestStartFails: a lab that never starts is an error and leaves nothing.
func TestStartFails(t *testing.T) {
	needRoom(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if l, err := Start(ctx, Config{Name: "lab", Binary: "/bin/false", Store: Bolt, Disk: Plain}); err == nil {
		t.Error("a lab whose milterd ends at once has started")
		_ = l.Close()
	}
}
