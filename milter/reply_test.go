package milter

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	wire "github.com/emersion/go-milter"
)

func TestNewReply(t *testing.T) {
	long := strings.Repeat("x", 400)
	tests := []struct {
		code     int
		enhanced string
		lines    []string
		wire     string // data of the packet; empty: refused
	}{
		{550, "5.7.1", []string{"No"}, "550 5.7.1 No\x00"},
		{450, "4.7.999", []string{"a", "b", "c"}, "450-4.7.999 a\r\n450-4.7.999 b\r\n450 4.7.999 c\x00"},
		{421, "4.3.2", []string{"Bye"}, "421 4.3.2 Bye\x00"},
		{554, "5.7.1", []string{"100% %s %%"}, "554 5.7.1 100%% %%s %%%%\x00"},
		{550, "5.7.1", []string{long}, "550 5.7.1 " + long + "\x00"},
		{550, "5.7.1", []string{long + "x"}, ""},
		{550, "5.7.1", nil, ""},
		{550, "5.7.1", []string{""}, ""},
		{550, "5.7.1", make([]string, 33), ""},
		{250, "2.0.0", []string{"ok"}, ""},
		{354, "4.0.0", []string{"go"}, ""},
		{600, "5.0.0", []string{"x"}, ""},
		{550, "4.7.1", []string{"x"}, ""},
		{450, "5.7.1", []string{"x"}, ""},
		{550, "", []string{"x"}, ""},
		{550, "5.7", []string{"x"}, ""},
		{550, "5.07.1", []string{"x"}, ""},
		{550, "5.7.1000", []string{"x"}, ""},
		{550, "5.7.1.1", []string{"x"}, ""},
		{550, "5.+7.1", []string{"x"}, ""},
		{550, "5.7.", []string{"x"}, ""},
		{550, "5.7.1", []string{"a\r\n250 ok"}, ""},
		{550, "5.7.1", []string{"a\nb"}, ""},
		{550, "5.7.1", []string{"a\x00b"}, ""},
		{550, "5.7.1", []string{"tab\there"}, ""},
		{550, "5.7.1", []string{"del\x7f"}, ""},
		{550, "5.7.1", []string{"ümlaut"}, ""},
		{550, "5.7.1", []string{"\xff"}, ""},
		{550, "5.7.1", []string{"fine", "esc\x1b[2J"}, ""},
	}
	for _, test := range tests {
		r, err := NewReply(test.code, test.enhanced, test.lines...)
		if test.wire == "" {
			if err == nil || r != (Reply{}) {
				t.Errorf("NewReply(%d, %q, %q): %v, no error", test.code, test.enhanced, test.lines, r)
			}
			continue
		}
		if err != nil {
			t.Errorf("NewReply(%d, %q, %q): %v", test.code, test.enhanced, test.lines, err)
			continue
		}
		if got := appendReply(nil, r); string(got[4:]) != "y"+test.wire {
			t.Errorf("NewReply(%d, %q, %q) goes out as %q", test.code, test.enhanced, test.lines, got[4:])
		}
	}
}

func TestReplyTells(t *testing.T) {
	multi, err := NewReply(550, "5.7.1", "first", "second line")
	if err != nil {
		t.Fatal(err)
	}
	later, err := NewReply(451, "4.3.0", "later")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		reply                           Reply
		text                            string
		action                          wire.ActionCode
		code                            int
		continues, temporary, permanent bool
	}{
		{Reply{}, "continue", 'c', 0, true, false, false},
		{Continue, "continue", 'c', 0, true, false, false},
		{Accept, "accept", 'a', 0, false, false, false},
		{Discard, "discard", 'd', 0, false, false, false},
		{Skip, "skip", 's', 0, false, false, false},
		{Reject, "reject", 'r', 0, false, false, true},
		{TempFail, "tempfail", 't', 0, false, true, false},
		{Reply{act: ActShutdown}, "shutdown", '4', 0, false, true, false},
		{Reply{act: ActConnFail}, "connection failure", 'f', 0, false, true, false},
		{multi, "550 5.7.1 first / second line", 'y', 550, false, false, true},
		{later, "451 4.3.0 later", 'y', 451, false, true, false},
	}
	for _, test := range tests {
		r := test.reply
		if r.String() != test.text || r.Action() != test.action || r.Code() != test.code || r.IsContinue() != test.continues ||
			r.Temporary() != test.temporary || r.Permanent() != test.permanent || r.Refuses() != (test.temporary || test.permanent) {
			t.Errorf("%q: %q %c %d %v %v %v", test.text, r, r.Action(), r.Code(), r.IsContinue(), r.Temporary(), r.Permanent())
		}
	}
	if multi.SMTP() != "550-5.7.1 first\r\n550 5.7.1 second line" {
		t.Errorf("SMTP: %q", multi.SMTP())
	}
}

// postfixTakes is written after Postfix's own judgement of SMFIR_REPLYCODE, old
// and new: what it refuses here reaches the client as 451 4.3.5.
func postfixTakes(data []byte) error {
	if len(data) == 0 || data[len(data)-1] != 0 || strings.Count(string(data), "\x00") != 1 {
		return fmt.Errorf("NUL: %q", data)
	}
	if len(data)+1 > 2*65535 {
		return fmt.Errorf("%d bytes", len(data))
	}
	s := string(data[:len(data)-1])
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if i++; i == len(s) || s[i] != '%' {
			return fmt.Errorf("single %%: %q", s)
		}
	}
	lines := strings.Split(s, "\r\n")
	for i, l := range lines {
		want := byte('-')
		if i == len(lines)-1 {
			want = ' '
		}
		if len(l) < 9 || (l[0] != '4' && l[0] != '5') || l[1] < '0' || l[1] > '9' || l[2] < '0' || l[2] > '9' || l[3] != want ||
			l[:3] != s[:3] || l[4] != l[0] || l[5] != '.' || strings.ContainsAny(l, "\r\n") {
			return fmt.Errorf("line %q", l)
		}
		if text := strings.ReplaceAll(l, "%%", "%"); len(text)+2 > 512 {
			return fmt.Errorf("line of %d bytes", len(text)+2)
		}
	}
	return nil
}

// Whatever NewReply lets through, Postfix takes, and our Client reads back.
func TestNoReplyThatPostfixRefuses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "%", "%%", "\r\n", "\n", "\r", "\x00", "550 ", "-", " ", "5.7.1", "ü", "\xff", "\t", "~", "xyz",
		strings.Repeat("%", 100), strings.Repeat("q", 150)}
	statuses := []string{"5.7.1", "4.7.1", "5.7.26", "4.999.999", "5", "", "5.7.x", "2.0.0", "5.7.1 ", "5..1"}
	good := 0
	for range 50_000 {
		lines := make([]string, rnd.IntN(4))
		for i := range lines {
			for range rnd.IntN(5) {
				lines[i] += pieces[rnd.IntN(len(pieces))]
			}
		}
		r, err := NewReply(390+rnd.IntN(220), statuses[rnd.IntN(len(statuses))], lines...)
		if err != nil {
			continue
		}
		good++
		packet := appendReply(nil, r)
		if n := binary.BigEndian.Uint32(packet); int(n) != len(packet)-4 || packet[4] != 'y' {
			t.Fatalf("packet %q", packet)
		}
		if err := postfixTakes(packet[5:]); err != nil {
			t.Fatalf("Postfix refuses %q: %v", packet, err)
		}
		if back, err := decodeReply(wire.ActReplyCode, packet[5:]); err != nil || back != r {
			t.Fatalf("%q is read back as %q, %v", r.SMTP(), back.SMTP(), err)
		}
	}
	if good < 500 {
		t.Errorf("only %d replies came so far", good)
	}
	for _, r := range []Reply{localError, tooBusy} {
		if err := postfixTakes(appendReply(nil, r)[5:]); err != nil {
			t.Error(err)
		}
	}
}

func TestDecodeReply(t *testing.T) {
	for data, want := range map[string]string{ // what it means; empty: malformed
		"550 5.7.1 No\x00":               "550 5.7.1 No",
		"550 5.7.1 No":                   "550 5.7.1 No", // go-milter's NewResponse may leave the NUL out
		"550 no status\x00":              "550 no status",
		"550-5.7.1 a\r\n550 5.7.1 b\x00": "550 5.7.1 a / b",
		"550 at 100% 50%%\x00":           "550 at 100 50%",
		"550 \x00":                       "550 ",
		"":                               "",
		"\x00":                           "",
		"550\x00":                        "",
		"250 ok\x00":                     "",
		"5x0 no\x00":                     "",
		"550-no\x00":                     "",
		"550 no\r\n550 no\x00":           "",
		"550-no\r\n551 no\x00":           "",
		"550-no\n550 no\x00":             "",
		"550 4.7.1 no\x00":               "",
		"550 no\r\n\x00":                 "",
		"550 a\x00b\x00":                 "",
	} {
		r, err := decodeReply(wire.ActReplyCode, []byte(data))
		if (err != nil) != (want == "") || (err == nil && r.String() != want) {
			t.Errorf("%q: %q, %v; expected %q", data, r, err, want)
		}
	}
	for _, act := range []wire.ActionCode{'c', 'a', 'd', 's', 'r', 't', '4', 'f'} {
		if r, err := decodeReply(act, nil); err != nil || r.Action() != act {
			t.Errorf("%c: %v, %v", act, r, err)
		}
		if _, err := decodeReply(act, []byte{0}); err == nil {
			t.Errorf("%c with data: no error", act)
		}
	}
	if _, err := decodeReply('z', nil); err == nil {
		t.Error("unknown letter: no error")
	}
	if r, _ := decodeReply('c', nil); r != Continue {
		t.Error("a decoded continue is not Continue")
	}
}

func FuzzDecodeReply(f *testing.F) {
	f.Add(byte('y'), []byte("550-5.7.1 a\r\n550 5.7.1 b\x00"))
	f.Add(byte('y'), []byte("550 100%% %x %"))
	f.Add(byte('c'), []byte{})
	f.Fuzz(func(t *testing.T, act byte, data []byte) {
		r, err := decodeReply(wire.ActionCode(act), data)
		if err != nil {
			return
		}
		_ = r.String()
		packet := appendReply(nil, r)
		back, err := decodeReply(wire.ActionCode(packet[4]), packet[5:])
		if err != nil || back != r {
			t.Fatalf("%q written as %q is read as %q, %v", r.SMTP(), packet, back.SMTP(), err)
		}
		if strings.ContainsRune(r.SMTP(), 0) {
			t.Fatalf("NUL in %q", r.SMTP())
		}
	})
}
