package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzDecode reads anything into a struct with a field of every kind. Whatever it is: each error is one
// line and points into the file, the same text gives the same result, and what was understood can be printed and read back.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"", "a: 1", "name: x\nfloors: 3\nnets: [10.0.0.0/8]\n", "door: &d {width: 2, height: 4}\nback: {<<: *d}\n", "rooms: [hall, {name: bath}]\n",
		"a: &a [*a]", "{{{{{{", "[[[[[[", "- - - - -", "? ? ?", "a: b: c", "\ta: 1", "a: 'x", "a: \"\\q", "%YAML 1.1\n---\na: 1\n", "a: 1\n---\nb: 2", "!!binary x", "&a *a",
		"a: |\n x\n y\n", "<<: 1", "<<: [*a]", "a: 1\na: 2", "size: 1MiB\nwait: 1h\nperm: 0640\nlit: off", "checks: {spf: , dkim: []}", "\xef\xbb\xbfa: 1", "a: \x00", "a: \xff", "a: 1\r\nb: 2\r",
		"name: ${env:A}", "name: ${file:${env:A}}", "? {a: 1}\n: 2", "a:\n  - b\n c: d\n", "#\n#\n#", "wait: 999999999999999999999d", "scores: {a: 1e999}", "\u2028: 1", "a: !<x> y", "a: *",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		h := defaultHouse()
		err := Decode("f", src, &h)
		checkErrors(t, src, err)
		again := defaultHouse()
		if second := Decode("f", src, &again); fmt.Sprint(second) != fmt.Sprint(err) {
			t.Errorf("first %v\nthen  %v", err, second)
		}
		if err == nil && h.Floors == 2 && !reflect.DeepEqual(h.Nets, defaultHouse().Nets) && !strings.Contains(string(src), "nets") && !strings.Contains(string(src), `\`) {
			t.Errorf("nets changed to %v without being mentioned", h.Nets)
		}
		n, err := Parse("f", src)
		if err != nil {
			return
		}
		printed, err := n.Write(nil)
		if err != nil {
			t.Fatalf("printing: %v", err)
		}
		back, err := Parse("f", printed)
		if err != nil || !sameTree(n.raw, back.raw) {
			t.Errorf("%q is printed as %q, which is another tree: %v", src, printed, err)
		}
	})
}

// checkErrors demands that every error can be found in an editor.
func checkErrors(t *testing.T, src []byte, err error) {
	t.Helper()
	if err == nil {
		return
	}
	errs, ok := errors.AsType[Errors](err)
	if !ok || len(errs) == 0 || len(errs) > 2*maxErrors {
		t.Fatalf("error of type %T with %d parts", err, len(errs))
	}
	lines := strings.Split(strings.TrimPrefix(string(src), "\uFEFF"), "\n")
	for _, e := range errs {
		if len(src) > MaxBytes {
			continue
		}
		if e.Pos.File != "f" || e.Pos.Line < 1 || e.Pos.Line > len(lines) || e.Pos.Col < 1 || e.Pos.Col > utf8.RuneCountInString(lines[e.Pos.Line-1])+1 {
			t.Errorf("%v does not point into the file of %d lines", e, len(lines))
		}
		if text := e.Error(); strings.ContainsAny(text, "\n\r\x1b\x00") || len(text) > 2000 || !utf8.ValidString(text) {
			t.Errorf("not a line to be printed: %q", text)
		}
	}
	if !slices.IsSortedFunc(errs, func(a, b *Error) int {
		return (a.Pos.Line-b.Pos.Line)*1_000_000 + a.Pos.Col - b.Pos.Col
	}) {
		t.Errorf("not sorted:\n%v", errs)
	}
}

// FuzzExpand reads values with ${...}: no form survives unnoticed, and nothing of ours gets in but by a form.
func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"${env:A}", "${file:x}", "${file:${env:A}/x}", "$${env:A}", "$$", "${", "${}", "${env:", "${file:${file:x}}", "${env:${env:A}}", "${x", "$${", "$$${env:A}", "a}b${env:A}}", "${enV:A}", "${env}"} {
		f.Add(seed)
	}
	const secret = "\x01S\x01"
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) || strings.Contains(value, secret) {
			return
		}
		asked := 0
		n := &Node{&node{kind: Scalar, raw: value, text: value, pos: Pos{"dir/f", 1, 1}}, nil, nil}
		err := n.Expand(Expander{
			Env: func(name string) (string, bool) { asked++; return secret, name == "A" },
			File: func(path string, most int64) ([]byte, error) {
				asked++
				if !strings.HasPrefix(path, "dir") && !strings.HasPrefix(path, "/") && !strings.Contains(value, "..") {
					t.Errorf("%q was asked for, which is not beside the file", path)
				}
				return []byte(secret), nil
			},
		})
		got, _ := n.Text()
		switch {
		case err != nil && n.Kind() != Null:
			t.Errorf("%q failed and became %q", value, got)
		case err == nil && asked == 0 && strings.ReplaceAll(value, "$${", "${") != got:
			t.Errorf("%q became %q, though nothing was asked for", value, got)
		case err == nil && (asked > 0) != strings.Contains(got, secret):
			t.Errorf("%q became %q after %d questions", value, got, asked)
		case err == nil && strings.Contains(value, "${env:A}") && !strings.Contains(value, "$$") && asked == 0:
			t.Errorf("%q became %q", value, got)
		case err != nil && strings.Contains(err.Error(), "\x01"):
			t.Errorf("the error shows the secret: %v", err)
		}
	})
}
