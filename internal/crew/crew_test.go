package crew

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// Who has done his work is there for the next function, until the crew is out of
// service; and nobody waits for another.
func TestKeepsItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Crew
		c.Keep()
		release := make(chan struct{})
		var running atomic.Int32
		for range most + 10 {
			c.Do(func() {
				running.Add(1)
				<-release
			})
		}
		synctest.Wait()
		if n := running.Load(); n != most+10 {
			t.Errorf("%d functions run, all of them may wait for each other", n)
		}
		close(release)
		synctest.Wait()
		if len(c.idle) != most {
			t.Errorf("%d are kept", len(c.idle))
		}
		done := false
		c.Do(func() { done = true })
		synctest.Wait()
		if !done || len(c.idle) != most {
			t.Errorf("done %v, %d are kept", done, len(c.idle))
		}
		c.Dismiss()
		if len(c.idle) != 0 {
			t.Errorf("%d have stayed", len(c.idle))
		}
		c.Dismiss()
		c.Do(func() { done = false })
		synctest.Wait() // and the bubble sees to it that nobody is left
		if done {
			t.Error("not done when nobody is kept")
		}
	})
}
