package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestProgress: lines of a command that works before somebody's eyes stand by
// themselves, and the bar is gone at the end. A pipe sees no bar.
func TestProgress(t *testing.T) {
	var terminal bytes.Buffer
	g := &globals{stdout: &terminal, stderr: &terminal}
	bar := g.drawProgress("scanned", 1000, &terminal)
	bar.Add(500)
	terminal.WriteString("|") // where the bar ended
	for _, line := range []string{"one.eml: accept\n", "two.eml: reject\n"} {
		if _, err := g.stdout.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	bar.Close()
	bar.Close()
	if g.stdout != &terminal || g.stderr != &terminal {
		t.Error("the streams are not given back")
	}
	for _, line := range []string{"one.eml: accept\n", "two.eml: reject\n"} {
		before, _, found := strings.Cut(terminal.String(), line)
		if !found || !strings.HasSuffix(before, "\r") && !strings.HasSuffix(before, "\n") {
			t.Errorf("%q does not begin a line of its own in %q", line, terminal.String())
		}
	}
	if !strings.Contains(terminal.String(), "scanned") {
		t.Errorf("no bar in %q", terminal.String())
	}

	var pipe bytes.Buffer
	g = &globals{stdout: &pipe, stderr: &pipe}
	silent := g.newProgress("scanned", 1000)
	silent.Add(500)
	silent.Close()
	if pipe.Len() > 0 {
		t.Errorf("a pipe sees %q", pipe.String())
	}
}
