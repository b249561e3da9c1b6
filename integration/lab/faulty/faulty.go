// Package faulty is a check that breaks on purpose. It is in no milterd but the lab's own
// build, which adds it to the list of checks (see lab.BuildSpecial).
//
// A message with the field "X-Lab-Check: panic" makes it panic; one with "X-Lab-Check: hang"
// makes it hang, deaf to its context, for longer than any message is waited for.
package faulty

import (
	"context"
	"time"

	"milterd/checks"
)

// Hang is how long it hangs.
const Hang = 20 * time.Second

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name: "faulty", Phase: checks.Header,
		New: func(checks.Section, checks.Env) (checks.Check, error) { return check{}, nil },
	}
}

type check struct{}

// Run implements [checks.Check].
func (check) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	switch in.Message.Header.Text("X-Lab-Check") {
	case "panic":
		panic("the lab wants it so")
	case "hang":
		<-time.After(Hang)
	}
	return checks.Result{}, nil
}
