package checktest

import (
	"context"

	"milterd/checks"
)

// Func is a check that is no more than its Run.
type Func func(ctx context.Context, in *checks.Input) (checks.Result, error)

// Run implements [checks.Check].
func (f Func) Run(ctx context.Context, in *checks.Input) (checks.Result, error) { return f(ctx, in) }

// Fake describes a check made up for a test. Whatever else the test needs it
// sets in the Spec.
func Fake(name string, phase checks.Phase, check checks.Check) checks.Spec {
	return checks.Spec{
		Name: name, Phase: phase, OnError: checks.OnErrorTempFail,
		New: func(checks.Section, checks.Env) (checks.Check, error) { return check, nil },
	}
}

// Clean describes a check that runs and has nothing to say.
func Clean(name string, phase checks.Phase) checks.Spec {
	return Fake(name, phase, Func(func(context.Context, *checks.Input) (checks.Result, error) { return checks.Result{}, nil }))
}

// Panicking describes a check that always panics with the given value.
func Panicking(name string, phase checks.Phase, value any) checks.Spec {
	return Fake(name, phase, Func(func(context.Context, *checks.Input) (checks.Result, error) { panic(value) }))
}

// Hanging describes a check that never comes back, whatever its context says,
// until release is closed.
func Hanging(name string, phase checks.Phase, release <-chan struct{}) checks.Spec {
	return Fake(name, phase, Func(func(context.Context, *checks.Input) (checks.Result, error) {
		<-release
		return checks.Result{Findings: []checks.Finding{{Name: "TOO_LATE"}}}, nil
	}))
}

// Failing describes a check that cannot do its job.
func Failing(name string, phase checks.Phase, err error) checks.Spec {
	return Fake(name, phase, Func(func(context.Context, *checks.Input) (checks.Result, error) {
		return checks.Result{Findings: []checks.Finding{{Name: "HALF_WAY"}}}, err
	}))
}
