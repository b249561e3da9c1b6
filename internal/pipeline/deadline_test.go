package pipeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
)

// What a check sees of its time limit is what [context.WithTimeout] would show.
func TestDeadlined(t *testing.T) {
	type key struct{}
	for name, waits := range map[string]bool{"who waits": true, "who looks": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				defer cancel()
				begin := func() *deadlined {
					d := &deadlined{Context: run, at: time.Now().Add(time.Minute)}
					t.Cleanup(d.end)
					if waits {
						d.Done()
					}
					return d
				}
				late, ended := begin(), begin()
				child, stop := context.WithCancel(late)
				defer stop()
				if at, ok := late.Deadline(); !ok || at != time.Now().Add(time.Minute) || late.Err() != nil || child.Value(key{}) != "value" {
					t.Errorf("deadline %v, error %v, value %v", at, late.Err(), child.Value(key{}))
				}
				ended.end()
				<-ended.Done()
				if !errors.Is(ended.Err(), context.Canceled) {
					t.Errorf("ended: %v", ended.Err())
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if !errors.Is(late.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
					t.Errorf("late: %v, its child %v", late.Err(), child.Err())
				}
				<-late.Done()
				gone := begin()
				cancel()
				<-gone.Done()
				if !errors.Is(gone.Err(), context.Canceled) || !errors.Is(late.Err(), context.DeadlineExceeded) {
					t.Errorf("the run has ended: %v, %v", gone.Err(), late.Err())
				}
			})
		})
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	want, _ := soon.Deadline()
	if at, _ := (&deadlined{Context: soon, at: time.Now().Add(time.Hour)}).Deadline(); at != want {
		t.Errorf("deadline %v, the run's is %v", at, want)
	}
}

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
