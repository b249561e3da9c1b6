package spamassassin

import (
	"archive/tar"
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/content"
	"milterd/internal/race"
	"milterd/internal/strictyaml"
	"milterd/message"
	"milterd/rules"
)

// stock is where Debian's package has SpamAssassin's rules.
var stock = []string{"/etc/spamassassin", "/usr/share/spamassassin"}

// needStock skips a test where SpamAssassin is not installed.
func needStock(t *testing.T) {
	t.Helper()
	for _, dir := range stock {
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("*** NOT TESTED: SpamAssassin is not installed (%v); integration/install.sh installs it ***", err)
		}
	}
}

// parity is the least share of the pairs of rule and message, hit by either side,
// that both sides hit.
var parity = map[Kind]float64{Header: 0.99, URI: 0.99, MIMEHeader: 0.99, Exists: 0.99, Full: 0.95, Body: 0.95, RawBody: 0.95, Meta: 0.95, Eval: 0.95}

// TestParity runs SpamAssassin itself on mail, then its rules, carried over, in
// the check that runs rules for milterd, and compares rule by rule.
func TestParity(t *testing.T) {
	if race.Enabled {
		t.Skip("nothing here runs at the same time, and it takes minutes with the race detector")
	}
	needStock(t)
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("*** NOT TESTED: there is no perl ***")
	}
	files := writeMail(t)
	// Every rule shall run, whatever it is worth.
	c := newCollector()
	r := reader{world: newWorld(), each: c.line, note: func(Pos, string) {}}
	if err := r.paths(stock); err != nil {
		t.Fatal(err)
	}
	var more strings.Builder
	for name, d := range c.rules {
		if d.kind != "" {
			d.scores = []float64{0.001}
			fmt.Fprintf(&more, "score %s 0.001\n", name)
		}
	}
	v := convert(c, Options{Column: Local, Backtracking: true})
	theirs := askSpamAssassin(t, perl, more.String(), files)
	ours := askContent(t, v.out, files)

	kinds := map[string]Kind{}
	for _, f := range v.fates {
		_, asks := testsOf(normal(f.def.call))
		switch {
		case !f.carried():
		case f.def.exists:
			kinds[f.name] = Exists
		case f.def.isRegex(), f.def.kind == Meta && f.weak == "", f.def.kind == Eval && asks:
			kinds[f.name] = f.def.kind
		}
	}
	both, either := map[Kind]int{}, map[Kind]int{}
	for file, name := range files {
		hits := map[string]bool{}
		for _, hit := range theirs[file] {
			hits[v.fates[hit].ourName()] = true
		}
		for rule, kind := range kinds {
			switch {
			case hits[rule] && ours[file][rule]:
				both[kind]++
				either[kind]++
			case hits[rule] || ours[file][rule]:
				either[kind]++
				t.Logf("%s: %s %s hits here: %t, in SpamAssassin: %t", name, kind, rule, ours[file][rule], hits[rule])
			}
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(either)) {
		share := float64(both[kind]) / float64(either[kind])
		t.Logf("%s: %d of %d pairs are equal, %.2f %%", kind, both[kind], either[kind], 100*share)
		if share < parity[kind] {
			t.Errorf("%s: %.2f %% of the pairs are equal, expected %.0f %%", kind, 100*share, 100*parity[kind])
		}
	}
	if len(either) < len(parity) {
		t.Errorf("only %d kinds of rules hit, expected %d", len(either), len(parity))
	}
}

// ourName is the name under which a rule was carried; none for one that was not.
func (f *fate) ourName() string {
	if f == nil || !f.carried() {
		return ""
	}
	return f.name
}

// writeMail puts the mail of SpamAssassin's own tests, and 500 messages of its
// corpus, into files, and returns their paths and what they were called.
func writeMail(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	dir := t.TempDir()
	add := func(name string, text []byte) {
		if bytes.HasPrefix(text, []byte("From ")) { // an mbox line
			text = text[bytes.IndexByte(text, '\n')+1:]
		}
		path := filepath.Join(dir, fmt.Sprintf("%04d.eml", len(files)))
		if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		files[path] = name
	}
	suites := cmp.Or(os.Getenv("MILTERD_SUITES"), "../../../shared/suites")
	for _, sub := range []string{"nice", "spam"} {
		root := filepath.Join(suites, "sa-samples", sub)
		if _, err := os.Stat(root); err != nil {
			t.Skipf("*** NOT TESTED: the messages of SpamAssassin's tests are not there: %v (MILTERD_SUITES names their folder) ***", err)
		}
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			add(strings.TrimPrefix(path, suites), text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	corpora := cmp.Or(os.Getenv("MILTERD_CORPORA"), filepath.Join(suites, "../corpora"))
	for _, kind := range []string{"ham", "spam"} {
		path := filepath.Join(corpora, kind, "spamassassin-public-"+kind+".tar.gz")
		f, err := os.Open(path)
		if err != nil {
			t.Skipf("*** NOT TESTED: the mail corpus is not there: %v (MILTERD_CORPORA names its folder) ***", err)
		}
		defer f.Close()
		everySixth(t, f, add)
	}
	if len(files) < 550 {
		t.Fatalf("%d messages, expected 550 or more", len(files))
	}
	return files
}

func everySixth(t *testing.T, f io.Reader, add func(string, []byte)) {
	t.Helper()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(unzipped)
	for n := 0; ; {
		entry, err := archive.Next()
		if err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		if n++; n%6 != 0 {
			continue
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		add(filepath.Base(entry.Name), text)
	}
}

// askSpamAssassin returns the rules that hit in each file. Two processes share the
// files.
func askSpamAssassin(t *testing.T, perl, more string, files map[string]string) map[string][]string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "more.cf")
	if err := os.WriteFile(config, []byte(more), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := slices.Sorted(maps.Keys(files))
	hits := map[string][]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for part := range slices.Chunk(paths, len(paths)/2+1) {
		all.Go(func() {
			cmd := exec.CommandContext(t.Context(), perl, "testdata/hits.pl", config)
			cmd.Stdin = strings.NewReader(strings.Join(part, "\n") + "\n")
			var complaints bytes.Buffer
			cmd.Stderr = &complaints
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("perl: %v\n%s", err, complaints.String())
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
				var one struct {
					File string
					Hits []string
				}
				if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
					t.Errorf("perl: %v", err)
				}
				hits[one.File] = one.Hits
			}
		})
	}
	all.Wait()
	if len(hits) != len(files) {
		t.Fatalf("SpamAssassin answered for %d messages of %d", len(hits), len(files))
	}
	return hits
}

// noConfig is the configuration of a check that has none.
type noConfig struct{}

func (noConfig) Decode(into any) error { return strictyaml.Decode("none", nil, into) }

// askContent runs carried rules on the files, in the check that runs them for
// milterd, and returns the names that hit, composites among them.
func askContent(t *testing.T, list []rule, files map[string]string) map[string]map[string]bool {
	t.Helper()
	set, err := rules.Load([]rules.Source{{Name: "stock.yaml", Text: appendFile(nil, list, nil, true)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	check, err := content.Spec(set).New(noConfig{}, checks.Env{Now: time.Now, Limits: checks.Limits{RuleTime: time.Minute, RulesTime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	hits := map[string]map[string]bool{}
	for path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		result, err := check.Run(t.Context(), &checks.Input{Message: parseMail(t, text)})
		if err != nil {
			t.Fatal(err)
		}
		found, count := map[string]bool{}, map[string]float64{}
		for _, f := range result.Findings {
			found[f.Name], count[f.Name] = true, max(1, f.Value)
		}
		for i := range set.Composites {
			c := &set.Composites[i]
			if c.Eval(func(name string) float64 { return count[name] }) {
				found[c.Name], count[c.Name] = true, 1
			}
		}
		hits[path] = found
	}
	return hits
}

// parseMail makes a message of a file as an MTA hands it over: the header ends at
// the first line that is no field. Its client is not known.
func parseMail(t *testing.T, text []byte) *message.Message {
	t.Helper()
	var fields []message.Field
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		if len(line) == 0 {
			text = rest
			break
		}
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 {
			fields[len(fields)-1].Value += "\r\n" + string(line)
		} else if name, value, ok := strings.Cut(string(line), ":"); ok && !strings.ContainsAny(name, " \t") {
			fields = append(fields, message.Field{Name: name, Value: value})
		} else {
			break
		}
		text = rest
	}
	spool := message.NewSpool(message.SpoolOptions{Memory: 1 << 30})
	if _, err := spool.Write(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))); err != nil {
		t.Fatal(err)
	}
	spool.Finish()
	return &message.Message{Session: &message.Session{}, Header: message.NewHeader(fields, 0), Body: spool}
}
