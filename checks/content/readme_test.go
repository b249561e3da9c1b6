package content

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"milterd/rules"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the findings of README.md")

// The README tells every finding with the points that it really brings, and its
// examples work.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	set := shippedSet(t)
	if *update {
		var table strings.Builder
		for _, f := range Spec(nil).Findings {
			fmt.Fprintf(&table, "| %s | %g | %s |\n", f.Name, set.Scores[f.Name].Points, strings.ToLower(f.Describe[:1])+f.Describe[1:])
		}
		rows := regexp.MustCompile(`(?s)(\| finding \| [^\n]*\n\|---[^\n]*\n).*?\n\n`)
		readme = rows.ReplaceAll(readme, []byte("${1}"+table.String()+"\n"))
		if err := os.WriteFile("README.md", readme, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, want := map[string]string{}, map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([A-Z0-9_]+) \| ([0-9.]+) \|`).FindAllStringSubmatch(string(readme), -1) {
		got[row[1]] = row[2]
	}
	for _, f := range Spec(nil).Findings {
		want[f.Name] = fmt.Sprint(set.Scores[f.Name].Points)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	known := make([]string, 0, len(want))
	for name := range want {
		known = append(known, name)
	}
	for name := range set.Scores {
		known = append(known, name)
	}
	examples := 0
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1) {
		if string(block[1][:7]) == "checks:" {
			var file struct {
				Checks struct {
					Content config `yaml:"content"`
				} `yaml:"checks"`
			}
			if err := section(block[1]).Decode(&file); err != nil || file.Checks.Content != defaults() {
				t.Errorf("%s%+v, %v", block[1], file, err)
			}
			continue
		}
		examples++
		if _, err := rules.Load(append(rules.Shipped(), rules.Source{Name: "rules.d/own.yaml", Text: block[1]}), known); err != nil {
			t.Errorf("%s%v", block[1], err)
		}
	}
	if examples != 2 {
		t.Errorf("%d examples", examples)
	}
}
