// Package mailbox reads messages from files: single ones, mboxes, Maildirs, and
// whole directories of them.
package mailbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Message is a message found on disk, or the reason why it could not be read.
type Message struct {
	// Name is the path of its file, with #1, #2 … behind it for the messages of
	// an mbox that has several.
	Name string
	Raw  []byte
	Err  error
}

// MaxSize bounds a message.
const MaxSize = 512 << 20

// Messages yields the messages of the named files and directories; "-" is stdin.
// Directories are read to their depths, regular files in name order; of a
// Maildir the messages, and not what is still being written in its tmp. What is
// passed over in a directory (dot files, files without a header, what is no
// file) skipped is told; the same named by itself is read, or is an error.
func Messages(paths []string, stdin io.Reader, skipped func(name, why string)) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for _, path := range paths {
			if path == "-" {
				if !each(path, stdin, yield) {
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

// Size returns the bytes of all files that Messages would read, for showing how
// far it has come. What cannot be read counts as nothing; that of stdin is not
// known.
func Size(paths []string) int64 {
	var sum int64
	for _, path := range paths {
		// An error is shown where the file is read.
		_ = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if at != path && strings.HasPrefix(d.Name(), ".") {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() {
				sum += info.Size()
			}
			return nil
		})
	}
	return sum
}

func walk(root string, skipped func(name, why string), yield func(Message) bool) (goOn bool) {
	goOn = true
	if info, err := os.Stat(root); err == nil && info.IsDir() && !strings.HasSuffix(root, "/") {
		root += "/" // a link to a directory is one
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			goOn = yield(Message{Name: path, Err: err})
		case path != root && strings.HasPrefix(d.Name(), "."):
			skipped(path, "its name begins with a dot")
			if d.IsDir() {
				return filepath.SkipDir
			}
		case d.IsDir() && path != root && d.Name() == "tmp" && isMaildir(filepath.Dir(path)):
			skipped(path, "messages in it are still being written")
			return filepath.SkipDir
		case d.IsDir():
		case path != root && !d.Type().IsRegular():
			skipped(path, "not a regular file")
		default:
			goOn = file(path, func(m Message) bool {
				if errors.Is(m.Err, errNoHeader) && path != root {
					skipped(m.Name, m.Err.Error())
					return true
				}
				return yield(m)
			})
		}
		if !goOn {
			return filepath.SkipAll
		}
		return nil
	})
	if err != nil && goOn {
		goOn = yield(Message{Name: root, Err: err})
	}
	return goOn
}

func isMaildir(dir string) bool {
	for _, sub := range []string{"cur", "new"} {
		if info, err := os.Stat(filepath.Join(dir, sub)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

func file(path string, yield func(Message) bool) (goOn bool) {
	f, err := os.Open(path)
	if err != nil {
		return yield(Message{Name: path, Err: err})
	}
	defer f.Close()
	return each(path, f, yield)
}

// each yields the messages of one file. The first waits for the second, since
// one that is alone bears the name of its file.
func each(name string, r io.Reader, yield func(Message) bool) (goOn bool) {
	n, waiting := 0, Message{}
	goOn = true
	numbered := func(m Message) Message {
		m.Name = fmt.Sprintf("%s#%d", name, n)
		return m
	}
	messages(r, MaxSize, func(raw []byte, err error) bool {
		if n == 1 {
			if goOn = yield(numbered(waiting)); !goOn {
				return false
			}
		}
		n++
		m := newMessage(name, raw, err)
		if n == 1 {
			waiting = m
			return true
		}
		goOn = yield(numbered(m))
		return goOn
	})
	if n == 1 {
		return yield(waiting)
	}
	return goOn
}

func readAll(r io.Reader, limit int64) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("larger than %d bytes", limit)
	}
	return raw, nil
}

var errNoHeader = errors.New("no header line at its beginning")

// newMessage checks that there is a header.
func newMessage(name string, raw []byte, err error) Message {
	switch {
	case err != nil:
		return Message{Name: name, Err: err}
	case !startsWithField(raw):
		return Message{Name: name, Err: errNoHeader}
	}
	return Message{Name: name, Raw: raw}
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
