package scan

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// File is a message found on disk, or the reason why it could not be read.
type File struct {
	Name string
	Raw  []byte
	Err  error
}

// maxFile bounds the size of a message file.
const maxFile = 512 << 20

// Files yields the messages of the named files and directories; "-" is stdin.
// Directories are read to their depths, regular files in name order. What is
// passed over in a directory (dot files, files without a header, what is no
// file) skipped is told; the same named by itself is read, or is an error.
func Files(paths []string, stdin io.Reader, skipped func(name, why string)) iter.Seq[File] {
	return func(yield func(File) bool) {
		for _, path := range paths {
			if path == "-" {
				raw, err := readAll(stdin, maxFile)
				if !yield(newFile(path, raw, err)) {
					return
				}
				continue
			}
			if !walk(path, skipped, yield) {
				return
			}
		}
	}
}

func walk(root string, skipped func(name, why string), yield func(File) bool) (goOn bool) {
	goOn = true
	if info, err := os.Stat(root); err == nil && info.IsDir() && !strings.HasSuffix(root, "/") {
		root += "/" // a link to a directory is one
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			goOn = yield(File{Name: path, Err: err})
		case path != root && strings.HasPrefix(d.Name(), "."):
			skipped(path, "its name begins with a dot")
			if d.IsDir() {
				return filepath.SkipDir
			}
		case d.IsDir():
		case path != root && !d.Type().IsRegular():
			skipped(path, "not a regular file")
		default:
			raw, err := readFile(path)
			f := newFile(path, raw, err)
			if f.Err != nil && err == nil && path != root {
				skipped(path, f.Err.Error())
				return nil
			}
			goOn = yield(f)
		}
		if !goOn {
			return filepath.SkipAll
		}
		return nil
	})
	if err != nil && goOn {
		goOn = yield(File{Name: root, Err: err})
	}
	return goOn
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, maxFile)
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return raw, err
}

// newFile checks that there is a header, and drops an mbox line before it.
func newFile(name string, raw []byte, err error) File {
	if err != nil {
		return File{Name: name, Err: err}
	}
	if bytes.HasPrefix(raw, []byte("From ")) {
		_, raw, _ = bytes.Cut(raw, []byte{'\n'})
	}
	if !startsWithField(raw) {
		return File{Name: name, Err: fmt.Errorf("no header line at its beginning")}
	}
	return File{Name: name, Raw: raw}
}

// startsWithField reports whether the first line is "Name: value".
func startsWithField(raw []byte) bool {
	for i, c := range raw[:min(len(raw), 200)] {
		if c == ':' {
			return i > 0
		}
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return false
}
