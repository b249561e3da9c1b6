package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"milterd/integration/lab"
)

// faultsTable lists the scenarios of the lab: what breaks, what is promised, and what the
// senders are told while it is broken.
func faultsTable(t *testing.T) string {
	scenarios, err := lab.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| what breaks | what is promised | what senders are told meanwhile | scenario |\n|---|---|---|---|\n")
	for _, s := range scenarios {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Fault, s.Promise, strings.Join(answers(s), "; "), s.Name)
	}
	return b.String()
}

// answers are those that a scenario asserts from the first fault to its end, each with the
// mail that gets it.
func answers(s *lab.Scenario) []string {
	var all []string
	broken := !slices.ContainsFunc(s.Steps, func(step lab.Step) bool { return step.Break != "" })
	for _, step := range s.Steps {
		switch {
		case step.Break != "":
			broken = true
		case step.Mend != "":
			broken = false
		case step.Send != nil && broken:
			answer := step.Send.Kind + ": " + step.Send.Reply
			if step.Send.In == "hold" {
				answer += ", held"
			}
			if step.Send.Header["X-Milterd-Unscanned"] != "" {
				answer += ", marked"
			}
			if !slices.Contains(all, answer) {
				all = append(all, answer)
			}
		}
	}
	return all
}
