package archtest

import (
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fuzzed is what was spent on fuzz targets.
type fuzzed struct {
	targets, never int // never: those that no ledger knows
	seconds        float64
	runs           int64
}

func (f *fuzzed) add(g fuzzed) {
	f.targets, f.never, f.seconds, f.runs = f.targets+g.targets, f.never+g.never, f.seconds+g.seconds, f.runs+g.runs
}

// fuzzingTable sums docs/fuzzing.tsv by package. A target that is new stands in it
// with nothing; one that is gone does not stand in it any more.
func fuzzingTable(t *testing.T) string {
	spent := map[string]fuzzed{}
	ledger, err := os.ReadFile(filepath.Join(root, "docs/fuzzing.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(ledger)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 4 {
			t.Fatalf("docs/fuzzing.tsv: %q, expected package, target, seconds, runs", line)
		}
		seconds, err1 := strconv.ParseFloat(fields[2], 64)
		runs, err2 := strconv.ParseInt(fields[3], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("docs/fuzzing.tsv: %q: %v, %v", line, err1, err2)
		}
		spent[fields[0]+" "+fields[1]] = fuzzed{targets: 1, seconds: seconds, runs: runs}
	}
	packages, sum := map[string]*fuzzed{}, fuzzed{}
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !s.test || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			one, known := spent[s.dir+" "+f.Name.Name]
			if !known {
				one = fuzzed{targets: 1, never: 1}
			}
			if packages[s.dir] == nil {
				packages[s.dir] = &fuzzed{}
			}
			packages[s.dir].add(one)
			sum.add(one)
		}
	}
	row := func(name string, f fuzzed) []string {
		return []string{name, strconv.Itoa(f.targets), fmt.Sprintf("%.1f", f.seconds/60), fmt.Sprintf("%.2f", float64(f.runs)/1e6)}
	}
	var rows [][]string
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		rows = append(rows, row(code(dir), *packages[dir]))
	}
	total := row("together", sum)
	total[2] += fmt.Sprintf(" (%.1f hours)", sum.seconds/3600)
	if sum.never > 0 {
		total[1] += fmt.Sprintf(", %d of them never", sum.never)
	}
	return table([]string{"package", "targets", "minutes of CPU", "million runs"}, append(rows, total))
}
