package milter_test

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"milterd/milter"
	"milterd/milter/miltertest"
)

// honestFrames are the packets of one SMTP session, to be spoiled.
func honestFrames() [][]byte {
	return [][]byte{
		miltertest.Frame('O', miltertest.Negotiation(6, 0x1ff, 0x1fffff)),
		miltertest.Frame('D', "C", miltertest.Strings("j", "mx", "{client_addr}", "192.0.2.1")),
		miltertest.Frame('C', "host\x004\x00\x19192.0.2.1\x00"),
		miltertest.Frame('H', "host\x00"),
		miltertest.Frame('D', "M", miltertest.Strings("{auth_authen}", "joe")),
		miltertest.Frame('M', "<a@b>\x00SIZE=1\x00"),
		miltertest.Frame('R', "<c@d>\x00"),
		miltertest.Frame('T'),
		miltertest.Frame('L', "Subject\x00 x\x00"),
		miltertest.Frame('L', "From\x00 y\n z\x00"),
		miltertest.Frame('N'),
		miltertest.Frame('B', "body\r\n"),
		miltertest.Frame('E'),
		miltertest.Frame('A'),
	}
}

// mutate spoils one or more bytes of a packet, its length included.
func mutate(rnd *rand.Rand, frame []byte) []byte {
	frame = slices.Clone(frame)
	for range 1 + rnd.IntN(3) {
		if len(frame) == 0 {
			break
		}
		switch i := rnd.IntN(len(frame)); rnd.IntN(6) {
		case 0:
			frame[i] ^= 1 << rnd.IntN(8)
		case 1:
			frame[i] = byte(rnd.Uint32())
		case 2:
			frame = frame[:i]
		case 3:
			frame = slices.Insert(frame, i, make([]byte, rnd.IntN(40))...)
		case 4:
			if len(frame) >= 4 {
				binary.BigEndian.PutUint32(frame, rnd.Uint32N(1<<rnd.UintN(32)))
			}
		case 5:
			frame = append(frame, frame...)
		}
	}
	return frame
}

// sendGarbage opens connections and sends each a session in which later and
// later packets are spoiled, until the server hangs up.
func sendGarbage(t *testing.T, addr milter.Addr, seed uint64, conns int) (mutated int) {
	rnd := rand.New(rand.NewPCG(seed, seed))
	for range conns {
		nc, err := net.Dial(addr.Network, addr.Address)
		if err != nil {
			t.Error(err)
			return mutated
		}
		stream := []byte{}
		honest := rnd.IntN(14)
		for i, frame := range honestFrames() {
			if i >= honest {
				frame = mutate(rnd, frame)
				mutated++
			}
			stream = append(stream, frame...)
		}
		for range 8 {
			stream = append(stream, mutate(rnd, honestFrames()[rnd.IntN(14)])...)
			mutated++
		}
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		nc.Write(stream)
		if rnd.IntN(2) == 0 {
			nc.(*net.UnixConn).CloseWrite()
			io.Copy(io.Discard, nc)
		}
		nc.Close()
	}
	return mutated
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
