package opendkim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// What one import reads at most. The greatest tables that hosters have are some
// ten thousand lines.
const (
	maxFiles = 100
	maxBytes = 16 << 20 // of one file
	maxLines = 200_000  // of all files
	maxConf  = 64 << 10 // bytes of a line of opendkim.conf
	maxTable = 1022     // bytes of a line of a table: OpenDKIM reads 1023 with the line's end, and takes the rest for a line of its own
)

// A Pos is a place in a file; line and column count from one, columns in bytes.
type Pos struct {
	File      string
	Line, Col int
}

// String gives file:line:col.
func (p Pos) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Col)
}

// files reads and counts.
type files struct {
	read, lines int
}

var (
	errMany  = fmt.Errorf("more than %d files, expected fewer", maxFiles)
	errLines = fmt.Errorf("more than %d lines in all files, expected fewer", maxLines)
	errLarge = fmt.Errorf("larger than %d bytes, expected a smaller file", maxBytes)
)

// get reads a regular file. It never waits for one that is none, such as a pipe.
func (f *files) get(path string) ([]byte, error) {
	if f.read++; f.read > maxFiles {
		return nil, errMany
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, plain(err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, plain(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	switch {
	case err != nil:
		return nil, plain(err)
	case len(text) > maxBytes:
		return nil, errLarge
	}
	for _, c := range text {
		if c == '\n' {
			f.lines++
		}
	}
	if f.lines > maxLines {
		return nil, errLines
	}
	return text, nil
}

// plain leaves out what the caller knows: the operation and the path.
func plain(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// table reads a file that a setting names. Where it is not there, the copy beside
// opendkim.conf is taken: configurations are often looked at on another machine.
func (im *importer) table(path string) (found string, text []byte, err error) {
	path = im.abs(path)
	text, err = im.files.get(path)
	beside := filepath.Join(filepath.Dir(im.main), filepath.Base(path))
	if errors.Is(err, os.ErrNotExist) && beside != path {
		if copied, err := im.files.get(beside); err == nil {
			return beside, copied, nil
		}
	}
	return path, text, err
}

// abs resolves a path as OpenDKIM does, from BaseDirectory; without that, from
// where opendkim.conf lies, as nobody knows where OpenDKIM was started.
func (im *importer) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(im.base, path)
}
