package milter

import (
	"slices"
	"testing"

	"milterd/internal/complexity"

	wire "github.com/emersion/go-milter"
)

// TestComplexity: what comes over the wire, in few large frames and in many small ones.
func TestComplexity(t *testing.T) {
	session := func(frames string) string {
		return string(frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff")) + string(frame('C', "host\x004\x9c\x40192.0.2.1\x00")) +
			string(frame('M', "<a@b>\x00")) + string(frame('R', "<c@d>\x00")) + frames + string(frame('E', "")) + string(frame('Q', ""))
	}
	in := func(code byte, begin string) func(string) string {
		return func(text string) string { return session(string(frame(code, begin+text+"\x00"))) }
	}
	play := func(stream string) { converseWith(t, []byte(stream), 0, func() int { return 4096 }) }
	small := map[string]complexity.Text{}
	for name, f := range map[string][]byte{
		"fields": frame('L', "To\x00 a\x00"), "recipients": frame('R', "<a@b>\x00"), "macros": frame('D', "Li\x001\x00"), "macros of recipients": frame('D', "R{rcpt_addr}\x00a\x00"), "chunks": frame('B', "a"),
		"greetings": frame('H', "a\x00"), "commands": frame('U', "FOO\x00"), "empty messages": slices.Concat(frame('M', "<>\x00"), frame('A', "")), "negotiations": frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff"), "frames of nothing": {0, 0, 0, 0},
		"all at once": slices.Concat(frame('D', "Mi\x001\x00"), frame('M', "<a@b>\x00"), frame('R', "<c@d>\x00"), frame('L', "A\x00b\x00"), frame('N', ""), frame('B', "x"), frame('E', "")),
	} {
		small[name] = complexity.Repeat(string(f))
	}
	complexity.Check(t,
		complexity.Parser{Name: "frames", Shapes: small, Frame: session, Run: play},
		complexity.Parser{Name: "macros", Frame: in('D', "M"), Run: play, Shapes: map[string]complexity.Text{"pairs": complexity.Repeat("{a}\x00b\x00")}},
		complexity.Parser{Name: "arguments", Frame: in('R', "<c@d>\x00"), Run: play, Shapes: map[string]complexity.Text{"list": complexity.Repeat("A=1\x00")}},
		complexity.Parser{Name: "field", Frame: in('L', "Subject\x00"), Run: play},
		complexity.Parser{Name: "reply", Run: func(text string) { decodeReply('y', []byte("550 "+text+"\x00")) },
			Shapes: map[string]complexity.Text{"lines": complexity.Repeat("550-5.7.1 a\r\n"), "lines without a code": complexity.Repeat("x\r\n")}},
		complexity.Parser{Name: "edit", Run: func(text string) {
			for _, act := range []byte("hmi+2-eq") {
				decodeEdit(wire.ModifyActCode(act), []byte("\x00\x00\x00\x01A\x00"+text+"\x00"), true)
			}
		}},
		complexity.Parser{Name: "socket", Run: func(text string) { ParseAddr("inet:" + text) }},
	)
}
