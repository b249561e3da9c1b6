package mime_test

import (
	"fmt"
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

func TestParameterLimit(t *testing.T) {
	p := typeOf("a/b" + strings.Repeat("; a=b", 60) + "; c=d")
	if len(p.Params) != 1 || !p.Facts.Has(mime.LimitParameters) {
		t.Errorf("%v, facts %v", p.Params, p.Facts)
	}
}
