package authres_test

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"milterd/authres"
)

// pieces are what hostile values are made of.
var pieces = []string{
	"a", "mail", "@", ".", "example", "test", `"`, `\`, `\"`, `"a\" ; dmarc=pass header.from=bank.test ; "`, ";", "; dkim=pass", "(", ")", "((", "\r\n", "\n",
	"\r", "\x00", "\t", "\x7f", " ", "=", "/", "dmarc=pass", "DKIM=PASS", "ö", "漢字", "\u202e", "\u0085", "\u00a0", "\u2028", "\xff", "\xc3", "mx.ours.test", "<", ",", ":", "[", "?",
}

func value(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func keyword(r *rand.Rand) string {
	words := []string{"smtp", "header", "policy", "mailfrom", "from", "d", "pass", "fail", "temperror", "x-a1", "none"}
	return words[r.IntN(len(words))]
}

func randomField(r *rand.Rand) authres.Field {
	f := authres.Field{AuthservID: value(r), Version: r.IntN(3)}
	methods := []string{"auth", "iprev", "arc", "dmarc", "dkim", "spf", "x-other"}
	for range r.IntN(6) {
		m := authres.Method{Method: methods[r.IntN(len(methods))], Version: r.IntN(2), Result: keyword(r), Reason: value(r), Comment: value(r)}
		for range r.IntN(5) {
			m.Props = append(m.Props, authres.Prop{Ptype: keyword(r), Property: keyword(r), Value: value(r)})
		}
		f.Methods = append(f.Methods, m)
	}
	return f
}

var forgedPass = regexp.MustCompile(`(?i)(spf|dkim|dmarc|arc|iprev|auth)=(pass)`)

// cleaned says, in its own words, what must be left of a field: an independent
// second opinion on the rules that AppendTo documents.
func cleaned(f authres.Field) authres.Field {
	text := func(s string) string {
		var b strings.Builder
		for _, r := range s {
			if r == utf8.RuneError || r == ';' || r != ' ' && unicode.In(r, unicode.C, unicode.Z) {
				r = '?'
			}
			b.WriteRune(r)
		}
		if !strings.Contains(strings.ToLower(b.String()), "=pass") {
			return b.String()
		}
		return forgedPass.ReplaceAllString(b.String(), "$1?$2")
	}
	f.AuthservID = text(f.AuthservID)
	methods := slices.Clone(f.Methods)
	rank := "spf dkim dmarc arc iprev auth x-other"
	slices.SortStableFunc(methods, func(a, b authres.Method) int {
		return strings.Index(rank, a.Method) - strings.Index(rank, b.Method)
	})
	for i := range methods {
		m := &methods[i]
		m.Reason, m.Comment = text(m.Reason), text(m.Comment)
		m.Props = slices.Clone(m.Props)
		for j := range m.Props {
			m.Props[j].Value = text(m.Props[j].Value)
		}
	}
	f.Methods = methods
	return f
}

func equal(a, b authres.Field) bool {
	return a.AuthservID == b.AuthservID && a.Version == b.Version && slices.EqualFunc(a.Methods, b.Methods, func(a, b authres.Method) bool {
		return a.Method == b.Method && a.Version == b.Version && a.Result == b.Result && a.Reason == b.Reason && a.Comment == b.Comment && slices.Equal(a.Props, b.Props)
	})
}

func TestParseReadsWhatStringWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 8601))
	for range 5_000 {
		f := randomField(r)
		written := f.String()
		checkLines(t, written)
		got, err := authres.Parse(written)
		if err != nil {
			t.Fatalf("%+v\nwritten as %q\n%v", f, written, err)
		}
		if want := cleaned(f); !equal(got, want) {
			t.Fatalf("%+v\nwritten as %q\n%s", f, written, cmp.Diff(want, got, cmpopts.EquateEmpty()))
		}
		if again := got.String(); again != written {
			t.Fatalf("%q written again as %q", written, again)
		}
		checkSplitting(t, f, written)
	}
}

// checkSplitting reads a field as the most careless readers do, by splitting
// it at semicolons or by looking for a few bytes: they too must find no pass
// that is not there.
func checkSplitting(t *testing.T, f authres.Field, written string) {
	t.Helper()
	parts := strings.Split(written, ";")
	if want := max(len(f.Methods), 1) + 1; len(parts) != want {
		t.Errorf("%q splits into %d parts, want %d", written, len(parts), want)
	}
	lower := strings.ToLower(written)
	for _, name := range []string{"spf", "dkim", "dmarc", "arc", "iprev", "auth"} {
		if name == "arc" {
			lower = strings.ReplaceAll(lower, "dmarc=pass", "")
		}
		passed := slices.ContainsFunc(f.Methods, func(m authres.Method) bool { return m.Method == name && m.Version == 0 && m.Result == "pass" })
		if !passed && strings.Contains(lower, name+"=pass") {
			t.Fatalf("%q shows %s=pass", written, name)
		}
	}
}

func FuzzWrite(f *testing.F) {
	for _, p := range pieces {
		f.Add("mx.test", "spf", "pass", p, p, "smtp", "mailfrom", p)
	}
	f.Add(`"a\" ; dmarc=pass header.from=bank.example ; "@x`, "a b", "", ")", "\\", ".", "", strings.Repeat("\\", 300))
	f.Fuzz(func(t *testing.T, id, method, result, comment, reason, ptype, property, value string) {
		field := authres.Field{AuthservID: id, Methods: []authres.Method{{Method: method, Result: result, Comment: comment, Reason: reason,
			Props: []authres.Prop{{Ptype: ptype, Property: property, Value: value}}}}}
		written := field.String()
		checkLines(t, written)
		back, err := authres.Parse(written)
		if err != nil {
			t.Fatalf("written as %q: %v", written, err)
		}
		if len(back.Methods) != 1 || len(back.Methods[0].Props) != 1 {
			t.Fatalf("one result with one property became %+v, written as %q", back, written)
		}
		if again := back.String(); again != written {
			t.Fatalf("%q written again as %q", written, again)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(mail.String())
	f.Add("foo.example.net (foobar) 1 (baz);\r\n dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n  policy (A dot) . (like that) expired (x) = 1362471462")
	f.Add("mx.test; spf=fail smtp.mailfrom=\"a \\\" b\"@c.test; dmarc=fail action=none")
	f.Add(strings.Repeat("(", 200))
	f.Add("mx.test" + strings.Repeat(";", 200))
	f.Add("mx.test;" + strings.Repeat("\n", 200))
	f.Fuzz(func(t *testing.T, value string) {
		field, err := authres.Parse(value)
		if err != nil {
			if !cmp.Equal(field, authres.Field{}) {
				t.Fatalf("half a field: %+v", field)
			}
			return
		}
		if len(value) > authres.MaxBytes || len(field.Methods) > authres.MaxMethods {
			t.Fatalf("over the limit: %d bytes, %d methods", len(value), len(field.Methods))
		}
		for _, m := range field.Methods {
			for _, p := range m.Props {
				if strings.ContainsAny(p.Value, "\r\n\x00") {
					t.Fatalf("control characters in %q", p.Value)
				}
			}
		}
		// What was read can be written, and says the same when read again.
		written := field.String()
		back, err := authres.Parse(written)
		if err != nil {
			t.Fatalf("%q written as %q: %v", value, written, err)
		}
		if again := back.String(); again != written {
			t.Fatalf("%q written as %q, then as %q", value, written, again)
		}
	})
}
