package archtest

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of the documents again")

// root is the top of the project, seen from here.
const root = "../.."

// modulePath begins the import path of every package of ours.
const modulePath = "milterd/"

// A source is one Go file.
type source struct {
	dir   string // of the package, below the root: internal/dns
	file  string // its name
	test  bool
	lines int
	ast   *ast.File
	fset  *token.FileSet
}

func (s *source) path() string { return path.Join(s.dir, s.file) }

func (s *source) pos(n ast.Node) string {
	return s.path() + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imports gives the import paths of the file.
func (s *source) imports() []string {
	var all []string
	for _, i := range s.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		all = append(all, p)
	}
	return all
}

// ours gives the imported packages of this module, below the root.
func (s *source) ours() []string {
	var all []string
	for _, i := range s.imports() {
		if dir, ok := strings.CutPrefix(i, modulePath); ok {
			all = append(all, dir)
		}
	}
	return all
}

// sources reads every Go file of the project, once.
func sources(t testing.TB) []*source {
	t.Helper()
	all, err := parseAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files found below %s", len(all), root)
	}
	return all
}

var parseAll = sync.OnceValues(func() ([]*source, error) {
	fset := token.NewFileSet()
	var all []*source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go"):
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		all = append(all, &source{
			dir: path.Dir(filepath.ToSlash(rel)), file: d.Name(), test: strings.HasSuffix(p, "_test.go"),
			lines: strings.Count(string(text), "\n"), ast: f, fset: fset,
		})
		return nil
	})
	return all, err
})

// production gives the directories of the packages that the daemon is made of: all
// that cmd/milterd imports, and what that imports.
func production(t *testing.T) map[string]bool {
	t.Helper()
	imports := map[string][]string{}
	for _, s := range sources(t) {
		if !s.test {
			imports[s.dir] = append(imports[s.dir], s.ours()...)
		}
	}
	in := map[string]bool{}
	var visit func(dir string)
	visit = func(dir string) {
		if in[dir] {
			return
		}
		in[dir] = true
		for _, next := range imports[dir] {
			visit(next)
		}
	}
	visit("cmd/milterd")
	if len(in) < 15 {
		t.Fatalf("only %d packages below cmd/milterd: %v", len(in), slices.Sorted(maps.Keys(in)))
	}
	return in
}

// banned are packages that a mail filter must not lean on, and why.
var banned = map[string]string{
	"os/exec":        "milterd starts no child process",
	"plugin":         "rules are data, not programs",
	"net/mail":       "it refuses what people send and repairs what nobody sent: use message and mime",
	"net/textproto":  "it changes header fields while it reads them: use message and mime",
	"mime/multipart": "it stops at the first oddity and has no budgets: use mime",
	"log":            "log/slog, handed in",
	"math/rand":      "randomness is handed in",
	"math/rand/v2":   "randomness is handed in",
}

// spawners are the ways to a child process that need no os/exec.
var spawners = map[string]bool{
	"os.StartProcess": true, "syscall.ForkExec": true, "syscall.StartProcess": true, "syscall.Exec": true, "unix.Exec": true,
}

func TestProduction(t *testing.T) {
	daemon := production(t)
	for _, s := range sources(t) {
		if s.test || !daemon[s.dir] {
			continue
		}
		for _, i := range s.imports() {
			if why, is := banned[i]; is {
				t.Errorf("%s imports %s: %s", s.path(), i, why)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: an init function, expected what it does where it is needed", s.pos(n))
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && spawners[pkg.Name+"."+n.Sel.Name] {
					t.Errorf("%s: %s.%s: milterd starts no child process", s.pos(n), pkg.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
}

// maxLines is where a file has become two.
const maxLines = 500

func TestFiles(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && s.lines > maxLines {
			t.Errorf("%s has %d lines, expected at most %d: what are its two subjects?", s.path(), s.lines, maxLines)
		}
		switch strings.TrimSuffix(s.file, ".go") {
		case "util", "utils", "common", "helpers", "misc":
			t.Errorf("%s: a name that says nothing", s.path())
		}
	}
}

// TestPackageComments wants each package introduced, once.
func TestPackageComments(t *testing.T) {
	comments, names := map[string][]string{}, map[string]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		names[s.dir] = s.ast.Name.Name
		if s.ast.Doc == nil {
			continue
		}
		comments[s.dir] = append(comments[s.dir], s.file)
		want := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			want = "Command " + path.Base(s.dir) + " "
		}
		if !strings.HasPrefix(s.ast.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not begin with %q", s.path(), want)
		}
	}
	for dir, name := range names {
		switch files := comments[dir]; {
		case len(files) == 0:
			t.Errorf("%s: package %s has no package comment", dir, name)
		case len(files) > 1:
			t.Errorf("%s: package comments in %v, expected one", dir, files)
		}
	}
}
