package milter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	wire "github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// packets takes a stream of frames apart.
func packets(t testing.TB, stream []byte) (list [][]byte) {
	t.Helper()
	for len(stream) > 0 {
		n := int(binary.BigEndian.Uint32(stream))
		if n < 1 || len(stream) < 4+n {
			t.Fatalf("broken frame: %q", stream)
		}
		list = append(list, stream[4:4+n])
		stream = stream[4+n:]
	}
	return list
}

func TestWriteOrder(t *testing.T) {
	edits := []Edit{
		Quarantine("q"),
		InsertHeader(0, "Authentication-Results", "1"),
		DeleteHeader(1, "X-Spam"),
		AddHeader("Z1", "z"),
		InsertHeader(0, "X-Spam", "2"),
		ChangeHeader(2, "Subject", "s"),
		AddRcpt("a@b"),
		InsertHeader(3, "Deep", "d"),
		DeleteHeader(3, "x-spam"),
		AddHeader("Z2", "z"),
		DeleteHeader(2, "X-Spam"),
		DeleteRcpt("c@d"),
	}
	var got []string
	for _, e := range writeOrder(edits) {
		got = append(got, e.String())
	}
	want := []string{
		"delete 3 x-spam",
		`change 2 Subject: "s"`,
		"delete 2 X-Spam",
		"delete 1 X-Spam",
		`insert 3 Deep: "d"`,
		`insert 0 X-Spam: "2"`,
		`insert 0 Authentication-Results: "1"`,
		`add Z1: "z"`,
		`add Z2: "z"`,
		`add-recipient "a@b"`,
		`delete-recipient "c@d"`,
		`quarantine "q"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if edits[0].Op != OpQuarantine {
		t.Error("the caller's edits were moved")
	}
}

func TestRefusedEdits(t *testing.T) {
	long := strings.Repeat("x", 66000)
	good := []Edit{
		InsertHeader(0, "A", ""), InsertHeader(5, "A", "x\n y\n\tz"), AddHeader("A-b_c!~", "ümlaut \xff"), AddHeader("A", "x\n \ty"),
		ChangeHeader(1, "A", "b"), DeleteHeader(1, "A"), DeleteHeader(1000, "A"),
		AddRcpt("a@b"), AddRcpt("<a@b>"), AddRcpt("a@b", "NOTIFY=NEVER", "ORCPT=rfc822;x"), AddRcpt(`"a b, \" <c>"@d`), AddRcpt(""),
		DeleteRcpt("<a@b>"), DeleteRcpt("a@b"), ChangeFrom(""), ChangeFrom("<>"), ChangeFrom("a@b", "BODY=8BITMIME"),
		Quarantine("because"),
	}
	bad := []Edit{
		{}, {Op: "body"},
		InsertHeader(-1, "A", "b"), InsertHeader(0, "", "b"), InsertHeader(0, "A b", "c"), InsertHeader(0, "A:", "c"),
		InsertHeader(0, "A\r\nB", "c"), InsertHeader(0, "Ä", "c"), InsertHeader(0, "A\x00", "c"), InsertHeader(0, long[:256], "c"),
		AddHeader("A", "b\r\nBcc: c"), AddHeader("A", "b\nBcc: c"), AddHeader("A", "b\n"), AddHeader("A", "b\n\n c"), AddHeader("A", "b\n \n c"),
		AddHeader("A", "b\n "), AddHeader("A", "b\x00c"), AddHeader("A", "b\r c"), AddHeader("A", "\nb"), AddHeader("A", long),
		ChangeHeader(0, "A", "b"), ChangeHeader(1, "A", ""), ChangeHeader(1<<31, "A", "b"), DeleteHeader(0, "A"), DeleteHeader(-1, "A"),
		AddRcpt("a@b>, <c@d"), AddRcpt("a@b\x00c"), AddRcpt("a@b\r\n"), AddRcpt("a@b c@d"), AddRcpt("<a@b"), AddRcpt("a@b>"), AddRcpt("a@b,c@d"),
		AddRcpt(`"a@b`), AddRcpt("a@b", ""), AddRcpt("a@b", "A=1 B=2"), AddRcpt("a@b", "A\x00"), AddRcpt(long),
		DeleteRcpt("<a@b> <c@d>"), ChangeFrom("a@b\n"), ChangeFrom("<a@b>>"),
		Quarantine(""), Quarantine("a\nb"), Quarantine("a\x00b"), Quarantine(long),
	}
	for _, e := range good {
		if _, err := appendEdits(nil, []Edit{e}, AllActions, 0); err != nil {
			t.Errorf("%v: %v", e, err)
		}
	}
	for _, e := range bad {
		dst := []byte("before")
		out, err := appendEdits(dst, []Edit{AddHeader("Good", "one"), e}, AllActions, 0)
		if err == nil {
			t.Errorf("%.100s: went out as %.100q", e, out)
			continue
		}
		if string(out) != "before" {
			t.Errorf("%.100s: half of the set was written: %.100q", e, out)
		}
		if len(err.Error()) > 300 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("error is not fit for a log: %.300q", err)
		}
	}
	for _, twice := range [][]Edit{
		{DeleteHeader(1, "A"), DeleteHeader(2, "B"), ChangeHeader(1, "a", "x")},
		{DeleteHeader(3, "A"), DeleteHeader(3, "B"), DeleteHeader(3, "A")},
	} {
		if _, err := appendEdits(nil, twice, AllActions, 0); err == nil {
			t.Errorf("%v: one field twice", twice)
		}
	}
}

func TestGrants(t *testing.T) {
	for _, test := range []struct {
		edit Edit
		need wire.OptAction
		wire string // with all granted
	}{
		{InsertHeader(1, "A", "b"), wire.OptAddHeader, "i\x00\x00\x00\x01A\x00b\x00"},
		{AddHeader("A", "b"), wire.OptAddHeader, "hA\x00b\x00"},
		{ChangeHeader(1, "A", "b"), wire.OptChangeHeader, "m\x00\x00\x00\x01A\x00b\x00"},
		{DeleteHeader(2, "A"), wire.OptChangeHeader, "m\x00\x00\x00\x02A\x00\x00"},
		{AddRcpt("a@b"), wire.OptAddRcpt, "+<a@b>\x00"},
		{AddRcpt("a@b", "X=1", "Y"), wire.OptAddRcptWithArgs, "2<a@b>\x00X=1 Y\x00"},
		{DeleteRcpt("a@b"), wire.OptRemoveRcpt, "-a@b\x00"},
		{ChangeFrom("a@b"), wire.OptChangeFrom, "e<a@b>\x00"},
		{ChangeFrom("", "X=1"), wire.OptChangeFrom, "e<>\x00X=1\x00"},
		{Quarantine("why"), wire.OptQuarantine, "qwhy\x00"},
	} {
		out, err := appendEdits(nil, []Edit{test.edit}, AllActions, 0)
		if err != nil || string(packets(t, out)[0]) != test.wire {
			t.Errorf("%v: %q, %v", test.edit, out, err)
		}
		if _, err := appendEdits(nil, []Edit{test.edit}, test.need, 0); err != nil {
			t.Errorf("%v: %v", test.edit, err)
		}
		lacking := AllActions &^ test.need
		if test.edit.Op == OpAddRcpt {
			lacking &^= wire.OptAddRcptWithArgs // which can stand in
		}
		if out, err := appendEdits(nil, []Edit{test.edit}, lacking, 0); err == nil || len(out) != 0 {
			t.Errorf("%v: written without a grant: %q", test.edit, out)
		}
	}
	out, err := appendEdits(nil, []Edit{AddRcpt("a@b")}, wire.OptAddRcptWithArgs, 0)
	if err != nil || string(packets(t, out)[0]) != "2<a@b>\x00\x00" {
		t.Errorf("ADDRCPT_PAR alone: %q, %v", out, err)
	}
}

// decodeAll reads packets as a Client does.
func decodeAll(t testing.TB, stream []byte, leadingSpace bool) (edits []Edit) {
	t.Helper()
	for _, p := range packets(t, stream) {
		e, ok, err := decodeEdit(wire.ModifyActCode(p[0]), p[1:], leadingSpace)
		if !ok || err != nil {
			t.Fatalf("%q: %v %v", p, ok, err)
		}
		edits = append(edits, e)
	}
	return edits
}

// A set of header edits, written, read and applied as Postfix does, gives what
// the set says: the indexes are those of the message as it came, insertions at
// the top stand in the order given.
func TestEditsMeanWhatTheySay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	names := []string{"Received", "X-Spam", "Authentication-Results", "Subject"}
	for range 3000 {
		var original []Field
		for i := range rnd.IntN(12) {
			original = append(original, Field{names[rnd.IntN(len(names))], fmt.Sprintf(" old %d", i)})
		}
		var edits []Edit
		var top, bottom []Field
		kept := slices.Clone(original)
		deleted := make([]bool, len(original))
		for i, f := range original {
			index := 0
			for _, g := range original[:i+1] {
				if strings.EqualFold(f.Name, g.Name) {
					index++
				}
			}
			switch rnd.IntN(4) {
			case 0:
				edits = append(edits, DeleteHeader(index, strings.ToUpper(f.Name)))
				deleted[i] = true
			case 1:
				edits = append(edits, ChangeHeader(index, f.Name, fmt.Sprintf("new %d", i)))
				kept[i].Value = fmt.Sprintf(" new %d", i)
			}
		}
		for i := range rnd.IntN(4) {
			name := names[rnd.IntN(len(names))]
			edits = append(edits, InsertHeader(0, name, fmt.Sprintf("top %d\n\tfold", i)), AddHeader(name, fmt.Sprintf("bottom %d", i)))
			top = append(top, Field{name, fmt.Sprintf(" top %d\n\tfold", i)})
			bottom = append(bottom, Field{name, fmt.Sprintf(" bottom %d", i)})
		}
		want := top
		for i, f := range kept {
			if !deleted[i] {
				want = append(want, f)
			}
		}
		want = append(want, bottom...)
		// The order among insertions and among additions is meant, nothing else.
		shuffled := slices.Clone(edits)
		rnd.Shuffle(len(shuffled), func(i, j int) {
			if shuffled[i].rank() == 0 && shuffled[j].rank() == 0 {
				shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
			}
		})
		for _, protocol := range []wire.OptProtocol{0, wire.OptHeaderLeadingSpace} {
			stream, err := appendEdits(nil, shuffled, AllActions, protocol)
			if err != nil {
				t.Fatal(err)
			}
			read := decodeAll(t, stream, protocol != 0)
			got := (&Message{Fields: original}).Apply(read)
			if diff := cmp.Diff(want, got.Fields, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("edits %v\n%s", edits, diff)
			}
		}
	}
}

func TestDecodeEdit(t *testing.T) {
	for packet, want := range map[string]string{
		"+a@b\x00":                    `add-recipient "a@b"`,
		"2<a@b>\x00A=1 B\x00":         `add-recipient "<a@b>" ["A=1" "B"]`,
		"2<a@b>\x00A=1\x00B\x00":      `add-recipient "<a@b>" ["A=1" "B"]`,
		"2<a@b>\x00":                  `add-recipient "<a@b>"`,
		"-<a@b>\x00":                  `delete-recipient "<a@b>"`,
		"e<>\x00":                     `change-sender "<>"`,
		"q\x00":                       `quarantine ""`,
		"m\x00\x00\x00\x00A\x00\x00":  "delete 1 A",
		"i\x00\x00\x00\x00A\x00b\x00": `insert 0 A: "b"`,
		"i\x00\x00\x00":               "malformed",
		"i\x80\x00\x00\x00A\x00b\x00": "malformed",
		"m\xff\xff\xff\xffA\x00b\x00": "malformed",
		"m\x00\x00\x00\x01\x00b\x00":  "malformed",
		"hA\x00b":                     "malformed",
		"hA":                          "malformed",
		"h":                           "malformed",
		"hA\x00b\x00c\x00":            "malformed",
		"+a@b":                        "malformed",
		"+a@b\x00c\x00":               "malformed",
		"2a@b\x00c":                   "malformed",
		"bbody":                       "none",
		"c":                           "none",
	} {
		e, ok, err := decodeEdit(wire.ModifyActCode(packet[0]), []byte(packet[1:]), false)
		got := e.String()
		switch {
		case !ok:
			got = "none"
		case err != nil:
			got = "malformed"
		}
		if got != want {
			t.Errorf("%q: %s, expected %s", packet, got, want)
		}
	}
	e, _, err := decodeEdit('h', []byte("A\x00b\x00"), true)
	if err != nil || !e.Tight || e.Value != "b" {
		t.Errorf("LEADSPC without a space: %+v, %v", e, err)
	}
	if m := (&Message{}).Apply([]Edit{e}); m.Fields[0].Value != "b" {
		t.Errorf("applied as %q", m.Fields[0].Value)
	}
}

func FuzzDecodeEdit(f *testing.F) {
	f.Add(byte('i'), []byte("\x00\x00\x00\x00A\x00 b\n\tc\x00"), true)
	f.Add(byte('m'), []byte("\x00\x00\x00\x01A\x00\x00"), false)
	f.Add(byte('2'), []byte("<a@b>\x00A=1 B\x00"), false)
	f.Add(byte('2'), []byte("\x00\x00"), false)
	f.Add(byte('e'), []byte("<>\x00"), false)
	f.Add(byte('q'), []byte("why\x00"), false)
	f.Fuzz(func(t *testing.T, act byte, data []byte, leadingSpace bool) {
		e, ok, err := decodeEdit(wire.ModifyActCode(act), data, leadingSpace)
		if !ok || err != nil {
			return
		}
		protocol := wire.OptProtocol(0)
		if leadingSpace {
			protocol = wire.OptHeaderLeadingSpace
		}
		out, err := appendEdits(nil, []Edit{e}, AllActions, protocol)
		if err != nil {
			return // more than our server would ever ask for
		}
		back := decodeAll(t, out, leadingSpace)
		if e.Op == OpAddRcpt || e.Op == OpChangeFrom {
			e.Value = bracketed(e.Value)
		}
		if len(back) != 1 || !cmp.Equal(back[0], e) {
			t.Fatalf("%v comes back as %v", e, back)
		}
		for _, p := range packets(t, out) {
			text := p
			if e.Op == OpInsertHeader || e.Op == OpChangeHeader || e.Op == OpDeleteHeader {
				text = p[5:] // behind the index, which may have any bytes
			}
			if bytes.ContainsRune(text, '\r') {
				t.Fatalf("CR in %q", p)
			}
		}
		written := string((&Message{}).Apply([]Edit{e}).Bytes())
		for line := range strings.SplitSeq(strings.TrimSuffix(written, "\n\n"), "\n") {
			if line != "" && line[0] != ' ' && line[0] != '\t' && !strings.HasPrefix(line, e.Name+":") {
				t.Fatalf("%v makes a field of its own: %q", e, written)
			}
		}
	})
}
