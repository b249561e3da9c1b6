package bayes

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"milterd/mime"
)

var testSecret = newSecret([secretSize]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})

// The first of the published test vectors of SipHash-1-3.
func TestSipHash(t *testing.T) {
	if got, want := testSecret.hash(nil), binary.LittleEndian.Uint64([]byte{0xdc, 0xc4, 0x0f, 0x05, 0x58, 0x01, 0xac, 0xab}); got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"":                         "",
		"Don't miss it, Joe.":      "Don't|miss|it|Joe",
		"only $12.50!!!!!! wow":    "only|$|12.50|!!!!|wow",
		"joe@example.org, v1-a_b ": "joe@example.org|v1-a_b",
		"über Straße 50% ":         "über|Straße|50|%",
		"请点击这里":                    "请点|点击|击这|这里",
		"好 x 今日":                   "好|x|今日",
		"\xff\xfea\xff":            "a",
	} {
		var found []string
		for from, to := range words(text) {
			found = append(found, text[from:to])
		}
		if got := strings.Join(found, "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestFolded(t *testing.T) {
	for word, want := range map[string]struct {
		folded string
		loud   bool
	}{
		"Hello":                            {"hello", false},
		"FREE":                             {"free", true},
		"OK":                               {"ok", false},
		"ÜBER":                             {"über", true},
		"123":                              {"123", false},
		strings.Repeat("Ab", 20):           {"abababababab~", false},
		strings.Repeat("ä", 20):            {strings.Repeat("ä", 12) + "~", false},
		strings.Repeat("x", 24):            {strings.Repeat("x", 24), false},
		"http-equiv-and-much-more-of-that": {"http-equiv-a~", false},
	} {
		folded, loud := appendFolded([]byte("before"), word)
		if string(folded) != "before"+want.folded || loud != want.loud {
			t.Errorf("%q: %q %t, want %+v", word, folded, loud, want)
		}
	}
}

func names(m Message) []string {
	var all []string
	for _, t := range tokensOf(testSecret, m) {
		all = append(all, t.String())
	}
	return all
}

// Every place of a message has its say.
func TestPlaces(t *testing.T) {
	got := names(parsed(`Received: from evil.test by us
X-Spam-Flag: NO
From: "Joe Doe" <joe@shop.example.co.uk>
Reply-To: other@elsewhere.test
Subject: =?utf-8?q?BUY_pills?=
Message-ID: <12.AB3@host.test>
Date: Thu, 20 Nov 2026 12:00:00 +0100
To: Ann <ann@here.test>, bob@here.test
X-Mailer: Mass 2
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/html; charset=iso-8859-1

<p>hello GREAT world <span style="display:none">unseen</span> <a href="http://www.click.test/go?a=pills">here</a>
--x
Content-Type: application/zip; name="invoice.zip"
Content-Disposition: attachment

zzz
--x--
`))
	for _, want := range []string{"from:joe@shop.example.co.uk", "from domain:shop.example.co.uk", "from tld:uk", "from name:doe", "reply-to:other@elsewhere.test",
		"subject:buy", "subject in capitals:buy", "subject:capitals", "subject:pills", "text:pills", "message-id:host.test", "message-id length:12.ab3", "zone:+0100", "to addresses:2", "to:named", "field:x-mailer", "x-mailer:mass",
		"text:hello", "text in capitals:great", "hidden:unseen", "host:www.click.test", "domain:click.test", "path:pills", "link in:link",
		"part:text/html", "charset:iso-8859-1", "attachment:application/zip", "attachment name:invoice.zip", "attachment ending:.zip"} {
		if !slices.Contains(got, want) {
			t.Errorf("no token %s in %q", want, got)
		}
	}
	for _, not := range []string{"field:received", "field:x-spam-flag", "text:unseen"} {
		if slices.Contains(got, not) {
			t.Errorf("there is a token %s", not)
		}
	}
}

// A message of any size has so many tokens and no more.
func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("Subject: " + strings.Repeat("word ", 10000) + "\n")
	for i := range 900 {
		b.WriteString("X-Field-" + strings.Repeat("x", i%50) + ": " + strings.Repeat("a1 b2 ", i) + "\n")
	}
	b.WriteString("Content-Type: text/html\n\n")
	for i := range 5000 {
		b.WriteString("<a href=http://h" + strings.Repeat("y", i%60) + ".test/" + strings.Repeat("z", i%70) + ">w" + strings.Repeat("q", i%80) + "</a>\n")
	}
	if n := len(tokensOf(testSecret, parsed(b.String()))); n > maxTokens || n < 100 {
		t.Errorf("%d tokens", n)
	}
}

// Whatever the bytes: tokens are each there once, within bounds, the same every time,
// and what transport adds changes nothing; neither does it change the message's name.
func FuzzTokens(f *testing.F) {
	f.Add([]byte("From: a@b.test\nSubject: x\n\nhello world\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/html\n\n<a href=http://x.test>\xff</a>\n--x--"))
	f.Add([]byte("Subject: =?utf-8?q?=E8=AF=B7=E7=82=B9?=\n\n\xe8\xaf\xb7\xe7\x82\xb9"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Parse(raw, mime.Limits{})
		tokens := tokensOf(testSecret, m)
		if len(tokens) > maxTokens {
			t.Fatalf("%d tokens", len(tokens))
		}
		seen := map[uint64]bool{}
		for _, token := range tokens {
			if seen[token.ID] {
				t.Fatalf("%s is there twice", token)
			}
			seen[token.ID] = true
			if token.kind == "" || token.place >= places || len(token.String()) > len(token.kind)+1+4*longest+1 {
				t.Fatalf("%+v", token)
			}
		}
		m.Header = Parse(append([]byte("Received: from a by b\nX-Spam-Status: No, score=1\n"), raw...), mime.Limits{}).Header
		plain := Parse(append([]byte("X-Milterd-Id: a b\n"), raw...), mime.Limits{}).Header
		if len(plain.Fields) != len(m.Header.Fields)-1 {
			return // the message began with something else than a field
		}
		again := tokensOf(testSecret, Message{plain, m.Tree})
		with := tokensOf(testSecret, m)
		if !slices.Equal(with, again) || sum(m) != sum(Message{plain, m.Tree}) {
			t.Fatalf("transport changes what a message is: %d and %d tokens", len(with), len(again))
		}
	})
}

// tokensOf are the tokens of a message, however many words it has.
func tokensOf(s *secret, m Message) []Token {
	all, _ := s.tokens(m, math.MaxInt)
	return all
}

// Words that are one too many have no say, and it is told; others change nothing.
func TestWordsAreCut(t *testing.T) {
	m := parsed("Subject: one two\nFrom: joe@a.test\n\n" + strings.Repeat("three four five six. ", 3))
	whole, cut := testSecret.tokens(m, math.MaxInt)
	if cut {
		t.Fatal("nothing is cut where everything is looked at")
	}
	enough := 0
	for ; ; enough++ {
		tokens, cut := testSecret.tokens(m, enough)
		if !cut {
			if !slices.Equal(tokens, whole) {
				t.Errorf("of %d words %v, of all %v", enough, tokens, whole)
			}
			break
		}
		if len(tokens) > len(whole) {
			t.Fatalf("%d tokens of %d words, %d of all", len(tokens), enough, len(whole))
		}
	}
	// Subject and author twice over, the text as lead and as text.
	if enough < 2+2*12 {
		t.Errorf("%d words are all", enough)
	}
	if first, _ := testSecret.tokens(m, 1); !slices.ContainsFunc(first, func(t Token) bool { return t.text == "three" }) || slices.ContainsFunc(first, func(t Token) bool { return t.text == "four" }) {
		t.Errorf("of one word: %v", first)
	}
}
