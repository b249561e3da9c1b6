package mime_test

import (
	"fmt"
	"strings"
)

// bombs are messages of n bytes or a little more that made other parsers take
// seconds or gigabytes (reference/libraries.md, section 4).
var bombs = map[string]func(n int) string{
	"multiparts in multiparts": func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		}
		return b.String()
	},
	"messages in messages":         func(n int) string { return strings.Repeat("Content-Type: message/rfc822\n\n", n/30) },
	"encoded messages in messages": func(n int) string { return nestedEncoded(n/80, 0) },
	"parts":                        func(n int) string { return mixed + strings.Repeat("--b\n\nx\n", n/7) },
	"empty parts":                  func(n int) string { return mixed + strings.Repeat("--b\n", n/4) },
	"dashes":                       func(n int) string { return mixed + strings.Repeat("-", n) },
	"lines of dashes":              func(n int) string { return mixed + strings.Repeat("--\n", n/3) },
	"almost delimiters":            func(n int) string { return mixed + strings.Repeat("--bx\n", n/5) },
	"delimiters after CR":          func(n int) string { return mixed + strings.Repeat("\r--b", n/4) },
	"junk lines in a header":       func(n int) string { return mixed + "--b\n" + strings.Repeat("junk\n", n/5) + "Content-Type: a/b" },
	"parts with junk headers":      func(n int) string { return mixed + strings.Repeat("--b\njunk\nContent-Type: a/b\n", n/27) },
	"fields":                       func(n int) string { return strings.Repeat("A:b\n", n/4) },
	"folded field":                 func(n int) string { return "Content-Type: a/b;\n" + strings.Repeat(" a=b;\n", n/6) },
	"parameters":                   func(n int) string { return "Content-Type: a/b" + strings.Repeat(";a=b", n/4) },
	"parameters without value":     func(n int) string { return "Content-Type: a/b" + strings.Repeat(";a", n/2) },
	"continuations": func(n int) string {
		var b strings.Builder
		b.WriteString("Content-Type: a/b")
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "; name*%d*=%%41", i)
		}
		return b.String()
	},
	"comments":         func(n int) string { return "Content-Type: " + strings.Repeat("(a)", n/3) },
	"nested comments":  func(n int) string { return "Content-Type: " + strings.Repeat("(", n) },
	"comments in text": func(n int) string { return "Content-Type: a/b; name=" + strings.Repeat("x (", n/3) },
	"quotes":           func(n int) string { return "Content-Type: a/b" + strings.Repeat(`;a="`, n/4) },
	"backslashes":      func(n int) string { return `Content-Type: a/b; a="` + strings.Repeat(`\`, n) },
	"words in a name":  func(n int) string { return `Content-Type: a/b; name="` + strings.Repeat("=?big5?q?a?= x ", n/15) + `"` },
	"base64":           func(n int) string { return "Content-Transfer-Encoding: base64\n\n" + strings.Repeat("A=", n/2) },
	"quoted-printable": func(n int) string {
		return "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=", n/2) + strings.Repeat(" ", n/2)
	},
	"UTF-7": func(n int) string { return "Content-Type: text/plain; charset=utf-7\n\n" + strings.Repeat("+A", n/2) },
	"ISO-2022": func(n int) string {
		return "Content-Type: text/plain; charset=iso-2022-jp\n\n" + strings.Repeat("\x1b$B", n/3)
	},
	"CR":            func(n int) string { return strings.Repeat("\r", n) },
	"tags":          func(n int) string { return "Content-Type: text/html\n\n" + strings.Repeat("<", n) },
	"attributes":    func(n int) string { return "Content-Type: text/html\n\n<a" + strings.Repeat(" a=", n/3) },
	"open tags":     func(n int) string { return "Content-Type: text/html\n\n" + strings.Repeat("<template>", n/10) },
	"references":    func(n int) string { return "Content-Type: text/html\n\n" + strings.Repeat("&#", n/2) },
	"open comments": func(n int) string { return "Content-Type: text/html\n\n" + strings.Repeat("<!--<!-", n/7) },
}
