package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"milterd/internal/strictyaml"
)

var update = flag.Bool("update", false, "rewrite the expected errors and effective configurations in testdata")

// TestBad loads each directory of testdata/bad and compares all errors with its file "errors". A file "environ" beside
// it is the environment.
func TestBad(t *testing.T) {
	for _, dir := range cases(t, "bad") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			o := testOptions()
			o.Environ = append(o.Environ, environ(t, dir)...)
			t.Chdir(dir)
			c, err := Load("milterd.yaml", o)
			if err == nil || c != nil {
				t.Fatalf("got %v, %v, want an error alone", c, err)
			}
			errs, ok := errors.AsType[strictyaml.Errors](err)
			if !ok || len(errs) != strings.Count(err.Error(), "\n")+1 {
				t.Errorf("an error of type %T with %d parts, want one part a line", err, len(errs))
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the errors show a secret")
			}
			golden(t, "errors", err.Error()+"\n")
		})
	}
}

// TestGood loads each directory of testdata/good and compares what is in force with its file "effective".
func TestGood(t *testing.T) {
	for _, dir := range cases(t, "good") {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			o := testOptions()
			o.Environ = append(o.Environ, environ(t, dir)...)
			t.Chdir(dir)
			c, err := Load("milterd.yaml", o)
			if err != nil {
				t.Fatal(err)
			}
			effective, err := c.Effective()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "effective", string(effective))
			// What is printed is a configuration, and the same one.
			again, err := Read("milterd.yaml", effective, o)
			if err != nil {
				t.Fatalf("what Effective prints is not valid: %v", err)
			}
			if diff := cmp.Diff(c, again, same); diff != "" {
				t.Errorf("what Effective prints is another configuration, -loaded +printed:\n%s", diff)
			}
		})
	}
}

func cases(t *testing.T, kind string) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join("testdata", kind, "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases in testdata/%s: %v", kind, err)
	}
	return dirs
}

func environ(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "environ"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// golden compares with a file in the working directory.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
