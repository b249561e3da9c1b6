package mime_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"milterd/mime"
)

// typeOf walks a message with nothing but a Content-Type field.
func typeOf(value string) *mime.Part {
	return mime.Walk([]mime.Field{{Name: "Content-Type", Value: value}}, nil, mime.Limits{}).Root
}

func TestParameters(t *testing.T) {
	tests := []struct {
		name, value, want string
		facts             string
	}{
		{"none", " text/html", "text/html []", ""},
		{"a few", ` text/html; a=b;C="d e"; f = g `, "text/html [{a b} {c d e} {f g}]", ""},
		{"upper case", "TEXT/HTML;A=B", "text/html [{a B}]", ""},
		{"spaces in the type", "text / html", "text/html []", ""},
		{"folding", "text/html;\r\n\ta=b;\r\n c=\"d\r\n e\"", "text/html [{a b} {c d e}]", ""},
		{"comments", "text/html (x); (y) a (z) = (w) b (v) ; c=d", "text/html [{a b} {c d}]", ""},
		{"parentheses that are no comment", "a/b; name=Invoice_(1).pdf", "a/b [{name Invoice_(1).pdf}]", "MIME_BAD_PARAMETER"},
		{"empty ones", "text/html;;a=b;;", "text/html [{a b}]", ""},
		{"empty value", "text/html; a=; b=c", "text/html [{a } {b c}]", "MIME_BAD_PARAMETER"},
		{"no value", "text/html; a; b=c", "text/html [{b c}]", "MIME_BAD_PARAMETER"},
		{"no name", "text/html; =a; b=c", "text/html [{b c}]", ""},
		{"unquoted with spaces", "a/b; name=my file.pdf; c=d", "a/b [{name my file.pdf} {c d}]", "MIME_BAD_PARAMETER"},
		{"open quote", `text/html; charset="utf-8; a=b`, "text/html [{charset utf-8} {a b}]", "MIME_BAD_PARAMETER"},
		{"text after the quotes", `text/html; charset="utf-8"x; a=b`, "text/html [{charset utf-8} {a b}]", "MIME_BAD_PARAMETER"},
		{"escapes", `a/b; name="a\"b\\c\d"`, `a/b [{name a"b\c\d}]`, ""},
		{"semicolon in quotes", `a/b; name="a;b"; c=d`, "a/b [{name a;b} {c d}]", ""},
		{"twice", "text/html; charset=a; charset=b", "text/html [{charset a}]", "MIME_AMBIGUOUS,MIME_DUPLICATE_PARAMETER"},
		{"encoded word in a name", `a/b; name="=?iso-8859-1?q?=FC?=.pdf"`, "a/b [{name ü.pdf}]", ""},
		{"encoded word elsewhere", `a/b; other="=?iso-8859-1?q?=FC?="`, "a/b [{other =?iso-8859-1?q?=FC?=}]", ""},

		{"RFC 2231, extended", "a/b; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A", "a/b [{title This is ***fun***}]", ""},
		{"RFC 2231, continued", `a/b; URL*0="ftp://"; URL*1="cs.utk.edu/pub"`, "a/b [{url ftp://cs.utk.edu/pub}]", ""},
		{"RFC 2231, both", "a/b; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
			"a/b [{title This is even more ***fun*** isn't it!}]", ""},
		{"out of order", "a/b; a*1=y; a*0=x; a*2=z", "a/b [{a xyz}]", ""},
		{"a section missing", "a/b; a*0=x; a*2=z", "a/b [{a x}]", "MIME_BAD_PARAMETER"},
		{"the first section missing", "a/b; a*1=x", "a/b [{a }]", "MIME_BAD_PARAMETER"},
		{"a section twice", "a/b; a*0=x; a*0=y", "a/b [{a x}]", "MIME_AMBIGUOUS,MIME_DUPLICATE_PARAMETER"},
		{"bad section", "a/b; a*x=y; b=c", "a/b [{b c}]", "MIME_BAD_PARAMETER"},
		{"huge section", "a/b; a*99999999999999999999=y", "a/b []", "MIME_BAD_PARAMETER"},
		{"character split by sections", "a/b; name*0*=utf-8''%C3; name*1*=%BC", "a/b [{name ü}]", ""},
		{"charset named in any way", "a/b; name*=UTF-8''%C3%BC", "a/b [{name ü}]", ""},
		{"no charset", "a/b; name*=%FC", "a/b [{name ü}]", ""},
		{"bad escapes", "a/b; name*=utf-8''%zz%4", "a/b [{name %zz%4}]", ""},
		{"extended wins", "a/b; name=x.pdf; name*=utf-8''y.pdf", "a/b [{name y.pdf}]", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := typeOf(test.value)
			if got := fmt.Sprintf("%s %v", p.Type, p.Params); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if got := p.Facts.String(); got != test.facts {
				t.Errorf("facts %q, want %q", got, test.facts)
			}
		})
	}
}

// A name that is well encoded is decoded to what it was, however it is cut into
// pieces, as a parameter (RFC 2231) and as encoded words (RFC 2047).
func FuzzNames(f *testing.F) {
	f.Add("Grüße.pdf", uint8(1))
	f.Add("a;b\"c\\'%41=?utf-8?q?x?=", uint8(3))
	f.Add("日本 \r\n\t", uint8(200))
	f.Fuzz(func(t *testing.T, name string, width uint8) {
		name = strings.ToValidUTF8(name, "")
		size := 1 + int(width)
		if name == "" || len(name) > 40*size {
			return
		}
		parameter, words := "a/b", ""
		for i, rest := 0, name; rest != ""; i++ {
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			mark := ""
			if i == 0 {
				mark = "utf-8''"
			}
			parameter += fmt.Sprintf(";\r\n name*%d*=%s", i, mark)
			for _, c := range []byte(piece) {
				parameter += fmt.Sprintf("%%%02X", c)
			}
			words += fmt.Sprintf("=?utf-8?b?%s?=\r\n ", base64.StdEncoding.EncodeToString([]byte(piece)))
		}
		p := typeOf(parameter)
		if p.Filename != name || p.Param("name") != name || len(p.Names) != 1 || p.Facts != 0 {
			t.Fatalf("%q became %q, %v", name, p.Names, p.Facts)
		}
		if got := mime.DecodeWords(words); got != name+" " {
			t.Fatalf("%q as %q became %q", name, words, got)
		}
	})
}

// Whatever a field says, it is read to the end, and all names are kept.
func FuzzParameters(f *testing.F) {
	f.Add(` text/html; a=b;C="d e"; f = g `)
	f.Add("a/b; name*0*=utf-8''%C3; name*1*=%BC; name=\"=?utf-8?q?x?=\"; filename*=''y (comment")
	f.Fuzz(func(t *testing.T, field string) {
		p := typeOf(field)
		if p.Type != strings.ToLower(p.Type) || !strings.Contains(p.Type, "/") {
			t.Fatalf("%q has type %q", field, p.Type)
		}
		for i, param := range p.Params {
			if param.Name == "" || param.Name != strings.ToLower(param.Name) || p.Param(param.Name) == "" && param.Value != "" {
				t.Fatalf("%q has parameter %d %q", field, i, param)
			}
			if isName := param.Name == "name" || param.Name == "filename"; isName && param.Value != "" && !slices.Contains(p.Names, param.Value) {
				t.Fatalf("%q has name %q, and not among %q", field, param.Value, p.Names)
			}
		}
		if (len(p.Names) > 0) != (p.Filename != "") || p.Filename != "" && p.Names[0] != p.Filename {
			t.Fatalf("%q has name %q of %q", field, p.Filename, p.Names)
		}
		// More in the end changes nothing of what comes before it.
		if more := typeOf(field + "; zz=1"); !p.Facts.Has(mime.BadParameter) && !strings.ContainsAny(field, `("=?`) && more.Type != p.Type {
			t.Fatalf("%q is %q, with more %q", field, p.Type, more.Type)
		}
	})
}

func TestParameterLimit(t *testing.T) {
	p := typeOf("a/b" + strings.Repeat("; a=b", 60) + "; c=d")
	if len(p.Params) != 1 || !p.Facts.Has(mime.LimitParameters) {
		t.Errorf("%v, facts %v", p.Params, p.Facts)
	}
}
