package archtest

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"milterd/internal/engine"
	"milterd/internal/pipeline"
	"milterd/rules"

	"milterd/checks"
	"milterd/checks/all"
)

// ruleKeysTable lists the keys of a rule that are no texts.
func ruleKeysTable(*testing.T) string {
	var rows [][]string
	for _, k := range rules.Keys() {
		rows = append(rows, []string{code(k.Name), k.Doc})
	}
	return table([]string{"key", "what it says"}, rows)
}

// ruleTextsTable lists the texts that rules look at.
func ruleTextsTable(*testing.T) string {
	var rows [][]string
	for _, k := range rules.Kinds() {
		name, in := string(k.Text), ""
		if k.Named {
			name += ": NAME"
		}
		if k.Listed {
			in = "yes"
		}
		rows = append(rows, []string{code(name), k.Doc, in})
	}
	return table([]string{"text", "what it is", "`in` goes with it"}, rows)
}

// findingsTable lists every finding that there is: those of checks, then those of
// rules.
func findingsTable(t *testing.T) string {
	set, err := rules.Load(rules.Shipped(), engine.FindingNames())
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]string{}
	subjective := map[string]bool{}
	add := func(by string, f checks.FindingSpec) {
		subjective[f.Name] = f.Subjective
		evidence := "objective"
		if f.Subjective {
			evidence = "opinion"
		}
		rows = append(rows, []string{f.Name, by, strconv.FormatFloat(set.Scores[f.Name].Points, 'g', -1, 64), evidence, f.Describe})
	}
	for _, f := range pipeline.Findings() {
		add("milterd", f)
	}
	for _, spec := range all.Specs(nil) {
		for _, f := range spec.Findings {
			add(spec.Name, f)
		}
	}
	rule := func(r rules.Rule, opinion bool) {
		score := strconv.FormatFloat(r.Score, 'g', -1, 64)
		if r.State != rules.Active {
			score += " (" + string(r.State) + ")"
		}
		evidence := "objective"
		if opinion {
			evidence = "opinion"
		}
		rows = append(rows, []string{r.Name, filepath.Base(r.Pos.File), score, evidence, r.Describe})
	}
	for _, r := range set.Texts {
		rule(r.Rule, false)
	}
	for _, c := range set.Composites {
		subjective[c.Name] = slices.ContainsFunc(c.Names, func(name string) bool { return subjective[name] })
		rule(c.Rule, subjective[c.Name])
	}
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return table([]string{"finding", "from", "score", "evidence", "what it says"}, rows)
}

// TestSchemaShips wants deploy/rules.schema.json to be the one that the program
// makes.
func TestSchemaShips(t *testing.T) {
	path := filepath.Join(root, "deploy/rules.schema.json")
	if *update {
		if err := os.WriteFile(path, rules.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(rules.Schema()) {
		t.Errorf("%s is stale, run make docs", path)
	}
}
