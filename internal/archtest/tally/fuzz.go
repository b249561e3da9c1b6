package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A target is one fuzz test.
type target struct{ dir, name string }

// A spell is what was spent on a target.
type spell struct {
	seconds float64 // of CPU, of the fuzzer and its workers, without building
	runs    int64
}

// fuzz gives every fuzz target below the working directory so much time, one after
// the other, and adds what that took to a ledger: a line a target, with tabs between
// package, name, seconds of CPU and runs.
func fuzz(w io.Writer, ledger, each string) error {
	targets, err := findTargets(".")
	if err != nil {
		return err
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		return err
	}
	binary, err := filepath.Abs("bin/fuzz.test")
	if err != nil {
		return err
	}
	defer os.Remove(binary)
	bad, built := 0, ""
	for _, t := range targets {
		if built != t.dir {
			built = t.dir
			if out, err := exec.Command("go", "test", "-c", "-fuzz", ".", "-o", binary, "./"+t.dir).CombinedOutput(); err != nil {
				return fmt.Errorf("building %s: %w\n%s", t.dir, err, out)
			}
		}
		s, out, failed := t.run(binary, each, filepath.Join(strings.TrimSpace(string(cache)), "fuzz", "milterd", t.dir))
		if failed != nil {
			bad++
			fmt.Fprintf(w, "%s\nFAIL  %s %s: %v\n", out, t.dir, t.name, failed)
		} else {
			fmt.Fprintf(w, "ok    %-30s %-22s %8.1fs of CPU %12d runs\n", t.dir, t.name, s.seconds, s.runs)
		}
		if err := enter(ledger, t, s); err != nil {
			return err
		}
	}
	if bad > 0 || len(targets) == 0 {
		return fmt.Errorf("%d of %d targets failed", bad, len(targets))
	}
	return nil
}

var fuzzTest = regexp.MustCompile(`(?m)^func (Fuzz\w*)\(`)

// findTargets gives those of all packages, in the order of packages.
func findTargets(root string) ([]target, error) {
	var all []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		for _, m := range fuzzTest.FindAllSubmatch(text, -1) {
			all = append(all, target{filepath.ToSlash(dir), string(m[1])})
		}
		return err
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.dir+" "+a.name, b.dir+" "+b.name) })
	return all, err
}

var runsSoFar = regexp.MustCompile(`execs: (\d+)`)

// run fuzzes one target. What it finds it writes below testdata/fuzz of the package.
func (t target) run(binary, each, cache string) (s spell, out []byte, err error) {
	cmd := exec.Command(binary, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzztime="+each, "-test.fuzzcachedir="+cache)
	cmd.Dir = t.dir
	out, err = cmd.CombinedOutput()
	if cmd.ProcessState != nil {
		s.seconds = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	if m := runsSoFar.FindAllSubmatch(out, -1); len(m) > 0 {
		s.runs, _ = strconv.ParseInt(string(m[len(m)-1][1]), 10, 64)
	}
	// The end of its time is at times an error to the fuzzer itself. A finding names
	// its input.
	if err != nil && bytes.Contains(out, []byte("    context deadline exceeded\n")) && !bytes.Contains(out, []byte("Failing input written")) {
		err = nil
	}
	return s, out, err
}

// enter adds a spell to a target's line in the ledger.
func enter(ledger string, t target, s spell) error {
	text, err := os.ReadFile(ledger)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 4 {
			return fmt.Errorf("%s: %q, expected package, target, seconds, runs", ledger, line)
		}
		if fields[0] != t.dir || fields[1] != t.name {
			lines = append(lines, strings.Join(fields, "\t"))
			continue
		}
		seconds, err1 := strconv.ParseFloat(fields[2], 64)
		runs, err2 := strconv.ParseInt(fields[3], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return fmt.Errorf("%s: %w", ledger, err)
		}
		s = spell{s.seconds + seconds, s.runs + runs}
	}
	lines = append(lines, fmt.Sprintf("%s\t%s\t%.1f\t%d", t.dir, t.name, s.seconds, s.runs))
	slices.Sort(lines)
	var b bytes.Buffer
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return os.WriteFile(ledger, b.Bytes(), 0o644)
}
