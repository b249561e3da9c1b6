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
	"CR": func(n int) string { return strings.Repeat("\r", n) },
	"10,000 parts": func(n int) string {
		return mixed + strings.Repeat("--b\nContent-Type: application/x; name=a\n\n", n/40)
	},
	"one line":            func(n int) string { return "\n" + strings.Repeat("a", n) },
	"parentheses":         func(n int) string { return "\nhttp://a.test/" + strings.Repeat("(", n) },
	"URLs":                numbered("", "http://a%d.test/ "),
	"the same URL":        func(n int) string { return "\n" + strings.Repeat("http://a.test/ ", n/15) },
	"U-labels":            numbered("", "http://ü%d.test/ "),
	"numbers":             numbered("", "http://0%o.1/ "),
	"percent signs":       numbered("", "http://%%61%d.test/ "),
	"schemes":             func(n int) string { return "\n" + strings.Repeat("http://", n/7) },
	"empty schemes":       func(n int) string { return "\n" + strings.Repeat("http:// ", n/8) },
	"colons":              func(n int) string { return "\n" + strings.Repeat("://", n/3) },
	"dots":                func(n int) string { return "\n" + strings.Repeat(".", n) },
	"one long name":       func(n int) string { return "\n" + strings.Repeat("a.", n/2) },
	"www":                 func(n int) string { return "\n" + strings.Repeat("www.", n/4) },
	"bare names":          numbered("", "a%d.com "),
	"words":               func(n int) string { return "\n" + strings.Repeat("ab.cd ", n/6) },
	"addresses":           func(n int) string { return "\n" + strings.Repeat("a.com@b.com@", n/12) },
	"user names":          func(n int) string { return "\nhttp://" + strings.Repeat("a@", n/2) },
	"wide words":          func(n int) string { return "\n" + strings.Repeat("ü", n/2) + ".de" },
	"wide dots":           func(n int) string { return "\n" + strings.Repeat("ü.ü ", n/6) },
	"control":             func(n int) string { return "\n" + strings.Repeat("\x01 \u00a0", n/4) },
	"tags":                page("<"),
	"attributes":          func(n int) string { return html + "<a" + strings.Repeat(" a=", n/3) },
	"same attribute":      func(n int) string { return html + "<a" + strings.Repeat(" href=http://a.test", n/19) + ">" },
	"open templates":      page("<template>"),
	"references":          page("&#"),
	"characters":          page("&amp;&lt;&#65;"),
	"open comments":       page("<!--<!-"),
	"one comment":         func(n int) string { return html + "<!--" + strings.Repeat("a", n) },
	"comments of nothing": page("<!---->"),
	"for Outlook":         page("<!--[if mso]><p>a<![endif]-->"),
	"for Outlook only":    func(n int) string { return html + "<!--[if mso]>" + strings.Repeat("<!--[if mso]>", n/13) },
	"nested tags":         page("<div>"),
	"nested fonts":        page("<font color=red>a"),
	"bold blocks":         page("<b><div>"),
	"paragraphs":          page("<p>a"),
	"lists":               page("<ul><li>"),
	"tables":              page("<table><tr><td>a"),
	"stray ends": func(n int) string {
		return html + strings.Repeat("<div>", 600) + strings.Repeat("</p></h1></b></span>", n/20)
	},
	"ends out of reach": func(n int) string {
		return html + "<section><h1><b><table><tr><td>" + strings.Repeat("<div>", 500) + strings.Repeat("</section></h1></b>", n/19)
	},
	"items out of reach": func(n int) string {
		return html + "<ul><li><table><tr><td>" + strings.Repeat("<div>", 500) + strings.Repeat("<li></li><p><tr>", n/16)
	},
	"styles":         page(`<p style="color:#fff;background:red;font:bold 12px/1 a;position:absolute;left:-9px">`),
	"one style":      func(n int) string { return html + `<p style="` + strings.Repeat("color:red;", n/10) + `">` },
	"open style":     func(n int) string { return html + `<p style="` + strings.Repeat("color:url(;", n/11) + `">` },
	"quotes in one":  func(n int) string { return html + `<p style="` + strings.Repeat("a:';", n/4) + `">` },
	"sheets":         page("<style>.a{color:red}</style>"),
	"selectors":      numbered(html+"<style>", ".a%d{display:none}"),
	"many selectors": func(n int) string { return html + "<style>" + strings.Repeat(".a,", n/3) + ".a{display:none}" },
	"media":          func(n int) string { return html + "<style>" + strings.Repeat("@media x{", n/9) },
	"CSS comments":   func(n int) string { return html + "<style>" + strings.Repeat("/*/", n/3) },
	"braces":         func(n int) string { return html + "<style>" + strings.Repeat("{};", n/3) },
	"classes": func(n int) string {
		return html + "<style>.a,p.a{color:red}</style><p class='" + strings.Repeat("a ", n/2) + "'>"
	},
	"rules for all": func(n int) string {
		return html + numbered("<style>", ".a%d{display:none}*.b%[1]d{color:red}")(n/2) + "</style>" + strings.Repeat("<p class='a1 b2'>", n/34)
	},
	"url()":      func(n int) string { return html + "<style>" + strings.Repeat("url(a)(", n/7) },
	"open url()": func(n int) string { return html + "<style>" + strings.Repeat("url(", n/4) },
	"links":      numbered(html, "<a href=http://a%d.test/>b</a>"),
	"open links": numbered(html, "<a href=http://a%d.test/>www.b.com "),
	"relative links": func(n int) string {
		return html + "<base href=http://a.test/" + strings.Repeat("b/", 4000) + ">" + strings.Repeat("<a href=c>", n/10)
	},
	"bases":   numbered(html, "<base href=//a%d.test>"),
	"srcset":  func(n int) string { return html + "<img srcset='" + strings.Repeat("//a.test/b 1x, ", n/15) + "'>" },
	"refresh": page("<meta http-equiv=refresh content='0;url=//a.test'>"),
	"scripts": page("<script>http://a.test</script>"),
	"titles":  page("<title>a</title>"),
	"links in text": func(n int) string {
		return html + strings.Repeat("<a href=//a.test>b</a> ", n/46) + strings.Repeat("www.c.com ", n/20)
	},
}

// page repeats a piece of HTML.
func page(piece string) func(n int) string {
	return func(n int) string { return html + strings.Repeat(piece, n/len(piece)) }
}

// numbered writes a piece again and again, each with another number.
func numbered(start, piece string) func(n int) string {
	if start == "" {
		start = "\n"
	}
	return func(n int) string {
		var b strings.Builder
		b.WriteString(start)
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, piece, i)
		}
		return b.String()
	}
}
