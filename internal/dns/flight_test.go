package dns

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
)

func TestOneFlightForManyAskers(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	release := make(chan struct{})
	s.Lie("a.test", dnstest.Until(release))
	r := start(t, Options{}, s)
	b := NewBudget(Limits{Queries: 100})
	ctx := WithBudget(t.Context(), b)
	var askers sync.WaitGroup
	for i := range 50 {
		askers.Go(func() {
			got, err := r.LookupTXT(ctx, []string{"a.test", "A.TEST."}[i%2])
			if err != nil || len(got) != 1 || got[0] != "a" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	eventually(t, "all askers have paid", func() bool { return b.Used()[""].Queries == 50 })
	if st := r.Stats(); st.InFlight != 1 {
		t.Errorf("%d questions in flight, want 1", st.InFlight)
	}
	close(release)
	askers.Wait()
	if n := s.Count("a.test", "TXT"); n != 1 {
		t.Errorf("the server was asked %d times, want 1", n)
	}
}

func TestCancelledAskerLeavesTheOthersAlone(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	release := make(chan struct{})
	s.Lie("a.test", dnstest.Until(release))
	r := start(t, Options{}, s)
	// The first asker starts the flight and leaves.
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := r.LookupTXT(ctx, "a.test")
		first <- err
	}()
	eventually(t, "the question arrives", func() bool { return s.Count("a.test", "TXT") == 1 })
	second := make(chan error)
	go func() {
		_, err := r.LookupTXT(t.Context(), "a.test")
		second <- err
	}()
	cancel()
	if err := <-first; describe(err) != "temporary timeout" || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled asker: %v", err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("patient asker: %v", err)
	}
	if n := s.Count("a.test", "TXT"); n != 1 {
		t.Errorf("the server was asked %d times, want 1", n)
	}
}

func TestAnswerForNobodyIsCached(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	release := make(chan struct{})
	s.Lie("a.test", dnstest.Until(release))
	r := start(t, Options{}, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.LookupTXT(ctx, "a.test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	close(release)
	eventually(t, "the answer is cached", func() bool { return r.Stats().Cached == 1 })
	if _, err := r.LookupTXT(t.Context(), "a.test"); err != nil || s.Count("a.test", "TXT") != 1 {
		t.Errorf("%v after %d queries", err, s.Count("a.test", "TXT"))
	}
}

func TestInFlightCap(t *testing.T) {
	s := dnstest.Start(t, nil)
	release := make(chan struct{})
	s.Lie("*", dnstest.Until(release))
	r := start(t, Options{MaxInFlight: 2}, s)
	var askers sync.WaitGroup
	for i := range 10 {
		askers.Go(func() {
			if _, err := r.LookupTXT(t.Context(), fmt.Sprintf("n%d.test", i)); describe(err) != "notfound" {
				t.Errorf("n%d: %v", i, err)
			}
		})
	}
	eventually(t, "two questions are in flight", func() bool { return s.Total() == 2 })
	// Who stands in line leaves with his context.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.LookupTXT(ctx, "late.test"); describe(err) != "temporary timeout" {
		t.Errorf("asker in line: %v", err)
	}
	if n := s.Total(); n != 2 {
		t.Errorf("%d questions in flight, want 2", n)
	}
	close(release)
	askers.Wait()
	if n := s.Total(); n != 10 {
		t.Errorf("%d questions in all, want 10", n)
	}
}

func TestAskersInLineShareAFlight(t *testing.T) {
	s := dnstest.Start(t, dnstest.Zone{"a.test": {"TXT a"}})
	release := make(chan struct{})
	s.Lie("first.test", dnstest.Until(release))
	r := start(t, Options{MaxInFlight: 1}, s)
	b := NewBudget(Limits{})
	ctx := WithBudget(t.Context(), b)
	var askers sync.WaitGroup
	askers.Go(func() { r.LookupTXT(ctx, "first.test") })
	eventually(t, "the first question arrives", func() bool { return s.Total() == 1 })
	for range 5 {
		askers.Go(func() {
			if got, err := r.LookupTXT(ctx, "a.test"); err != nil || len(got) != 1 {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	eventually(t, "all stand in line", func() bool { return b.Used()[""].Queries == 6 })
	close(release)
	askers.Wait()
	if n := s.Count("a.test", "TXT"); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	s := dnstest.Start(t, dnstest.Zone{"cached.test": {"TXT a"}})
	s.Lie("udp.test", dnstest.Drop)
	never := make(chan struct{})
	s.Lie("tcp.test", dnstest.Truncate, func(ctx context.Context, q dnstest.Query, r dnstest.Reply) dnstest.Reply {
		if q.TCP {
			return dnstest.Until(never)(ctx, q, r)
		}
		return r
	})
	r := start(t, Options{Timeout: time.Minute}, s)
	r.LookupTXT(t.Context(), "cached.test")
	errs := make(chan error)
	for _, name := range []string{"udp.test", "tcp.test"} {
		go func() {
			_, err := r.LookupTXT(t.Context(), name)
			errs <- err
		}()
	}
	eventually(t, "the questions arrive", func() bool {
		return s.Count("udp.test", "TXT") == 1 && s.CountTCP("tcp.test", "TXT") == 1
	})
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-errs; describe(err) != "temporary" && describe(err) != "temporary timeout" {
			t.Errorf("asker at the time of Close: %v", err)
		}
	}
	if _, err := r.LookupTXT(t.Context(), "new.test"); !errors.Is(err, errClosed) || describe(err) != "temporary" {
		t.Errorf("asker after Close: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	s.Close()
	eventually(t, "all goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

// panics is a source of randomness that does not answer.
type panics struct{}

func (panics) Read([]byte) (int, error) { panic("no randomness today") }

// fails is one that says so.
type fails struct{}

func (fails) Read([]byte) (int, error) { return 0, errors.New("no randomness today") }

func TestTroubleInsideAFlightIsAnAnswer(t *testing.T) {
	s := dnstest.Start(t, nil)
	for _, o := range []Options{{Rand: panics{}}, {Rand: fails{}}} {
		r := start(t, o, s)
		if _, err := r.LookupTXT(t.Context(), "a.test"); describe(err) != "temporary" {
			t.Errorf("%T: %v", o.Rand, err)
		}
		if s.Total() != 0 {
			t.Errorf("%T: sent a query with a predictable id", o.Rand)
		}
	}
}
