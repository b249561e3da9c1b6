package authres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"milterd/authres"
)

// mail is what a busy host writes about one message.
var mail = authres.Field{
	AuthservID: "mx.example.org",
	Methods: []authres.Method{
		{Method: "spf", Result: "pass", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "bounce+a=b@mail.example.com"}}},
		{Method: "dkim", Result: "pass", Props: []authres.Prop{
			{Ptype: "header", Property: "d", Value: "example.com"}, {Ptype: "header", Property: "s", Value: "s2026"},
			{Ptype: "header", Property: "a", Value: "rsa-sha256"}, {Ptype: "header", Property: "b", Value: "oINE/8hg"}}},
		{Method: "dmarc", Result: "pass", Comment: "p=reject", Props: []authres.Prop{{Ptype: "header", Property: "from", Value: "example.com"}}},
	},
}

func TestString(t *testing.T) {
	prop := func(value string) authres.Field {
		return authres.Field{AuthservID: "mx.test", Methods: []authres.Method{{
			Method: "spf", Result: "fail", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: value}}}}}
	}
	value := func(written string) string { return "mx.test;\n\tspf=fail smtp.mailfrom=" + written }
	tests := []struct {
		name  string
		field authres.Field
		want  string
	}{
		{"no methods", authres.Field{AuthservID: "mx.test"}, "mx.test; none"},
		{"version", authres.Field{AuthservID: "mx.test", Version: 1}, "mx.test 1; none"},
		{"id that is no token", authres.Field{AuthservID: `mx "a"; x`}, `"mx \"a\"? x"; none`},
		{"no id", authres.Field{}, `""; none`},
		{"a real one", mail, "mx.example.org;\n" +
			"\tspf=pass smtp.mailfrom=bounce+a=b@mail.example.com;\n" +
			"\tdkim=pass header.d=example.com header.s=s2026 header.a=rsa-sha256\n" +
			"\theader.b=\"oINE/8hg\";\n" +
			"\tdmarc=pass (p=reject) header.from=example.com"},
		{"stable order", authres.Field{AuthservID: "mx.test", Methods: []authres.Method{
			{Method: "x-ours", Result: "pass"}, {Method: "auth", Result: "pass"}, {Method: "dkim", Result: "fail"}, {Method: "iprev", Result: "pass"},
			{Method: "arc", Result: "none"}, {Method: "dmarc", Result: "none"}, {Method: "dkim", Result: "pass"}, {Method: "spf", Result: "none"}}},
			"mx.test;\n\tspf=none;\n\tdkim=fail;\n\tdkim=pass;\n\tdmarc=none;\n\tarc=none;\n\tiprev=pass;\n\tauth=pass;\n\tx-ours=pass"},
		{"reason, comment, versions", authres.Field{AuthservID: "mx.test", Methods: []authres.Method{
			{Method: "dkim", Version: 1, Result: "fail", Reason: "bad signature", Comment: `a (b) \c`}}},
			`mx.test;` + "\n\t" + `dkim/1=fail (a \(b\) \\c) reason="bad signature"`},

		{"null sender", prop(""), value(`""`)},
		{"domain literal", prop("a@[192.0.2.1]"), value(`"a@[192.0.2.1]"`)},
		{"IPv6", prop("2001:db8::1"), value(`"2001:db8::1"`)},
		{"domain only", prop("@a.test"), value("@a.test")},
		{"VERP", prop("a=b.test@c.test"), value("a=b.test@c.test")},
		{"quoted local part", prop(`"a b"@c.test`), value(`"\"a b\"@c.test"`)},
		{"two ats", prop("a@b@c.test"), value(`"a@b@c.test"`)},
		{"dots that are no dot-atom", prop("a..b@c.test"), value(`"a..b@c.test"`)},
		{"no domain name", prop("a@-c.test"), value(`"a@-c.test"`)},
		{"EAI", prop("jörg@exämple.test"), value(`"jörg@exämple.test"`)},

		// libraries.md, section 2.4: a backslash before a quote in the local
		// part closed the quotes of a writer that escaped only quotes.
		{"forged result", prop(`"a\" ; dmarc=pass header.from=bank.test ; "@b.test`),
			"mx.test;\n\tspf=fail\n\t" + `smtp.mailfrom="\"a\\\" ? dmarc?pass header.from=bank.test ? \"@b.test"`},
		{"result as a local part", prop("dmarc=pass@b.test"), value("dmarc?pass@b.test")},
		{"result in capitals", prop("DKIM=Pass"), value(`"DKIM?Pass"`)},
		{"VERP of somebody in Passau", prop("list+ann=passau.test@b.test"), value("list+ann=passau.test@b.test")},
		{"CRLF", prop("a\r\nX-Spam: no@b.test"), value(`"a??X-Spam: no@b.test"`)},
		{"NUL, TAB, DEL", prop("a\x00b\tc\x7f"), value(`"a?b?c?"`)},
		{"C1", prop("a\u0085b\u009b"), value(`"a?b?"`)},
		{"bidi controls", prop("a\u202eb\u2066c\u200f"), value(`"a?b?c?"`)},
		{"line separators and odd spaces", prop("a\u2028b\u2029c\u00a0d\u200be"), value(`"a?b?c?d?e"`)},
		{"not UTF-8", prop("a\xff\xfe\xc3"), value(`"a???"`)},
		{"comment opened", prop("a(b@c.test"), value(`"a(b@c.test"`)},
		{"comma and brackets", prop("<a>,b"), value(`"<a>,b"`)},
		{"unbalanced parentheses in a comment", authres.Field{AuthservID: "mx.test", Methods: []authres.Method{
			{Method: "spf", Result: "fail", Comment: ")); dmarc=pass (("}}}, `mx.test;` + "\n\t" + `spf=fail (\)\)? dmarc?pass \(\()`},
		{"names are our own, and still harmless", authres.Field{AuthservID: "mx.test", Methods: []authres.Method{
			{Method: "a; b=c", Result: "", Props: []authres.Prop{{Ptype: "", Property: "-x.y-", Value: "z"}}}}},
			"mx.test;\n\ta--b-c=unknown policy.x-y=z"},
		{"absurd versions", authres.Field{AuthservID: "mx.test", Version: 10000, Methods: []authres.Method{{Method: "a", Version: -1, Result: "b"}}},
			"mx.test;\n\ta=b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := test.field.String()
			if got != test.want {
				t.Errorf("wrote\n%q, want\n%q", got, test.want)
			}
			if _, err := authres.Parse(got); err != nil {
				t.Errorf("does not read its own writing: %v", err)
			}
		})
	}
}

func TestStringCutsLongValues(t *testing.T) {
	long := "a@" + strings.Repeat("legitimate-domain.", 100) + "test"
	f := authres.Field{AuthservID: "mx.test", Methods: []authres.Method{{Method: "spf", Result: "fail", Comment: long, Reason: long,
		Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: long}}}}}
	back, err := authres.Parse(f.String())
	if err != nil {
		t.Fatal(err)
	}
	m := back.Methods[0]
	for _, v := range []string{m.Comment, m.Reason, m.Props[0].Value} {
		if len(v) != authres.MaxValue || !strings.HasPrefix(long, strings.TrimSuffix(v, "...")) || !strings.HasSuffix(v, "...") {
			t.Errorf("value of %d bytes cut to %d: %q", len(long), len(v), v)
		}
	}
}

// However much is said, the field stays readable and no result is lost.
func TestStringKeepsWithinTheBudget(t *testing.T) {
	for _, n := range []int{1, 8, 50, authres.MaxMethods, 1000} {
		f := authres.Field{AuthservID: strings.Repeat("x", 300), Version: 9999}
		for range n {
			hostile := strings.Repeat(`\"`, 2000)
			f.Methods = append(f.Methods, authres.Method{Method: strings.Repeat("m", 99), Version: 9999, Result: strings.Repeat("r", 99), Reason: hostile,
				Comment: hostile, Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: hostile}, {Ptype: "header", Property: "from", Value: hostile}}})
		}
		written := f.String()
		if len(written) > authres.MaxBytes {
			t.Errorf("%d methods: %d bytes", n, len(written))
		}
		checkLines(t, written)
		back, err := authres.Parse(written)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(n, authres.MaxMethods); len(back.Methods) != want {
			t.Errorf("%d of %d methods survive", len(back.Methods), want)
		}
	}
}

// checkLines verifies that a written value is one field for every MTA.
func checkLines(t *testing.T, value string) {
	t.Helper()
	for i, line := range strings.Split(value, "\n") {
		if len(line) > 998 {
			t.Errorf("line %d has %d bytes", i, len(line))
		}
		if i > 0 && (!strings.HasPrefix(line, "\t") || strings.TrimSpace(line) == "") {
			t.Errorf("line %d is no continuation: %q", i, line)
		}
		if j := strings.IndexFunc(strings.TrimPrefix(line, "\t"), func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }); j >= 0 {
			t.Errorf("line %d has a control character: %q", i, line)
		}
	}
}

func TestParse(t *testing.T) {
	one := func(m authres.Method) authres.Field {
		return authres.Field{AuthservID: "mx.test", Methods: []authres.Method{m}}
	}
	from := func(v string) []authres.Prop { return []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: v}} }
	tests := []struct {
		name, value string
		want        authres.Field
	}{
		{"none", "mx.test; none", authres.Field{AuthservID: "mx.test"}},
		{"none, spelled oddly", " mx.test ; (nothing) NONE (at all) \r\n", authres.Field{AuthservID: "mx.test"}},
		{"no results", "mx.test", authres.Field{AuthservID: "mx.test"}},
		{"empty results", "mx.test;;", authres.Field{AuthservID: "mx.test"}},
		{"version", "mx.test 1; none", authres.Field{AuthservID: "mx.test", Version: 1}},
		{"quoted id", `"mx \"a\"" 1;`, authres.Field{AuthservID: `mx "a"`, Version: 1}},
		{"spaces around equals", "mx.test; dkim = pass", one(authres.Method{Method: "dkim", Result: "pass"})},
		{"upper case", "mx.test; DKIM=Pass", one(authres.Method{Method: "dkim", Result: "pass"})},
		{"method version", "mx.test; dkim / 1 = pass", one(authres.Method{Method: "dkim", Version: 1, Result: "pass"})},
		{"reason", `mx.test; dkim=fail reason="no ; key"`, one(authres.Method{Method: "dkim", Result: "fail", Reason: "no ; key"})},
		{"reason after a property", `mx.test; spf=fail smtp.mailfrom=a@b.test reason=x`, one(authres.Method{Method: "spf", Result: "fail", Reason: "x", Props: from("a@b.test")})},
		{"nested comment", `mx.test; spf=fail (a (b) \) c)`, one(authres.Method{Method: "spf", Result: "fail", Comment: "a (b) ) c"})},
		{"quoted-string unescaped and unfolded", "mx.test; spf=fail smtp.mailfrom=\"a\\\\\r\n\t\\\"b\"", one(authres.Method{Method: "spf", Result: "fail", Props: from("a\\\t\"b")})},
		{"quoted local part", `mx.test; spf=fail smtp.mailfrom="a b"@c.test`, one(authres.Method{Method: "spf", Result: "fail", Props: from(`"a b"@c.test`)})},
		{"empty value", `mx.test; spf=none smtp.mailfrom=;`, one(authres.Method{Method: "spf", Result: "none", Props: from("")})},
		{"bare base64", `mx.test; dkim=pass header.b=a/b+c=`, one(authres.Method{Method: "dkim", Result: "pass", Props: []authres.Prop{{Ptype: "header", Property: "b", Value: "a/b+c="}}})},
		{"no ptype", "mx.test; dmarc=fail action=none header.from=a.test", one(authres.Method{Method: "dmarc", Result: "fail",
			Props: []authres.Prop{{Property: "action", Value: "none"}, {Ptype: "header", Property: "from", Value: "a.test"}}})},
		{"spaces in a propspec", "mx.test; spf=pass smtp . mailfrom = a@b.test (x)", one(authres.Method{Method: "spf", Result: "pass", Props: from("a@b.test")})},

		{"a comment before the properties", "example.com;\r\n              dkim=pass (good signature) header.d=example.com", authres.Field{AuthservID: "example.com",
			Methods: []authres.Method{{Method: "dkim", Result: "pass", Comment: "good signature", Props: []authres.Prop{{Ptype: "header", Property: "d", Value: "example.com"}}}}}},
		{"RFC 8601, appendix B.7", "foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n" +
			"  policy (A dot can go here) . (like that) expired\r\n  (this surprised me) = (as I wasn't expecting it) 1362471462",
			authres.Field{AuthservID: "foo.example.net", Version: 1, Methods: []authres.Method{{Method: "dkim", Version: 1, Result: "fail",
				Props: []authres.Prop{{Ptype: "policy", Property: "expired", Value: "1362471462"}}}}}},
		{"a large mailbox provider", "mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=s1 header.b=\"a/b\";\r\n" +
			"       spf=pass (google.com: domain of a@example.com designates 192.0.2.1 as permitted sender) smtp.mailfrom=a@example.com;\r\n" +
			"       dmarc=pass (p=REJECT sp=REJECT dis=NONE) header.from=example.com",
			authres.Field{AuthservID: "mx.google.com", Methods: []authres.Method{
				{Method: "dkim", Result: "pass", Props: []authres.Prop{{Ptype: "header", Property: "i", Value: "@example.com"}, {Ptype: "header", Property: "s", Value: "s1"}, {Ptype: "header", Property: "b", Value: "a/b"}}},
				{Method: "spf", Result: "pass", Comment: "google.com: domain of a@example.com designates 192.0.2.1 as permitted sender", Props: from("a@example.com")},
				{Method: "dmarc", Result: "pass", Comment: "p=REJECT sp=REJECT dis=NONE", Props: []authres.Prop{{Ptype: "header", Property: "from", Value: "example.com"}}}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := authres.Parse(test.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, value string
		want        error
	}{
		{"empty", "", authres.ErrSyntax},
		{"only a comment", "(mx.test)", authres.ErrSyntax},
		{"no id", "; spf=pass", authres.ErrSyntax},
		{"result where the id belongs", "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=a.test", authres.ErrSyntax},
		{"two ids", "mx.test mx2.test; none", authres.ErrSyntax},
		{"no result", "mx.test; spf", authres.ErrSyntax},
		{"empty result", "mx.test; spf=", authres.ErrSyntax},
		{"unclosed comment", "mx.test; spf=pass (x", authres.ErrSyntax},
		{"stray parenthesis", "mx.test; spf=pass ) x", authres.ErrSyntax},
		{"unclosed quote", `mx.test; spf=pass reason="x`, authres.ErrSyntax},
		{"quote in a bare value", `mx.test; spf=pass smtp.mailfrom=a"b"`, authres.ErrSyntax},
		{"backslash at the end", `mx.test; spf=pass reason="x\`, authres.ErrSyntax},
		{"stray word", "mx.test; spf=pass indeed", authres.ErrSyntax},
		{"none and more", "mx.test; none; spf=pass", authres.ErrSyntax},
		{"more and none", "mx.test; spf=pass; none", authres.ErrSyntax},
		{"NUL in the id", "mx.test\x00; none", authres.ErrSyntax},
		{"NUL in quotes", "mx.test; spf=pass reason=\"a\x00\"", authres.ErrSyntax},
		{"NUL in a comment", "mx.test; spf=pass (\x00)", authres.ErrSyntax},
		{"escaped line break", "mx.test; spf=pass reason=\"a\\\n b\"", authres.ErrSyntax},
		{"line break that is no fold", "mx.test;\nspf=pass", authres.ErrSyntax},
		{"bare CR", "mx.test;\r spf=pass", authres.ErrSyntax},
		{"too long", "mx.test; spf=pass (" + strings.Repeat("x", authres.MaxBytes) + ")", authres.ErrLimit},
		{"too many", "mx.test" + strings.Repeat("; a=b", authres.MaxMethods+1), authres.ErrLimit},
		{"too deep", "mx.test " + strings.Repeat("(", 21) + strings.Repeat(")", 21) + ";", authres.ErrLimit},
		{"version too large", "mx.test 99999999999999999999; none", authres.ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := authres.Parse(test.value)
			var pe *authres.ParseError
			if !errors.Is(err, test.want) || !errors.As(err, &pe) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if !cmp.Equal(f, authres.Field{}) {
				t.Errorf("half a field: %+v", f)
			}
			if pe != nil && (pe.Offset < 0 || pe.Offset > len(test.value)) {
				t.Errorf("offset %d of %d", pe.Offset, len(test.value))
			}
		})
	}
}

func ExampleField_AppendTo() {
	f := authres.Field{AuthservID: "mx.example.org", Methods: []authres.Method{
		{Method: "dmarc", Result: "fail", Comment: "p=reject", Props: []authres.Prop{{Ptype: "header", Property: "from", Value: "bank.test"}}},
		{Method: "spf", Result: "pass", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "\"a; dmarc=pass\"@evil.test"}}},
	}}
	fmt.Printf("%s: %s\n", authres.Name, f)
	// Output:
	// Authentication-Results: mx.example.org;
	// 	spf=pass smtp.mailfrom="\"a? dmarc?pass\"@evil.test";
	// 	dmarc=fail (p=reject) header.from=bank.test
}

func TestAppendText(t *testing.T) {
	tests := []struct {
		text  string
		limit int
		want  string
	}{
		{"plain; \"text\" (kept)", 80, "plain; \"text\" (kept)"},
		{"a\r\nb\x00c\u202e", 80, "a??b?c?"},
		{"abcdef", 6, "abcdef"},
		{"abcdefg", 6, "abc..."},
		{"äöüßäöüß", 8, "äö..."},
		{"abc", 2, ".."},
		{"abc", 0, ""},
		{"abc", -1, ""},
	}
	for _, test := range tests {
		if got := string(authres.AppendText(nil, test.text, test.limit)); got != test.want {
			t.Errorf("%q to %d bytes: %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}

func BenchmarkAppendTo(b *testing.B) {
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = mail.AppendTo(buf[:0])
	}
}

func BenchmarkIsOurs(b *testing.B) {
	value := []byte(mail.String())
	b.ReportAllocs()
	for b.Loop() {
		if authres.IsOurs(value, "mx.example.net") {
			b.Fatal("a foreign field")
		}
	}
}
