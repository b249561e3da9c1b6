package mime_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"milterd/mime"
)

func TestHTMLText(t *testing.T) {
	tests := []struct{ name, source, want string }{
		{"nothing", "", ""},
		{"plain", "hello", "hello"},
		{"a page", "<html><head><title>x</title><style>p {}</style></head><body><h1>Hello</h1><p>you <b>there</b></p></body></html>", "Hello\nyou there"},
		{"inline tags leave no gap", "in<b></b>vo<!-- x -->ice", "invoice"},
		{"blocks do", "a<div>b</div><br>c<p>d", "a\nb\nc\nd"},
		{"cells", "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"},
		{"list", "<ul><li>a<li>b</ul>", "a\nb"},
		{"white space", " a \r\n\t b&nbsp;&#160; c\u00a0", "a b c"},
		{"references", "&lt;b&gt; &euro; &#x41;&#66; &xyzzy;", "<b> € AB &xyzzy;"},
		{"script", "a<script>if (a < b) { document.write('<p>x</p>') }</script>b", "ab"},
		{"style never closed", "a<style>b", "a"},
		{"template", "a<template><p>b<template>c</template></p></template>d", "ad"},
		{"noscript", "a<noscript><p>b</p></noscript>", "a\nb"},
		{"frame", "a<iframe>b</iframe>c", "ac"},
		{"text area", "a<textarea>b</textarea>", "a b"},
		{"stray end tags", "</p></template></b>a", "a"},
		{"tags in capitals", "a<BR/>b<SCRIPT\nx>c</SCRIPT>d<P/x>e", "a\nbd\ne"},
		{"unknown tags", "a<unknown-tag-of-some-length>b</x><blockquotes>c", "abc"},
		{"tag cut off", "a<b c=\"d", "a"},
		{"no tag", "1 < 2 > 0", "1 < 2 > 0"},
		{"declarations", "<!DOCTYPE html><?xml x?>a<![CDATA[b]]>", "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := mime.HTMLText(test.source, 1000); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestHTMLTextLimit(t *testing.T) {
	source := "<p>" + strings.Repeat("ü", 100)
	for limit := -1; limit < 20; limit++ {
		got := mime.HTMLText(source, limit)
		if len(got) > max(limit, 0) || len(got) < limit-1 || !utf8.ValidString(got) {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
}

func FuzzHTMLText(f *testing.F) {
	f.Add("<html><head><title>x</title><style>p {}</style></head><body><h1>Hello</h1><p>you <b>there</b></p></body></html>")
	f.Add("a<script>if (a < b) { document.write('<p>x</p>') }</script>b&euro;<!-- <p> --><template><td>")
	f.Add("<noscript><p>b</noscript><textarea>x<iframe>\u00a0")
	f.Fuzz(func(t *testing.T, source string) {
		source = strings.ToValidUTF8(source, "")
		got := mime.HTMLText(source, 100)
		if len(got) > 100 || !utf8.ValidString(got) {
			t.Fatalf("%q shows %q", source, got)
		}
		// References to characters can be longer than the characters, never
		// shorter; every gap comes from white space or a tag.
		all := mime.HTMLText(source, 1<<20)
		if len(all) > 2*len(source) || strings.Contains(all, "  ") || strings.Contains(all, "\n\n") || strings.HasPrefix(all, " ") {
			t.Fatalf("%q shows %q", source, all)
		}
		if !strings.HasPrefix(all, got) {
			t.Fatalf("%q shows %q, within 100 bytes %q", source, all, got)
		}
	})
}

func BenchmarkHTMLText(b *testing.B) {
	source := "<html><body>" + strings.Repeat("<p>Gr&uuml;&szlig;e aus der <b>Ferne</b></p>\n", 120) + "</body></html>"
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		mime.HTMLText(source, 1<<20)
	}
}
