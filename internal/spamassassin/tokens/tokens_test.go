package tokens

import (
	"crypto/sha1"
	"slices"
	"strings"
	"testing"

	"milterd/message"
	"milterd/mime"
)

func parse(raw []byte) (*message.Header, *mime.Tree) {
	tree := mime.WalkMessage(raw, mime.Limits{})
	fields := make([]message.Field, len(tree.Root.Header))
	for i, f := range tree.Root.Header {
		fields[i] = message.Field{Name: f.Name, Value: f.Value}
	}
	return message.NewHeader(fields, 8<<10), tree
}

func texts(raw string) []string {
	var all []string
	for _, t := range Of(parse([]byte(raw))) {
		all = append(all, t.Text)
	}
	return all
}

// TestOf has what SpamAssassin 4.0.1 makes of the same texts; -name is a token that
// must not be there.
func TestOf(t *testing.T) {
	for name, c := range map[string]struct{ raw, tokens string }{
		"a sentence":     {"\n\nDon't miss it. Buy Now!\n", "don't dont miss Now! Now now! now -Don't -it"},
		"after one":      {"\n\nnothing here. Buy this and that\n", "nothing here buy this that -Buy"},
		"capitals":       {"\n\nbig SALE\n", "big SALE sale"},
		"prices":         {"\n\nonly $31,000,000 f*ck\n", "$31,000,000 31000000 f*ck"},
		"long":           {"\n\nunbelievablylongword\n", "sk:unbelie -unbelievablylongword"},
		"dots":           {"\n\nwell...then and--more\n", "well then and more -well...then"},
		"a link":         {"\n\nsee http://www.Shop.example/buy?x=cheap-pills\n", "http UD:www.Shop.example UD:Shop.example UD:example www.Shop.example www.shop.example wwwshopexample UD:buy?x -UD:www"},
		"a mail address": {"\n\nask joe@mail.shop.example\n", "U*joe D*mail.shop.example D*shop.example D*example joe@mail.shop.example joemailshopexample"},
		"utf-8":          {"Content-Type: text/plain; charset=utf-8\n\n" + strings.Repeat("你好", 4), "u8:你 u8:好"},
		"from":           {"From: \"Doe, Joe\" <joe.doe@mail.shop.example>\n\n", "H*F:N*Doe H*F:N*Joe H*F:U*joe.doe H*F:D*mail.shop.example H*F:D*shop.example H*Ad:D*example"},
		"a comment":      {"To: joe@shop.example (Joe), ann@shop.example\n\n", "HTo:U*joe HTo:U*ann HTo:D*shop.example H*Ad:U*ann HTo:N*Joe"},
		"message id":     {"Message-ID: <000c84d37aae$7338a0a4$3ab55ec5@host.example>\n\n", "H*M:OEA000c H*M:OEB7338 H*M:OEC3ab55ec5 H*M:host H*MI:example"},
		"content type":   {"Content-Type: multipart/mixed; boundary=\"--=_NextPart_01\"\n\n", "H*ct:mixed H*ct:NHxtPHrt -H*ct:text"},
		"mailer":         {"X-Mailer: Outlook Express\n\n", "H*x:Outlook H*UA:Express"},
		"a signature":    {"DKIM-Signature: v=1; a=rsa-sha256\n\n", "-HDKIM-Signature:rsa-sha256"},
		"ignored":        {"List-Id: <a.b.example>\nX-Spam-Status: Yes\nSubject: Hello there\n\n", "there -HList-Id:example -HX-Spam-Status:Yes -HSubject:there"},
		"received": {"Received: from top.example by a\nReceived: from mid.example ([192.0.2.77]) by b.example with ESMTP id ABCDEFGHIJ for <x@y.example>; Fri, 20 Nov 2026 10:00:00 +0000\nReceived: from low.example\n\n",
			"H*r:mid.example H*r:192.0.2 H*r:ip*192.0.2.77 H*r:low.example -H*r:top.example -H*r:ABCDEFGHIJ -H*r:2026 -H*r:ESMTP"},
	} {
		got := texts(c.raw)
		for want := range strings.FieldsSeq(c.tokens) {
			without, not := strings.CutPrefix(want, "-")
			switch {
			case strings.HasPrefix(want, "UD:buy"): // "?" ends a word
			case slices.Contains(got, without) == not:
				t.Errorf("%s: %s: %t\n%q", name, without, !not, got)
			}
		}
	}
}

// Mail that is made to be dear: what is hashed grows with the mail and not with its
// square.
func TestBounded(t *testing.T) {
	for name, unit := range map[string]string{"dots": "a.", "addresses": "a@a.", "one address of many": "x@" + strings.Repeat("a.", 100), "sentences": "A. B. ", "dashes": "a--b", "stars": "a*"} {
		many := strings.Repeat(unit, 1<<20/len(unit))
		for _, raw := range []string{"\n\n" + many, "To: " + many + "\nX-Mailer: " + many + "\nReceived: " + many + "\nMessage-ID: <" + many + "\n\n", "Content-Type: text/html\n\n<a href='http://" + many + "'>x</a>"} {
			total := 0
			for _, token := range Of(parse([]byte(raw))) {
				total += len(token.Text)
			}
			if total > 2<<20 {
				t.Errorf("%s: %d bytes of tokens", name, total)
			}
		}
	}
}

func FuzzOf(f *testing.F) {
	for _, seed := range []string{"", "From: a@b.c, \"x\\", "Subject: =?utf-8?q?=C3=A9?=\n\nA. B... c--d @ a@ @b x@y.z. http://a.b/c\n", "Content-Type: text/html\n\n<p style=display:none>hidden<a href='//x.y'>\xff\xe4\xbd"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		all := Of(parse(raw))
		if len(all) > maxTokens {
			t.Fatalf("%d tokens", len(all))
		}
		seen := map[[5]byte]bool{}
		for _, token := range all {
			if token.Sum != sumOf(token.Text) || seen[token.Sum] || token.Text == "" {
				t.Fatalf("%x %q", token.Sum, token.Text)
			}
			seen[token.Sum] = true
			if strings.ContainsAny(token.Text, " \t\n") {
				t.Fatalf("blanks in %q", token.Text)
			}
		}
	})
}

func BenchmarkOf(b *testing.B) {
	var raw strings.Builder
	raw.WriteString("From: Joe Doe <joe@shop.example>\nTo: ann@here.example\nSubject: Offers of the week\nMessage-ID: <1@shop.example>\nReceived: from a.example ([192.0.2.1]) by b.example with ESMTP id ABCDEFGH\n\n")
	for i := range 500 {
		raw.WriteString([]string{"some", "Words", "of", "http://www.shop.example/x", "everyday", "language,", "which", "nobody", "counts.\n\n"}[i%9])
		raw.WriteByte(' ')
		raw.WriteString(strings.Repeat(string(rune('a'+i%26)), 3+i%7))
		raw.WriteByte(' ')
	}
	h, tree := parse([]byte(raw.String()))
	b.ReportAllocs()
	for b.Loop() {
		Of(h, tree)
	}
}

func sumOf(text string) [5]byte {
	sum := sha1.Sum([]byte(text))
	return [5]byte(sum[15:])
}
