package archive

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cabFolderOf packs files as one folder, in blocks of 32 KiB, each of which may repeat
// what the ones before it had.
func cabFolderOf(tb testing.TB, method uint16, files []file) (blocks [][]byte) {
	tb.Helper()
	var all []byte
	for _, f := range files {
		all = append(all, f.content...)
	}
	for at := 0; at < len(all); at += cabWindow {
		content := all[at:min(at+cabWindow, len(all))]
		inside := content
		if method == cabMSZIP {
			inside = append([]byte("CK"), packed(tb, content, func(to io.Writer) (io.WriteCloser, error) {
				return flate.NewWriterDict(to, flate.BestCompression, all[max(0, at-cabWindow):at])
			})...)
		}
		block := binary.LittleEndian.AppendUint16(make([]byte, 4), uint16(len(inside))) // no checksum
		block = binary.LittleEndian.AppendUint16(block, uint16(len(content)))
		blocks = append(blocks, append(block, inside...))
	}
	return blocks
}

// makeCab makes a cabinet of one folder.
func makeCab(tb testing.TB, method uint16, files ...file) []byte {
	tb.Helper()
	blocks := cabFolderOf(tb, method, files)
	var list []byte
	at := 0
	for _, f := range files {
		list = binary.LittleEndian.AppendUint32(list, uint32(len(f.content)))
		list = binary.LittleEndian.AppendUint32(list, uint32(at))
		list = append(list, 0, 0, 0x75, 0x5b, 0, 0, 0x20, 0) // folder, date, time, attributes
		list = append(append(list, strings.ReplaceAll(f.name, "/", `\`)...), 0)
		at += len(f.content)
	}
	data := bytes.Join(blocks, nil)
	out := append([]byte{}, cabMagic...)
	total := cabHeader + 8 + len(list) + len(data)
	out = binary.LittleEndian.AppendUint32(out, uint32(total))
	out = binary.LittleEndian.AppendUint32(out, 0)
	out = binary.LittleEndian.AppendUint32(out, cabHeader+8)
	out = append(out, 0, 0, 0, 0, 3, 1, 1, 0)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(files)))
	out = append(out, 0, 0, 1, 0, 0, 0) // flags, set, number in the set
	out = binary.LittleEndian.AppendUint32(out, uint32(cabHeader+8+len(list)))
	out = binary.LittleEndian.AppendUint16(out, uint16(len(blocks)))
	out = binary.LittleEndian.AppendUint16(out, method)
	return append(append(out, list...), data...)
}

func TestCab(t *testing.T) {
	long := file{"dir/long.txt", bytes.Repeat([]byte("0123456789abcdef"), 10_000)} // several blocks
	inner := file{"in.zip", makeZip(t, note, exe)}
	whole := makeCab(t, cabMSZIP, note, long, exe)
	lzx := makeCab(t, 3, note, exe)
	next := bytes.Clone(makeCab(t, cabStored, note))
	next[cabHeader+8+8] = 0xfe // it goes on in the next cabinet
	next[cabHeader+8+9] = 0xff
	overlap := bytes.Clone(makeCab(t, cabStored, note, exe))
	clear(overlap[cabHeader+8+16+len(note.name)+1+4:][:4])
	wantWalks(t, []walkCase{
		{"stored.cab", makeCab(t, cabStored, note, long, exe), `note.txt="hello" dir/long.txt="01234" run.exe="MZ\x90\x00 "`, 0},
		{"packed.cab", whole, `note.txt="hello" dir/long.txt="01234" run.exe="MZ\x90\x00 "`, 0},
		{"nested.cab", makeCab(t, cabMSZIP, long, inner, note), `dir/long.txt="01234" in.zip="PK\x03\x04\x14" in.zip/note.txt="hello" in.zip/run.exe="MZ\x90\x00 " note.txt="hello"`, 0},
		{"no name of a cabinet", whole, `note.txt="hello" dir/long.txt="01234" run.exe="MZ\x90\x00 "`, 0},
		{"lzx.cab", lzx, `note.txt="" run.exe=""`, Unsupported},
		{"one of two.cab", next, `note.txt=""`, Unsupported},
		{"overlap.cab", overlap, `note.txt="hello" run.exe=""`, Overlap | Unsupported},
		{"cut.cab", whole[:len(whole)-100], `note.txt="hello" dir/long.txt="01234" run.exe=""`, Broken},
		{"cut in the list.cab", whole[:cabHeader+8+20], ``, Broken},
		{"cut in the header.cab", whole[:20], ``, Broken},
	})
}

// TestCabIsOne: what these tests call a cabinet, 7-Zip unpacks.
func TestCabIsOne(t *testing.T) {
	program, err := exec.LookPath("7z")
	if err != nil {
		t.Skip("NOT TESTED: 7z is not installed (package p7zip-full)")
	}
	long := file{"long.txt", bytes.Repeat([]byte("0123456789abcdef"), 10_000)}
	for name, method := range map[string]uint16{"stored": cabStored, "packed": cabMSZIP} {
		dir := t.TempDir()
		path := filepath.Join(dir, name+".cab")
		if err := os.WriteFile(path, makeCab(t, method, note, long, exe), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), program, "x", "-bd", "-o"+dir, path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		for _, f := range []file{note, long, exe} {
			if got, err := os.ReadFile(filepath.Join(dir, f.name)); err != nil || !bytes.Equal(got, f.content) {
				t.Errorf("%s: %s is %d bytes, %v", name, f.name, len(got), err)
			}
		}
	}
}

// manyFolders is a cabinet with a thousand folders that are the same blocks, each of which
// says that it is one byte behind a full window.
func manyFolders(tb testing.TB) []byte {
	tb.Helper()
	first := cabFolderOf(tb, cabMSZIP, []file{{"", bytes.Repeat([]byte{'x'}, cabWindow)}})[0]
	small := cabFolderOf(tb, cabMSZIP, []file{{"", []byte{'x'}}})[0]
	data := append(bytes.Clone(first), bytes.Repeat(small, 60_000)...)
	const folders = 1000
	var list []byte
	for i := range folders {
		list = binary.LittleEndian.AppendUint32(list, 1)
		list = binary.LittleEndian.AppendUint32(list, cabWindow+50_000)
		list = binary.LittleEndian.AppendUint16(list, uint16(i))
		list = append(list, 0, 0, 0, 0, 0x20, 0, 'a', 0)
	}
	files := cabHeader + 8*folders
	out := append([]byte{}, cabMagic...)
	out = append(out, make([]byte, 8)...)
	out = binary.LittleEndian.AppendUint32(out, uint32(files))
	out = append(out, 0, 0, 0, 0, 3, 1)
	out = binary.LittleEndian.AppendUint16(out, folders)
	out = binary.LittleEndian.AppendUint16(out, folders)
	out = append(out, make([]byte, 6)...)
	for range folders {
		out = binary.LittleEndian.AppendUint32(out, uint32(files+len(list)))
		out = binary.LittleEndian.AppendUint16(out, 60_001)
		out = binary.LittleEndian.AppendUint16(out, cabMSZIP)
	}
	return append(append(out, list...), data...)
}

// TestCabBombs: cabinets that were made to cost more than they are.
func TestCabBombs(t *testing.T) {
	zeros := file{"zeros", make([]byte, 8<<20)}
	for name, c := range map[string]struct {
		content []byte
		want    Facts
	}{
		"zeros":               {makeCab(t, cabMSZIP, zeros), LimitRatio},
		"folders of one data": {manyFolders(t), LimitBytes},
		"many files":          {makeCab(t, cabStored, many(note, 2000)...), LimitEntries},
	} {
		began := time.Now()
		_, facts := list(t, c.content, "a.cab", Limits{})
		if !facts.Has(c.want) {
			t.Errorf("%s: %s, want %s", name, facts, c.want)
		}
		t.Logf("%s: %d bytes, %s, %v", name, len(c.content), facts, time.Since(began))
	}
}
