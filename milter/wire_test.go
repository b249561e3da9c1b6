package milter

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	wire "github.com/emersion/go-milter"
)

func TestParseConnect(t *testing.T) {
	for data, want := range map[string]string{
		"host\x00U":                             "host U 0 invalid IP ",
		"\x00U":                                 " U 0 invalid IP ",
		"host\x004\x9c\x40192.0.2.1\x00":        "host 4 40000 192.0.2.1 ",
		"[192.0.2.1]\x004\x00\x00192.0.2.1\x00": "[192.0.2.1] 4 0 192.0.2.1 ",
		"host\x006\x00\x192001:db8::25\x00":     "host 6 25 2001:db8::25 ",
		"host\x006\x00\x19IPv6:2001:db8::1\x00": "host 6 25 2001:db8::1 ", // Sendmail
		"host\x006\x00\x19::ffff:192.0.2.1\x00": "host 6 25 192.0.2.1 ",
		"host\x006\x00\x19fe80::1%eth0\x00":     "host 6 25 fe80::1 ",
		"host\x004\x00\x19nonsense\x00":         "host 4 25 invalid IP ",
		"host\x004\x00\x19\x00":                 "host 4 25 invalid IP ",
		"host\x00L\x00\x00/run/x\x00":           "host L 0 invalid IP /run/x",
		"host\x00L/run/x\x00":                   "host L 0 invalid IP /run/x", // go-milter's client
		"host\x00L\x00":                         "host L 0 invalid IP ",
		"host\x00L\x00\x00\x00":                 "host L 0 invalid IP ",
		"host":                                  "malformed",
		"host\x00":                              "malformed",
		"host\x00X":                             "malformed",
		"host\x00U\x00":                         "malformed",
		"host\x004":                             "malformed",
		"host\x004\x00":                         "malformed",
		"host\x004\x00\x19":                     "malformed",
		"host\x004\x00\x19192.0.2.1":            "malformed",
		"host\x004\x00\x19192.0.2.1\x00x":       "malformed",
		"host\x00L/run/x":                       "malformed",
	} {
		c, ok := parseConnect([]byte(data))
		got := fmt.Sprintf("%s %c %d %s %s", c.Host, c.Family, c.Port, c.Addr, c.Path)
		if !ok {
			got = "malformed"
		}
		if got != want {
			t.Errorf("%q: %s, expected %s", data, got, want)
		}
	}
}

func FuzzConnect(f *testing.F) {
	f.Add([]byte("host\x004\x9c\x40192.0.2.1\x00"))
	f.Add([]byte("host\x00L\x00\x00/x\x00"))
	f.Add([]byte("\x00U"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, ok := parseConnect(data)
		if !ok {
			return
		}
		if strings.ContainsRune(c.Host+c.Path, 0) || (c.Addr.IsValid() && (c.Addr.Zone() != "" || c.Addr.Is4In6())) {
			t.Fatalf("%+v", c)
		}
		if again, ok := parseConnect(appendConnect(nil, c)); !ok || again != c {
			t.Fatalf("%+v comes back as %+v", c, again)
		}
	})
}

func FuzzNegotiation(f *testing.F) {
	f.Add(appendNegotiation(nil, negotiation{6, 0x1ff, 0x1fffff, nil})[5:])
	f.Add(appendNegotiation(nil, negotiation{6, 0x1ff, 0, []macroRequest{{0, "j {x}"}, {99, ""}}})[5:])
	f.Add([]byte("\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, ok := parseNegotiation(data)
		if !ok {
			return
		}
		frame := appendNegotiation(nil, n)
		if !bytes.Equal(frame[5:], data) || int(frame[3])|int(frame[2])<<8|int(frame[1])<<16 != len(frame)-4 {
			t.Fatalf("%q comes back as %q", data, frame)
		}
		var wrote bytes.Buffer
		s := &Server{Actions: AllActions, Protocol: wire.OptSkip | wire.OptNoHeaderReply}
		s.init()
		c := newConn(s, discardConn{Buffer: &wrote}, "")
		err := c.negotiate(data)
		switch {
		case len(data) != 12 || n.version < 2:
			if err == nil || wrote.Len() != 0 {
				t.Fatalf("%q was answered %q", data, wrote.Bytes())
			}
		case err != nil:
			t.Fatal(err)
		default:
			answer, ok := parseNegotiation(wrote.Bytes()[5:])
			if !ok || answer.version > n.version || answer.version > 6 || answer.actions&^n.actions != 0 || answer.protocol&^n.protocol != 0 {
				t.Fatalf("offer %+v, answer %+v", n, answer)
			}
		}
	})
}

func TestMacroPackets(t *testing.T) {
	var m macros
	put := func(code wire.Code, pairs ...string) *protocolError {
		return m.put([]byte(string(code) + strings.Join(append(pairs, ""), "\x00")))
	}
	if err := put('C', "j", "mx", "{x}", "", "", "nameless"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"j": "mx", "{j}": "mx", "x": "", "{x}": "", "": "nameless"} {
		if v, ok := m.lookup(wire.StageConnect, name); v != want || !ok {
			t.Errorf("%q: %q %t", name, v, ok)
		}
	}
	for _, name := range []string{"mx", "J", "{j", "y"} {
		if v, ok := m.lookup(wire.StageConnect, name); ok {
			t.Errorf("%q: %q", name, v)
		}
	}
	if _, ok := m.lookup(99, "j"); ok {
		t.Error("stage 99")
	}
	before := &m.packets[wire.StageConnect][0]
	if put('C', "j", "mx", "{x}", "", "", "nameless") != nil || &m.packets[wire.StageConnect][0] != before {
		t.Error("the same macros were stored again")
	}
	// Memory: bounded in all, and large packets are not kept for later.
	big := strings.Repeat("x", maxMacroBytes-100)
	if put('M', "big", big) != nil || put('R', "big", big) == nil {
		t.Error("more than maxMacroBytes were taken")
	}
	if m.clearFrom(wire.StageMailFrom); cap(m.packets[wire.StageMailFrom]) != 0 || m.size != len("j\x00mx\x00{x}\x00\x00\x00nameless\x00") {
		t.Errorf("after clearing: cap %d, size %d", cap(m.packets[wire.StageMailFrom]), m.size)
	}
	if put('R', "big", big) != nil {
		t.Error("cleared macros still count")
	}
}

func FuzzMacros(f *testing.F) {
	f.Add([]byte("Cj\x00mx\x00"), []byte("Mi\x001\x00{auth_authen}\x00joe\x00"))
	f.Add([]byte("R\x00\x00"), []byte("R{\x00}\x00{}\x00x\x00"))
	f.Add([]byte("Xa\x00b\x00"), []byte("C"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		var m macros
		for _, data := range [][]byte{one, two} {
			if m.put(data) != nil {
				continue
			}
			stage, ok := macroStage(wire.Code(data[0]))
			if !ok {
				continue
			}
			var pairs []string
			for name, value := range m.all(stage) {
				pairs = append(pairs, name, value)
				if v, ok := m.lookup(stage, name); !ok || (v != value && !slices.Contains(pairs, v)) {
					t.Fatalf("%q: macro %q is %q", data, name, v)
				}
			}
			if joined := strings.Join(append(pairs, ""), "\x00"); joined != string(data[1:]) && len(data) > 1 {
				t.Fatalf("%q is read as %q", data, pairs)
			}
		}
		size := 0
		for _, p := range m.packets {
			size += len(p)
		}
		if size != m.size || size > maxMacroBytes {
			t.Fatalf("size %d, counted %d", m.size, size)
		}
		if m.clearFrom(0); m.size != 0 {
			t.Fatalf("size %d after clearing", m.size)
		}
	})
}

func TestNoReplyAndNoSendFlags(t *testing.T) {
	var replies, sends wire.OptProtocol
	for code := range 256 {
		replies |= noReplyFlag(wire.Code(code))
		sends |= noSendFlag(wire.Code(code))
	}
	if replies != 0xff080 || sends != 0x37f {
		t.Errorf("%#x %#x", replies, sends)
	}
	if replies|sends|wire.OptSkip|wire.OptRcptRej|wire.OptHeaderLeadingSpace != AllProtocol {
		t.Error("flags are missing")
	}
}

func TestAddrIsUnmapped(t *testing.T) {
	c, ok := parseConnect(appendConnect(nil, Connect{Host: "x", Family: '6', Addr: netip.MustParseAddr("::ffff:192.0.2.7")}))
	if !ok || c.Addr != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("%v", c.Addr)
	}
}
