package mime_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"milterd/mime"
)

// describe writes a URL in one line: what it is, where it stands, what it shows.
func describe(u mime.URL) string {
	s := u.String() + " " + u.Where.String()
	if u.Hidden {
		s += " hidden"
	}
	if u.Displayed != "" {
		s += fmt.Sprintf(" %q", u.Displayed)
	}
	if u.DisplayedHost != "" {
		s += " " + u.DisplayedHost
	}
	return s
}

func TestLinks(t *testing.T) {
	tests := []struct {
		name, source string
		want         []string
		facts        string
	}{
		{"link", `<a href="http://a.test/x">click <b>here</b></a>`, []string{`http://a.test/x link "click here"`}, ""},
		{"without quotes", `<A HREF=http://a.test/x>b</A>`, []string{`http://a.test/x link "b"`}, ""},
		{"references", `<a href="http://a.test/?b=1&amp;c=2&#38;d=&copy=3&copy;&not">b</a>`, []string{`http://a.test/?b=1&c=2&d=&copy=3©¬ link "b"`}, ""},
		{"shows itself", `<a href="http://www.example.com/x">example.com</a>`, []string{`http://www.example.com/x link "example.com" example.com`, `http://example.com label`}, ""},
		{"shows another", `<a href="http://evil.test/x">https://www.bank.com/login</a>`,
			[]string{`http://evil.test/x link "https://www.bank.com/login" www.bank.com`, `https://www.bank.com/login label`}, "URL_DISPLAYED_OTHER"},
		{"shows another at the front", `<a href="http://bank.com.evil.test/">bank.com</a>`, []string{`http://bank.com.evil.test/ link "bank.com" bank.com`, `http://bank.com label`}, "URL_DISPLAYED_OTHER"},
		{"shows another, to an address", `<a href="http://3221225985/">www.bank.com</a>`,
			[]string{`http://192.0.2.1/ link "www.bank.com" www.bank.com`, `http://www.bank.com label`}, "URL_DISPLAYED_OTHER,URL_ADDRESS,URL_ODD_ADDRESS"},
		{"shows another, later", `<a href="http://evil.test/x">a</a> <a href="http://evil.test/x">bank.com</a> <a href="http://evil.test/x">c</a>`,
			[]string{`http://evil.test/x link "bank.com" bank.com`, `http://bank.com label`}, "URL_DISPLAYED_OTHER"},
		{"text and link", `http://a.test/x <a href="http://a.test/x">b</a>`, []string{`http://a.test/x text,link "b"`}, ""},
		{"after a link", `<a href="http://a.test/">b</a> http://c.test/`, []string{`http://a.test/ link "b"`, `http://c.test/ text`}, ""},
		{"link in a link", `<a href="http://a.test/">b<a href="http://c.test/">d</a>`, []string{`http://a.test/ link "b"`, `http://c.test/ link "d"`}, ""},
		{"link that never ends", `<a href="http://a.test/">b http://c.test/`, []string{`http://a.test/ link "b http://c.test/" c.test`, `http://c.test/ label`}, "URL_DISPLAYED_OTHER"},
		{"pictures and the like", `<img src="http://a.test/1"><body background=http://a.test/2><table background=http://a.test/3><img srcset="http://a.test/4 1x, http://a.test/5 2x"><video poster=http://a.test/6><iframe src=http://a.test/7></iframe><link href=http://a.test/8><object data=http://a.test/9>`,
			[]string{"http://a.test/1 source", "http://a.test/2 source", "http://a.test/3 source", "http://a.test/4 source", "http://a.test/5 source", "http://a.test/6 source", "http://a.test/7 source", "http://a.test/8 source", "http://a.test/9 source"}, "HTML_FRAME"},
		{"picture in the source", `<img src="data:image/png;base64,AAAA"><img src="cid:a@b"><a href="data:text/html,x">b</a>`, []string{`data:text/html,x link "b"`}, ""},
		{"form", `<form action="http://a.test/1"><button formaction="http://a.test/2">b</button></form>`, []string{"http://a.test/1 link", "http://a.test/2 link"}, "HTML_FORM"},
		{"refresh", `<meta http-equiv=refresh content="0; URL='http://a.test/'"><meta http-equiv=refresh content="5;http://b.test/"><meta name=x content="0;url=http://c.test/">`,
			[]string{"http://a.test/ link", "http://b.test/ link"}, "HTML_REFRESH"},
		{"base", `<a href="b/c?d">e</a><base href="http://a.test/x/y?z"><a href=/f>g</a><a href="?h">i</a><a href="#j">k</a><a href=//l.test/>m</a><base href="http://n.test/">`,
			[]string{`http://a.test/x/b/c?d link "e"`, "http://a.test/x/y?z link", `http://a.test/f link "g"`, `http://a.test/x/y?h link "i"`, `http://l.test/ link "m"`, "http://n.test/ link"}, "HTML_BASE"},
		{"base that is none", `<base href="mailto:a@b.test"><base href="x"><a href="c">d</a>`, []string{"mailto:a@b.test link"}, "HTML_BASE"},
		{"relative to nothing", `<a href="b">c</a><img src="d.png"><a href="">e</a>`, nil, ""},
		{"no scheme", `<a href="www.evil.test">a</a><a href="//evil.test/b">c</a>`, []string{`http://www.evil.test link "a"`, `http://evil.test/b link "c"`}, ""},
		{"style", `<p style="background:URL( 'http://a.test/1' )"><style>@import "http://a.test/2"; @import url(http://a.test/3); p{background:url("http://a.test/4")}</style>`,
			[]string{"http://a.test/1 source", "http://a.test/3 source", "http://a.test/4 source", "http://a.test/2 source"}, ""},
		{"hidden", `<div style="display:none"><a href="http://a.test/">b</a> http://c.test/</div>`, []string{`http://a.test/ link hidden "b"`, "http://c.test/ text hidden"}, "HTML_HIDDEN_TEXT"},
		{"hidden and shown", `<div style="display:none"><a href="http://a.test/">b</a></div><a href="http://a.test/">c</a>`, []string{`http://a.test/ link "b"`}, "HTML_HIDDEN_TEXT"},
		{"comment", `<!-- http://a.test/ -->`, []string{"http://a.test/ text hidden"}, ""},
		{"for Outlook", `<!--[if mso]><v:roundrect href="http://a.test/"><b>c</b></v:roundrect><![endif]-->`, []string{"http://a.test/ link hidden"}, ""},
		{"script", `<script>location = "http://a.test/"; a.b.com</script>`, []string{"http://a.test/ source hidden"}, "HTML_SCRIPT"},
		{"scheme of a script", `<a href="javascript:x()">a</a>`, []string{`javascript:x() link "a"`}, ""},
		{"picture map", `<map><area href="http://a.test/"></map>`, []string{"http://a.test/ link"}, ""},
		{"SVG", `<svg><a xlink:href="http://a.test/1">b</a><image xlink:href="http://a.test/2"/></svg>`, []string{`http://a.test/1 link "b"`, "http://a.test/2 source"}, ""},
		{"attribute twice", `<a href="http://a.test/" href="http://b.test/">c</a>`, []string{`http://a.test/ link "c"`}, ""},
		{"mail", `<a href="mailto:a@b.test">a@b.test</a>`, []string{`mailto:a@b.test link "a@b.test"`}, ""},
		{"long text", `<a href="http://a.test/">` + strings.Repeat("ü", 300) + `</a>`, []string{`http://a.test/ link "` + strings.Repeat("ü", 100) + `"`}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			view, found := mime.HTMLView(test.source)
			urls, more := view.URLs(100)
			var got []string
			for _, u := range urls {
				checkURL(t, u)
				got = append(got, describe(u))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("URLs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if got := (found | more).String(); got != test.facts {
				t.Errorf("facts %v, want %s", got, test.facts)
			}
		})
	}
}

// aLetter has everything in it that a tree is asked for.
var aLetter = crlf(mixed + `--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain

Hello,  look at www.example.com  and
http://a.test/1 and http://a.test/1
--c
Content-Type: text/html

<p>Hello, look at <a href="http://a.test/1">this</a> and <a href=http://evil.test/>www.bank.com</a><p hidden>good words
--c--
--b
Content-Type: message/rfc822
Content-Description: forwarded

Content-Type: multipart/mixed; boundary=d

--d

inside http://b.test/
--d
Content-Type: application/pdf; name=x.pdf
Content-Disposition: attachment; filename*0*=utf-8''%C3%BC; filename*1=.exe; filename=z.pdf

%PDF
--d--
--b
Content-Type: application/octet-stream

x
--b
Content-Disposition: attachment

y
--b--
`)

func TestTreeReads(t *testing.T) {
	tree := mime.WalkMessage(aLetter, mime.Limits{})
	var wg sync.WaitGroup
	for range 4 { // checks run together
		wg.Go(func() {
			visible, found := tree.VisibleText()
			if want := "Hello, look at www.example.com and\nhttp://a.test/1 and http://a.test/1\nHello, look at this and www.bank.com\ninside http://b.test/\ny"; visible != want {
				t.Errorf("visible %q, want %q", visible, want)
			}
			if !found.Has(mime.HTMLHidden) || found.Has(mime.URLDisplayedOther) {
				t.Errorf("facts of the text %v", found)
			}
			if hidden, _ := tree.HiddenText(); hidden != "good words" {
				t.Errorf("hidden %q", hidden)
			}
			urls, found := tree.URLs()
			var got []string
			for _, u := range urls {
				got = append(got, describe(u))
			}
			want := []string{"http://www.example.com text", `http://a.test/1 text,link "this"`, `http://evil.test/ link "www.bank.com" www.bank.com`, "http://www.bank.com label", "http://b.test/ text"}
			if !slices.Equal(got, want) || found.String() != "URL_DISPLAYED_OTHER" {
				t.Errorf("URLs %q, want %q; facts %v", got, want, found)
			}
			if urls[0].Part != tree.Parts[2] || urls[4].Part.Parent.Parent.Type != "message/rfc822" {
				t.Errorf("parts %v, %v", urls[0].Part.Type, urls[4].Part.Type)
			}
			got = nil
			for _, a := range tree.Attachments() {
				got = append(got, fmt.Sprintf("%s%q", a.Type, a.Names))
			}
			if want := []string{`message/rfc822[]`, `application/pdf["ü.exe" "z.pdf" "x.pdf"]`, `application/octet-stream[]`, `text/plain[]`}; !slices.Equal(got, want) {
				t.Errorf("attachments %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
}

// A page is one by its type or, where that says nothing, by its name.
func TestPages(t *testing.T) {
	for _, test := range []struct {
		header string
		isHTML bool
	}{
		{"Content-Type: text/html", true},
		{"Content-Type: text/plain; name=x.html", false},
		{"Content-Type: application/xhtml+xml", true},
		{"Content-Type: image/svg+xml", true},
		{"Content-Type: application/octet-stream", false},
		{"Content-Type: application/octet-stream; name=x.pdf", false},
		{"Content-Type: application/octet-stream; name=x.htm", true},
		{"Content-Type: application/octet-stream; name=x.pdf\nContent-Disposition: attachment; filename=X.SVG", true},
		{"Content-Type: application/pdf; name=x.html", false},
	} {
		tree := mime.WalkMessage([]byte(test.header+"\n\n<svg><a href=http://a.test/>b</a>"), mime.Limits{})
		visible, _ := tree.VisibleText()
		urls, _ := tree.URLs()
		if tree.Root.IsHTML() != test.isHTML || (visible == "b" && len(urls) == 1 && urls[0].Where == mime.InLink) != test.isHTML {
			t.Errorf("%s: shows %q, leads to %v", test.header, visible, urls)
		}
	}
}

func TestURLLimit(t *testing.T) {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "http://a%d.test/ ", i)
	}
	tree := mime.WalkMessage([]byte("\n"+b.String()), mime.Limits{})
	urls, found := tree.URLs()
	if len(urls) != 1000 || found.String() != "MIME_LIMIT_URLS" || urls[999].Host != "a999.test" {
		t.Errorf("%d URLs, %v", len(urls), found)
	}
	tree = mime.WalkMessage([]byte("\n"+strings.Repeat("http://a.test/ ", 5000)), mime.Limits{URLs: 2})
	if urls, found = tree.URLs(); len(urls) != 1 || found.String() != "MIME_LIMIT_URLS" {
		t.Errorf("%d URLs, %v: copies cost time, too", len(urls), found)
	}
}

// Every name that any program may show is there, the one most take first.
func TestNames(t *testing.T) {
	tests := []struct{ name, header, want string }{
		{"none", "Content-Type: a/b", ""},
		{"one", "Content-Type: a/b; name=x", "x"},
		{"both fields", "Content-Type: a/b; name=x\nContent-Disposition: attachment; filename=y", "y x"},
		{"the same", "Content-Type: a/b; name=x\nContent-Disposition: attachment; filename=\"x\"", "x"},
		{"the wrong parameter", "Content-Type: a/b; filename=x\nContent-Disposition: attachment; name=y", "y x"},
		{"parameter twice", "Content-Disposition: attachment; filename=x; filename=y", "x y"},
		{"extended", "Content-Disposition: attachment; filename=x; filename*=utf-8''%79", "y x"},
		{"extended twice", "Content-Disposition: attachment; filename*=utf-8''x; filename*=utf-8''y", "y x"},
		{"continued", "Content-Disposition: attachment; filename*0=x; filename*1=y; filename=z", "xy z"},
		{"continued and extended", "Content-Disposition: attachment; filename*0=x; filename*=''y; filename=z", "y x z"},
		{"section missing", "Content-Disposition: attachment; filename*0=x; filename*2=y", "x xy"},
		{"first section missing", "Content-Disposition: attachment; filename*1=x; filename*2=y", "xy"},
		{"encoded words", "Content-Disposition: attachment; filename=\"=?utf-8?q?x=C3=BC?=\"; filename=\"=?utf-8?b?eQ==?=\"", "xü y"},
		{"field twice", "Content-Disposition: attachment; filename=x\nContent-Disposition: attachment; filename=y\nContent-Type: a/b; name=z\nContent-Type: a/c; name=w", "x z y w"},
		{"field five times", "Content-Type: a/b; name=1\nContent-Type: a/b; name=2\nContent-Type: a/b; name=3\nContent-Type: a/b; name=4\nContent-Type: a/b; name=5", "1 2 3 4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := mime.WalkMessage([]byte(test.header+"\n\n"), mime.Limits{}).Root
			if got := strings.Join(p.Names, " "); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if first, _, _ := strings.Cut(test.want, " "); p.Filename != first {
				t.Errorf("file name %q", p.Filename)
			}
		})
	}
}
