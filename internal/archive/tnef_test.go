package archive

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf16"
)

// attribute is one of a TNEF.
func attribute(level byte, id uint32, data []byte) []byte {
	out := binary.LittleEndian.AppendUint32([]byte{level}, id)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
	sum := uint16(0)
	for _, b := range data {
		sum += uint16(b)
	}
	return binary.LittleEndian.AppendUint16(append(out, data...), sum)
}

// property is a MAPI property with one value of a length of its own.
func property(kind, id uint16, value []byte) []byte {
	out := binary.LittleEndian.AppendUint16(nil, kind)
	out = binary.LittleEndian.AppendUint16(out, id)
	out = binary.LittleEndian.AppendUint32(out, 1)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(value)))
	return append(append(out, value...), make([]byte, -len(value)&3)...)
}

func unicodeName(s string) []byte {
	var out []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return out
}

func properties(all ...[]byte) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(all)))
	return append(out, bytes.Join(all, nil)...)
}

// makeTnef makes a TNEF of a message with attributes behind its own.
func makeTnef(attributes ...[]byte) []byte {
	out := append(bytes.Clone(tnefMagic), 1, 0)
	out = append(out, attribute(1, 0x00089006, []byte{0, 0, 1, 0})...)        // attTnefVersion
	out = append(out, attribute(1, 0x00078008, []byte("IPM.Note\x00"))...)    // attMessageClass
	out = append(out, attribute(1, 0x00018010, []byte("not a title\x00"))...) // of no attachment
	return append(out, bytes.Join(attributes, nil)...)
}

// attached are the attributes of one attachment, as Outlook writes them.
func attached(title string, content []byte, more ...[]byte) []byte {
	out := attribute(2, tnefRenderData, make([]byte, 14))
	out = append(out, attribute(2, tnefData, content)...)
	out = append(out, attribute(2, tnefTitle, append([]byte(title), 0))...)
	if len(more) > 0 {
		out = append(out, attribute(2, tnefProperties, properties(more...))...)
	}
	return out
}

func TestTnef(t *testing.T) {
	inner := makeTnef(attached("inner.exe", exe.content))
	message := append(attribute(2, tnefRenderData, make([]byte, 14)), attribute(2, tnefProperties, properties(
		property(mapiObject, mapiData, append(make([]byte, 16), inner...)), property(mapiUnicode, mapiLongName, unicodeName("the subject"))))...)
	named := append(binary.LittleEndian.AppendUint16(nil, mapiUnicode), 0x10, 0x80) // a property with a name
	named = append(named, make([]byte, 16)...)
	named = append(named, 1, 0, 0, 0, 3, 0, 0, 0, 'a', 0, 0, 0)
	named = append(named, property(mapiUnicode, 0, unicodeName("value"))[4:]...)
	short := []byte{0x03, 0, 0x05, 0x37, 1, 0, 0, 0}                           // PR_ATTACH_METHOD
	several := []byte{0x03, 0x10, 1, 0x66, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0} // of two numbers
	wantWalks(t, []walkCase{
		{"one", makeTnef(attached("note.txt", note.content)), `note.txt="hello"`, 0},
		{"two", makeTnef(attached("note.txt", note.content), attached("run.exe", exe.content)), `note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"long name", makeTnef(attached("INVOIC~1.EXE", exe.content, short, named, several, property(mapiUnicode, mapiLongName, unicodeName("invoice of May.exe")))),
			`invoice of May.exe="MZ\x90\x00 "`, 0},
		{"long name in a code page", makeTnef(attached("A.TXT", note.content, property(mapiString8, mapiLongName, []byte("a long name.txt\x00")))), `a long name.txt="hello"`, 0},
		{"content among the properties", makeTnef(attached("note.txt", nil, property(mapiBinary, mapiData, note.content))), `note.txt="hello"`, 0},
		{"an archive", makeTnef(attached("in.zip", makeZip(t, exe))), `in.zip="PK\x03\x04\x14" in.zip/run.exe="MZ\x90\x00 "`, 0},
		{"a message", makeTnef(message), `the subject/inner.exe="MZ\x90\x00 "`, 0},
		{"messages four deep", makeTnef(append(attribute(2, tnefRenderData, nil), attribute(2, tnefProperties, properties(property(mapiObject, mapiData,
			append(make([]byte, 16), makeTnef(append(attribute(2, tnefRenderData, nil), attribute(2, tnefProperties, properties(property(mapiObject, mapiData,
				append(make([]byte, 16), makeTnef(message)...))))...))...))))...)), ``, LimitDepth},
		{"nothing attached", makeTnef(), ``, 0},
		{"properties of an unknown type", makeTnef(attached("run.exe", exe.content, []byte{0x99, 0, 1, 0x37})), `run.exe="MZ\x90\x00 "`, Broken},
		{"cut", makeTnef(attached("run.exe", exe.content), attached("note.txt", note.content))[:170], `run.exe="MZ\x90\x00 " =""`, Broken},
		{"cut in the signature", tnefMagic, ``, Broken},
	})
}

// TestTnefNames: the name that Outlook shows is the entry's, the other one its alias.
func TestTnefNames(t *testing.T) {
	for _, test := range []struct{ title, short, long, want, alias string }{
		{"a.txt", "", "", "a.txt", ""},
		{"RUN~1.EXE", "RUN~1.EXE", "run me.txt", "run me.txt", "RUN~1.EXE"},
		{"same.txt", "OTHER.EXE", "same.txt", "same.txt", "OTHER.EXE"},
		{"", "S.TXT", "", "S.TXT", ""},
		{"", "", "", "", ""},
	} {
		var more [][]byte
		if test.short != "" {
			more = append(more, property(mapiString8, mapiName, []byte(test.short+"\x00")))
		}
		if test.long != "" {
			more = append(more, property(mapiUnicode, mapiLongName, unicodeName(test.long)))
		}
		Walk(t.Context(), makeTnef(attached(test.title, note.content, more...)), "winmail.dat", NewBudget(Limits{}), func(e *Entry) {
			if e.Name() != test.want || e.Alias != test.alias {
				t.Errorf("%+v: %q, alias %q", test, e.Name(), e.Alias)
			}
		})
	}
}

// TestForeign: archives that are not read here are known for what they are, and text is
// not.
func TestForeign(t *testing.T) {
	for _, head := range []string{
		"1234567**ACE**\x14", "\x21\x00-lh5-\x10\x00", "\x28\xb5\x2f\xfd\x04", "\x1f\x9d\x90\x50", "!<arch>\ndebian-binary", "\xed\xab\xee\xdb\x03",
		"070701000", "xar!\x00\x1c", "MSWIM\x00\x00\x00\xd0", "LZIP\x01", "\x60\xea\x2d\x00\x22\x0b", "StuffIt (c)1997", "EGGA\x00\x01",
	} {
		if got, facts := list(t, []byte(head), "a.bin", Limits{}); facts != Unsupported || len(got) > 0 {
			t.Errorf("%q: %s, %s", head, got, facts)
		}
	}
	if got, facts := list(t, makeZip(t, file{"in.deb", []byte("!<arch>\ndebian-binary")}, note), "a.zip", Limits{}); facts != Unsupported || len(got) != 2 {
		t.Errorf("in a zip: %s, %s", got, facts)
	}
	for _, text := range []string{"hello", "a -lh- b", "0707 is a number", "ab-lhx is none", "SIT down", "`\xea is something else", "", "070"} {
		if _, facts := list(t, []byte(text), "a.txt", Limits{}); facts != 0 {
			t.Errorf("%q: %s", text, facts)
		}
	}
}
