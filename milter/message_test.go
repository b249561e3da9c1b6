package milter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The rows are what Postfix was seen to hand to a milter.
func TestParseMessage(t *testing.T) {
	for _, test := range []struct {
		name, raw string
		fields    []Field
		body      string
	}{
		{"plain", "A: b\nC:d\n\nbody\nmore", []Field{{"A", " b"}, {"C", "d"}}, "body\r\nmore\r\n"},
		{"CRLF", "A: b\r\n c\r\n\r\nbody\r\n", []Field{{"A", " b\n c"}}, "body\r\n"},
		{"folds", "A:\n\tb\n  c  \nD: e\n\n", []Field{{"A", "\n\tb\n  c  "}, {"D", " e"}}, ""},
		{"no body", "A: b\n", []Field{{"A", " b"}}, ""},
		{"no header", "\nbody\n", nil, "body\r\n"},
		{"nothing", "", nil, ""},
		{"leading space", " From: x\nA: b\n\nc", nil, " From: x\r\nA: b\r\n\r\nc\r\n"},
		{"line that is no field ends the header", "A: b\nrubbish\nC: d\n", []Field{{"A", " b"}}, "rubbish\r\nC: d\r\n"},
		{"colon alone", "A: b\n: c\n", []Field{{"A", " b"}}, ": c\r\n"},
		{"eight-bit name", "Fröm: x\n", nil, "Fröm: x\r\n"},
		{"space before the colon", "From : x\nTo\t: y\n", []Field{{"From", " x"}, {"To", " y"}}, ""},
		{"folded before the colon", "From\n : x\nA: b\n", nil, "From\r\n : x\r\nA: b\r\n"},
		{"NUL cuts the line", "A: b\x00c\n d\x00e\nF\x00: g\n\n", []Field{{"A", " b\n d"}}, "F\x00: g\r\n\r\n"},
		{"lone CR is a space", "A: b\rC: d\n\n", []Field{{"A", " b C: d"}}, ""},
		{"mbox", "From joe Mon\nA: b\n\n", []Field{{"X-Mailbox-Line", " From joe Mon"}, {"A", " b"}}, ""},
		{"NUL in the body", "A: b\n\n\x00\n", []Field{{"A", " b"}}, "\x00\r\n"},
	} {
		m := ParseMessage([]byte(test.raw))
		if diff := cmp.Diff(test.fields, m.Fields, cmpopts.EquateEmpty()); diff != "" || string(m.Body) != test.body {
			t.Errorf("%s: %sbody %q", test.name, diff, m.Body)
		}
	}
}

func TestMessageBytes(t *testing.T) {
	for _, raw := range []string{"A: b\n\tc\n\nbody\n", "A: b\r\n\tc\r\n\r\nbody\r\n\r\n"} {
		if got := ParseMessage([]byte(raw)).Bytes(); string(got) != raw {
			t.Errorf("%q comes back as %q", raw, got)
		}
	}
}

func TestApplyAsPostfixDoes(t *testing.T) {
	m := ParseMessage([]byte("A: 1\nB: 2\nA: 3\n\nx\n"))
	for _, test := range []struct {
		edit Edit
		want string
	}{
		{InsertHeader(0, "N", "n"), "N: n|A: 1|B: 2|A: 3"},
		{InsertHeader(1, "N", "n"), "N: n|A: 1|B: 2|A: 3"}, // 0 is above Postfix's Received, 1 below it
		{InsertHeader(2, "N", "n"), "A: 1|N: n|B: 2|A: 3"},
		{InsertHeader(99, "N", "n"), "A: 1|B: 2|A: 3|N: n"},
		{ChangeHeader(2, "a", "n"), "A: 1|B: 2|a: n"},
		{ChangeHeader(3, "A", "n"), "A: 1|B: 2|A: 3|A: n"},
		{DeleteHeader(2, "a"), "A: 1|B: 2"},
		{DeleteHeader(3, "A"), "A: 1|B: 2|A: 3"},
		{Quarantine("x"), "A: 1|B: 2|A: 3"},
	} {
		got, body, _ := strings.Cut(string(m.Apply([]Edit{test.edit}).Bytes()), "\n\n")
		if got = strings.ReplaceAll(got, "\n", "|"); got != test.want || body != "x\n" {
			t.Errorf("%v: %s", test.edit, got)
		}
	}
	if len(m.Fields) != 3 {
		t.Error("the message itself was changed")
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte("From: <a@legit.test>\r\nFrom : b\r\nSubject:\r\n folded\r\n\r\nbody\r\n.\r\n"))
	f.Add([]byte("From\r\n : x\nA:\x00\r\n\rB: c\n\n\n"))
	f.Add([]byte("From x\n>From y\n\n"))
	f.Add([]byte("\n\r\r"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := ParseMessage(raw)
		for _, field := range m.Fields {
			if field.Name == "" || strings.ContainsAny(field.Name, " \t\r\n:\x00") || strings.ContainsAny(field.Value, "\r\x00") {
				t.Fatalf("field %q", field)
			}
			for i, line := range strings.Split(field.Value, "\n") {
				if i > 0 && (line == "" || (line[0] != ' ' && line[0] != '\t')) && !bytes.ContainsRune(raw, 0) {
					t.Fatalf("field %q has a line break that is no fold", field)
				}
			}
		}
		if lone := bytes.ReplaceAll(m.Body, []byte("\r\n"), nil); bytes.ContainsRune(lone, '\n') {
			t.Fatalf("bare LF in body %q", m.Body)
		}
		written := m.Bytes()
		again := ParseMessage(written)
		// A fold that a NUL has emptied to nothing would end the header on paper, and
		// a CR that ends no line is kept in the body but means more at the end of one.
		ends := bytes.Count(raw, []byte("\r\n"))
		clean := !bytes.ContainsRune(raw, 0) && bytes.Count(raw, []byte("\r")) == ends && (ends == 0 || ends == bytes.Count(raw, []byte("\n")))
		if clean && (!cmp.Equal(again.Fields, m.Fields, cmpopts.EquateEmpty()) || !bytes.Equal(again.Body, m.Body)) {
			t.Fatalf("%q is written as %q", raw, written)
		}
	})
}
