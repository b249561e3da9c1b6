package milter

import (
	"bytes"
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	wire "github.com/emersion/go-milter"
)

// said is what became of a session that a client played.
type said struct {
	greeting Reply
	outcomes []Outcome
	errs     []string
	sent     []byte
	actions  wire.OptAction
}

// playTo plays two messages to a filter that answers with stream, whatever it is asked.
func playTo(stream []byte, protocol wire.OptProtocol, split int) (s said) {
	ctx := context.Background()
	var out bytes.Buffer
	c, err := NewClient(ctx, &streamConn{discardConn{&out}, slices.Clone(stream), func() int { return split }}, ClientOptions{Protocol: protocol})
	if err != nil {
		return said{errs: []string{err.Error()}, sent: out.Bytes()}
	}
	note := func(err error) bool {
		if err != nil {
			s.errs = append(s.errs, err.Error())
		}
		return err == nil
	}
	s.actions = c.Actions()
	s.greeting, err = c.Greet(ctx, Peer{Connect: Connect{Host: "h.test", Family: byte(wire.FamilyInet), Addr: netip.MustParseAddr("192.0.2.1")}, Helo: "h.test"})
	for ok := note(err); ok && len(s.outcomes) < 2; {
		o, err := c.Send(ctx, Envelope{From: "a@b.test", Rcpts: []Recipient{{Address: "c@d.test"}, {Address: "e@f.test"}}}, []byte("From: a@b.test\n\nbody\n"))
		if ok = note(err); ok {
			s.outcomes = append(s.outcomes, o)
		}
	}
	s.sent = out.Bytes()
	return s
}

// FuzzClient answers a client with arbitrary bytes: it says the same whatever the
// pieces in which they arrive, writes whole frames, and what comes of it can be
// shown and applied without a line that nobody asked for.
func FuzzClient(f *testing.F) {
	negotiated := string(frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00\x00"))
	cont := string(frame('c', ""))
	for _, answers := range []string{
		strings.Repeat(cont, 40),
		strings.Repeat(cont, 9) + string(frame('h', "A\x00 b\x00")) + string(frame('m', "\x00\x00\x00\x01From\x00\x00")) + string(frame('p', "")) + string(frame('y', "550 5.7.1 no\x00")),
		strings.Repeat(cont, 3) + string(frame('r', "")) + strings.Repeat(cont, 3) + string(frame('t', "")), string(frame('d', "")), string(frame('a', "")), string(frame('y', "450-4.7.1 a\r\n450 4.7.1 b%%\x00")),
		strings.Repeat(cont, 7) + string(frame('s', "")) + strings.Repeat(cont, 20), "\x00\x00\x00\x00", "\xff\xff\xff\xff",
	} {
		f.Add([]byte(negotiated+answers), uint32(0x1fffff), byte(3))
		f.Add([]byte(answers), uint32(0), byte(1))
	}
	f.Add([]byte(string(frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x0f\xff\xff\x00\x00\x00\x00j {x}\x00"))+strings.Repeat(cont, 9)), uint32(0x1fffff), byte(200))
	f.Fuzz(func(t *testing.T, stream []byte, protocol uint32, split byte) {
		offered := wire.OptProtocol(protocol) & AllProtocol
		whole := playTo(stream, offered, 1<<20)
		if again := playTo(stream, offered, int(split)); !reflect.DeepEqual(again, whole) {
			t.Fatalf("in pieces of %d\n%+v, else\n%+v", split, again, whole)
		}
		for rest := whole.sent; len(rest) > 0; {
			if len(rest) < 5 || int(rest[0])<<24|int(rest[1])<<16|int(rest[2])<<8|int(rest[3]) > len(rest)-4 {
				t.Fatalf("half a frame is sent: %q", rest)
			}
			rest = rest[4+(int(rest[0])<<24|int(rest[1])<<16|int(rest[2])<<8|int(rest[3])):]
		}
		for _, o := range whole.outcomes {
			if len(o.Rcpts) > 2 || o.Stage == "" || strings.ContainsRune(o.Reply.SMTP(), 0) {
				t.Fatalf("%+v", o)
			}
			written := (&Message{Fields: []Field{{"From", " a@b.test"}}, Body: []byte("body\r\n")}).Apply(o.Edits).Bytes()
			for _, e := range o.Edits {
				if strings.ContainsAny(e.Name+e.Value, "\r\x00") {
					t.Fatalf("%+v ends a line", e)
				}
			}
			if !bytes.HasSuffix(written, []byte("\nbody\n")) {
				t.Fatalf("edits %v write %q", o.Edits, written)
			}
		}
	})
}
