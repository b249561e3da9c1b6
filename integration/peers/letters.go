package peers

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"milterd/milter"
)

// Letters yields n messages, with a name for each, that are the same for the same
// seed. All are by ann@example.org, and all are as Postfix shows them to its
// milters and sends them on: lines end with CRLF, also those that came with a bare
// LF, and the last one too.
//
// The first have each kind of body once, in a fixed order; the others draw body
// and header fields at random.
func Letters(seed uint64, n int) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		r := rand.New(rand.NewPCG(seed, 6376))
		for i := range n {
			kind := i
			for kind >= len(bodies) || i >= len(bodies) && bodies[kind].large && r.IntN(20) > 0 {
				kind = r.IntN(len(bodies))
			}
			fields, about := header(r)
			if strings.HasPrefix(bodies[kind].name, "MIME") {
				fields += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"=_b\"\r\n"
			}
			raw := milter.ParseMessage([]byte(fields + "\r\n" + bodies[kind].make(r))).Bytes()
			if !yield(fmt.Sprintf("letter %d: %s%s", i, bodies[kind].name, about), raw) {
				return
			}
		}
	}
}

// headers are the fields that a letter may have besides From, Date and Message-ID,
// each with what is special about it.
var headers = []struct{ name, fields string }{
	{"", "To: bob@example.net\r\n"},
	{"", "Subject: hello\r\n"},
	{"", "Cc: carol@example.net, dave@example.net\r\n"},
	{"", "Reply-To: Ann <ann@example.org>\r\n"},
	{"an answer", "In-Reply-To: <1@example.net>\r\nReferences: <0@example.net>\r\n <1@example.net>\r\n"},
	{"odd folds", "Subject:\r\n a\r\n\t b  \r\n  c\t\r\n"},
	{"a fold of blanks", "Subject: a\r\n \t\r\n b\r\n"},
	{"8-bit subject", "Subject: gr\xc3\xbc\xc3\x9fe, gr\xfc\xdfe\r\n"},
	{"no blank after the colon", "subject:tight\r\nTO:bob@example.net\r\n"},
	{"blanks at the end", "To:   bob@example.net   \t\r\nSubject: \t x \t \r\n"},
	{"empty fields", "Subject:\r\nX-Empty: \r\nCc:\r\n"},
	{"a blank before the colon", "Subject : spaced\r\nTo\t: bob@example.net\r\n"},
	{"a long line", "Subject: " + strings.Repeat("very long ", 95) + "\r\n"},
	{"many recipients", "To: " + strings.Repeat("someone@example.net,\r\n ", 60) + "bob@example.net\r\n"},
	{"several of a kind", "Received: from a by b; x\r\nReceived: from b by c;\r\n\ty\r\nX-Same: 1\r\nX-Same: 2\r\nx-same: 3\r\n"},
	{"a list", "List-Id: <talk.example.org>\r\nList-Unsubscribe: <mailto:talk-leave@example.org>\r\nSender: talk-bounces@example.org\r\n"},
	{"signs in the value", "X-Signs: a=b; c:d; \"e\\\"f\" (g) <h> | \\ % =?utf-8?q?i?=\r\n"},
}

// once are the fields that a header has once at most (RFC 5322, section 3.6).
var once = []string{"to", "cc", "subject", "reply-to"}

// header draws a header.
func header(r *rand.Rand) (fields, about string) {
	froms := []string{"From: ann@example.org\r\n", "From: Ann A. <ann@example.org>\r\n", "From: \"Ann\r\n A.\" <ann@example.org>\r\n", "from:<ann@example.org>\r\n",
		"From: =?utf-8?q?=C3=84nn?=\r\n =?utf-8?q?_A?= <ann@example.org>\r\n", "From: \xc3\x84nn <ann@example.org>\r\n"}
	blocks := []string{
		froms[r.IntN(len(froms))],
		"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n",
		fmt.Sprintf("Message-ID: <%d@example.org>\r\n", r.Uint32()),
	}
	taken := map[string]bool{}
	for _, i := range r.Perm(len(headers))[:r.IntN(len(headers))] {
		names := namesOf(headers[i].fields)
		if slices.ContainsFunc(names, func(name string) bool { return taken[name] && slices.Contains(once, name) }) {
			continue
		}
		for _, name := range names {
			taken[name] = true
		}
		blocks = append(blocks, headers[i].fields)
		if headers[i].name != "" {
			about += ", " + headers[i].name
		}
	}
	r.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
	return strings.Join(blocks, ""), about
}

// namesOf are the names of some fields, in lower case.
func namesOf(fields string) (names []string) {
	for _, f := range milter.ParseMessage([]byte(fields)).Fields {
		names = append(names, strings.ToLower(f.Name))
	}
	return names
}

// bodies are the kinds of body.
var bodies = []struct {
	name  string
	large bool // and so drawn less often
	make  func(r *rand.Rand) string
}{
	{"plain", false, func(r *rand.Rand) string { return lines(r, 1+r.IntN(30), "\r\n") }},
	{"empty body", false, func(*rand.Rand) string { return "" }},
	{"one blank line", false, func(*rand.Rand) string { return "\r\n" }},
	{"blank lines only", false, func(r *rand.Rand) string { return strings.Repeat("\r\n", 1+r.IntN(50)) }},
	{"blanks only", false, func(*rand.Rand) string { return " \r\n\t\r\n \t \r\n" }},
	{"blanks at line ends", false, func(r *rand.Rand) string { return lines(r, 5, " \t \r\n") + " \r\n\r\n\t\r\n" }},
	{"blanks in lines", false, func(r *rand.Rand) string {
		return "\t" + strings.ReplaceAll(lines(r, 5, "\r\n"), " ", "  \t") + "  indented\r\n"
	}},
	{"blank lines at the end", false, func(r *rand.Rand) string { return lines(r, 3, "\r\n") + strings.Repeat("\r\n", 1+r.IntN(9)) }},
	{"no line end", false, func(*rand.Rand) string { return "no line end" }},
	{"bare line feeds", false, func(r *rand.Rand) string { return lines(r, 4, "\n") + "\n\n" + lines(r, 2, "\r\n") + "x\n" }},
	{"long lines", false, func(r *rand.Rand) string {
		return strings.Repeat("x", 998) + "\r\n" + strings.Repeat("blank ", 1000) + "\r\n" + strings.Repeat("\xc3\xa4", 5000) + "\r\n"
	}},
	{"8-bit", false, func(r *rand.Rand) string {
		text := make([]byte, 400)
		for i := range text {
			text[i] = byte(0x80 + r.IntN(0x80))
		}
		return "gr\xc3\xbc\xc3\x9fe \xe6\xbc\xa2\xe5\xad\x97\r\n" + string(bytes.Join(chunks(text, 70), []byte("\r\n"))) + "\r\n"
	}},
	{"dots and From", false, func(*rand.Rand) string { return ".\r\n..\r\n.x\r\nFrom here on\r\n>From\r\n" }},
	{"control characters", false, func(*rand.Rand) string { return "bell \a, form feed\f\r\n\v\x1b[1m\x7f\r\n" }},
	{"MIME", false, func(r *rand.Rand) string {
		data := make([]byte, 3000)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		text := []byte(base64.StdEncoding.EncodeToString(data))
		return "preamble\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngr\xc3\xbc\xc3\x9fe =3D  \r\n\r\n--=_b\r\n" +
			"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + string(bytes.Join(chunks(text, 76), []byte("\r\n"))) + "\r\n--=_b--\r\n\r\nepilogue \r\n"
	}},
	{"1 MB", true, func(r *rand.Rand) string { return strings.Repeat(lines(r, 100, "\r\n"), 1<<20/4000) }},
	{"1 MB of blank lines", true, func(*rand.Rand) string { return "x\r\n" + strings.Repeat(" \r\n\r\n", 1<<20/5) }},
}

// lines are n lines of words, 40 characters on average.
func lines(r *rand.Rand, n int, end string) string {
	words := []string{"the", "mail", "of", "an", "ordinary", "day,", "and", "some", "-- ", "signature", "=20", "(x)"}
	var b strings.Builder
	for range n {
		for range r.IntN(16) {
			b.WriteString(words[r.IntN(len(words))])
			b.WriteByte(' ')
		}
		b.WriteString("end" + end)
	}
	return b.String()
}

func chunks(text []byte, size int) [][]byte {
	var all [][]byte
	for len(text) > size {
		all = append(all, text[:size])
		text = text[size:]
	}
	return append(all, text)
}
