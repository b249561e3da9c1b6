// Command budgets reads what a bench run measured, holds it against the budgets
// of the project, and prints the tables of docs/performance.md:
//
//	budgets [-into FILE] RESULTS [RESULTS-WITH-LATE-DNS]
//
// RESULTS is a folder that the outer harness wrote: one JSON report a row, number
// of sessions and repetition, startup.txt, versions.txt. With -into the tables
// replace what stands between the lines "<!-- measured" and "<!-- end -->" of FILE.
// A budget that was missed is printed as missed, and is no error: the figure is
// the news. Exit code 1 is for results that cannot be read.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	into := flag.String("into", "", "the document whose measured part is replaced")
	flag.Parse()
	if err := run(os.Stdout, *into, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "budgets:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, into string, folders []string) error {
	if len(folders) < 1 || len(folders) > 2 {
		return errors.New("expected one or two folders of results")
	}
	prompt, err := readResults(folders[0])
	if err != nil {
		return err
	}
	late := &results{}
	if len(folders) == 2 {
		if late, err = readResults(folders[1]); err != nil {
			return err
		}
	}
	text := report(prompt, late)
	if into == "" {
		_, err := io.WriteString(w, text)
		return err
	}
	document, err := os.ReadFile(into)
	if err != nil {
		return err
	}
	replaced, err := replaceMeasured(string(document), text)
	if err != nil {
		return fmt.Errorf("%s: %w", into, err)
	}
	return os.WriteFile(into, []byte(replaced), 0o644)
}

// replaceMeasured puts text between the line that begins with "<!-- measured" and
// the next line "<!-- end -->".
func replaceMeasured(document, text string) (string, error) {
	_, rest, found := strings.Cut(document, "\n<!-- measured")
	if !found {
		return "", errors.New(`there is no line that begins with "<!-- measured"`)
	}
	before := document[:len(document)-len(rest)]
	opening, rest, _ := strings.Cut(rest, "\n")
	at := strings.Index("\n"+rest, "\n<!-- end -->")
	if at < 0 {
		return "", errors.New(`no line "<!-- end -->" follows the line "<!-- measured"`)
	}
	return before + opening + "\n\n" + strings.TrimSpace(text) + "\n\n" + rest[at:], nil
}
