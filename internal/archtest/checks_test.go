package archtest

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/engine"
	"milterd/rules"

	"github.com/prometheus/client_golang/prometheus"
)

// notChecks are the folders beside those of the checks.
var notChecks = map[string]bool{"all": true, "checktest": true}

// TestChecksAreListed wants a line in checks/all for each folder, and the reverse.
func TestChecksAreListed(t *testing.T) {
	listed := map[string]bool{}
	for _, spec := range all.Specs(nil) {
		listed[spec.Name] = true
	}
	entries, err := os.ReadDir(filepath.Join(root, "checks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || notChecks[e.Name()] {
			continue
		}
		if !listed[e.Name()] {
			t.Errorf("checks/%s is not listed in checks/all", e.Name())
		}
		delete(listed, e.Name())
	}
	for name := range listed {
		t.Errorf("check %s has no folder checks/%s", name, name)
	}
}

// headings are those of a check's README, in their order.
var headings = []string{"Name", "Description", "Configuration", "Findings", "Metrics", "Examples", "Standards"}

func TestCheckRooms(t *testing.T) {
	for _, spec := range all.Specs(nil) {
		t.Run(spec.Name, func(t *testing.T) {
			dir := filepath.Join(root, "checks", spec.Name)
			for _, file := range []string{spec.Name + ".go", spec.Name + "_test.go", "config.go", "sample.yaml", "README.md"} {
				if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
					t.Errorf("the room is not complete: %v", err)
				}
			}
			sample, err := os.ReadFile(filepath.Join(dir, "sample.yaml"))
			if err != nil || string(sample) != spec.Sample {
				t.Errorf("Spec.Sample is not sample.yaml (%v)", err)
			}
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			testSample(t, spec)
			testReadme(t, spec, string(readme))
		})
	}
}

// testSample wants an example that is a valid section and says what every key means.
func testSample(t *testing.T, spec checks.Spec) {
	t.Helper()
	text := spec.Name + ":\n  " + strings.ReplaceAll(strings.TrimSpace(spec.Sample), "\n", "\n  ") + "\n"
	if !spec.TopLevel {
		text = "checks:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ") + "\n"
	}
	cfg, err := config.Read("sample.yaml", []byte(text), config.Options{Checks: all.Names()})
	if err != nil {
		t.Fatalf("sample.yaml: %v", err)
	}
	env := checks.Env{Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now}
	if _, err := spec.New(cfg.Check(spec.Name), env); err != nil {
		t.Errorf("sample.yaml: %v", err)
	}
	commented := false
	for line := range strings.Lines(spec.Sample) {
		if key, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "#") && !commented && !strings.Contains(line, " #") {
			t.Errorf("sample.yaml: key %s has no sentence", key)
		}
		commented = strings.HasPrefix(strings.TrimSpace(line), "#")
	}
}

// findingRow is a row of the table of findings: name and default score.
var findingRow = regexp.MustCompile(`(?m)^\| ?([A-Z][A-Z0-9_]+) \| (-?[0-9.]+) \|`)

// testReadme wants the sections, every key of the sample, and every finding with the
// score that the shipped rules give it.
func testReadme(t *testing.T, spec checks.Spec, readme string) {
	t.Helper()
	at := -1
	for _, h := range headings {
		i := strings.Index(readme, "\n## "+h+"\n")
		if i < 0 || i < at {
			t.Errorf("README.md: section %q is missing or not in its place", h)
			continue
		}
		at = i
	}
	for _, mail := range []string{"inbound", "outbound", "from relays and fetchers"} {
		_, row, ok := strings.Cut(readme, "\n| "+mail+" | ")
		word, _, _ := strings.Cut(row, " |")
		if !ok || word == "" {
			t.Errorf("README.md does not say whether the check runs for mail %s, in a row of a table", mail)
		} else if no := word == "no" || strings.HasPrefix(word, "no:"); mail == "outbound" && no == spec.Outbound {
			t.Errorf("README.md says %q of outbound mail, Spec.Outbound is %v", word, spec.Outbound)
		}
	}
	for line := range strings.Lines(spec.Sample) {
		key, _, ok := strings.Cut(line, ":")
		if ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") && !strings.Contains(readme, key+":") {
			t.Errorf("README.md does not mention the key %s", key)
		}
	}
	shipped, err := rules.Load(rules.Shipped(), engine.FindingNames())
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]float64{}
	for _, row := range findingRow.FindAllStringSubmatch(readme, -1) {
		if _, again := rows[row[1]]; again {
			t.Errorf("README.md: %s stands twice", row[1])
		}
		rows[row[1]], _ = strconv.ParseFloat(row[2], 64)
	}
	for _, f := range spec.Findings {
		score, there := rows[f.Name]
		if !there {
			t.Errorf("README.md: finding %s has no row with its default score (%g)", f.Name, shipped.Scores[f.Name].Points)
		} else if want := shipped.Scores[f.Name].Points; score != want {
			t.Errorf("README.md: %s has score %g, the shipped rules give it %g", f.Name, score, want)
		}
		delete(rows, f.Name)
		if f.Describe == "" {
			t.Errorf("finding %s has no description", f.Name)
		}
	}
	for name := range rows {
		t.Errorf("README.md: %s is no finding of the check", name)
	}
}
