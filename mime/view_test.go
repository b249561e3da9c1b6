package mime_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	xhtml "golang.org/x/net/html"

	"milterd/mime"
)

// What shows is in capitals, what does not in small letters.
func TestHTMLView(t *testing.T) {
	tests := []struct{ name, source, visible, hidden string }{
		{"display", `A<div style="display:none">b</div>C`, "AC", "b"},
		{"display, however it is written", `A<p STYLE='COLOR:red;  Display : None !important ;'>b</p>C`, "AC", "b"},
		{"a word cut", `IN<span style=display:none>zz</span>VO<span style="display:none">zz</span>ICE`, "INVOICE", "zz zz"},
		{"shown again inside", `<div style="display:none">a<p style="display:block">b</p></div>C`, "C", "a\nb"},
		{"a comment in the style", `<p style="dis/* */play:none;display:/*x*/none">a`, "", "a"},
		{"the last counts", `<p style="display:none;display:block">A</p><p style="display:block;display:none">b`, "A", "b"},
		{"semicolon in a value", `<p style="background:url(data:a;b);display:none">a`, "", "a"},
		{"bad style", `<p style="display none; : ; x; display:none">a`, "", "a"},
		{"open quote in a style", `<p style="font-family:'x; display:none">A<p style="color:url(; display:none">B`, "A\nB", ""},
		{"visibility", `<div style="visibility:hidden">a<p style="visibility:visible">B</p>c</div>D`, "B\nD", "a\nc"},
		{"opacity", `<p style="opacity:0">a<p style="opacity:.01">b<p style="opacity:0.5">C<p style="opacity:1">D`, "C\nD", "a\nb"},
		{"Outlook", `<p style="mso-hide:all">a`, "", "a"},
		{"hidden", `A<p hidden>b<p hidden="until-found">c</p><p>D`, "A\nD", "b\nc"},
		{"hidden, but shown", `<p hidden style="display:block">A`, "A", ""},
		{"font size", `A<span style="font-size:0">b</span><font style="font-size: 1px">c</font><b style="font-size:0.05em">d</b><i style="font-size:1%">e</i><u style="font-size:8px">F</u>`, "AF", "bcde"},
		{"fonts in fonts", `<div style="font-size:20%"><div style="font-size:20%">a</div>B`, "B", "a"},
		{"font size set again", `<div style="font-size:0"><div style="font-size:14px">A</div></div>`, "A", ""},
		{"font", `<p style="font:0/0 a">a<p style="font: bold 1px/2 serif">b<p style="font:700 12px serif">C<p style="font:inherit">D`, "C\nD", "a\nb"},
		{"font by name", `<p style="font-size:0"><span style="font-size:small">A`, "A", ""},
		{"white on white", `A<span style="color:#fff">b</span><font color=white>c</font><font color="#FFFFFE">d</font><span style="color:rgb(255,255,255)">e</span>`, "A", "bcde"},
		{"white on black", `<td bgcolor=black><font color=#ffffff>A</font></td><div style="background:#000"><span style="color:white">B`, "A\nB", ""},
		{"black on black", `<table bgcolor="000000"><tr><td>a<span style="color:#eee">B`, "B", "a"},
		{"of a page", `<body bgcolor="#123456" text="#123456">a<p style="color:red">B`, "B", "a"},
		{"on a picture", `<td background="x.png"><font color=white>A</font></td><div style="background:url(x.png)"><b style="color:#fff">B`, "A\nB", ""},
		{"on a gradient", `<div style="background-image:linear-gradient(#000,#111);color:white">A`, "A", ""},
		{"transparent", `<p style="color:transparent">a<p style="color:rgba(1,2,3,0)">b<p style="color:#12345600">c<p style="color:rgb(1 2 3 / 0%)">d<p style="color:rgba(1,2,3,.5)">E`, "E", "a\nb\nc\nd"},
		{"transparent paper", `<div style="background:#000;color:#fff"><div style="background-color:transparent">A`, "A", ""},
		{"links have their own colour", `<div style="color:#fff"><a href="x">A</a><a name=y>b</a>`, "A", "b"},
		{"white link", `<a href=x style="color:#fff">a`, "", "a"},
		{"box without size", `<div style="height:0;overflow:hidden">a</div><div style="max-height:0px;overflow:hidden">b</div><div style="width:1px;overflow:hidden">c</div>`, "", "a\nb\nc"},
		{"box that overflows", `<div style="height:0">A</div><div style="overflow:hidden;height:100px">B`, "A\nB", ""},
		{"off the page", `<p style="position:absolute;left:-9999px">a<p style="text-indent:-5000px">b<p style="margin-left:-9999px">c<p style="position:absolute;left:5px">D<p style="left:-9999px">E`, "D\nE", "a\nb\nc"},
		{"clipped", `<p style="position:absolute;clip:rect(0,0,0,0)">a<p style="clip-path:inset(50%)">b<p style="transform:scale(0)">c<p style="transform:scale(0.9)">D`, "D", "a\nb\nc"},
		{"comment", `A<!-- b -->C<!--d-->`, "AC", "b d"},
		{"what is taken for a comment", `A<!b>C</ d>E<![CDATA[f]]><?xml g?><!doctype h>`, "ACE", "b d [CDATA[f]]"},
		{"for Outlook", `A<!--[if mso]><p>b<a href="x">c</a></p><![endif]-->D<![if !mso]>E<![endif]>`, "ADE", "bc"},
		{"for all but Outlook", `<!--[if !mso]><!-->A<!--<![endif]-->B<!--[if mso]><![endif]-->`, "AB", ""},
		{"for Outlook, badly", `A<!--[if b-->C<!--[if mso]>d<!-- [if e]> f --> G`, "AC G", "[if b d [if e]> f"},
		{"title", `<head><title>a</title></head>B`, "B", "a"},
		{"template", `A<template>b</template>C`, "AC", "b"},
		{"frame", `A<iframe>b</iframe>C`, "AC", "b"},

		{"sheet, class", `<style>.x{display:none} .y { color : red }</style>A<b class="y x">b</b><b class=y>C</b>`, "AC", "b"},
		{"sheet, id and element", `<style>#x, i {font-size:0}</style>A<b id=x>b</b><i>c</i>`, "A", "bc"},
		{"sheet, both", `<style>p.x, *.y, b#z{display:none}</style><p class=x>a</p><div class=x>B</div><div class=y>c</div><b id=z>d</b><i id=z>E</i>`, "B\nE", "a\nc d"},
		{"sheet, everything", `<style>*{color:white}</style>a`, "a", ""},
		{"sheet, overruled", `<style>.x{display:none}</style><p class=x style="display:block">A`, "A", ""},
		{"sheet in a comment", `<style><!-- .x{display:none} --></style><p class=x>a`, "", "a"},
		{"sheet for phones", `<style>@media (max-width:600px){.x{display:none} .y{display:none}} .z{display:none}</style><p class=x>A<p class=z>b`, "A", "b"},
		{"sheet for screens", `<style>@media screen {.x{display:none}} @import url(x);</style><p class=x>a`, "", "a"},
		{"sheet that shows to phones", `<style>.x,.y{display:none} @media (max-width:600px){.x{display:block} .y{color:red}}</style><p class=x>A<p class=y>b`, "A", "b"},
		{"sheet that shows to phones, important", `<style>@media (max-width:600px){.x{display:block !important} .y{display:block}}</style><p class=x style="display:none">A<p class=y style="display:none">b`, "A", "b"},
		{"sheet that may show", `<style>.x,.y{display:none} div .x{display:block} a:hover.y{display:block}</style><p class=x>A<p class=y>b`, "A", "b"},
		{"sheet that may have paper", `<style>td.x b{background:#000} td b{font-size:9px}</style><b style="color:#fff">A</b><i style="color:#fff">b</i>`, "A", "b"},
		{"sheet that hides by conditions", `<style>div .x{display:none} @media print{.y{display:none}} @font-face{src:x} .z{display:none}</style><p class="x y">A<p class=z>b`, "A", "b"},
		{"important", `<style>.x{display:none !important} .x{display:block} .y{display:none!important}</style><p class=x style="display:block">a<p class=y style="display:block !important">B<p style="display:none !important;display:block">c`, "B", "a\nc"},
		{"sheet with comments", `<style>/* .x{ */ .y/**/{display:none}/* open</style><p class=x>A<p class=y>b`, "A", "b"},
		{"sheet with other selectors", `<style>a b{display:none} .x:hover{display:none} [c]{display:none} .x>.y{display:none}</style><a href=d><b class="x y" c>A`, "A", ""},
		{"sheet cut off", `<style>.x{display:none</style><p class=x>a`, "", "a"},

		{"what a stray end tag closes", `<div style="display:none">a</span></b></p></td>b</div>C`, "C", "a b"},
		{"what an end tag of a block closes", `<div style="display:none"><span>a<b>b</div>C`, "C", "ab"},
		{"what one in a cell does not", `<div style="display:none"><table><tr><td>a</div>b</table></div>C`, "C", "a\nb"},
		{"formatting ends, the block stays", `<b><div style="display:none">a</b>b</div>C`, "C", "ab"},
		{"paragraphs", `<p style="display:none">a<p>B<div>C</div>`, "B\nC", "a"},
		{"items", `<ul><li style="display:none">a<li>B</ul>`, "B", "a"},
		{"items in items", `<ul><li style="display:none">a<ul><li>b</ul>c<li>D</ul>`, "D", "a\nb\nc"},
		{"cells", `<table><tr><td style="display:none">a<td>B<tr style="display:none"><td>c<tr><td>D</table>`, "B\nD", "a\nc"},
		{"void elements", `A<br style="display:none">B<img style="display:none">C`, "ABC", ""},
		{"attribute twice", `<p style="display:none" style="display:block">a`, "", "a"},
		{"attribute in a value", `<p title="style=display:none">A<p title='>' style=display:none>b`, "A", "b"},
		{"references in a style", `<p style="display&#58;none">a`, "", "a"},
		{"between the cells", `<table style="display:none">A<tr><b>B</b><td>c</td>D</tr></table>`, "ABD", "c"},
		{"link in a link", `<a href=x style="display:none">a<a href=y>B`, "B", "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			view, found := mime.HTMLView(test.source)
			if strings.Join(strings.Fields(view.Visible), " ") != strings.Join(strings.Fields(test.visible), " ") || strings.Join(strings.Fields(view.Hidden), " ") != strings.Join(strings.Fields(test.hidden), " ") {
				t.Errorf("visible %q, want %q; hidden %q, want %q; %v", view.Visible, test.visible, view.Hidden, test.hidden, found)
			}
		})
	}
}

// randomHTML writes nested elements, some of them hidden, each text another word.
// End tags are left out and added as people do.
type randomHTML struct {
	strings.Builder
	random *rand.Rand
	words  int
}

func (h *randomHTML) word() {
	h.words++
	fmt.Fprintf(h, " w%d ", h.words)
}

func (h *randomHTML) open(name string) {
	style := ""
	if h.random.IntN(6) == 0 {
		style = ` style="display:none"`
	}
	fmt.Fprintf(h, "<%s%s>", name, style)
}

func (h *randomHTML) inside(depth int) {
	inline := []string{"span", "b", "font", "i", "em", "x-y"}
	blocks := []string{"div", "p", "center", "h1", "blockquote", "section"}
	for range 1 + h.random.IntN(3) {
		h.word()
		if depth == 0 {
			continue
		}
		switch h.random.IntN(7) {
		case 0, 1:
			name := inline[h.random.IntN(len(inline))]
			h.open(name)
			h.word()
			if h.random.IntN(3) == 0 {
				h.open("span")
				h.word()
				h.WriteString("</span>")
			}
			h.WriteString("</" + name + ">")
		case 2, 3:
			name := blocks[h.random.IntN(len(blocks))]
			h.open(name)
			h.inside(depth - 1)
			if name != "p" || h.random.IntN(2) == 0 {
				h.WriteString("</" + name + ">")
			}
		case 4:
			h.open("table")
			for range 1 + h.random.IntN(2) {
				if h.random.IntN(8) == 0 {
					name := []string{"b", "div"}[h.random.IntN(2)]
					h.open(name)
					h.word() // where it may not stand
					h.WriteString("</" + name + ">")
				}
				h.open("tr")
				for range 1 + h.random.IntN(2) {
					h.open("td")
					h.inside(depth - 1)
					if h.random.IntN(2) == 0 {
						h.WriteString("</td>")
					}
				}
				if h.random.IntN(2) == 0 {
					h.WriteString("</tr>")
				}
			}
			h.WriteString("</table>")
		case 5:
			list := []string{"ul", "ol"}[h.random.IntN(2)]
			h.open(list)
			for range 1 + h.random.IntN(3) {
				h.open("li")
				h.inside(depth - 1)
				if h.random.IntN(2) == 0 {
					h.WriteString("</li>")
				}
			}
			h.WriteString("</" + list + ">")
		case 6:
			h.WriteString([]string{"</span>", "</div>", "</p>", "</b>", "</ul>", "</x-y>", "</li>", "<br>", "<hr>"}[h.random.IntN(9)])
		}
	}
}

// hiddenWords are the words under elements that do not show, in a tree made by
// the parser of x/net, which builds what browsers build.
func hiddenWords(n *xhtml.Node, hidden bool, to map[string]bool) {
	for _, a := range n.Attr {
		hidden = hidden || a.Key == "style"
	}
	if n.Type == xhtml.TextNode {
		for word := range strings.FieldsSeq(n.Data) {
			to[word] = hidden
		}
	}
	for child := range n.ChildNodes() {
		hiddenWords(child, hidden, to)
	}
}

// What is hidden is what a browser's tree says, though we build none.
func TestHiddenIsWhatTheTreeSays(t *testing.T) {
	hidden := 0
	for seed := range uint64(2000) {
		h := randomHTML{random: rand.New(rand.NewPCG(seed, 0))}
		h.inside(int(seed % 5))
		source := h.String()
		root, err := xhtml.Parse(strings.NewReader(source))
		if err != nil {
			t.Fatal(err)
		}
		want := make(map[string]bool)
		hiddenWords(root, false, want)
		view, _ := mime.HTMLView(source)
		got := make(map[string]bool)
		for word := range strings.FieldsSeq(view.Visible) {
			got[word] = false
		}
		for word := range strings.FieldsSeq(view.Hidden) {
			got[word] = true
		}
		if len(got) != h.words || len(want) != h.words {
			t.Fatalf("%d words, visible or hidden are %d, in the tree %d:\n%s", h.words, len(got), len(want), source)
		}
		for word, isHidden := range want {
			if isHidden {
				hidden++
			}
			if got[word] != isHidden {
				t.Fatalf("%s: hidden %v, in the tree %v:\n%s", word, got[word], isHidden, source)
			}
		}
	}
	if hidden < 10000 {
		t.Errorf("only %d hidden words", hidden)
	}
}

// letters counts what is more than white space in a text.
func letters(text string) (n int) {
	for word := range strings.FieldsSeq(text) {
		n += len(word)
	}
	return n
}

// textOf returns all text in a source that is not a script, a style sheet or for
// Outlook, as the tokenizer gives it.
func textOf(source string) string {
	var all strings.Builder
	raw := ""
	for z := xhtml.NewTokenizer(strings.NewReader(source)); ; {
		switch z.Next() {
		case xhtml.ErrorToken:
			return all.String()
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			switch name, _ := z.TagName(); string(name) {
			case "noscript", "noembed", "noframes":
				z.NextIsNotRawText()
			case "script", "style", "iframe", "xmp":
				raw = string(name)
			}
		case xhtml.EndTagToken:
			raw = ""
		case xhtml.TextToken:
			if raw == "" {
				all.Write(z.Text())
			} else if raw != "script" && raw != "style" {
				all.Write(z.Raw())
			}
			all.WriteByte(' ')
		}
	}
}

// comments are all that the tokenizer takes for one.
var comments = regexp.MustCompile(`<[!?]|</([^A-Za-z]|$)`)

func FuzzHTMLView(f *testing.F) {
	f.Add("<html><head><title>x</title><style>.p {display:none}</style></head><body bgcolor=white><h1>Hello</h1><p class=p>you <b>there</b></p></body></html>")
	f.Add("a<script>if (a < b) { document.write('<p>x</p>') }</script>b&euro;<template><td style='font:0/0 a'>c")
	f.Add(`<a href="http://a.test/&#x3a;b">www.b.test</a><base href=//c><img src=d style="background:url(e);color:rgba(1 2 3/.1)">`)
	f.Add("<ul><li hidden>a<li>b</ul><table><tr><td>c</b>d<td style=height:0;overflow:hidden>e</table>f")
	f.Fuzz(func(t *testing.T, source string) {
		source = strings.ToValidUTF8(source, "")
		view, found := mime.HTMLView(source)
		for _, text := range []string{view.Visible, view.Hidden} {
			if !utf8.ValidString(text) || len(text) > 3*len(source) /* a NUL becomes U+FFFD */ || strings.Contains(text, "  ") || strings.Contains(text, "\n\n") || strings.HasPrefix(text, " ") {
				t.Fatalf("%q shows %q", source, text)
			}
		}
		// Nothing is lost, and nothing is there twice.
		if !comments.MatchString(source) {
			if got, want := letters(view.Visible)+letters(view.Hidden), letters(textOf(source)); got != want {
				t.Fatalf("%q has %d letters, visible %q and hidden %q have %d", source, want, view.Visible, view.Hidden, got)
			}
		}
		urls, _ := view.URLs(50)
		for i := range urls {
			checkURL(t, urls[i])
			for j := range i {
				if urls[i].String() == urls[j].String() && urls[i].Host != "" && urls[i].Scheme != "mailto" {
					t.Fatalf("%q has %s twice", source, urls[i].String())
				}
			}
		}
		// What no tag hides all shows, wherever the HTML stands.
		if again, foundAgain := mime.HTMLView(source); again.Visible != view.Visible || again.Hidden != view.Hidden || found != foundAgain {
			t.Fatalf("%q shows %q, then %q", source, view.Visible, again.Visible)
		}
		if under, _ := mime.HTMLView("<div style='display:none'>" + source); len(source) < 4000 && letters(under.Visible)+letters(under.Hidden) != letters(view.Visible)+letters(view.Hidden) {
			t.Fatalf("%q shows %q and %q, under what hides %q and %q", source, view.Visible, view.Hidden, under.Visible, under.Hidden)
		}
	})
}
