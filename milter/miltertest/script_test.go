package miltertest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	for line, want := range map[string]string{
		"> O 2 0x3f 127":                   "\x00\x00\x00\x0dO\x00\x00\x00\x02\x00\x00\x00\x3f\x00\x00\x00\x7f",
		"> D C j mx {x} \"a b\" # comment": "\x00\x00\x00\x0fDCj\x00mx\x00{x}\x00a b",
		"> C x U":                          "\x00\x00\x00\x04Cx\x00U",
		"> C x L /p":                       "\x00\x00\x00\x09Cx\x00L\x00\x00/p\x00",
		"> C x 4 25 1.2":                   "\x00\x00\x00\x0aCx\x004\x00\x191.2\x00",
		"> M <a@b> SIZE=1":                 "\x00\x00\x00\x0eM<a@b>\x00SIZE=1\x00",
		"> M \"\"":                         "\x00\x00\x00\x02M\x00",
		"> B \"a\\r\\n\"":                  "\x00\x00\x00\x04Ba\r\n",
		"> N":                              "\x00\x00\x00\x01N",
		"> raw 0001 \"ab\" ff":             "\x00\x01ab\xff",
		"> O x":                            "error",
		"> O 1 2 3 4":                      "error",
		"> C x":                            "error",
		"> C x 4 port 1":                   "error",
		"> raw xyz":                        "error",
		"> long":                           "error",
		"> B \"open":                       "error",
	} {
		words, err := split(line)
		var got []byte
		if err == nil {
			got, err = encode(words[1], words[2:])
		}
		if strings.HasPrefix(line, "> D") {
			want += "\x00"
		}
		if text := string(got); (err != nil) != (want == "error") || (err == nil && text != want) {
			t.Errorf("%s: %q, %v; expected %q", line, text, err, want)
		}
	}
}

// A script that does not come true fails.
func TestExpect(t *testing.T) {
	for _, test := range []struct{ sent, expected, says string }{
		{"c", "< c", ""},
		{"y550 5.7.1 No\x00", "< y \"550 5.7.1 No\\x00\"", ""},
		{"O123", "< O", ""},
		{"", "< end", ""},
		{"c", "< a", `got 'c'`},
		{"cx", "< c", "expected none"},
		{"yx", "< y z", `expected "z"`},
		{"c", "< end", `got 'c'`},
		{"", "< c", "EOF"},
		{"c", "? c", "begins with"},
		{"c", "<", "letter"},
	} {
		here, there := net.Pipe()
		go func() {
			if test.sent != "" {
				there.Write(Frame(test.sent[0], test.sent[1:]))
			}
			there.Close()
		}()
		words, err := split(test.expected)
		if err == nil {
			err = play(here, words)
		}
		here.Close()
		if said := fmt.Sprint(err); (err == nil) != (test.says == "") || !strings.Contains(said, test.says) && err != nil {
			t.Errorf("%q, %s: %v", test.sent, test.expected, err)
		}
	}
}
