package milter_test

import (
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"

	"milterd/milter"
	"milterd/milter/miltertest"
)

// sendGarbage opens connections and spoils a session on each.
func sendGarbage(t *testing.T, addr milter.Addr, seed uint64, conns int) (spoiled int) {
	rnd := rand.New(rand.NewPCG(seed, seed))
	for range conns {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: addr.Address, Net: "unix"})
		if err != nil {
			t.Error(err)
			return spoiled
		}
		spoiled += miltertest.Garbage(conn, rnd)
	}
	return spoiled
}

// A thousand connections that wait cost little each.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const conns = 1000
	s := &milter.Server{NewSession: func(*milter.Conn) milter.Session { return nothing{} }}
	addr := listen(t, s)
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := memory()
	var held [conns]net.Conn
	var dialers sync.WaitGroup
	for i := range conns {
		nc, err := net.Dial(addr.Network, addr.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		held[i] = nc
		if i%2 == 0 { // before a message, and after one with a large body
			miltertest.Play(t, nc, hello)
			continue
		}
		dialers.Go(func() {
			miltertest.Play(t, nc, hello+envelope)
			nc.Write(miltertest.Frame('B', string(make([]byte, 65535))))
			miltertest.Play(t, nc, "< c\n> E\n< c\n> A\n> H again\n< c")
		})
	}
	dialers.Wait()
	each := (memory() - before) / conns
	t.Logf("%d bytes of heap and stack for each idle connection, the test's end included", each)
	if each > 10<<10 {
		t.Errorf("%d bytes for each idle connection", each)
	}
	for _, nc := range held {
		miltertest.Play(t, nc, "> H x\n< c") // they all live
	}
}

// A length word reserves nothing: ten thousand announced bytes cost what came.
func TestAnnouncedLengthReservesNothing(t *testing.T) {
	s := newServer(&miltertest.Filter{})
	addr := listen(t, s)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 200 {
		nc, err := net.Dial(addr.Network, addr.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		miltertest.Play(t, nc, hello+envelope)
		nc.Write([]byte{0, 0x0f, 0xff, 0xff, 'B', 'x'})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 200*40<<10 {
		t.Errorf("200 stalled frames hold %d KiB", grown>>10)
	}
}
