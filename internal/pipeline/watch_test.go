package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
)

// Checks with different limits are given up on one by one, and one that hangs is so after
// its transaction has been closed, too.
func TestEachCheckHasItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hanging := func(name string, limit time.Duration) checks.Spec {
			s := checktest.Fake(name, checks.Connect, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
				<-release
				return checks.Result{}, nil
			}))
			s.Timeout = limit
			return s
		}
		p := newPipeline(t, []checks.Spec{hanging("four", 4*time.Second), hanging("two", 2*time.Second), hanging("nine", 9*time.Second),
			checktest.Fake("quick", checks.Connect, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
				return checks.Result{}, nil
			}))}, nil)
		r := p.Begin(t.Context())
		r.Publish(checks.Connect, newMessage(t, plain, nil))
		for _, step := range []struct {
			wait time.Duration
			want string
		}{
			{2 * time.Second, ""}, {grace, "two=1"},
			{2*time.Second - grace, "two=1"}, {grace, "four=1 two=1"},
		} {
			time.Sleep(step.wait)
			synctest.Wait()
			if got := counted(t, p, "milterd_check_errors_total"); got != step.want {
				t.Errorf("errors %q, want %q", got, step.want)
			}
		}
		r.Close()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got, want := counted(t, p, "milterd_check_errors_total"), "four=1 nine=1 two=1"; got != want {
			t.Errorf("errors %q, want %q", got, want)
		}
		close(release)
		synctest.Wait()
		if r.watch.timer != nil {
			t.Error("a timer is left")
		}
	})
}

// A run that is closed while its checks are at work lets go of all as soon as the last of
// them is back, not when its time would have been up.
func TestClosedRunLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := taking("slow", checks.Connect, time.Hour)
		slow.Timeout = 20 * time.Second
		deaf, release := make(chan struct{}), make(chan struct{})
		hard := checktest.Fake("hard", checks.Connect, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
			close(deaf)
			<-release // whatever ends
			return checks.Result{}, nil
		}))
		hard.Timeout = 20 * time.Second
		p := newPipeline(t, []checks.Spec{slow, hard}, nil)
		r := p.Begin(t.Context())
		r.Publish(checks.Connect, newMessage(t, plain, nil))
		<-deaf
		r.Close()
		synctest.Wait()
		if r.watch.timer == nil {
			t.Error("nobody waits for the check that is not back")
		}
		close(release)
		synctest.Wait()
		if r.watch.timer != nil {
			t.Error("a timer is left")
		}
	})
}
