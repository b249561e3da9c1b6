package tokens

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"milterd/internal/mailbox/mailboxtest"
	"milterd/internal/race"
)

// TestParity has SpamAssassin itself take mail apart and compares token by token.
// Texts that are hidden from readers are left out: what hides text is seen in
// different ways.
func TestParity(t *testing.T) {
	if race.Enabled {
		t.Skip("nothing here runs at the same time as something else")
	}
	const tlds = "/usr/share/spamassassin/20_aux_tlds.cf" // without it no link is known
	if _, err := os.Stat(tlds); err != nil {
		t.Skipf("*** NOT TESTED: SpamAssassin is not installed (%v); integration/install.sh installs it ***", err)
	}
	config, mail := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"init.pre": "loadplugin Mail::SpamAssassin::Plugin::Bayes\n", "local.cf": "bayes_stopword_languages disable\n"} {
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(tlds, filepath.Join(config, "tlds.cf")); err != nil {
		t.Fatal(err)
	}
	args := []string{"testdata/bayes.pl", "tokens", config}
	sent := map[string][]byte{}
	for kind, every := range map[string]int{"ham": 30, "spam": 20} {
		for i, m := range mailboxtest.Corpus(t, kind) {
			if i%every != 0 {
				continue
			}
			name := filepath.Join(mail, kind+strconv.Itoa(i))
			if err := os.WriteFile(name, m.Raw, 0o644); err != nil {
				t.Fatal(err)
			}
			sent[name] = m.Raw
			args = append(args, name)
		}
	}
	out, err := exec.CommandContext(t.Context(), "perl", args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, exit.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]map[string]string{}
	name := ""
	for line := range bytes.Lines(out) {
		line := strings.TrimSuffix(string(line), "\n")
		if file, ok := strings.CutPrefix(line, "== "); ok {
			name = file
			theirs[name] = map[string]string{}
			continue
		}
		sum, text, _ := strings.Cut(line, "\t")
		if !elsewhere(text) {
			theirs[name][sum] = text
		}
	}
	var both, ours, all int
	for file, want := range theirs {
		all += len(want)
		for _, token := range Of(parse(sent[file])) {
			if elsewhere(token.Text) {
				continue
			}
			ours++
			if _, ok := want[hex.EncodeToString(token.Sum[:])]; ok {
				both++
			}
		}
	}
	t.Logf("%d messages, %d tokens of SpamAssassin's, %d of ours, %d of both", len(theirs), all, ours, both)
	if len(theirs) != len(sent) || float64(both) < 0.975*float64(all) || float64(both) < 0.95*float64(ours) {
		t.Errorf("%d tokens of %d are found, %d of %d are no tokens of SpamAssassin's; want at least 97.5 %% and at most 5 %%", both, all, ours-both, ours)
	}
}

// elsewhere says that a token is of a kind that is not compared: of hidden text, and of
// what SpamAssassin works out about the way of the message.
func elsewhere(text string) bool {
	return strings.HasPrefix(text, "I*:") || strings.HasPrefix(text, "H*RT:") || strings.HasPrefix(text, "H*RU:") || strings.HasPrefix(text, "Hx-spam-relays-")
}
