package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of "go test -json" (go doc test2json).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string // the package that did not compile
}

// reader follows the events of several packages, which come interleaved.
type reader struct {
	w      io.Writer
	output map[string][]string // by package and test; by import path for builds
	inner  map[string]bool     // tests that have subtests
	bad    map[string]bool     // packages and tests in which something failed
	tests  map[string]int      // of each package
	all    []result
}

// read prints what people must see and returns one result a test.
func read(w io.Writer, from io.Reader) []result {
	r := &reader{w: w, output: map[string][]string{}, inner: map[string]bool{}, bad: map[string]bool{}, tests: map[string]int{}}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(w, lines.Text())
			continue
		}
		r.event(&e)
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintf(w, "FAIL  the output of go test cannot be read: %v\n", err)
		r.all = append(r.all, result{"go test -json", failed})
	}
	return r.all
}

func (r *reader) event(e *event) {
	key := name(e.Package, e.Test)
	switch e.Action {
	case "run":
		if parent, _, sub := cutLast(e.Test); sub {
			r.inner[name(e.Package, parent)] = true
		}
	case "build-output":
		r.output[e.ImportPath] = append(r.output[e.ImportPath], e.Output)
	case "output":
		if e.Test == "" && e.Package != "" {
			r.aside(e.Output)
		}
		r.output[key] = append(r.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.ended(e)
		} else {
			r.test(e, key)
		}
		delete(r.output, key)
	}
}

// aside shows what a package says outside of its tests, but for go test's own
// words: what could not be tested, how many assertions there were.
func (r *reader) aside(line string) {
	for _, own := range []string{"PASS", "FAIL", "ok  \t", "?   \t", "---", "===", "coverage:", "testing:"} {
		if strings.HasPrefix(line, own) {
			return
		}
	}
	if strings.TrimSpace(line) != "" {
		fmt.Fprint(r.w, "      ", line)
	}
}

func (r *reader) test(e *event, key string) {
	counts := !r.inner[key]
	switch e.Action {
	case "fail":
		if parent, _, sub := cutLast(e.Test); sub {
			r.bad[name(e.Package, parent)] = true
		}
		counts = counts || !r.bad[key] // it failed by itself, outside of its subtests
		r.bad[e.Package] = true
		fmt.Fprintf(r.w, "%sFAIL  %s\n", strings.Join(r.output[key], ""), key)
	case "skip":
		if counts {
			fmt.Fprintf(r.w, "SKIP  %s: %s\n", key, r.reason(key))
		}
	}
	if counts {
		r.tests[e.Package]++
		r.all = append(r.all, result{key, status(e.Action)})
	}
}

// reason is what a skipped test said last.
func (r *reader) reason(key string) string {
	for _, line := range slices.Backward(r.output[key]) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

// ended closes a package.
func (r *reader) ended(e *event) {
	switch {
	case e.Action == "pass":
		fmt.Fprintf(r.w, "ok    %-44s %6.1fs %6d tests\n", e.Package, e.Elapsed, r.tests[e.Package])
	case e.Action == "fail" && !r.bad[e.Package]: // it does not compile, or it ended in the middle
		fmt.Fprintf(r.w, "%s%sFAIL  %s\n", strings.Join(r.output[e.FailedBuild], ""), strings.Join(r.output[e.Package], ""), e.Package)
		r.all = append(r.all, result{e.Package, failed})
	}
}

func name(pkg, test string) string {
	if test == "" {
		return pkg
	}
	return pkg + "." + test
}

// cutLast splits a subtest's name from its parent's.
func cutLast(test string) (parent, child string, ok bool) {
	i := strings.LastIndexByte(test, '/')
	if i < 0 {
		return "", "", false
	}
	return test[:i], test[i+1:], true
}
