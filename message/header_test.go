package message

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func testHeader() *Header {
	return NewHeader([]Field{
		{"Received", " from a by b"},
		{"SUBJECT", " one\n\ttwo\r\n three "},
		{"From", " Ann <ann@x.test>"},
		{"received", " from c by a"},
		{"Subject", " second"},
		{"Received-SPF", " pass"},
		{"Empty", ""},
	}, 8192)
}

func TestHeader(t *testing.T) {
	h := testHeader()
	if v, ok := h.Get("subject"); v != " one\n\ttwo\r\n three " || !ok {
		t.Errorf("the topmost as received: %q, %v", v, ok)
	}
	if v := h.Text("Subject"); v != "one\ttwo three" {
		t.Errorf("unfolded: %q", v)
	}
	if v, ok := h.Get("Empty"); v != "" || !ok {
		t.Errorf("an empty field: %q, %v", v, ok)
	}
	if v, ok := h.Get("Recei"); v != "" || ok || h.Text("Recei") != "" {
		t.Errorf("half a name: %q, %v", v, ok)
	}
	if got, want := slices.Collect(h.All("RECEIVED")), []string{" from a by b", " from c by a"}; !slices.Equal(got, want) {
		t.Errorf("all: %q", got)
	}
	for range h.All("Received") {
		break // whoever has seen enough may stop
	}
	for name, want := range map[string]int{"Received": 2, "Subject": 2, "Received-SPF": 1, "To": 0, "": 0} {
		if got := h.Count(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// The size is that of the block on the wire: CRLF behind each line.
func TestHeaderSize(t *testing.T) {
	for wire, fields := range map[string][]Field{
		"":                                nil,
		"A: b\r\n":                        {{"A", " b"}},
		"A:b\r\nB: c\r\n\td\r\n e\r\n":    {{"A", "b"}, {"B", " c\n\td\n e"}},
		"Subject:\r\n folded at once\r\n": {{"Subject", "\n folded at once"}},
	} {
		if got := NewHeader(fields, 0).Size; got != len(wire) {
			t.Errorf("%q: size %d, want %d", wire, got, len(wire))
		}
	}
}

func TestHeaderAuthor(t *testing.T) {
	h := testHeader()
	for _, a := range []Author{h.Author(), (&Message{Header: h}).Author()} {
		if a.Domain.String() != "x.test" || len(a.Addresses) != 1 || a.Addresses[0].String() != "ann@x.test" {
			t.Errorf("author %+v", a)
		}
	}
	long := NewHeader([]Field{{"From", " Ann <ann@x.test>" + strings.Repeat(" ", 100)}}, 50).Author()
	if !slices.Contains(long.Problems, AuthorTooLong) || !long.Domain.IsZero() {
		t.Errorf("over the limit: %+v", long)
	}
	if none := (&Message{}).Author(); len(none.Addresses) != 0 || len(none.Problems) != 0 {
		t.Errorf("before the header has come: %+v", none)
	}
}

func TestUnfold(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " a ": "a", "\ta\t": "a", "a\n b": "a b", "a\r\n\tb": "a\tb", "a\rb": "ab", "\n a\n": "a", " \n \n": "",
		"\u00a0a": "\u00a0a", // a blank of ours, but none of RFC 5322
	} {
		if got := Unfold(in); got != want {
			t.Errorf("Unfold(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzUnfold(f *testing.F) {
	f.Add(" a\r\n\tb\n c\r")
	f.Fuzz(func(t *testing.T, in string) {
		got := Unfold(in)
		if strings.ContainsAny(got, "\r\n") || strings.Trim(got, " \t") != got || Unfold(got) != got {
			t.Errorf("%q", got)
		}
		kept := strings.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, in)
		if utf8.ValidString(in) && strings.Trim(kept, " \t") != got {
			t.Errorf("%q became %q", in, got)
		}
	})
}
