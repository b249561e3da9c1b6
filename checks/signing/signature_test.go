package signing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/dkim"
	"milterd/message"
)

// both is a site that signs with two keys at once.
func both(tb testing.TB, more string) (*site, *checktest.Harness) {
	tb.Helper()
	s := newSite(tb)
	s.key("example.org", "rsa", rsaKey())
	s.key("example.org", "ed", ed25519Key())
	return s, s.check("domains: {example.org: {keys: [{selector: rsa, file: $DIR/example.org/rsa.pem}, {selector: ed, file: $DIR/example.org/ed.pem}]}}\n" + more)
}

// What is signed and in which order is always the same; only b= is not to be known.
func TestWhatIsSigned(t *testing.T) {
	const text = "Received: from a by b\nX-Spam-Status: No\nReturn-Path: <ann@example.org>\nBcc: carl@example.net\nCC: a@x.test\nFrom: ann@example.org\nTo: bob@example.net\n" +
		"cc: b@x.test\nSubject: hello\nDate: Fri, 20 Nov 2026 12:00:00 +0000\nMessage-ID: <1@example.org>\nIn-Reply-To: <0@x.test>\n" +
		"List-Unsubscribe: <https://example.org/u>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nMIME-Version: 1.0\nContent-Type: text/plain\nX-Mailer: mine\n\nhello\n"
	for _, test := range []struct {
		config, c string
		days      int // x= after t=
		h         string
	}{
		{"", "relaxed/simple", 7,
			"From:From:To:To:Cc:Cc:Cc:Subject:Subject:Date:Date:Message-ID:Message-ID:Reply-To:MIME-Version:MIME-Version:Content-Type:Content-Type:" +
				"Content-Transfer-Encoding:In-Reply-To:List-Unsubscribe:List-Unsubscribe-Post"},
		{"headers: list-friendly\ncanonicalization: relaxed/relaxed\nexpire: 2d", "relaxed/relaxed", 2,
			"From:From:To:Cc:Cc:Subject:Date:Message-ID:In-Reply-To:MIME-Version:Content-Type:List-Unsubscribe:List-Unsubscribe-Post"},
		{"canonicalization: simple/simple\nexpire: off", "simple/simple", 0, ""},
	} {
		s, h := both(t, test.config)
		out := seal(t, h, checktest.Mail{Login: "ann@example.org", Text: text})
		s.wantVerified(out.text(), 2)
		for i, want := range []string{"rsa-sha256 rsa", "ed25519-sha256 ed"} {
			tags, err := dkim.ParseTags(out.Edits[i].Value)
			if err != nil {
				t.Fatal(err)
			}
			get := func(name string) string { v, _ := tags.Get(name); return strings.Join(strings.Fields(v), "") }
			if got := get("a") + " " + get("s"); got != want || get("d") != "example.org" || get("c") != test.c || get("t") != strconv.FormatInt(s.now.Unix(), 10) || get("l") != "" {
				t.Errorf("signature %d: %q", i, out.Edits[i].Value)
			}
			x := ""
			if test.days > 0 {
				x = strconv.FormatInt(s.now.AddDate(0, 0, test.days).Unix(), 10)
			}
			if get("x") != x {
				t.Errorf("x=%s, want %s", get("x"), x)
			}
			if h := get("h"); test.h != "" && h != test.h {
				t.Errorf("h=%s\nwant %s", h, test.h)
			}
			for line := range strings.SplitSeq("DKIM-Signature: "+out.Edits[i].Value, "\n") {
				if len(line) > 78 {
					t.Errorf("a line of %d characters: %s", len(line), line)
				}
			}
		}
		second := seal(t, h, checktest.Mail{Login: "ann@example.org", Text: text})
		if second.Edits[1].Value != out.Edits[1].Value { // Ed25519 and PKCS#1 v1.5 have no chance in them
			t.Errorf("the same message is signed in two ways:\n%s\n%s", out.Edits[1].Value, second.Edits[1].Value)
		}
	}
}

// A field of any oversigned name, put anywhere into the header, breaks every signature.
func TestOversigned(t *testing.T) {
	s, h := both(t, "")
	for _, text := range []string{
		mailOf("ann@example.org"),
		"From: ann@example.org\n\nno more than that\n",
		"MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\nReply-To: ann@example.org\nCc: x@x.test\n" + mailOf("ann@example.org"),
	} {
		whole := seal(t, h, checktest.Mail{Login: "ann@example.org", Text: text}).text()
		s.wantVerified(whole, 2)
		_, oversigned := dkim.StandardNames()
		if len(oversigned) != 10 {
			t.Fatalf("oversigned are %v", oversigned)
		}
		fields := strings.SplitAfter(whole[:strings.Index(whole, "\r\n\r\n")+2], "\r\n")
		body := whole[strings.Index(whole, "\r\n\r\n")+2:]
		for _, name := range oversigned {
			for at := range fields {
				if strings.HasPrefix(fields[at], "\t") {
					continue // in a folded field
				}
				changed := strings.Join(slices.Insert(slices.Clone(fields), at, strings.ToUpper(name)+": another\r\n"), "") + body
				if passing := s.passing(changed); len(passing) > 0 {
					t.Errorf("%s as line %d, and %v still pass\n%s", name, at, passing, changed)
				}
			}
		}
	}
}

// Messages of all kinds, in all canonicalizations: what leaves verifies here and by
// the other implementation.
func TestVariedMessages(t *testing.T) {
	random := rand.New(rand.NewPCG(6376, 1))
	n := 0
	for _, canon := range []string{"relaxed/simple", "relaxed/relaxed", "simple/simple", "simple/relaxed"} {
		s, h := both(t, "canonicalization: "+canon)
		for range 60 {
			n++
			text := variedMessage(random)
			s.wantVerified(seal(t, h, checktest.Mail{Login: "ann@example.org", Text: text}).text(), 2)
			if t.Failed() {
				t.Fatalf("%s, of\n%q", canon, head(text))
			}
		}
		large := mailOf("ann@example.org") + strings.Repeat("a line of a large message, with \tblanks  \n", 1<<20/42)
		s.wantVerified(seal(t, h, checktest.Mail{Login: "ann@example.org", Text: large}).text(), 2)
	}
	t.Logf("%d messages", n)
}

func variedMessage(r *rand.Rand) string {
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(pick("Received: from a\n\tby b ; now\n", "X-Empty:\n", "X-Blank: \n", "X-Odd:no blank\n", "X-Fold:\n  on the next\n\tand the next  \n", "X-8bit: caf\xe9 \xff\n",
			"X-Long: "+strings.Repeat("long ", 190)+"\n", "x-lower: Case\n", "X-Utf8: größe\n", "Sender: ann@example.org\n"))
	}
	b.WriteString(pick("From: ann@example.org\n", "from:ann@example.org\n", "FROM:   Ann\n\t<ann@example.org>  \n", "From: \"A, B\" <ann@example.org>\n", "From: =?utf-8?q?=C3=84nn?=\n =?utf-8?q?_x?= <ann@example.org>\n"))
	b.WriteString(pick("", "To: bob@example.net\n", "To: a@x.test,\n b@x.test,\n\tc@x.test\n", "To: undisclosed-recipients:;\n"))
	b.WriteString(pick("", "Subject: hello\n", "Subject:\n", "Subject:  two  blanks \n", "SUBJECT: =?utf-8?b?w6Q=?=\n =?utf-8?b?w6Q=?=\n", "Subject: "+strings.Repeat("x", 900)+"\n"))
	b.WriteString(pick("", "Date: Fri, 20 Nov 2026 12:00:00 +0000\n"))
	b.WriteString(pick("", "Message-ID: <1@example.org>\n", "Message-Id:\n\t<1@example.org>\n"))
	b.WriteString(pick("", "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n\tboundary=\"x\"\n", "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"))
	b.WriteString("\n")
	for range r.IntN(12) {
		b.WriteString(pick("text\n", "\n", "\n\n\n", "trailing blanks  \t \n", " \n", "\t\n", "in  the   middle\n", "caf\xe9\n", "größe\n", strings.Repeat("long ", 300)+"\n", "--x\nContent-Type: text/html\n\n<p>hi\n--x--\n",
			".\n", "..\n", "From x\n", "=20=\n", strings.Repeat("=", 998)+"\n"))
	}
	b.WriteString(pick("", "the last line", "\n\n\n\n", "   ", "\n \n"))
	return b.String()
}

// Nobody gets a signature under a From that is not ours, however it is written.
func FuzzNeverForeign(f *testing.F) {
	for _, from := range []string{"ann@example.org", "Ann <ann@example.org>", "ceo@bank.example", "\"ann@example.org\" <ceo@bank.example>", "ann@example.org, ceo@bank.example",
		"<ceo@bank.example> ann@example.org", "ann@example.org\nFrom: ceo@bank.example", "ceo@bank.example (ann@example.org)", "=?utf-8?q?ceo=40bank.example?= <ann@example.org>",
		"<@example.org:ceo@bank.example>", "a:ceo@bank.example;", "ann@example.org.", "ann@example.org\x00@bank.example", "ann@mail.example.org", "\"\\\" <ceo@bank.example>\" <ann@example.org>"} {
		for _, login := range []string{"ann@example.org", "ann", "", "eve@bank.example"} {
			f.Add(from, login)
		}
	}
	f.Fuzz(func(t *testing.T, from, login string) {
		_, h := standard(t, "")
		text := mailOf(from)
		m := checktest.Mail{Role: message.Outbound, Client: "192.0.2.50", Login: login, Text: text}.Message(t)
		defer m.Body.Release()
		out, d := h.Check().(*check).decide(m)
		if (out.Reason == Signed) != (d != nil) {
			t.Fatalf("%s, and the domain is %v", out.Reason, d)
		}
		if d == nil {
			return
		}
		if n := m.Header.Count("From"); n != 1 || d.name.String() != "example.org" {
			t.Fatalf("%d From fields signed for %s", n, d.name)
		}
		if _, domain, at := strings.Cut(login, "@"); at && !strings.EqualFold(domain[strings.LastIndexByte(domain, '@')+1:], "example.org") {
			t.Fatalf("login %q signs %q", login, from)
		}
		for _, a := range m.Author().Addresses {
			if a.Domain.String() != "example.org" {
				t.Fatalf("author %s signed", a)
			}
		}
		// Another reader, where it understands the field at all.
		value, _ := m.Header.Get("From")
		list, err := mail.ParseAddressList(message.Unfold(value))
		if err != nil {
			return
		}
		for _, a := range list {
			if !strings.HasSuffix(strings.ToLower(a.Address), "@example.org") {
				t.Fatalf("signed for %q: %q", a.Address, value)
			}
		}
	})
}

// A body that does not come to its end is an error, and nothing is signed.
func TestBodyThatEnds(t *testing.T) {
	_, h := standard(t, "")
	m := checktest.Mail{Role: message.Outbound, Login: "ann@example.org", Text: mailOf("ann@example.org")}.Message(t)
	defer m.Body.Release()
	gone := errors.New("gone")
	broken := message.NewSpool(message.SpoolOptions{Memory: 1 << 20})
	defer broken.Release()
	fmt.Fprint(broken, "hel")
	broken.Fail(gone)
	m.Body = broken
	if res, err := h.Check().Run(t.Context(), &checks.Input{Message: m, Body: broken.Reader()}); !errors.Is(err, gone) || res.Detail != nil {
		t.Errorf("%+v, %v", res, err)
	}
	waiting := message.NewSpool(message.SpoolOptions{Memory: 1 << 20})
	defer waiting.Release()
	m.Body = waiting
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Check().Run(ctx, &checks.Input{Message: m, Body: waiting.Reader()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func BenchmarkSign(b *testing.B) {
	for name, private := range map[string]func() (string, *site, *checktest.Harness){
		"RSA-2048": func() (string, *site, *checktest.Harness) {
			s := newSite(b)
			s.key("example.org", "rsa", rsaKey())
			return "", s, s.check("domains: {example.org: {keys: [{selector: rsa, file: $DIR/example.org/rsa.pem}]}}")
		},
		"Ed25519": func() (string, *site, *checktest.Harness) { s, h := standard(b, ""); return "", s, h },
		"both":    func() (string, *site, *checktest.Harness) { s, h := both(b, ""); return "", s, h },
		"nobody's": func() (string, *site, *checktest.Harness) {
			s, h := standard(b, "")
			return "joe@sender.test", s, h
		},
	} {
		b.Run(name, func(b *testing.B) {
			from, _, h := private()
			m := checktest.Mail{Role: message.Outbound, Login: "ann@example.org",
				Text: mailOf(or(from, "ann@example.org")) + strings.Repeat("a line of text, as people write them in their letters\n", 100)}.Message(b)
			defer m.Body.Release()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Check().Run(b.Context(), &checks.Input{Message: m, Body: m.Body.Reader()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
