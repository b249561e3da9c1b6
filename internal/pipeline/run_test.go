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

// Fork keeps what the session has brought, also what it is still about to bring:
// the end of a transaction (RSET) does not end it, nor start it again.
func TestFork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		release := make(chan struct{})
		p := newPipeline(t, []checks.Spec{
			until(&l, "connect", checks.Connect, release), noting(&l, "helo", checks.Helo), until(&l, "mail", checks.Mail, release),
		}, nil)
		m := newMessage(t, plain, nil)
		session := p.Begin(t.Context())
		session.Publish(checks.Helo, m)
		synctest.Wait()
		if got := l.take(); got != "connect, helo" && got != "helo, connect" {
			t.Fatalf("started %s", got)
		}
		first := session.Fork(t.Context())
		first.Publish(checks.Mail, m)
		synctest.Wait()
		first.Close() // RSET
		synctest.Wait()
		if got := l.take(); got != "mail, mail ended" {
			t.Errorf("the first transaction: %s", got)
		}
		second := session.Fork(t.Context())
		second.Publish(checks.Mail, m)
		synctest.Wait()
		if got := l.take(); got != "mail" {
			t.Errorf("the second transaction started %s", got)
		}
		close(release)
		if out := second.Finish(t.Context(), m); outcomes(out) != "connect=clean helo=clean mail=clean" {
			t.Errorf("results %s", outcomes(out))
		}
		second.Close()
		third := session.Fork(t.Context())
		if out := third.Finish(t.Context(), m); outcomes(out) != "connect=clean helo=clean mail=clean" {
			t.Errorf("results %s", outcomes(out))
		}
		third.Close()
		session.Close()
	})
}

// The end of the session ends its own checks too.
func TestSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		p := newPipeline(t, []checks.Spec{until(&l, "connect", checks.Connect, nil)}, nil)
		session := p.Begin(t.Context())
		session.Publish(checks.Connect, newMessage(t, plain, nil))
		synctest.Wait()
		session.Close()
		synctest.Wait()
		if got := l.take(); got != "connect, connect ended" {
			t.Errorf("%s", got)
		}
	})
}

// A session whose first phases were held back (a relay) has them in each
// transaction.
func TestForkOfNothing(t *testing.T) {
	var l log
	p := newPipeline(t, []checks.Spec{noting(&l, "connect", checks.Connect), noting(&l, "mail", checks.Mail)}, nil)
	session := p.Begin(t.Context())
	defer session.Close()
	for range 2 {
		r := session.Fork(t.Context())
		if out := r.Finish(t.Context(), newMessage(t, plain, nil)); outcomes(out) != "connect=clean mail=clean" {
			t.Errorf("results %s", outcomes(out))
		}
		r.Close()
	}
	if got := l.take(); strings.Count(got, "connect") != 2 {
		t.Errorf("started %s", got)
	}
}

// Checks of the Rcpt phase run once for each recipient, with that recipient.
func TestRecipients(t *testing.T) {
	p := newPipeline(t, []checks.Spec{checktest.Fake("rcpt", checks.Rcpt, checktest.Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
		return checks.Result{Findings: []checks.Finding{{Name: "FOUND",
			Detail: fmt.Sprintf("%s is number %d", in.Recipient.Path.Raw, len(in.Message.Recipients))}}}, nil
	}))}, func(o *Options) { o.Policy = newPolicy(t, message.Enforce, "scores: {FOUND: 2}") })
	m := newMessage(t, plain, nil)
	m.Recipients = nil
	for _, to := range []string{"<a@x.test>", "<b@x.test>", "<c@x.test>"} {
		m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath(to)})
	}
	out := decide(t, p, m)
	var got []string
	for _, f := range out.Verdict.Findings {
		got = append(got, f.Detail)
	}
	if want := []string{"<a@x.test> is number 1", "<b@x.test> is number 2", "<c@x.test> is number 3"}; !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if out.Verdict.Score != 2 {
		t.Errorf("score %g: a message to three is not three times as bad", out.Verdict.Score)
	}
}

// Only checks that say so run on outbound mail, none on what we have seen
// before; what had begun when the role was not known yet counts for nothing.
func TestRoles(t *testing.T) {
	var l log
	specs := []checks.Spec{
		checktest.Failing("dnsbl", checks.Connect, io.EOF), noting(&l, "spf", checks.Mail),
		spec("dkim", checks.Header), noting(&l, "clamav", checks.Message),
	}
	specs[2].Outbound, specs[3].Outbound = true, true
	for role, want := range map[message.Role]string{
		message.Inbound:  "dnsbl=failed spf=clean dkim=clean clamav=clean",
		message.Outbound: "dkim=clean clamav=clean",
		message.Reinject: "",
	} {
		p := newPipeline(t, specs, nil)
		session := p.Begin(t.Context())
		session.Publish(checks.Connect, newMessage(t, plain, nil)) // nobody has logged in so far
		r := session.Fork(t.Context())
		out := r.Finish(t.Context(), newMessage(t, plain, func(m *message.Message) { m.Role = role }))
		if got := outcomes(out); got != want {
			t.Errorf("%s: results %s, want %s", role, got, want)
		}
		if wantAction := map[bool]message.Action{true: message.TempFail, false: message.Accept}[role == message.Inbound]; out.Verdict.Action != wantAction {
			t.Errorf("%s: %s", role, out.Verdict.Action)
		}
		if started := l.take(); role != message.Inbound && strings.Contains(started, "spf") {
			t.Errorf("%s: started %s", role, started)
		}
		r.Close()
		session.Close()
	}
}

// A check that follows the body has each piece as soon as it arrives, and ends
// with the body.
func TestBodyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l log
		reader := checktest.Fake("reader", checks.Header, checktest.Func(func(ctx context.Context, in *checks.Input) (checks.Result, error) {
			for {
				switch p, err := in.Body.Next(ctx); {
				case err == io.EOF:
					return finding("FOUND"), nil
				case err != nil:
					l.add("%v", err)
					return checks.Result{}, err
				default:
					l.add("%s", p)
				}
			}
		}))
		reader.BodyReader = true
		p := newPipeline(t, []checks.Spec{reader}, nil)
		begin := func() (*Run, *message.Message) {
			m := newMessage(t, plain, nil)
			m.Body = message.NewSpool(message.SpoolOptions{Memory: 100})
			r := p.Begin(t.Context())
			r.Publish(checks.Header, m)
			return r, m
		}
		r, m := begin()
		for _, chunk := range []string{"one", "two", "three"} {
			m.Body.Write([]byte(chunk))
			synctest.Wait()
			if got := l.take(); got != chunk {
				t.Errorf("read %q, want %q", got, chunk)
			}
			time.Sleep(time.Minute) // of the bubble: a client may be slow, and that is no fault of ours
		}
		m.Body.Finish()
		if out := r.Finish(t.Context(), m); outcomes(out) != "reader=found" {
			t.Errorf("results %s: %v", outcomes(out), out.Results[0].Err)
		}
		r.Close()
		m.Body.Release()

		gone := errors.New("the client has gone")
		r, m = begin()
		m.Body.Write([]byte("one"))
		m.Body.Fail(gone)
		synctest.Wait()
		if got := l.take(); got != "one, the client has gone" {
			t.Errorf("read %q of a message that was dropped", got)
		}
		r.Close()
		m.Body.Release()
	})
}

// The body is there for as long as a check may read it, and no longer.
func TestBodyIsReleased(t *testing.T) {
	release, began := make(chan struct{}), make(chan struct{})
	p := newPipeline(t, []checks.Spec{checktest.Fake("late", checks.Message, checktest.Func(func(_ context.Context, in *checks.Input) (checks.Result, error) {
		close(began)
		<-release
		if b, err := in.Message.Body.Bytes(10); string(b) != "x" || err != nil {
			t.Errorf("the body is %q, %v", b, err)
		}
		return checks.Result{}, nil
	}))}, nil)
	m := newMessage(t, plain, nil)
	files := message.NewBudget(1000)
	m.Body = message.NewSpool(message.SpoolOptions{Memory: 0, Dir: t.TempDir(), Files: files})
	m.Body.Write([]byte("x"))
	m.Body.Finish()
	r := p.Begin(t.Context())
	r.Publish(checks.Message, m)
	<-began
	r.Close()
	m.Body.Release() // ours
	if files.Used() == 0 {
		t.Error("the body is gone while a check reads it")
	}
	close(release)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files.Used() != 0 {
		t.Errorf("%d bytes of spool are left", files.Used())
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
