package miltertest

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"
)

// Session returns the packets of one SMTP session with a message: what an honest
// MTA says, to be spoiled.
func Session() [][]byte {
	return [][]byte{
		Frame('O', Negotiation(6, 0x1ff, 0x1fffff)),
		Frame('D', "C", Strings("j", "mx", "{client_addr}", "192.0.2.1")),
		Frame('C', "host\x004\x00\x19192.0.2.1\x00"),
		Frame('H', "host\x00"),
		Frame('D', "M", Strings("{auth_authen}", "joe")),
		Frame('M', "<a@b>\x00SIZE=1\x00"),
		Frame('R', "<c@d>\x00"),
		Frame('T'),
		Frame('L', "Subject\x00 x\x00"),
		Frame('L', "From\x00 y\n z\x00"),
		Frame('N'),
		Frame('B', "body\r\n"),
		Frame('E'),
		Frame('A'),
	}
}

// Spoil returns the packet with one or more bytes changed, its length included.
func Spoil(rnd *rand.Rand, frame []byte) []byte {
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

// Garbage sends a filter one session in which later and later packets are
// spoiled, half of the time waits until it hangs up, and returns how many
// packets were spoiled. conn is closed.
func Garbage(conn *net.UnixConn, rnd *rand.Rand) (spoiled int) {
	defer conn.Close()
	packets := Session()
	honest := rnd.IntN(len(packets))
	var stream []byte
	for i, frame := range packets {
		if i >= honest {
			frame = Spoil(rnd, frame)
			spoiled++
		}
		stream = append(stream, frame...)
	}
	for range 8 {
		stream = append(stream, Spoil(rnd, packets[rnd.IntN(len(packets))])...)
		spoiled++
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.Write(stream) // the filter may hang up in the middle, and rightly so
	if rnd.IntN(2) == 0 {
		conn.CloseWrite()
		io.Copy(io.Discard, conn)
	}
	return spoiled
}
