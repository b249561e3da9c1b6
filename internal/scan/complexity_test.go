package scan

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"milterd/internal/complexity"
)

// TestComplexity is a whole message on its whole way, wire, checks, rules, verdict:
// text that is hard on a parser, in the body and in the header.
func TestComplexity(t *testing.T) {
	s := scanTest(t, "{}")
	scan := func(text string) {
		if _, err := s.Scan(context.Background(), []byte(text), Envelope{IP: netip.MustParseAddr("192.0.2.10"), Helo: "mail.example"}); err != nil {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	const head = "From: a@sender.example\nTo: b@example.net\nSubject: x\nMessage-ID: <1@sender.example>\n"
	in := func(begin string) func(string) string {
		return func(text string) string { return head + begin + text + "\n" }
	}
	everywhere := func(text string) string {
		var b strings.Builder
		for _, name := range []string{"Date", "References", "In-Reply-To", "Reply-To", "Sender", "Return-Path", "List-Id", "List-Post", "List-Unsubscribe", "Cc",
			"Authentication-Results", "ARC-Authentication-Results", "ARC-Seal", "DKIM-Signature", "X-Milterd-Carry", "Content-Type"} {
			b.WriteString(name + ": " + text + "\n")
		}
		return head + b.String() + "\nbody\n"
	}
	// Fields that count for something, as many as limits.header_fields lets pass.
	many := map[string]complexity.Text{}
	for name, field := range map[string]string{
		"hops": "Received: from a.example (b.example [192.0.2.1]) by c.example (Postfix) with ESMTPS id 4XyzAbCdEf", "signatures": "DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AA==",
		"results of ours": "Authentication-Results: test.example; spf=pass smtp.mailfrom=a@b.example; dkim=pass header.d=a", "marks of ours": "X-Spam-Status: Yes, score=17.0 required=5.0 tests=A,B,C,D,E,F,G autolearn=no version=4.0.1",
		"seals": "ARC-Seal: i=2; a=rsa-sha256; cv=pass; d=a.test; s=s; t=1; b=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "authors": "From: \"somebody with a name that is long enough for this test of ours\" <somebody@sender.example>",
		"recipients named": "Cc: \"somebody with a name that is long enough for this test of ours\" <somebody@receiver.example>",
	} {
		many[name] = complexity.Repeat(field + "\n")
	}
	complexity.Check(t,
		complexity.Parser{Name: "fields", Frame: everywhere, Most: 15 << 10, Run: scan}, // of all, within limits.header_bytes
		complexity.Parser{Name: "text", Frame: in("\n"), Run: scan},
		complexity.Parser{Name: "HTML", Frame: in("Content-Type: text/html\n\n<p>"), Run: scan},
		complexity.Parser{Name: "parts", Frame: in("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment; filename=a.zip\n\nPK\x03\x04"), Run: scan},
		complexity.Parser{Name: "header", Frame: in(""), Shapes: many, Run: scan},
		complexity.Parser{Name: "recipients", Alone: true, Shapes: map[string]complexity.Text{"each another": func(size int) string { return strings.Repeat("x", size/16) }}, Run: func(text string) {
			rcpts := make([]string, len(text))
			for i := range rcpts {
				rcpts[i] = fmt.Sprintf("user%d@example.net", i)
			}
			if _, err := s.Scan(context.Background(), []byte(head+"\nbody\n"), Envelope{IP: netip.MustParseAddr("192.0.2.10"), Helo: "mail.example", Rcpts: rcpts}); err != nil {
				t.Error(err)
			}
		}},
		complexity.Parser{Name: "subject", Frame: in("X-Y: z\nSubject: "), Run: scan},
		complexity.Parser{Name: "hop", Frame: in("Received: from "), Run: scan},
	)
}
