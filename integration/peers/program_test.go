package peers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func sleeper(t *testing.T) *program {
	t.Helper()
	dir, err := newDir()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantGone(t *testing.T, p *program) {
	t.Helper()
	<-p.ended
	if _, err := os.Stat(p.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", p.dir, err)
	}
}

func TestClose(t *testing.T) {
	p := sleeper(t)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wantGone(t, p)
}

// A test program that dies says nothing to the keeper, whose input ends.
func TestKeeper(t *testing.T) {
	p := sleeper(t)
	p.will.Close()
	if err := p.keeper.Wait(); err != nil {
		t.Error(err)
	}
	wantGone(t, p)
}

// A program that ends by itself does not keep anybody waiting, and what it wrote
// is told.
func TestReady(t *testing.T) {
	dir, err := newDir()
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(dir, exec.Command("sh", "-c", "echo no such setting >&2; exit 78"))
	if err != nil {
		t.Fatal(err)
	}
	err = p.ready(t.Context(), func(ctx context.Context) error { return errors.New("nobody listens") })
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "no such setting") {
		t.Errorf("got %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	wantGone(t, p)
}

func TestMissing(t *testing.T) {
	if _, err := find("no-such-program-anywhere"); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v, want ErrMissing", err)
	}
}
