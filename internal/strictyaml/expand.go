package strictyaml

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unicode/utf8"
)

// MaxSecret is the most that ${file:PATH} reads, in bytes.
const MaxSecret = 64 << 10

// An Expander says where the values behind ${...} come from.
type Expander struct {
	Env  func(name string) (string, bool)              // a variable, false when it is not set
	File func(path string, most int64) ([]byte, error) // a file's content, an error when it is larger; [ReadFile] for real ones
}

// Expand replaces in every single value of the tree, in place:
//
//	${env:NAME}   the environment variable NAME, which must be set
//	${file:PATH}  the content of a file without its last line end; relative to the file in which it is written;
//	              PATH may hold ${env:NAME}, as in ${file:${env:CREDENTIALS_DIRECTORY}/redis}
//	$${           the characters ${
//
// Any other $ stands for itself; only ${word} and ${word:...} with other words are errors, because a misspelt secret
// must not become a password. What came in is not expanded again, is read as the key needs it (number, boolean, text)
// and is never shown in an error. The error is nil or [Errors]; a value that could not be expanded is Null then. Expand
// once, before the tree is shared.
func (n *Node) Expand(x Expander) error {
	e := expansion{Expander: x}
	e.walk(n)
	return e.errs.Err()
}

type expansion struct {
	Expander
	errs Errors
}

func (e *expansion) walk(n *Node) {
	switch n.raw.kind {
	case Mapping:
		for i, k := range n.raw.keys {
			e.walk(&Node{n.raw.items[i], n.at.child(k.name), nil})
		}
	case List:
		for i, item := range n.raw.items {
			e.walk(&Node{item, n.at.item(i), nil})
		}
	case Scalar:
		if !strings.Contains(n.raw.raw, "${") || n.raw.expanded {
			return
		}
		text, used, err := e.expand(n, n.raw.raw, true)
		if err == nil && len(text) > MaxBytes {
			err = fmt.Errorf("more than %s behind it, expected less", Bytes(MaxBytes))
		}
		if err != nil {
			if len(e.errs) < maxErrors {
				e.errs.Add(n.Errorf("%w", err))
			}
			n.raw.kind = Null // said once: decoding shall not complain about ${...} as well
			return
		}
		n.raw.text, n.raw.expanded = text, used
	}
}

// expand replaces every form in s; used says whether something from outside came in. Files are not read inside a path.
func (e *expansion) expand(n *Node, s string, files bool) (text string, used bool, err error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		if !found {
			b.WriteString(s)
			return b.String(), used, nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			s = rest
			continue
		}
		word := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"))]
		tail := rest[len(word):]
		if word == "" || tail == "" || tail[0] != ':' && tail[0] != '}' { // no form at all: ${1}, ${ x
			b.WriteString(before + "${")
			s = rest
			continue
		}
		name, after, closed := closing(tail[1:])
		var value string
		switch {
		case tail[0] == '}' || word != "env" && word != "file" || word == "file" && !files:
			known := []string{"${env:NAME}", "${file:PATH}"}
			if !files {
				known = known[:1]
			}
			err = fmt.Errorf(`${%s%c is not known, expected %s (a literal ${ is written $${)`, cutWord(word), tail[0], choice(known))
		case !closed:
			err = fmt.Errorf("${%s: has no end, expected }", word)
		case word == "env":
			value, err = e.env(name)
		default:
			value, err = e.file(n, name)
		}
		if err != nil {
			return "", false, err
		}
		b.WriteString(before + value)
		s, used = after, true
	}
}

func (e *expansion) env(name string) (string, error) {
	if value, set := e.Env(name); set {
		return value, nil
	}
	return "", fmt.Errorf("the environment has no %s, expected it set", cut(name))
}

func (e *expansion) file(n *Node, path string) (string, error) {
	path, _, err := e.expand(n, path, false)
	if err != nil {
		return "", err
	}
	if path == "" || strings.ContainsRune(path, 0) {
		return "", errors.New("${file:} names no file, expected ${file:PATH}")
	}
	content, err := e.File(n.Beside(path), MaxSecret)
	if err != nil {
		return "", fmt.Errorf("%w, expected a readable file", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", fmt.Errorf("%s holds bytes that are not text, expected UTF-8", n.Beside(path))
	}
	return text, nil
}

// closing splits at the brace that ends a form, past braces of forms inside it.
func closing(s string) (inside, after string, found bool) {
	depth := 0
	for i := range len(s) {
		switch {
		case s[i] == '{' && i > 0 && s[i-1] == '$':
			depth++
		case s[i] == '}' && depth > 0:
			depth--
		case s[i] == '}':
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// cutWord keeps a long word from filling the screen.
func cutWord(word string) string { return word[:min(len(word), 40)] }

// ReadFile reads a regular file of at most so many bytes; a pipe, a device and a directory are errors. The error is an
// [fs.PathError].
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(content)) > most:
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %s", Bytes(most))}
	}
	return content, nil
}
