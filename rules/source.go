package rules

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"milterd/internal/strictyaml"
)

// A Source is one rule file.
type Source struct {
	Name string // as errors show it
	Text []byte // YAML
	// Proven says that the tests of these rules have passed, and the file has not
	// changed since. They are run again for rules that a later file changes.
	Proven bool
}

//go:embed shipped/*.yaml
var shipped embed.FS

// Shipped returns the rule files that are built in, in name order. Their names
// begin with "shipped/".
func Shipped() []Source {
	sources, err := readDir(shipped, "shipped", func(name string) ([]byte, error) { return shipped.ReadFile(name) })
	if err != nil {
		panic("rules: the embedded files cannot be read: " + err.Error())
	}
	return sources
}

// IsShipped says whether a file of that name is one of those that are built in.
func IsShipped(name string) bool {
	_, err := fs.Stat(shipped, name)
	return err == nil
}

// Files reads rule files: each path is a file, or a directory whose *.yaml are
// taken in name order, without those below it and those whose name begins with
// a dot. What cannot be read is an error; all of them are reported, joined, and
// one for a path that is not there is an [fs.ErrNotExist].
func Files(paths ...string) ([]Source, error) {
	var sources []Source
	var errs []error
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("rules: %w", err))
		case info.IsDir():
			found, err := readDir(os.DirFS(path), ".", func(name string) ([]byte, error) { return readFile(filepath.Join(path, name)) })
			for i := range found {
				found[i].Name = filepath.Join(path, found[i].Name)
			}
			sources, errs = append(sources, found...), append(errs, err)
		default:
			text, err := readFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("rules: %w", err))
				continue
			}
			sources = append(sources, Source{Name: path, Text: text})
		}
	}
	return sources, errors.Join(errs...)
}

func readFile(path string) ([]byte, error) { return strictyaml.ReadFile(path, strictyaml.MaxBytes) }

// readDir reads the rule files of one directory; ReadDir sorts by name.
func readDir(fsys fs.FS, dir string, read func(name string) ([]byte, error)) ([]Source, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	var sources []Source
	var errs []error
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".yaml") {
			continue
		}
		name = strings.TrimPrefix(dir+"/"+name, "./")
		text, err := read(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("rules: %w", err))
			continue
		}
		sources = append(sources, Source{Name: name, Text: text})
	}
	return sources, errors.Join(errs...)
}
