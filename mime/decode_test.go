package mime_test

import (
	"bytes"
	"encoding/base64"
	"mime/quotedprintable"
	"strings"
	"testing"

	"milterd/mime"
)

// decode walks a message in the given encoding and returns its content.
func decode(encoding string, body []byte) (string, mime.Facts) {
	tree := mime.Walk([]mime.Field{{Name: "Content-Transfer-Encoding", Value: encoding}}, body, mime.Limits{})
	content, found := tree.Root.Content()
	return string(content), found
}

func TestBase64(t *testing.T) {
	tests := []struct{ name, body, want, facts string }{
		{"nothing", "", "", ""},
		{"padding", "aGVsbG8=", "hello", ""},
		{"two of it", "aGVsbA==", "hell", ""},
		{"lines", "aGVs\r\nbG8=\r\n", "hello", ""},
		{"lines that break groups", "aG\nVsb \t G8\r\n=", "hello", ""},
		{"other characters", "aG-V*s!bG8=", "hello", "BAD_BASE64"},
		{"no padding", "aGVsbG8", "hello", "BAD_BASE64"},
		{"one character left", "aGVsbG8=a", "hello", "BAD_BASE64,DATA_AFTER_PADDING"},
		{"padding too early", "a===", "", "BAD_BASE64"},
		{"two texts", "aGU=bGxv", "hello", "DATA_AFTER_PADDING"},
		{"two texts, split", "aGU=\nbG\nxv", "hello", "DATA_AFTER_PADDING"},
		{"only padding", "====", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, found := decode("base64", []byte(test.body))
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if got := facts(found); got != test.facts {
				t.Errorf("facts %s, want %s", got, test.facts)
			}
		})
	}
}

func facts(f mime.Facts) string {
	return strings.TrimPrefix(strings.ReplaceAll(f.String(), "MIME_", ""), "AMBIGUOUS,")
}

func TestQuotedPrintable(t *testing.T) {
	tests := []struct{ name, body, want, facts string }{
		{"nothing", "", "", ""},
		{"plain", "hello\r\nworld\n", "hello\r\nworld\n", ""},
		{"escapes", "=68=65l=6C=6f", "hello", ""},
		{"soft breaks", "he=\r\nl=\nlo=", "hello", ""},
		{"soft break with white space", "he= \t\r\nllo", "hello", ""},
		{"white space at the end", "hello \t\r\n", "hello\r\n", ""},
		{"bad escape", "=6=zz=", "=6=zz", "BAD_QP"},
		{"empty lines", "\n\r\n=\n\n", "\n\r\n\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, found := decode("quoted-printable", []byte(test.body))
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if got := facts(found); got != test.facts {
				t.Errorf("facts %s, want %s", got, test.facts)
			}
		})
	}
}

// What is well encoded decodes to what it was, in lines of any length, and says
// no facts.
func FuzzTransferEncodings(f *testing.F) {
	f.Add([]byte("hello"), uint8(4))
	f.Add([]byte("\x00\xff= \t\r\n"), uint8(76))
	f.Add(bytes.Repeat([]byte{0xfb, 0xff}, 60), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, width uint8) {
		encoded := base64.StdEncoding.EncodeToString(data)
		var lines strings.Builder
		for len(encoded) > 0 {
			n := min(len(encoded), 1+int(width))
			lines.WriteString(encoded[:n] + "\r\n")
			encoded = encoded[n:]
		}
		if got, found := decode("base64", []byte(lines.String())); got != string(data) || found != 0 {
			t.Fatalf("%q became %q, %v", data, got, found)
		}
		var quoted bytes.Buffer
		w := quotedprintable.NewWriter(&quoted)
		w.Binary = true
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, found := decode("quoted-printable", quoted.Bytes()); got != string(data) || found != 0 {
			t.Fatalf("%q as %q became %q, %v", data, quoted.String(), got, found)
		}
	})
}

func TestText(t *testing.T) {
	tests := []struct{ name, contentType, body, want, facts string }{
		{"ASCII", "text/plain", "a\r\nb\n", "a\nb\n", ""},
		{"UTF-8", "text/plain; charset=UTF-8", "ü", "ü", ""},
		{"UTF-8 with a mark", "text/plain; charset=utf8", "\ufeffü", "ü", ""},
		{"bad UTF-8", "text/plain; charset=utf-8", "a\xfcb\xc3", "a\ufffdb\ufffd", "BAD_TEXT"},
		{"8-bit, undeclared", "text/plain", "ü", "ü", "UNDECLARED_8BIT"},
		{"8-bit that is not UTF-8, undeclared", "text/plain; charset=us-ascii", "\xfc\x80", "ü€", "UNDECLARED_8BIT"},
		{"Latin 1 is Windows", "text/plain; charset=iso-8859-1", "\xfc\x93", "ü“", ""},
		{"Windows-1252", "text/plain; charset=cp1252", "\x80", "€", ""},
		{"Latin 9", "text/plain; charset=iso-8859-15", "\xa4", "€", ""},
		{"KOI8-R", "text/plain; charset=koi8-r", "\xf0\xf2\xe9\xf7\xe5\xf4", "ПРИВЕТ", ""},
		{"Windows-1251", "text/plain; charset=\"windows-1251\"", "\xcf\xf0\xe8", "При", ""},
		{"Shift JIS", "text/plain; charset=shift_jis", "\x93\xfa\x96\x7b", "日本", ""},
		{"ISO-2022-JP", "text/plain; charset=iso-2022-jp", "\x1b$B\x46\x7c\x4b\x5c\x1b(B", "日本", ""},
		{"EUC-KR", "text/plain; charset=ks_c_5601-1987", "\xc7\xd1", "한", ""},
		{"GB 2312", "text/plain; charset=gb2312", "\xd6\xd0", "中", ""},
		{"Big 5", "text/plain; charset=big5", "\xa4\xa4", "中", ""},
		{"Big 5, bad", "text/plain; charset=big5", "\xa4", "\ufffd", "BAD_TEXT"},
		{"UTF-16", "text/plain; charset=utf-16", "\xfe\xff\x00a\x20\xac", "a€", ""},
		{"UTF-16LE", "text/plain; charset=utf-16le", "a\x00\xac\x20", "a€", ""},
		{"UTF-7", "text/plain; charset=utf-7", "Hi Mom +Jjo-!", "Hi Mom ☺!", ""},
		{"UTF-7, plus", "text/plain; charset=utf-7", "1 +- 1 = 2", "1 + 1 = 2", ""},
		{"UTF-7, hidden tags", "text/plain; charset=utf-7", "+ADw-script+AD4", "<script>", ""},
		{"UTF-7, beyond the BMP", "text/plain; charset=utf-7", "+2D3eAA-", "😀", ""},
		{"UTF-7, half a pair", "text/plain; charset=utf-7", "+2D0-", "", "BAD_TEXT"},
		{"UTF-7, a wrong pair", "text/plain; charset=utf-7", "+2D0AYQ-", "\ufffd", "BAD_TEXT"},
		{"UTF-7, 8-bit", "text/plain; charset=utf-7", "\xfc", "\ufffd", "BAD_TEXT"},
		{"unknown", "text/plain; charset=x-nobody", "a", "a", "UNKNOWN_CHARSET"},
		{"unknown, 8-bit", "text/plain; charset=x-nobody", "\xfc", "ü", "UNKNOWN_CHARSET"},
		{"absurd name", "text/plain; charset=\"" + strings.Repeat("x", 5000) + "\"", "ü", "ü", "UNKNOWN_CHARSET"},
		{"HTML names its charset", "text/html", "<meta charset=koi8-r>\xf0", "<meta charset=koi8-r>П", ""},
		{"HTML names none", "text/html", "<p>\xfc", "<p>ü", ""},
		{"NUL", "text/plain", "a\x00b", "ab", "NUL_IN_TEXT"},
		{"a report", "message/delivery-status", "Status: 5.1.1", "Status: 5.1.1", ""},
		{"no text", "image/png", "abc", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tree := mime.Walk([]mime.Field{{Name: "Content-Type", Value: test.contentType}}, []byte(test.body), mime.Limits{})
			got, found := tree.Root.Text()
			if got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if got := facts(found); got != test.facts {
				t.Errorf("facts %s, want %s", got, test.facts)
			}
		})
	}
}

// Head is the beginning of Content, whatever the encoding.
func TestHead(t *testing.T) {
	for _, encoding := range []string{"7bit", "base64", "quoted-printable"} {
		body := strings.Repeat("aGVsbG8gd29ybGQ=\r\n", 100)
		p := mime.WalkMessage([]byte("Content-Type: application/pdf\r\nContent-Transfer-Encoding: "+encoding+"\r\n\r\n"+body), mime.Limits{}).Root
		content, _ := p.Content()
		for _, n := range []int{0, 1, 11, 12, 100, len(content), 1 << 20} {
			if head, _ := p.Head(n); !bytes.Equal(head, content[:min(n, len(content))]) {
				t.Errorf("%s: the first %d bytes are %q", encoding, n, head)
			}
		}
	}
}
