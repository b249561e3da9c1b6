package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// preparing is a check that begins before it may see other checks' results.
type preparing struct {
	prepare func(ctx context.Context, in *checks.Input) any
	run     checktest.Func
}

func (c preparing) Prepare(ctx context.Context, in *checks.Input) any { return c.prepare(ctx, in) }

func (c preparing) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	return c.run(ctx, in)
}

// afterSlow describes a check in the header phase that comes after "slow".
func afterSlow(c checks.Check) checks.Spec {
	spec := checktest.Fake("eager", checks.Header, c)
	spec.After = []string{"slow"}
	return spec
}

// slow describes a check that needs 3 s.
func slow() checks.Spec {
	return checktest.Fake("slow", checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
		time.Sleep(3 * time.Second)
		return checks.Result{Detail: "slow"}, nil
	}))
}

// Prepare begins with the phase, Run when the others are done; what lies between
// is nobody's time.
func TestPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		begin := time.Now()
		check := preparing{
			prepare: func(ctx context.Context, in *checks.Input) any {
				if since := time.Since(begin); since != 0 {
					t.Errorf("prepared after %v", since)
				}
				if in.Prior != nil || in.Message.Header == nil || ctx.Value(key{}) != "eager" {
					t.Errorf("Prepare sees %+v", in)
				}
				if end, ok := ctx.Deadline(); !ok || end.Sub(begin) != 5*time.Second {
					t.Errorf("Prepare may take until %v", end.Sub(begin))
				}
				time.Sleep(time.Second)
				return "prepared"
			},
			run: func(ctx context.Context, in *checks.Input) (checks.Result, error) {
				if since := time.Since(begin); since != 3*time.Second {
					t.Errorf("run after %v", since)
				}
				if d, _ := checks.Detail[string](in.Prior, "slow"); d != "slow" || in.Prepared != "prepared" || ctx.Value(key{}) != "eager" {
					t.Errorf("Run sees %+v", in)
				}
				if end, ok := ctx.Deadline(); !ok || end.Sub(begin) != 8*time.Second {
					t.Errorf("Run may take until %v", end.Sub(begin))
				}
				time.Sleep(2 * time.Second)
				return checks.Result{}, nil
			},
		}
		spec := afterSlow(check)
		spec.Timeout = 5 * time.Second
		p := newPipeline(t, []checks.Spec{slow(), spec}, func(o *Options) {
			o.Scope = func(ctx context.Context, check string) context.Context { return context.WithValue(ctx, key{}, check) }
		})
		out := decide(t, p, newMessage(t, plain, nil))
		if res := out.Results[1]; res.Took != 3*time.Second || res.Err != nil {
			t.Errorf("took %v, %v", res.Took, res.Err)
		}
	})
}

// What goes wrong in Prepare is the check's failure as what goes wrong in Run.
func TestPrepareFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run := func(context.Context, *checks.Input) (checks.Result, error) { return finding("FOUND"), nil }
		panics := preparing{func(context.Context, *checks.Input) any { panic("oops") }, run}
		hangs := preparing{func(context.Context, *checks.Input) any { time.Sleep(time.Minute); return nil }, run}
		for _, c := range []struct {
			check checks.Check
			is    func(error) bool
		}{
			{panics, func(err error) bool { _, ok := errors.AsType[*PanicError](err); return ok }},
			{hangs, func(err error) bool { return errors.Is(err, errDeadline) }},
		} {
			spec := afterSlow(c.check)
			spec.Timeout = 5 * time.Second
			p := newPipeline(t, []checks.Spec{slow(), spec}, nil)
			out := decide(t, p, newMessage(t, plain, nil))
			if res := out.Results[1]; !c.is(res.Err) || len(res.Findings) > 0 || out.Verdict.Action != message.TempFail {
				t.Errorf("%+v, %s", res, out.Verdict.Action)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
