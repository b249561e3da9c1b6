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
