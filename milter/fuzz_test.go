package milter

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/emersion/go-milter"
)

// discardConn is a connection that keeps what is written and has nothing to read.
type discardConn struct{ *bytes.Buffer }

func (discardConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (discardConn) Close() error                     { return nil }
func (discardConn) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "here", Net: "unix"} }
func (discardConn) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "there", Net: "unix"} }
func (discardConn) SetDeadline(time.Time) error      { return nil }
func (discardConn) SetReadDeadline(time.Time) error  { return nil }
func (discardConn) SetWriteDeadline(time.Time) error { return nil }

// streamConn hands out a stream in pieces.
type streamConn struct {
	discardConn
	stream []byte
	split  func() int
}

func (c *streamConn) Read(p []byte) (int, error) {
	if len(c.stream) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), max(1, c.split()))], c.stream)
	c.stream = c.stream[n:]
	return n, nil
}

// diary is a Session that notes what it hears, answers by what it is told and
// checks the promises made to Sessions.
type diary struct {
	t      testing.TB
	lines  []string
	live   bool
	inMail bool
}

func (d *diary) hear(format string, args ...any) Reply {
	if !d.live {
		d.t.Error("event for a Session that is closed, or was not made")
	}
	line := fmt.Sprintf(format, args...)
	d.lines = append(d.lines, line)
	switch { // the bytes decide, so that every answer is met
	case strings.Contains(line, "!reject"):
		return Reject
	case strings.Contains(line, "!tempfail"):
		return TempFail
	case strings.Contains(line, "!accept"):
		return Accept
	case strings.Contains(line, "!discard"):
		return Discard
	case strings.Contains(line, "!skip"):
		return Skip
	case strings.Contains(line, "!panic"):
		panic(line)
	}
	return Continue
}

func (d *diary) message(format string, args ...any) Reply {
	d.inMail = true
	return d.hear(format, args...)
}

func (d *diary) Connect(_ context.Context, c Connect) Reply { return d.hear("connect %+v", c) }
func (d *diary) Helo(_ context.Context, s string) Reply     { return d.hear("helo %q", s) }
func (d *diary) Mail(_ context.Context, s string, a []string) Reply {
	if d.inMail {
		d.t.Error("a message in a message")
	}
	return d.message("mail %q %q", s, a)
}
func (d *diary) Rcpt(_ context.Context, s string, a []string) Reply {
	return d.message("rcpt %q %q", s, a)
}
func (d *diary) Data(context.Context) Reply { return d.message("data") }
func (d *diary) Header(_ context.Context, n, v []byte) Reply {
	return d.message("header %q %q", n, v)
}
func (d *diary) EndOfHeader(context.Context) Reply         { return d.message("eoh") }
func (d *diary) Body(_ context.Context, b []byte) Reply    { return d.message("body %q", b) }
func (d *diary) Unknown(_ context.Context, s string) Reply { return d.hear("unknown %q", s) }
func (d *diary) EndOfMessage(context.Context) Response {
	d.hear("eom")
	d.inMail = false
	return Response{Edits: []Edit{InsertHeader(0, "A", "b"), DeleteHeader(2, "B")}}
}
func (d *diary) Abort() {
	if !d.inMail {
		d.t.Error("abort without a message")
	}
	d.inMail = false
	d.hear("abort")
}
func (d *diary) Close() {
	if d.inMail {
		d.t.Error("closed in a message")
	}
	d.hear("close")
	d.live = false
}

// converseWith plays a stream to a fresh server.
func converseWith(t testing.TB, stream []byte, protocol wire.OptProtocol, split func() int) (heard []string, answers []byte, reason Reason, commands string) {
	d := &diary{t: t}
	s := &Server{Actions: AllActions, Protocol: protocol, MaxFrame: 1 << 17, NewSession: func(*Conn) Session {
		if d.live {
			t.Error("a Session in a Session")
		}
		d.live, d.inMail = true, false
		d.lines = append(d.lines, "new")
		return d
	}}
	s.Hooks.ProtocolError = func(r Reason) { reason = r }
	var letters []byte
	s.Hooks.Command = func(c wire.Code) { letters = append(letters, byte(c)) }
	var out bytes.Buffer
	s.ServeConn(context.Background(), &streamConn{discardConn{&out}, slices.Clone(stream), split})
	if d.live {
		t.Error("a Session was not closed")
	}
	return d.lines, out.Bytes(), reason, string(letters)
}

// checkAnswers wants whole frames, of the letters a filter may write, not more
// verdicts than questions.
func checkAnswers(t testing.TB, answers []byte, commands string) {
	t.Helper()
	verdicts := 0
	for len(answers) > 0 {
		if len(answers) < 5 {
			t.Fatalf("half an answer: %q", answers)
		}
		n := int(binary.BigEndian.Uint32(answers))
		if n < 1 || len(answers) < 4+n || !strings.ContainsRune("Ocadsrtyim", rune(answers[4])) {
			t.Fatalf("answer %q", answers)
		}
		if !strings.ContainsRune("im", rune(answers[4])) {
			verdicts++
		}
		answers = answers[4+n:]
	}
	asked := len(strings.Map(func(r rune) rune {
		if strings.ContainsRune("DAKQ", r) {
			return -1
		}
		return r
	}, commands))
	if verdicts > asked {
		t.Fatalf("%d answers to %d questions (%s)", verdicts, asked, commands)
	}
}

func frame(code byte, data string) []byte { return appendFrame(nil, code, data) }

// honest is a whole SMTP session with two messages.
func honest() []byte {
	message := slices.Concat(
		frame('D', "M{mail_addr}\x00a@b\x00"), frame('M', "<a@b>\x00SIZE=1\x00"),
		frame('D', "R{rcpt_addr}\x00c@d\x00"), frame('R', "<c@d>\x00"), frame('R', "<e@f>\x00NOTIFY=NEVER\x00"),
		frame('T', ""), frame('D', "Li\x001\x00"), frame('L', "Subject\x00 x\x00"), frame('D', "Li\x001\x00"), frame('L', "From\x00 y\n z\x00"),
		frame('N', ""), frame('B', "body\r\n"), frame('E', ""), frame('A', ""))
	return slices.Concat(
		frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"), frame('D', "Cj\x00mx\x00"),
		frame('C', "host\x004\x9c\x40192.0.2.1\x00"), frame('H', "host\x00"), frame('U', "FOO\x00"), message, message, frame('Q', ""))
}

// FuzzServer feeds a server arbitrary bytes: it must keep its promises to the
// Session, answer in whole frames, and hear the same whatever the pieces are in
// which the bytes arrive.
func FuzzServer(f *testing.F) {
	f.Add(honest(), byte(1), uint32(0))
	f.Add(honest(), byte(7), uint32(0x1fffff))
	f.Add(honest(), byte(100), uint32(0xff080))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), byte(3), uint32(0))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), byte(3), uint32(0))
	for _, answer := range []string{"!reject", "!tempfail", "!accept", "!discard", "!skip", "!panic"} {
		for _, at := range []string{"host\x00", "<a@b>", "<c@d>", " x\x00", "body\r\n"} {
			stream := bytes.ReplaceAll(honest(), []byte(at), []byte(at)) // a copy
			i := bytes.Index(stream, []byte(at))
			begin := 0
			for begin+4 <= i && begin+4+int(binary.BigEndian.Uint32(stream[begin:])) <= i {
				begin += 4 + int(binary.BigEndian.Uint32(stream[begin:]))
			}
			binary.BigEndian.PutUint32(stream[begin:], binary.BigEndian.Uint32(stream[begin:])+uint32(len(answer)))
			f.Add(slices.Insert(stream, i, []byte(answer)...), byte(50), uint32(0x80))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, split byte, protocol uint32) {
		want, answers, reason, commands := converseWith(t, stream, wire.OptProtocol(protocol), func() int { return 1 << 20 })
		checkAnswers(t, answers, commands)
		heard, again, reason2, _ := converseWith(t, stream, wire.OptProtocol(protocol), func() int { return int(split) })
		if !slices.Equal(heard, want) || !bytes.Equal(again, answers) || reason != reason2 {
			t.Fatalf("in pieces of %d it heard\n%q %s, else\n%q %s", split, heard, reason2, want, reason)
		}
	})
}

// lateConn says once that its time is over, then has something to read.
type lateConn struct {
	discardConn
	late bool
}

func (c *lateConn) Read(p []byte) (int, error) {
	if !c.late {
		c.late = true
		return 0, os.ErrDeadlineExceeded
	}
	return copy(p, "x"), nil
}

// A Shutdown that wakes a connection in the moment in which a message begins
// does not take the message away.
func TestWokenAsAMessageBegins(t *testing.T) {
	for _, inMessage := range []bool{true, false} {
		s := &Server{}
		s.init()
		c := newConn(s, &lateConn{discardConn: discardConn{new(bytes.Buffer)}}, "")
		c.phase = phaseReady
		c.wake(false) // it looked idle
		c.setInMessage(inMessage)
		err := c.fill()
		if inMessage && (err != nil || string(c.in.waiting()) != "x") {
			t.Errorf("in a message: %v, %q", err, c.in.waiting())
		}
		if !inMessage && err != errDraining {
			t.Errorf("idle: %v", err)
		}
	}
}
