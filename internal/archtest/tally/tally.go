// Command tally runs the steps of "make test" and counts what they say.
//
//	tally step NAME COMMAND...    one check: passed when the command ends with 0
//	tally tests NAME COMMAND...   a "go test -json": every test counts
//	tally sum                     the closing line, and an exit code to match
//	tally fuzz LEDGER TIME        every fuzz target for so long, CPU time noted
//
// The first two end with 0 whatever happened, so that one failure does not hide
// the next, and leave their results in bin/tally.jsonl for the last. A test that
// ran in two steps counts once: failed when it failed in either, skipped when it
// ran in neither. Tests made of subtests count as those. What failed is printed
// with its output, what was skipped with its reason.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// resultsFile is where the steps leave their results, one JSON object a line.
const resultsFile = "bin/tally.jsonl"

// A result is what became of one test or step.
type result struct {
	Name   string `json:"name"` // package and test, or the step
	Status status `json:"status"`
}

type status string

const (
	passed  status = "pass"
	failed  status = "fail"
	skipped status = "skip"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: tally step NAME COMMAND... | tally tests NAME COMMAND... | tally sum | tally fuzz LEDGER TIME")

func run(args []string, w io.Writer) error {
	switch {
	case len(args) >= 3 && args[0] == "step":
		r := []result{step(w, args[1], args[2:])}
		return remember(r)
	case len(args) >= 3 && args[0] == "tests":
		return remember(tests(w, args[1], args[2:]))
	case len(args) == 1 && args[0] == "sum":
		return sum(w)
	case len(args) == 3 && args[0] == "fuzz":
		return fuzz(w, args[1], args[2])
	}
	return errUsage
}

// step runs one command, whose output is shown when it fails.
func step(w io.Writer, name string, argv []string) result {
	began := time.Now()
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		fmt.Fprintf(w, "%s\nFAIL  %s: %v\n", out.Bytes(), name, err)
		return result{name, failed}
	}
	fmt.Fprintf(w, "ok    %-44s %6.1fs\n", name, time.Since(began).Seconds())
	return result{name, passed}
}

// tests runs a "go test -json" and reads along.
func tests(w io.Writer, name string, argv []string) []result {
	fmt.Fprintf(w, "==    %s\n", name)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = w
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(w, "FAIL  %s: %v\n", name, err)
		return []result{{name, failed}}
	}
	all := read(w, stdout)
	err = cmd.Wait()
	switch bad := count(all)[failed]; {
	case err != nil && bad == 0:
		fmt.Fprintf(w, "FAIL  %s: %v, though no test says why\n", name, err)
		all = append(all, result{name, failed})
	case len(all) == 0:
		fmt.Fprintf(w, "FAIL  %s: not one test ran\n", name)
		all = append(all, result{name, failed})
	}
	return all
}

func remember(all []result) (err error) {
	f, err := os.OpenFile(resultsFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	enc := json.NewEncoder(f)
	for _, r := range all {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

var errFailed = errors.New("not everything passed")

// sum prints the closing line.
func sum(w io.Writer) error {
	f, err := os.Open(resultsFile)
	if err != nil {
		return err
	}
	defer f.Close()
	var all []result
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		all = append(all, r)
	}
	n := count(all)
	fmt.Fprintln(w, closing(n))
	if n[failed] > 0 || n[passed] == 0 {
		return errFailed
	}
	return nil
}

// count gives the number of distinct names for each status.
func count(all []result) map[status]int {
	rank := map[status]int{skipped: 1, passed: 2, failed: 3}
	of := map[string]status{}
	for _, r := range all {
		if rank[r.Status] > rank[of[r.Name]] {
			of[r.Name] = r.Status
		}
	}
	n := map[status]int{}
	for _, s := range of {
		n[s]++
	}
	return n
}

func closing(n map[status]int) string {
	line := fmt.Sprintf("%d passed, %d failed", n[passed], n[failed])
	if n[skipped] > 0 {
		line += fmt.Sprintf(", %d skipped", n[skipped])
	}
	return line
}
