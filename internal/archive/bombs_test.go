package archive

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"testing"
)

// zeros gives so many zeros.
type zeros int64

func (z *zeros) Read(p []byte) (int, error) {
	if *z <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(*z))
	*z -= zeros(n)
	clear(p[:n])
	return int(n), nil
}

// manyZeros is a deflate stream of a block of 1 MiB of zeros, times n: the same bytes
// again and again, since each block stands for itself.
func manyZeros(tb testing.TB, n int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		tb.Fatal(err)
	}
	z := zeros(1 << 20)
	if _, err = io.Copy(w, &z); err == nil {
		err = w.Flush()
	}
	if err != nil {
		tb.Fatal(err)
	}
	one := bytes.Clone(b.Bytes())
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return append(bytes.Repeat(one, n-1), b.Bytes()...)
}

// rawZip writes a zip by hand: each entry is a name with the claims about it, and all
// have the same file behind them.
func rawZip(count int, packed []byte, claimed uint32, separate bool) []byte {
	var out, directory []byte
	local := func() int {
		at := len(out)
		h := append([]byte{}, localMagic...)
		h = append(h, 20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		h = binary.LittleEndian.AppendUint32(h, uint32(len(packed)))
		h = binary.LittleEndian.AppendUint32(h, claimed)
		h = append(h, 1, 0, 0, 0, 'x')
		out = append(append(out, h...), packed...)
		return at
	}
	at := local()
	for i := range count {
		if separate && i > 0 {
			at = local()
		}
		name := fmt.Sprintf("%05d.bin", i%100000)
		h := append([]byte{}, centralMagic...)
		h = append(h, 20, 0, 20, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		h = binary.LittleEndian.AppendUint32(h, uint32(len(packed)))
		h = binary.LittleEndian.AppendUint32(h, claimed)
		h = binary.LittleEndian.AppendUint16(h, uint16(len(name)))
		h = append(h, make([]byte, 12)...)
		h = binary.LittleEndian.AppendUint32(h, uint32(at))
		directory = append(append(directory, h...), name...)
	}
	start := len(out)
	out = append(out, directory...)
	end := append([]byte{}, endMagic...)
	end = append(end, 0, 0, 0, 0)
	end = binary.LittleEndian.AppendUint16(end, uint16(count))
	end = binary.LittleEndian.AppendUint16(end, uint16(count))
	end = binary.LittleEndian.AppendUint32(end, uint32(len(directory)))
	end = binary.LittleEndian.AppendUint32(end, uint32(start))
	return append(append(out, end...), 0, 0)
}

// nested packs a zip into a zip, so many times.
func nested(tb testing.TB, depth int) []byte {
	content := makeZip(tb, note)
	for range depth - 1 {
		content = makeZip(tb, file{"in.zip", content})
	}
	return content
}

// like42 is built as 42.zip is: sixteen zips in each of sixteen zips, and so on, and at
// the bottom zeros that claim to be 4 GiB.
func like42(tb testing.TB) []byte {
	content := rawZip(1, manyZeros(tb, 64), 0xffff0000, true)
	for range 5 {
		var files []file
		for i := range 16 {
			files = append(files, file{fmt.Sprintf("lib %d.zip", i), content})
		}
		content = makeZip(tb, files...)
	}
	return content
}

// tenGigabytes is a gzip file of 10 GB of zeros.
func tenGigabytes(tb testing.TB) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return append(append(b.Bytes()[:10:10], manyZeros(tb, 10_000)...), make([]byte, 8)...)
}

// hugeDictionary asks an LZMA decoder for four gigabytes.
func hugeDictionary(tb testing.TB, x []byte) []byte {
	tb.Helper()
	x = bytes.Clone(x)
	at := bytes.Index(x[12:], []byte{0x21, 0x01}) + 12
	x[at+2] = 40
	return x
}

// TestBombs: what is made to exhaust whoever unpacks it is answered with a fact, for a
// bounded amount of memory and of unpacked bytes. Both are counted, so that a slow
// machine changes nothing: a second of processor time unpacks more than the budget has.
func TestBombs(t *testing.T) {
	for name, test := range map[string]struct {
		content []byte
		want    Facts
	}{
		"like 42.zip":             {like42(t), LimitDepth},
		"overlapping":             {rawZip(250, manyZeros(t, 20), 20<<20, false), Overlap},
		"overlapping many":        {rawZip(65535, manyZeros(t, 20), 20<<20, false), Overlap},
		"10 GB of zeros.gz":       {tenGigabytes(t), LimitBytes | LimitRatio},
		"10 GB in a zip":          {makeZip(t, file{"in.gz", tenGigabytes(t)}), LimitBytes | LimitRatio},
		"a zip of a bomb":         {rawZip(1, manyZeros(t, 4096), 0xfffffff0, true), LimitRatio},
		"a zip that lies":         {rawZip(1, manyZeros(t, 4096), 10, true), 0},
		"65535 entries":           {rawZip(65535, nil, 0, true), LimitEntries},
		"65535 entries in a tar":  {makeTar(t, make([]file, 65535)...), LimitEntries},
		"100 deep":                {nested(t, 100), LimitDepth},
		"many zips":               {makeZip(t, many(file{"x.zip", makeZip(t, note, exe)}, 600)...), LimitEntries},
		"many large zips":         {makeZip(t, many(file{"x.zip", makeZip(t, file{"z", make([]byte, 12<<20)})}, 50)...), LimitRatio},
		"a zip of large archives": {makeZip(t, many(file{"x.tar", makeTar(t, file{"z", make([]byte, 15<<20)})}, 6)...), LimitBytes},
		"7z of zeros":             {fixture(t, "zeros.7z"), LimitRatio},
		"xz dictionary":           {hugeDictionary(t, makeXZ(t, bytes.Repeat(makeTar(t, note), 1000))), 0},
		"rar header":              {makeRar(file{"x", nil})[:7+13], 0},
		"7z header":               {fixture(t, "a.7z")[:32], Broken},
		"7z of 4 GiB names":       {hugeNames(), Broken},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBudget(Limits{})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			visited := 0
			facts := Walk(t.Context(), test.content, name, b, func(*Entry) { visited++ })
			runtime.ReadMemStats(&after)
			if test.want != 0 && !facts.Has(test.want) {
				t.Errorf("%s, want %s", facts, test.want)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
				t.Errorf("%d MiB were reserved", got>>20)
			}
			if spent := b.limits.Bytes - b.bytes; spent > b.limits.Bytes+priceSlow*(64<<10) || visited > b.limits.Entries {
				t.Errorf("%d bytes were unpacked of %d, %d entries", spent, b.limits.Bytes, visited)
			}
		})
	}
}

func many(f file, n int) []file {
	var all []file
	for i := range n {
		all = append(all, file{fmt.Sprint(i, f.name), f.content})
	}
	return all
}

// hugeNames is a 7z whose list says that there are four billion files.
func hugeNames() []byte {
	list := []byte{idHeader, idFilesInfo, 0xf0, 0xff, 0xff, 0xff, 0xff, idNames, 0xf0, 0xff, 0xff, 0xff, 0xff, 0, 'a', 0}
	head := append(append([]byte{}, sevenZipMagic...), 0, 4, 0, 0, 0, 0)
	head = binary.LittleEndian.AppendUint64(head, 0)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(list)))
	return append(append(head, 0, 0, 0, 0), list...)
}
