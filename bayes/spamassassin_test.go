package bayes

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"milterd/internal/spamassassin/tokens"
)

// spamassassin is one with a memory of its own.
type spamassassin struct {
	config string // a folder
	t      *testing.T
}

// newSpamassassin returns one that has learned mail, nil where none is installed.
func newSpamassassin(t *testing.T, taught []*mail) *spamassassin {
	t.Helper()
	const tlds = "/usr/share/spamassassin/20_aux_tlds.cf"
	if _, err := os.Stat(tlds); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	s := &spamassassin{t.TempDir(), t}
	s.write("init.pre", "loadplugin Mail::SpamAssassin::Plugin::Bayes\n")
	s.write("local.cf", "bayes_path "+filepath.Join(t.TempDir(), "bayes")+"\nbayes_auto_expire 0\n")
	for _, name := range []string{tlds, "/usr/share/spamassassin/60_bayes_stopwords.cf"} {
		if err := os.Symlink(name, filepath.Join(s.config, filepath.Base(name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, spam := range []bool{true, false} {
		dir := t.TempDir()
		for i, m := range taught {
			if m.spam == spam {
				if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), m.raw, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.learn(map[bool]string{true: "--spam", false: "--ham"}[spam], "--no-sync", "--dir", dir)
	}
	s.learn("--sync")
	return s
}

func (s *spamassassin) write(name, text string) {
	if err := os.WriteFile(filepath.Join(s.config, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *spamassassin) learn(args ...string) []byte {
	s.t.Helper()
	return s.run("sa-learn", append([]string{"-L", "-C", s.config, "--siteconfigpath=" + s.config, "-p", "/dev/null"}, args...)...)
}

func (s *spamassassin) run(name string, args ...string) []byte {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), name, args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		s.t.Fatalf("%s: %v: %s", name, err, exit.Stderr)
	} else if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// judge asks it itself. It has no opinion while it knows fewer than 200 messages of a
// class; then all scores are alike.
func (s *spamassassin) judge(mails []*mail) []judged {
	s.t.Helper()
	dir, args, of := s.t.TempDir(), []string{"../internal/spamassassin/tokens/testdata/bayes.pl", "probability", s.config}, map[string]*mail{}
	for i, m := range mails {
		name := filepath.Join(dir, strconv.Itoa(i))
		if err := os.WriteFile(name, m.raw, 0o644); err != nil {
			s.t.Fatal(err)
		}
		of[name] = m
		args = append(args, name)
	}
	var out []judged
	for line := range bytes.Lines(s.run("perl", args...)) {
		p, name, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		score, err := strconv.ParseFloat(p, 64)
		if err != nil {
			score = 0.5
		}
		out = append(out, judged{of[name], score})
	}
	if len(out) != len(mails) {
		s.t.Fatalf("SpamAssassin answers %d of %d messages", len(out), len(mails))
	}
	return out
}

// TestImportTable prints what the memory of a SpamAssassin that was taught one half of
// the mail is worth on the other half: to itself, and to us, alone and beside lessons.
func TestImportTable(t *testing.T) {
	if os.Getenv("MILTERD_ACCURACY") == "" {
		t.Skip("make accuracy runs this")
	}
	all := corpus(t)
	deal(all, 2, tableSeed)
	taught, asked := fold(all, 0), fold(all, 1)
	fmt.Println("\n| SpamAssassin was taught | then we were taught, of each class | who is asked | (1-AUC) | spam from 0.95 up | ham from 0.95 up |\n|---|---|---|---|---|---|")
	for _, sample := range []struct {
		name  string
		mails []*mail
	}{{"100 of each class", ofEach(taught, 100)}, {"half of the mail", taught}} {
		s := newSpamassassin(t, sample.mails)
		if s == nil {
			t.Skip("*** NOT TESTED: SpamAssassin is not installed; integration/install.sh installs it ***")
		}
		row := func(lessons int, who string, out []judged, from float64) {
			fmt.Printf("| %s | %d | %s | %.3f %% | %.1f %% | %.2f %% |\n", sample.name, lessons, who, figuresOf(out, nil).inverted, above(out, true, from), above(out, false, from))
		}
		row(0, "SpamAssassin", s.judge(asked), 0.95)
		b, err := tokens.ReadBackup(bytes.NewReader(s.learn("--backup")))
		if err != nil || b.Unread > 0 {
			t.Fatal(err, b)
		}
		for _, lessons := range []int{0, 5, 20, 100, 400} {
			c := newClassifier(t)
			imported(t, c, "", b)
			teach(t, c, "", ofEach(taught, lessons)...)
			row(lessons, "milterd", importJudges(t, c, asked), math.Log(0.95/0.05))
		}
	}
}

// ofEach returns the first n messages of each class.
func ofEach(all []*mail, n int) (some []*mail) {
	count := map[bool]int{}
	for _, m := range all {
		if count[m.spam]++; count[m.spam] <= n {
			some = append(some, m)
		}
	}
	return some
}

// above is how much of a class scores as much or more, in percent.
func above(all []judged, spam bool, score float64) float64 {
	n, of := 0, 0
	for _, j := range all {
		if j.spam == spam {
			of++
			if j.score >= score {
				n++
			}
		}
	}
	return 100 * float64(n) / float64(max(of, 1))
}
