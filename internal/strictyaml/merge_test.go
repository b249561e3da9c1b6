package strictyaml

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func mustParse(t *testing.T, file, src string) *Node {
	t.Helper()
	n, err := Parse(file, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func origin(p Pos) string { return p.String() }

func TestMerge(t *testing.T) {
	main := mustParse(t, "main", "a: 1\nlist: [1, 2]\nm: {x: 1, y: {z: 2}}\nkeep: k\nshape: {a: 1}\n")
	over := mustParse(t, "over", "list: [3]\nm: {y: {z: 5, w: 6}}\nkeep:\nnew: n\nshape: s\n")
	merged := Merge(main, mustParse(t, "empty", "# nothing"), over)
	got, err := merged.Write(origin)
	if err != nil {
		t.Fatal(err)
	}
	want := `a: 1 # main:1:4
list: [3] # over:1:7
m:
  x: 1 # main:3:8
  y:
    z: 5 # over:2:12
    w: 6 # over:2:18
keep: k # main:4:7
shape: s # over:5:8
new: n # over:4:6
`
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, doc := range []*Node{main, over} {
		again := Merge(doc)
		first, _ := doc.Write(origin)
		second, _ := again.Write(origin)
		if string(first) != string(second) || strings.Contains(string(first), "main") == strings.Contains(string(first), "over") {
			t.Errorf("a document was changed by merging:\n%s", first)
		}
	}
	if n := Merge(); n.Kind() != Null {
		t.Errorf("nothing merged is %v", n.Kind())
	}
	if out, err := Merge().Write(nil); err != nil || len(out) != 0 {
		t.Errorf("nothing is printed as %q, %v", out, err)
	}
}

func TestMergedErrorsNameTheirFile(t *testing.T) {
	n := Merge(mustParse(t, "main", "door:\n  width: x\n"), mustParse(t, "over", "door: {hight: 1}\nfloors: y"), mustParse(t, "$ENV", "z").Under("door", "height"))
	h := defaultHouse()
	got := strings.Split(fmt.Sprint(n.Decode(&h)), "\n")
	want := []string{"$ENV:1:1: door.height: ", "main:2:10: door.width: ", "over:1:8: door.hight: ", "over:2:9: floors: "}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %s, want %s", got[i], want[i])
		}
	}
}

func TestWriteIsReadBack(t *testing.T) {
	const src = "a: 'true'\nb: \"1\"\nc: off\n'1': x\n'<<': y\n'null': z\n\"k: k\": '# no comment'\nd: |\n  two\n  lines\ne: [a, 'b, c', \"\"]\nf: []\ng: {}\nh: [{a: 1}, [b]]\ni:\nj: \"\\e\\0\"\nk: a, b\nl: '- x'\n"
	first := mustParse(t, "f", src)
	printed, err := first.Write(origin)
	if err != nil {
		t.Fatal(err)
	}
	if !sameTree(first.raw, mustParse(t, "f", string(printed)).raw) {
		t.Errorf("printed as another tree:\n%s", printed)
	}
}

// sameTree compares but for positions.
func sameTree(a, b *node) bool {
	if a.kind != b.kind || a.raw != b.raw || len(a.items) != len(b.items) || len(a.keys) != len(b.keys) {
		return false
	}
	for i := range a.keys {
		if a.keys[i].name != b.keys[i].name {
			return false
		}
	}
	for i := range a.items {
		if !sameTree(a.items[i], b.items[i]) {
			return false
		}
	}
	return true
}

func expander(env map[string]string) Expander {
	return Expander{
		Env:  func(name string) (string, bool) { value, set := env[name]; return value, set },
		File: ReadFile,
	}
}

func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"secret": "hunter2\n", "windows": "x\r\n", "lines": "a\nb\n\n", "empty": "", "port": "25"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"CREDENTIALS_DIRECTORY": dir, "NAME": "mx", "EMPTY": "", "TRICK": "${file:secret}", "ON": "true", "N": "7"}
	for in, want := range map[string]string{
		"plain":          "plain",
		"${env:NAME}":    "mx",
		"${env:EMPTY}":   "",
		"a${env:NAME}b":  "amxb",
		"${file:secret}": "hunter2",
		"${file:${env:CREDENTIALS_DIRECTORY}/secret}":   "hunter2",
		"redis://:${file:secret}@${env:NAME}:6379/${x$": "redis://:hunter2@mx:6379/${x$",
		"${file:windows}":        "x",
		"${file:lines}":          "a\nb\n",
		"${file:empty}":          "",
		"${env:TRICK}":           "${file:secret}", // what came in is not read again
		"$${env:NAME}":           "${env:NAME}",
		"$$${env:NAME}":          "$${env:NAME}",
		"$${file:secret}":        "${file:secret}",
		"$ $$ $5 ${ ${1} ${a b}": "$ $$ $5 ${ ${1} ${a b}",
		"^foo$":                  "^foo$",
		"${":                     "${",
	} {
		n := mustParse(t, filepath.Join(dir, "f.yaml"), fmt.Sprintf("a: %q\nb: [%q]\n", in, in))
		if err := n.Expand(expander(env)); err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		for _, at := range []*Node{n.Key("a"), n.Key("b").Item(0)} {
			if got, _ := at.Text(); got != want {
				t.Errorf("%s: got %q, want %q", in, got, want)
			}
		}
	}
	// What comes in is read as its key needs it, with quotes around the form or without.
	var h house
	n := mustParse(t, filepath.Join(dir, "f.yaml"), "lit: ${env:ON}\nfloors: '${env:N}'\nname: ${env:ON}\nwait: ${env:N}s\n")
	if err := n.Expand(expander(env)); err != nil {
		t.Fatal(err)
	}
	if err := n.Decode(&h); err != nil || !h.Lit || h.Floors != 7 || h.Name != "true" || h.Wait.Seconds() != 7 {
		t.Errorf("got %v %d %q %v, %v", h.Lit, h.Floors, h.Name, h.Wait, err)
	}
}

func TestExpandErrors(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"large": strings.Repeat("x", MaxSecret+1), "binary": "\xff\xfe", "nul": "a\x00b", "most": strings.Repeat("x", MaxSecret)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"${env:NOPE}":          `the environment has no "NOPE", expected it set`,
		"${env:}":              `the environment has no "", expected it set`,
		"${env:NOPE":           "${env: has no end, expected }",
		"${file:x${env:NOPE}":  "${file: has no end, expected }",
		"${enf:NOPE}":          "${enf: is not known, expected ${env:NAME} or ${file:PATH} (a literal ${ is written $${)",
		"${HOME}":              "${HOME} is not known, expected ${env:NAME} or ${file:PATH} (a literal ${ is written $${)",
		"${env}":               "${env} is not known, expected ${env:NAME} or ${file:PATH} (a literal ${ is written $${)",
		"${file:}":             "${file:} names no file, expected ${file:PATH}",
		"${file:none}":         "open DIR/none: no such file or directory, expected a readable file",
		"${file:.}":            "read DIR: not a regular file, expected a readable file",
		"${file:pipe}":         "read DIR/pipe: not a regular file, expected a readable file",
		"${file:large}":        "read DIR/large: larger than 64KiB, expected a readable file",
		"${file:binary}":       "DIR/binary holds bytes that are not text, expected UTF-8",
		"${file:nul}":          "DIR/nul holds bytes that are not text, expected UTF-8",
		"${file:${file:most}}": "${file: is not known, expected ${env:NAME} (a literal ${ is written $${)",
		"${file:a${env:NOPE}}": `the environment has no "NOPE", expected it set`,
		"${abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz}": "${abcdefghijklmnopqrstuvwxyzabcdefghijklmn} is not known, expected ${env:NAME} or ${file:PATH} (a literal ${ is written $${)",
		strings.Repeat("${file:most}", 65):                        "more than 4MiB behind it, expected less",
	} {
		n := mustParse(t, filepath.Join(dir, "f.yaml"), fmt.Sprintf("a: 1\nb: {c: %q}\n", in))
		err := n.Expand(expander(nil))
		if got, want := strings.ReplaceAll(fmt.Sprint(err), dir, "DIR"), "DIR/f.yaml:2:8: b.c: "+want; got != want {
			t.Errorf("%.60s:\ngot  %s\nwant %s", in, got, want)
		}
	}
}

// TestNoErrorShowsASecret puts one secret behind keys of every type and looks for it in what is printed.
func TestNoErrorShowsASecret(t *testing.T) {
	const secret = "hunter2"
	keys := Keys(house{})
	var src strings.Builder
	for _, key := range keys {
		if !strings.Contains(key, ".") {
			fmt.Fprintf(&src, "%s: ${env:S}\n", key)
		}
	}
	n := mustParse(t, "f", src.String())
	if err := n.Expand(expander(map[string]string{"S": secret})); err != nil {
		t.Fatal(err)
	}
	var h house
	err := n.Decode(&h)
	if err == nil || strings.Contains(err.Error(), secret) || strings.Count(err.Error(), "\n") < 15 {
		t.Errorf("want an error for most keys and the secret in none: %v", err)
	}
	if out, err := n.Write(nil); err != nil || strings.Contains(string(out), secret) || !strings.Contains(string(out), "${env:S}") {
		t.Errorf("printed %s, %v", out, err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("four"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFile(path, 4); err != nil || string(got) != "four" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := ReadFile(path, 3); err == nil {
		t.Error("a file larger than allowed was read")
	}
	if _, err := ReadFile(path+"x", 3); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v, want %v", err, fs.ErrNotExist)
	}
}
