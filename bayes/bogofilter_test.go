package bayes

import (
	"bytes"
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// bogofilter does as crossValidate with the program of that name, in mboxes. It
// returns nil where there is none.
func bogofilter(t *testing.T, all []*mail, folds []int) []judged {
	t.Helper()
	if _, err := exec.LookPath("bogofilter"); errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	run := func(input []byte, args ...string) string {
		cmd := exec.CommandContext(t.Context(), "bogofilter", args...)
		cmd.Stdin = bytes.NewReader(input)
		out, err := cmd.Output()
		if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 2) { // 0, 1, 2: spam, ham, unsure
			t.Fatalf("bogofilter %v: %v", args, err)
		}
		return string(out)
	}
	var out []judged
	for _, k := range folds {
		dir := t.TempDir()
		var ham, spam, test []*mail
		for _, m := range all {
			switch {
			case m.fold == k:
				test = append(test, m)
			case m.spam:
				spam = append(spam, m)
			default:
				ham = append(ham, m)
			}
		}
		run(mbox(ham), "-d", dir, "-M", "-n")
		run(mbox(spam), "-d", dir, "-M", "-s")
		lines := strings.Fields(run(mbox(test), "-d", dir, "-M", "-TT"))
		if len(lines) != len(test) {
			t.Fatalf("bogofilter answers %d of %d messages", len(lines), len(test))
		}
		for i, m := range test {
			score, err := strconv.ParseFloat(lines[i], 64)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, judged{m, score})
		}
	}
	return out
}

func mbox(mails []*mail) []byte {
	var b bytes.Buffer
	for _, m := range mails {
		b.WriteString("From x Thu Jan  1 00:00:00 2004\n")
		for line := range bytes.Lines(m.raw) {
			if bytes.HasPrefix(line, []byte("From ")) {
				b.WriteByte('>')
			}
			b.Write(line)
		}
		b.WriteString("\n\n")
	}
	return b.Bytes()
}

// newsletter says whether a ham is one of the collection's commercial ones.
func newsletter(m *mail) bool { return strings.HasPrefix(m.name, "hard-ham") }
