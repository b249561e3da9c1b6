package view

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"milterd/internal/spamassassin/perlre"
	"milterd/mime"
	"milterd/rules"

	"github.com/google/go-cmp/cmp"
)

// viewOf makes the view of a message that is given as text.
func viewOf(text string, change ...func(*Source)) *View {
	head, body, _ := strings.Cut(text, "\n\n")
	src := Source{Body: []byte(body)}
	var fields []mime.Field
	for line := range strings.SplitSeq(head, "\n") {
		if (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) && len(src.Fields) > 0 {
			src.Fields[len(src.Fields)-1].Value += "\r\n" + line
		} else if name, value, ok := strings.Cut(line, ":"); ok {
			src.Fields = append(src.Fields, Field{name, value})
		}
	}
	for _, f := range src.Fields {
		fields = append(fields, mime.Field(f))
	}
	src.Tree = mime.Walk(fields, src.Body, mime.Limits{})
	for _, c := range change {
		c(&src)
	}
	return New(src)
}

const letter = `Return-Path: <bounce@example.org>
Received: from mx.example.org (mx.example.org [203.0.113.5]) by mail.test (Postfix)
	with ESMTP id ABC; Fri, 21 Nov 2026 05:00:00 +0000
From: =?utf-8?Q?J=C3=B6rg_?=
	=?utf-8?B?TcO8bGxlcg==?= <joerg@www.example.org>
To:   a@test.example (A B),
   b@test.example
To: c@test.example
Cc: d@test.example
Subject:  =?iso-8859-1?Q?Caf=E9?=   now
 and  then
Message-ID: <1@x>
X-Message-ID: <2@x>
Empty:

hello
`

func TestHeader(t *testing.T) {
	v := viewOf(letter)
	for _, test := range []struct {
		spec, want string
		ok         bool
	}{
		{"From", "Jörg Müller <joerg@www.example.org>\n", true},
		{"from:addr", "joerg@www.example.org", true},
		{"From:name", "Jörg Müller", true},
		{"From:host", "www.example.org", true},
		{"From:domain", "example.org", true},
		{"From:raw", " =?utf-8?Q?J=C3=B6rg_?=\n\t=?utf-8?B?TcO8bGxlcg==?= <joerg@www.example.org>\n", true},
		{"To", "a@test.example (A B), b@test.example\nc@test.example\n", true},
		{"To:addr", "a@test.example", true},
		{"To:name", "A B", true},
		{"To:raw", "   a@test.example (A B),\n   b@test.example\n c@test.example\n", true},
		{"To:first", "a@test.example (A B), b@test.example\n", true},
		{"To:last", "c@test.example\n", true},
		{"ToCc", "a@test.example (A B), b@test.example\nc@test.example\nd@test.example\n", true},
		{"Subject", "Café   now and  then\n", true},
		{"MESSAGEID", "<2@x>\n<1@x>\n", true},
		{"EnvelopeFrom", "bounce@example.org", true},
		{"Received:ip", "203.0.113.5", true},
		{"Received:revip", "5.113.0.203", true},
		{"Empty", "\n", true},
		{"Empty:addr", "", false},
		{"Missing", "", false},
		{"Missing:addr", "", false},
		{"X-Spam-Relays-External", "[ ip=203.0.113.5 rdns=mx.example.org helo=mx.example.org by=mail.test ident= envfrom= intl=0 id=ABC auth= msa=0 ]", true},
		{"X-Spam-Relays-Internal", "", true},
	} {
		got, ok := v.Header(test.spec)
		if got != test.want || ok != test.ok {
			t.Errorf("%s: got %q, %t, expected %q, %t", test.spec, got, ok, test.want, test.ok)
		}
	}
}

func TestBlocks(t *testing.T) {
	v := viewOf("X-Top: ours\nReceived: from a.example (a.example [203.0.113.5]) by b.example; date\nFrom: a\n  b\n\nx")
	for spec, want := range map[string]string{
		"ALL":          "X-Top: ours\nReceived: from a.example (a.example [203.0.113.5]) by b.example; date\nFrom: a b\n",
		"ALL:raw":      "X-Top: ours\nReceived: from a.example (a.example [203.0.113.5]) by b.example; date\nFrom: a\n  b\n",
		"ALL-TRUSTED":  "X-Top: ours\nReceived: from a.example (a.example [203.0.113.5]) by b.example; date\n",
		"ALL-EXTERNAL": "Received: from a.example (a.example [203.0.113.5]) by b.example; date\nFrom: a b\n",
	} {
		if got, _ := v.Header(spec); got != want {
			t.Errorf("%s: got %q, expected %q", spec, got, want)
		}
	}
}

// TestRelays are Received fields of several MTAs.
func TestRelays(t *testing.T) {
	for received, want := range map[string]string{
		"from a.example (b.example [192.0.2.1]) by c.example (Postfix) with ESMTP id X1; d":                                "ip=192.0.2.1 rdns=b.example helo=a.example by=c.example ident= envfrom= intl=0 id=X1 auth= msa=0",
		"from a.example (unknown [192.0.2.1]) by c.example (Postfix) with ESMTPA id X1; d":                                 "ip=192.0.2.1 rdns= helo=a.example by=c.example ident= envfrom= intl=0 id=X1 auth=ESMTPA msa=0",
		"from a.example (IDENT:me@b.example [192.0.2.1] (may be forged)) by c.example (8.11.6/8.11.6) with SMTP id g8X; d": "ip=192.0.2.1 rdns=b.example helo=a.example by=c.example ident=me envfrom= intl=0 id=g8X auth= msa=0",
		"from a.example ([192.0.2.1]) by c.example (8.11.6/8.11.6) id g8X; d":                                              "ip=192.0.2.1 rdns= helo=a.example by=c.example ident= envfrom= intl=0 id=g8X auth= msa=0",
		"from b.example ([192.0.2.1] helo=a.example) by c.example with esmtp (Exim 4.96) id 17k-0; d":                      "ip=192.0.2.1 rdns=b.example helo=a.example by=c.example ident= envfrom= intl=0 id=17k-0 auth= msa=0",
		"from unknown (HELO a.example) (192.0.2.1) by c.example with SMTP; d":                                              "ip=192.0.2.1 rdns= helo=a.example by=c.example ident= envfrom= intl=0 id= auth= msa=0",
		"from a.example (192.0.2.1) by c.example (PowerMTA(TM) v1.5); d (envelope-from <x#y@z.example>)":                   "ip=192.0.2.1 rdns=a.example helo=a.example by=c.example ident= envfrom=x!y@z.example intl=0 id= auth= msa=0",
		"from a.example ([IPv6:2001:db8::1]) by c.example (Postfix) with ESMTPS id 4X; d":                                  "ip=2001:db8::1 rdns= helo=a.example by=c.example ident= envfrom= intl=0 id=4X auth= msa=0",
		"from 192.0.2.1 by c.example with HTTP; d":                                                                         "ip=192.0.2.1 rdns= helo= by=c.example ident= envfrom= intl=0 id= auth=HTTP msa=0",
		"by c.example (Postfix, from userid 1000) id 4X; d":                                                                "",
		"(qmail 1 invoked by uid 508); d":                                                                                  "",
		"from mail pickup service by c.example with Microsoft SMTPSVC; d":                                                  "",
		"from a.example (b.example [192.0.2.1] x=[) by (c.example; d":                                                      "",
	} {
		text, _ := viewOf("Received: " + received + "\n\nx").Header("X-Spam-Relays-External")
		if got := strings.TrimSuffix(strings.TrimPrefix(text, "[ "), " ]"); want != "" && got != want || want == "" && strings.Contains(got, "x=[") {
			t.Errorf("%s\ngot      %s\nexpected %s", received, got, want)
		}
	}
}

// TestClient is a message whose MTA did not write its Received field yet.
func TestClient(t *testing.T) {
	client := func(s *Source) {
		s.Client = Client{Addr: netip.MustParseAddr("198.51.100.9"), Name: "b.example", Helo: "a.example", Auth: true}
		s.Envelope, s.MailFrom = true, "x@y.example"
	}
	const seen = "[ ip=198.51.100.9 rdns=b.example helo=a.example by= ident= envfrom=x@y.example intl=0 id= auth=ESMTPA msa=0 ]"
	v := viewOf("Return-Path: <z@z.example>\nFrom: a\n\nx", client)
	if got, _ := v.Header("X-Spam-Relays-External"); got != seen {
		t.Errorf("got %s, expected %s", got, seen)
	}
	if got, _ := v.Header("EnvelopeFrom"); got != "x@y.example" {
		t.Errorf("got %q, expected the reverse-path", got)
	}
	if got, _ := v.Header("ALL-EXTERNAL"); !strings.HasPrefix(got, "Return-Path") {
		t.Errorf("got %q, expected all that the client brought", got)
	}
	// A file that has it already is not read twice.
	v = viewOf("Received: from a.example (b.example [198.51.100.9]) by c.example; d\n\nx", client)
	if got, _ := v.Header("X-Spam-Relays-External"); strings.Count(got, "198.51.100.9") != 1 {
		t.Errorf("got %s, expected one hop", got)
	}
	// Our own house comes before the stranger, and fetchmail before both.
	v = viewOf("Received: from x.example (x.example [192.0.2.99]) by y; d\nReceived: from pop [192.0.2.1] by localhost with IMAP (fetchmail-6.4)\n" +
		"Received: from in (in [10.0.0.1]) by out; d\nReceived: from a.example (a.example [192.0.2.2]) by in; d\n\nx")
	inside, _ := v.Header("X-Spam-Relays-Trusted")
	outside, _ := v.Header("X-Spam-Relays-Untrusted")
	if !strings.Contains(inside, "ip=10.0.0.1 ") || !strings.Contains(inside, "intl=1") || !strings.HasPrefix(outside, "[ ip=192.0.2.2 ") || strings.Contains(inside+outside, "192.0.2.99") {
		t.Errorf("got inside %s, outside %s", inside, outside)
	}
}

const plainHead = "Subject: Hi   there\nContent-Type: text/plain; charset=utf-8\n\n"
const htmlHead = "Subject: s\nContent-Type: text/html; charset=utf-8\n\n"

func TestBody(t *testing.T) {
	long := strings.Repeat("word ", 500)
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"paragraphs", plainHead + "one\ntwo\u00a0 \tthree\n \n\nfour\n", []string{"Hi   there\n", "one two three\n", "four "}},
		{"blanks around an empty line", plainHead + "one \n\n two", []string{"Hi   there\n", "one \n", " two"}},
		{"no subject", "From: a\n\nx", []string{"\n", "x"}},
		{"a long line is cut at a blank", plainHead + long, []string{"Hi   there\n", long[:2045], long[2045:]}},
		{"one without blanks is cut", plainHead + strings.Repeat("x", 3000), []string{"Hi   there\n", strings.Repeat("x", 2048), strings.Repeat("x", 952)}},
		{"HTML: elements around which there is space", htmlHead + "A<p>B<br>C<div>D</div><td>E</td><b>F</b>G", []string{"s\n", "A\n", "B C D E FG"}},
		{"HTML: what is not text", htmlHead + "<title>T</title>a<script>x</script><style>y</style><!-- z -->b&nbsp;&amp;&eacute;<font color=white>c</font>", []string{"s\n", "\n", "T\n", "ab &éc"}},
		{"HTML: as it was written", htmlHead + "<pre>a\n\nb</pre>", []string{"s\n", "\n", "a\n", "b\n", ""}},
		{"several parts", "Subject: s\nContent-Type: multipart/mixed; boundary=q\n\n--q\n\none\n--q\nContent-Type: text/html\n\n<b>two</b>\n--q\nContent-Type: text/calendar\n\nno\n" +
			"--q\nContent-Type: text/x-vcard\n\nno\n--q\nContent-Type: image/png\n\nno\n--q--\n", []string{"s\n", "one\n", "two\n"}},
		{"a multipart without parts", "Subject: s\nContent-Type: multipart/mixed; boundary=q\n\ntext", []string{"s\n", "text"}},
	} {
		got := viewOf(test.in).Body()
		want := slices.DeleteFunc(slices.Clone(test.want), func(s string) bool { return s == "" })
		for i := range got {
			if len(test.in) < 2000 && i == len(got)-1 { // what stands at the very end of a text is not the question
				got[i] = strings.TrimRight(got[i], " \n") + want[len(want)-1][len(strings.TrimRight(want[len(want)-1], " \n")):]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-expected +got):\n%s", test.name, diff)
		}
	}
}

func TestRawBody(t *testing.T) {
	line := strings.Repeat("x", 99) + "\n"
	text := strings.Repeat(line, 60)
	got := viewOf("Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<b>=E9</b>\n" + text).RawBody()
	if len(got) != 2 || !strings.HasPrefix(got[0], "<b>\xe9</b>\n") || strings.Join(got, "") != "<b>\xe9</b>\n"+text || len(got[0]) != 2109 {
		t.Errorf("got %d pieces, the first of %d bytes: %.40q", len(got), len(got[0]), got)
	}
	for _, test := range []struct {
		in   string
		want []int
	}{
		{strings.Repeat("word ", 1000), []int{2050, 2950}},
		{strings.Repeat("x", 5000), []int{2049, 2951}},
		{strings.Repeat("x", 4096), []int{4096}},
		{"", nil},
	} {
		var got []int
		for _, p := range pieces(nil, test.in) {
			got = append(got, len(p))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%.10q: got pieces of %v, expected %v", test.in, got, test.want)
		}
	}
}

func TestURIs(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"text", plainHead + "See http://a.example/x?y=1, (www.b.example.com) or c.example.net/z. Mail d@e.example.org; not f.doc, g@h.",
			[]string{"http://a.example/x?y=1", "http://www.b.example.com", "http://c.example.net/z", "mailto:d@e.example.org"}},
		{"the subject", "Subject: s.example.com\n\nx", []string{"http://s.example.com"}},
		{"links", htmlHead + `<a href="http://a.example/%41?b=1&amp;c">x</a><img src="i.gif"><form action="HTTP://F.example/"><a href="#top">`,
			[]string{"http://a.example/%41?b=1&c", "http://a.example/A?b=1&c", "i.gif", "http://i.gif", "HTTP://F.example/"}},
		{"mailto", htmlHead + `<a href="mailto:a@b.example?subject=x">`, []string{"mailto:a@b.example?subject=x", "mailto:a@b.example"}},
		{"a base", htmlHead + `<base href="http://192.0.2.1/"><a href="/x">`, []string{"http://192.0.2.1/x"}},
		{"a number for an address", htmlHead + `<a href="http://3221225985/x">`, []string{"http://3221225985/x", "http://192.0.2.1/x"}},
		{"a bare word, a port, the wrong slashes", htmlHead + `<a href="http://word/x"><a href="http://a.example:80/"><a href="http://b.example\c">`,
			[]string{"http://word/x", "http://www.word.com/x", "http://a.example:80/", "http://a.example/", `http://b.example\c`, "http://b.example/c"}},
		{"one that hands on", htmlHead + `<a href="http://a.example/?u=http%3A%2F%2Fb.example%2F">`,
			[]string{"http://a.example/?u=http%3A%2F%2Fb.example%2F", "http://a.example/?u=http://b.example/", "http://b.example/"}},
		{"none", plainHead + "nothing here", nil},
	} {
		if diff := cmp.Diff(test.want, viewOf(test.in).URIs()); diff != "" {
			t.Errorf("%s (-expected +got):\n%s", test.name, diff)
		}
	}
}

func TestMIMEHeader(t *testing.T) {
	v := viewOf("Content-Type: multipart/mixed;\n boundary=q\nSubject: s\n\n--q\nContent-Type: TEXT/plain;\n name=\"=?utf-8?Q?=C3=A9?=\"\n\none\n--q\nX-A: 1\n\ntwo\n--q--\n")
	for spec, want := range map[string][]string{
		"Content-Type":     {"multipart/mixed; boundary=q\n", "TEXT/plain; name=\"é\"\n"},
		"Content-Type:raw": {"multipart/mixed;\n boundary=q\n", "TEXT/plain;\n name=\"=?utf-8?Q?=C3=A9?=\"\n"},
		"x-a":              {"1\n"},
		"X-B":              nil,
	} {
		if diff := cmp.Diff(want, v.MIMEHeader(spec)); diff != "" {
			t.Errorf("%s (-expected +got):\n%s", spec, diff)
		}
	}
	if all := v.MIMEHeader("ALL"); len(all) != 3 || all[2] != "X-A: 1\n" {
		t.Errorf("ALL: got %q", all)
	}
}

// TestTexts holds that every kind of text is there, a character for each byte.
func TestTexts(t *testing.T) {
	v := viewOf("Subject: é\n\nhttp://a.example/é\n")
	for kind, want := range map[rules.Text]string{
		rules.SAHeader: "é\n", rules.SABody: "é\n", rules.SABodyOnly: "http://a.example/é ", rules.SARawBody: "http://a.example/é\n", rules.SAURI: "http://a.example/é",
		rules.SAFull: "Subject: é\n\nhttp://a.example/é\n", rules.SAMIMEHeader: "é\n",
	} {
		got := ""
		for text := range v.Texts(kind, "Subject") {
			got = perlre.Bytes(text)
			if text == got {
				t.Errorf("%s: got %q, expected a character for each byte", kind, text)
			}
			break
		}
		if got != want {
			t.Errorf("%s: got %q, expected %q", kind, got, want)
		}
	}
}

// FuzzView holds that any message has its texts, within their bounds.
func FuzzView(f *testing.F) {
	f.Add(letter)
	f.Add(htmlHead + `<base href=x><a href="//y%">z<pre><title>` + strings.Repeat("a", 3000))
	f.Add("Received: from [::1] ((helo=x) (a@[1.2.3.4]) by y (\nFrom: \"a (b\" <c\nTo: g:;\n\nx@y.com www.z.org\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		v := viewOf(text)
		for _, p := range v.Body()[min(1, len(v.Body())):] {
			if len(p) > maxParagraph+1 || p == "" || strings.ContainsAny(strings.TrimSuffix(p, "\n"), "\n\t\r") {
				t.Fatalf("a paragraph of %d bytes: %.80q", len(p), p)
			}
		}
		raw := ""
		for _, p := range v.parts() {
			raw += p.raw
		}
		if strings.Join(v.RawBody(), "") != raw {
			t.Fatal("the pieces are not the whole")
		}
		for _, p := range v.RawBody() {
			if len(p) > maxPiece {
				t.Fatalf("a piece of %d bytes", len(p))
			}
		}
		if n := len(v.URIs()); n > maxURIs {
			t.Fatalf("%d addresses", n)
		}
		for _, spec := range []string{"ALL", "ALL:raw", "From:addr", "To:name:raw", "From:domain", "Received:revip", "EnvelopeFrom", "ALL-EXTERNAL", "ALL-INTERNAL"} {
			v.Header(spec)
		}
		relays, _ := v.Header("X-Spam-Relays-External")
		if strings.Count(relays, "[ ip=") != strings.Count(relays, "]") || strings.Count(relays, "[") != strings.Count(relays, "]") {
			t.Fatalf("a stranger's word breaks the list of hops: %q", relays)
		}
	})
}

// BenchmarkView makes all texts of a message of some kilobytes.
func BenchmarkView(b *testing.B) {
	text := letter + strings.Repeat("Some words of a longer letter, see http://www.example.com/page?x=1 or mail a@b.example.\n\n", 60)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		v := viewOf(text)
		for _, kind := range []rules.Text{rules.SAHeader, rules.SABody, rules.SARawBody, rules.SAURI, rules.SAFull, rules.SAMIMEHeader} {
			for range v.Texts(kind, "Subject") {
			}
		}
	}
}
