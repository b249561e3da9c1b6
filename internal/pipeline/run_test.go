package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// until describes a check that notes its start in l and ends when release is
// closed.
func until(l *log, name string, phase checks.Phase, release <-chan struct{}) checks.Spec {
	return checktest.Fake(name, phase, checktest.Func(func(ctx context.Context, _ *checks.Input) (checks.Result, error) {
		l.add("%s", name)
		select {
		case <-release:
			return checks.Result{Detail: name + " done"}, nil
		case <-ctx.Done():
			l.add("%s ended", name)
			return checks.Result{}, ctx.Err()
		}
	}))
}

// taking describes a check that takes that long.
func taking(name string, phase checks.Phase, d time.Duration) checks.Spec {
	return checktest.Fake(name, phase, checktest.Func(func(ctx context.Context, _ *checks.Input) (checks.Result, error) {
		select {
		case <-time.After(d):
			return finding("FOUND"), nil
		case <-ctx.Done():
			return checks.Result{}, ctx.Err()
		}
	}))
}

// A check starts as soon as its phase is there and what it needs is done, and
// not before.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		spfDone, dkimDone := make(chan struct{}), make(chan struct{})
		p := newPipeline(t, []checks.Spec{
			noting(&l, "connect", checks.Connect), noting(&l, "helo", checks.Helo),
			until(&l, "spf", checks.Mail, spfDone),
			noting(&l, "rcpt", checks.Rcpt),
			until(&l, "dkim", checks.Header, dkimDone),
			needing(noting(&l, "dmarc", checks.Header), "spf", "dkim"),
			following(noting(&l, "scores", checks.Message), "dmarc", "absent"),
			noting(&l, "content", checks.Message),
		}, nil)
		m := newMessage(t, plain, nil)
		r := p.Begin(t.Context())
		defer r.Close()
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			got := strings.Split(l.take(), ", ")
			slices.Sort(got) // side by side
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s: %q started, want %q", when, s, want)
			}
		}
		r.Publish(checks.Connect, m)
		expect("connect", "connect")
		r.Publish(checks.Connect, m)
		expect("connect once more", "")
		r.Publish(checks.Mail, m)
		expect("mail, helo passed over", "helo spf")
		r.Recipient(m)
		expect("first recipient", "rcpt")
		r.Recipient(m)
		expect("second recipient", "rcpt")
		r.Publish(checks.Header, m)
		expect("header", "dkim")
		close(dkimDone)
		expect("one of two needs", "")
		r.Publish(checks.Message, m)
		expect("message", "content")
		close(spfDone)
		expect("both needs, and who follows", "dmarc scores")
		out := r.Finish(t.Context(), m)
		if got, want := outcomes(out), "connect=clean helo=clean spf=clean rcpt=clean rcpt=clean dkim=clean dmarc=clean scores=clean content=clean"; got != want {
			t.Errorf("results %s\nwant    %s", got, want)
		}
	})
}

// Independent checks run side by side; a check's time is its own, not what it
// waited for others.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, []checks.Spec{
			taking("a", checks.Mail, 3*time.Second), taking("b", checks.Mail, 4*time.Second),
			taking("c", checks.Message, 5*time.Second), needing(taking("d", checks.Message, 2*time.Second), "b"),
		}, nil)
		began := time.Now()
		out := decide(t, p, newMessage(t, plain, nil))
		if took := time.Since(began); took != 6*time.Second || out.Took != took {
			t.Errorf("took %v, it says %v; want the longest chain, 6s", took, out.Took)
		}
		for i, want := range []time.Duration{3 * time.Second, 4 * time.Second, 5 * time.Second, 2 * time.Second} {
			if out.Results[i].Took != want {
				t.Errorf("%s took %v, want %v", out.Results[i].Check, out.Results[i].Took, want)
			}
		}
	})
}

// A check sees the results that it named, and no others.
func TestPrior(t *testing.T) {
	detail := func(name string) checks.Spec {
		return checktest.Fake(name, checks.Mail, checktest.Func(func(context.Context, *checks.Input) (checks.Result, error) {
			return checks.Result{Detail: "of " + name}, nil
		}))
	}
	var got string
	reader := checktest.Fake("reader", checks.Message, checktest.Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
		for _, name := range []string{"a", "b", "c", "broken"} {
			d, ok := checks.Detail[string](in.Prior, name)
			got += fmt.Sprintf("%s: %q %v; ", name, d, ok)
		}
		if r := in.Prior["broken"]; r == nil || r.Err == nil || r.Check != "broken" {
			got += fmt.Sprintf("broken is %+v", r)
		}
		return checks.Result{}, nil
	}))
	reader.Needs, reader.After = []string{"a", "broken"}, []string{"b"}
	p := newPipeline(t, []checks.Spec{detail("a"), detail("b"), detail("c"), checktest.Failing("broken", checks.Mail, io.EOF), reader}, nil)
	decide(t, p, newMessage(t, plain, nil))
	if want := `a: "of a" true; b: "of b" true; c: "" false; broken: "" false; `; got != want {
		t.Errorf("saw  %s\nwant %s", got, want)
	}
}

// Panic, error and lost time are results that everybody can see; the other
// checks go their way, and the mail waits.
func TestBadDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var called *checks.Input
		hanging := checktest.Hanging("hanging", checks.Message, release)
		hanging.Timeout = 2 * time.Second
		slow := taking("slow", checks.Message, time.Minute)
		slow.Timeout = time.Second
		p := newPipeline(t, []checks.Spec{
			checktest.Panicking("panicking", checks.Mail, "boom\n\x1b[2J"),
			checktest.Failing("failing", checks.Mail, io.ErrUnexpectedEOF),
			hanging, slow,
			following(checktest.Fake("well", checks.Message, checktest.Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
				called = in
				return finding("FOUND"), nil
			})), "hanging", "panicking"),
		}, nil)
		m := newMessage(t, plain, nil)
		out := decide(t, p, m)
		if got, want := outcomes(out), "panicking=failed failing=failed hanging=failed slow=failed well=found"; got != want {
			t.Fatalf("results %s\nwant    %s", got, want)
		}
		var panicked *PanicError
		if !errors.As(out.Results[0].Err, &panicked) || panicked.Value != "boom\n\x1b[2J" || !strings.Contains(string(panicked.Stack), "checktest/fake.go") {
			t.Errorf("panicking: %v", out.Results[0].Err)
		}
		if err := out.Results[1].Err; !errors.Is(err, io.ErrUnexpectedEOF) || len(out.Results[1].Findings) != 0 {
			t.Errorf("failing: %v with %v", err, out.Results[1].Findings)
		}
		if err := out.Results[2].Err; !errors.Is(err, errDeadline) || out.Results[2].Took != 2*time.Second+grace {
			t.Errorf("hanging: %v after %v", err, out.Results[2].Took)
		}
		if err := out.Results[3].Err; !errors.Is(err, errDeadline) || !errors.Is(err, context.DeadlineExceeded) || out.Results[3].Took != time.Second {
			t.Errorf("slow: %v after %v", err, out.Results[3].Took)
		}
		if called == nil || called.Prior["hanging"].Err == nil || called.Prior["panicking"].Err == nil {
			t.Errorf("who follows a failed check goes on without it: %+v", called)
		}
		if out.Took != 2*time.Second+grace {
			t.Errorf("a check's own deadline ends the wait for it: %v", out.Took)
		}
		if v := out.Verdict; v.Action != message.TempFail || v.DecidedBy != "own_fault:panicking" || v.Reply != message.ReplyOwnFault.WithID(m.ID) {
			t.Errorf("verdict %s by %s: %s", v.Action, v.DecidedBy, v.Reply)
		}
		if got, want := counted(t, p, "milterd_check_errors_total"), "failing=1 hanging=1 panicking=1 slow=1"; got != want {
			t.Errorf("errors %s, want %s", got, want)
		}
		if got, want := counted(t, p, "milterd_check_panics_total"), "panicking=1"; got != want {
			t.Errorf("panics %s, want %s", got, want)
		}

		// The one that hangs is still there, holds on to the body, and is waited for.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close while a check hangs: %v", err)
		}
		close(release)
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		if len(out.Results[2].Findings) != 0 || out.Results[2].Err == nil {
			t.Errorf("what came too late was taken: %+v", out.Results[2])
		}
		if got, want := counted(t, p, "milterd_check_results_total"),
			"failing/failed=1 hanging/failed=1 panicking/failed=1 slow/failed=1 well/found=1"; got != want {
			t.Errorf("results %s\nwant    %s", got, want)
		}
	})
}

// Without a timeout of its own a check has until the message's deadline, which
// nothing outlives.
func TestMessageDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		p := newPipeline(t, []checks.Spec{
			checktest.Hanging("hanging", checks.Message, release),
			needing(checktest.Clean("waiting", checks.Message), "hanging"),
		}, nil)
		out := decide(t, p, newMessage(t, plain, nil))
		if got := outcomes(out); got != "hanging=failed waiting=failed" || out.Took != 25*time.Second {
			t.Errorf("%s after %v", got, out.Took)
		}
		for i := range out.Results {
			if !errors.Is(out.Results[i].Err, errDeadline) {
				t.Errorf("%s: %v", out.Results[i].Check, out.Results[i].Err)
			}
		}
		if out.Verdict.Action != message.TempFail {
			t.Errorf("verdict %s", out.Verdict.Action)
		}
	})
}

// Where the operator can live without a check its failure stays visible and
// changes nothing else.
func TestOnError(t *testing.T) {
	ignored := checktest.Failing("b", checks.Mail, io.EOF)
	ignored.OnError = checks.OnErrorIgnore
	unset := checktest.Failing("c", checks.Mail, io.EOF)
	unset.OnError = ""
	for _, c := range []struct {
		spec    checks.Spec
		onError map[string]checks.OnError
		want    message.Action
	}{
		{checktest.Failing("a", checks.Mail, io.EOF), nil, message.TempFail},
		{checktest.Failing("a", checks.Mail, io.EOF), map[string]checks.OnError{"a": checks.OnErrorIgnore}, message.Accept},
		{checktest.Failing("a", checks.Mail, io.EOF), map[string]checks.OnError{"b": checks.OnErrorIgnore}, message.TempFail},
		{ignored, nil, message.Accept},
		{ignored, map[string]checks.OnError{"b": checks.OnErrorTempFail}, message.TempFail},
		{unset, nil, message.TempFail},
	} {
		p := newPipeline(t, []checks.Spec{c.spec}, func(o *Options) { o.OnError = c.onError })
		out := decide(t, p, newMessage(t, plain, nil))
		if out.Verdict.Action != c.want || out.Results[0].Ended() != checks.Failed {
			t.Errorf("%s, %v: %s, %s", c.spec.Name, c.onError, out.Verdict.Action, out.Results[0].Ended())
		}
	}
}

// A message whose client has hung up was not tried, so it does not count as a
// fault of ours.
func TestClientGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipeline(t, []checks.Spec{taking("slow", checks.Message, time.Hour)}, nil)
		m := newMessage(t, plain, nil)
		for range 5 {
			ctx, hangUp := context.WithCancel(t.Context())
			r := p.Begin(t.Context())
			time.AfterFunc(time.Second, hangUp)
			out := r.Finish(ctx, m)
			if out.Took != time.Second || !errors.Is(out.Results[0].Err, context.Canceled) || errors.Is(out.Results[0].Err, errDeadline) {
				t.Errorf("after %v: %v", out.Took, out.Results[0].Err)
			}
			if out.Verdict.Action != message.TempFail {
				t.Errorf("verdict %s", out.Verdict.Action)
			}
			r.Close()
		}
		if len(p.o.Faults.seen) != 0 {
			t.Error("counted as a fault of ours")
		}
	})
}

type contextKey string

// Each transaction has a context of its own, each check a scope in it.
func TestContexts(t *testing.T) {
	var l log
	looking := func(name string, phase checks.Phase) checks.Spec {
		return checktest.Fake(name, phase, checktest.Func(func(ctx context.Context, _ *checks.Input) (checks.Result, error) {
			l.add("%s in %v, %v", name, ctx.Value(contextKey("transaction")), ctx.Value(contextKey("scope")))
			return checks.Result{}, nil
		}))
	}
	n := 0
	p := newPipeline(t, []checks.Spec{looking("a", checks.Connect), needing(looking("b", checks.Mail), "a")}, func(o *Options) {
		o.Transaction = func(ctx context.Context) context.Context {
			n++
			return context.WithValue(ctx, contextKey("transaction"), n)
		}
		o.Scope = func(ctx context.Context, check string) context.Context {
			return context.WithValue(ctx, contextKey("scope"), check)
		}
	})
	m := newMessage(t, plain, nil)
	session := p.Begin(t.Context())
	defer session.Close()
	session.Publish(checks.Connect, m)
	for range 2 {
		r := session.Fork(t.Context())
		r.Finish(t.Context(), m)
		r.Close()
	}
	if got, want := l.take(), "a in 1, a, b in 2, b, b in 3, b"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Close may be called while messages are on their way: that is what a reload
// does.
func TestCloseUnderTraffic(t *testing.T) {
	p := newPipeline(t, []checks.Spec{checktest.Clean("a", checks.Mail), checktest.Clean("b", checks.Message)}, nil)
	m := newMessage(t, plain, nil)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 2000 {
			r := p.Begin(context.Background())
			r.Finish(context.Background(), m)
			r.Close()
		}
	}()
	for running := true; running; {
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-sent:
			running = false
		default:
		}
	}
}
