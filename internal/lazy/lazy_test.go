package lazy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A context shows what that of [context.WithTimeout] would show, to who waits and to who looks.
func TestContext(t *testing.T) {
	type key struct{}
	for name, waits := range map[string]bool{"who waits": true, "who looks": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				defer cancel()
				begin := func() *Context {
					d := WithTimeout(run, time.Minute)
					t.Cleanup(d.Cancel)
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
				ended.Cancel()
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
	if at, _ := WithTimeout(soon, time.Hour).Deadline(); at != want {
		t.Errorf("deadline %v, the run's is %v", at, want)
	}
}
