package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// file is a file to be packed.
type file struct {
	name    string
	content []byte
}

func makeZip(tb testing.TB, files ...file) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		to, err := w.Create(f.name)
		if err == nil {
			_, err = to.Write(f.content)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func makeTar(tb testing.TB, files ...file) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func makeGzip(tb testing.TB, content []byte) []byte {
	return packed(tb, content, func(to io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(to), nil })
}

func makeXZ(tb testing.TB, content []byte) []byte {
	return packed(tb, content, func(to io.Writer) (io.WriteCloser, error) { return xz.NewWriter(to) })
}

// packed returns what a packer makes of content.
func packed(tb testing.TB, content []byte, packer func(to io.Writer) (io.WriteCloser, error)) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := packer(&b)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// makeRar writes files as they are into a rar of version 4.
func makeRar(files ...file) []byte {
	block := func(head []byte) []byte {
		sum := uint16(crc32.ChecksumIEEE(head))
		return append(binary.LittleEndian.AppendUint16(nil, sum), head...)
	}
	out := append([]byte{}, "Rar!\x1a\x07\x00"...)
	out = append(out, block([]byte{0x73, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0})...)
	for _, f := range files {
		h := []byte{0x74, 0, 0x80}
		h = binary.LittleEndian.AppendUint16(h, uint16(32+len(f.name)))
		h = binary.LittleEndian.AppendUint32(h, uint32(len(f.content)))
		h = binary.LittleEndian.AppendUint32(h, uint32(len(f.content)))
		h = append(h, 3) // Unix
		h = binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(f.content))
		h = binary.LittleEndian.AppendUint32(h, 0x5a21_0000) // time
		h = append(h, 20, 0x30)                              // version, stored
		h = binary.LittleEndian.AppendUint16(h, uint16(len(f.name)))
		h = binary.LittleEndian.AppendUint32(h, 0o100644)
		out = append(append(out, block(append(h, f.name...))...), f.content...)
	}
	return append(out, block([]byte{0x7b, 0, 0x40, 7, 0})...)
}

// fixture reads an archive that testdata/make.sh has made.
func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

// list walks and returns what was visited, one path a line.
func list(tb testing.TB, content []byte, name string, l Limits) ([]string, Facts) {
	tb.Helper()
	var all []string
	facts := Walk(tb.Context(), content, name, NewBudget(l), func(e *Entry) {
		line := strings.Join(e.Path[1:], "/")
		if e.Encrypted {
			line += "*"
		}
		all = append(all, line+fmt.Sprintf("=%.5q", e.Head))
	})
	return all, facts
}

var (
	exe  = file{"run.exe", []byte("MZ\x90\x00 and more")}
	note = file{"note.txt", []byte("hello")}
)

// walkCase is an archive under a name and what a walk over it finds: the entries as list shows them.
type walkCase struct {
	name    string
	content []byte
	want    string
	facts   Facts
}

func wantWalks(t *testing.T, cases []walkCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, facts := list(t, c.content, c.name, Limits{})
			if strings.Join(got, " ") != c.want || facts != c.facts {
				t.Errorf("%s, %s;\nwant %s, %s", strings.Join(got, " "), facts, c.want, c.facts)
			}
		})
	}
}

func TestWalk(t *testing.T) {
	inner := makeZip(t, note, exe)
	long := file{"long.txt", bytes.Repeat([]byte("0123456789abcdef"), 4096)}
	wantWalks(t, []walkCase{
		{"a.zip", inner, `note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"sfx.zip", append([]byte("#!/bin/sh something in front\n"), inner...), `note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"a.tar", makeTar(t, note, exe), `note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"a.tar.gz", makeGzip(t, makeTar(t, note, exe)), `a.tar/note.txt="hello" a.tar/run.exe="MZ\x90\x00 "`, 0},
		{"a.tgz", makeGzip(t, makeTar(t, note)), `a.tar/note.txt="hello"`, 0},
		{"a.tar.xz", makeXZ(t, makeTar(t, note)), `a.tar/note.txt="hello"`, 0},
		{"run.exe.gz", makeGzip(t, exe.content), `run.exe="MZ\x90\x00 "`, 0},
		{"a.rar", makeRar(note, exe), `note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"a.7z", fixture(t, "a.7z"), `long.txt="01234" note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"plain list.7z", fixture(t, "plainlist.7z"), `note.txt="hello"`, 0},
		{"lzma.7z", fixture(t, "lzma.7z"), `long.txt="01234" note.txt="hello"`, 0},
		{"copy.7z", fixture(t, "copy.7z"), `note.txt="hello" run.exe="MZ\x90\x00 "`, 0},
		{"bzip2.7z", fixture(t, "bzip2.7z"), `long.txt="01234" note.txt="hello"`, 0},
		{"ppmd.7z", fixture(t, "ppmd.7z"), `note.txt=""`, Unsupported},
		{"secret.7z", fixture(t, "secret.7z"), `note.txt*=""`, Encrypted},
		{"secret names.7z", fixture(t, "names.7z"), "", Encrypted},
		{"secret.zip", fixture(t, "secret.zip"), `note.txt*=""`, Encrypted},
		{"deflate64.zip", fixture(t, "deflate64.zip"), `long.txt=""`, Unsupported},
		{"lzma.zip", fixture(t, "lzma.zip"), `long.txt="01234"`, 0},
		{"bzip2.zip", fixture(t, "bzip2.zip"), `long.txt="01234"`, 0},
		{"a.tar.bz2", fixture(t, "a.tar.bz2"), `a.tar/note.txt="hello"`, 0},
		{"zip in 7z.7z", fixture(t, "nested.7z"), `in.zip="PK\x03\x04\n" in.zip/note.txt="hello" in.zip/run.exe="MZ\x90\x00 " note.txt="hello"`, 0},
		{"three.zip", makeZip(t, file{"in.rar", makeRar(file{"in.zip", inner})}),
			`in.rar="Rar!\x1a" in.rar/in.zip="PK\x03\x04\x14" in.rar/in.zip/note.txt="hello" in.rar/in.zip/run.exe="MZ\x90\x00 "`, 0},
		{"four.zip", makeZip(t, file{"3", makeZip(t, file{"2", makeZip(t, file{"1", inner})})}), `3="PK\x03\x04\x14" 3/2="PK\x03\x04\x14" 3/2/1="PK\x03\x04\x14"`, LimitDepth},
		{"letter.txt", []byte("hello"), "", 0},
		{"nothing.zip", []byte("no zip at all"), "", Broken},
		{"cut.zip", inner[:len(inner)-30], `note.txt="hello" run.exe="MZ\x90\x00 "`, Broken},
		{"cut.rar", makeRar(note, exe)[:60], `note.txt=""`, Broken},
		{"cut.7z", fixture(t, "a.7z")[:40], "", Broken},
		{"cut.tar.gz", makeGzip(t, makeTar(t, note, long))[:40], `cut.tar=""`, Broken},
	})
}

// TestTwoNames: the name in front of a file and the one in the directory may differ,
// and programs choose differently.
func TestTwoNames(t *testing.T) {
	z := makeZip(t, note)
	copy(z[localSize:], "note.exe")
	var aliases []string
	Walk(t.Context(), z, "a.zip", NewBudget(Limits{}), func(e *Entry) { aliases = append(aliases, e.Name(), e.Alias) })
	if got := strings.Join(aliases, " "); got != "note.txt note.exe" {
		t.Errorf("%s", got)
	}
}

// TestNoDirectory: a zip whose directory says that it is empty has its files all the
// same.
func TestNoDirectory(t *testing.T) {
	z := makeZip(t, note, exe)
	end := bytes.LastIndex(z, endMagic)
	clear(z[end+8 : end+16]) // counts and size of the directory
	if got, _ := list(t, z, "a.zip", Limits{}); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestBudgetIsShared: two archives of one message have one budget.
func TestBudgetIsShared(t *testing.T) {
	b, seen := NewBudget(Limits{Entries: 3}), 0
	z := makeZip(t, note, exe)
	first := Walk(t.Context(), z, "a.zip", b, func(*Entry) { seen++ })
	second := Walk(t.Context(), z, "b.zip", b, func(*Entry) { seen++ })
	if first != 0 || second != LimitEntries || seen != 3 {
		t.Errorf("%s, %s, %d entries", first, second, seen)
	}
}

func FuzzWalk(f *testing.F) {
	for _, seed := range [][]byte{makeZip(f, note, exe), makeTar(f, note), makeGzip(f, makeTar(f, note)), makeXZ(f, makeTar(f, note)),
		makeRar(note, exe), fixture(f, "a.7z"), fixture(f, "copy.7z"), fixture(f, "plainlist.7z"), fixture(f, "secret.7z"),
		makeZip(f, file{"in.zip", makeZip(f, note)}), makeCab(f, cabMSZIP, note, exe), makeCab(f, cabStored, file{"in.zip", makeZip(f, note)}),
		makeTnef(attached("a.exe", exe.content, property(mapiUnicode, mapiLongName, unicodeName("b.exe"))))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		b := NewBudget(Limits{Entries: 50, Bytes: 1 << 20})
		entries := 0
		facts := Walk(t.Context(), content, "x.zip", b, func(e *Entry) {
			entries++
			if len(e.Path) < 2 || len(e.Path) > 4 || e.Path[0] != "x.zip" || len(e.Head) > HeadBytes || e.Encrypted && len(e.Head) > 0 {
				t.Errorf("%+v", e)
			}
		})
		if entries > 50 || b.bytes < -4*(64<<10) {
			t.Errorf("%d entries, %d bytes left", entries, b.bytes)
		}
		if entries == 50 && facts&(LimitEntries|LimitBytes) == 0 && b.entries < 0 {
			t.Errorf("the budget is used up and nobody says so: %s", facts)
		}
	})
}
