package bridge

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"
)

// The client that is dropped in the middle of its body leaves nothing behind.
func TestAbortInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived, gone := make(chan struct{}, 100), make(chan error, 1)
		b := newBed(t, []checks.Spec{following(func(_ []byte, err error) {
			if err != nil {
				gone <- err
				return
			}
			arrived <- struct{}{}
		})}, nil)
		ctx := t.Context()
		chunk := []byte(strings.Repeat("x", 65_000))
		for _, end := range []func(*milter.Client) error{
			func(c *milter.Client) error { return c.Abort(ctx) },
			func(c *milter.Client) error { return c.QuitNewConn(ctx) },
			func(c *milter.Client) error { return c.Quit(ctx) },
			func(c *milter.Client) error { return c.Close() },
		} {
			c := b.greet(stranger())
			begin(t, c, to("ann@here.test"))
			for range 5 { // enough to leave memory for a file
				if r, err := c.Body(ctx, chunk); err != nil || !r.IsContinue() {
					t.Fatal(r, err)
				}
				<-arrived
			}
			if b.memory.Used() == 0 || b.files.Used() != 5*65_000 {
				t.Errorf("while it arrives: %d bytes of memory, %d of spool", b.memory.Used(), b.files.Used())
			}
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			if err := <-gone; err == io.EOF {
				t.Error("the check was told that the body is complete")
			}
			synctest.Wait()
			if b.memory.Used() != 0 || b.files.Used() != 0 {
				t.Errorf("afterwards: %d bytes of memory, %d of spool", b.memory.Used(), b.files.Used())
			}
			for len(arrived) > 0 {
				<-arrived
			}
		}
		if n := len(b.decided()); n != 0 {
			t.Errorf("%d messages were decided", n)
		}
	})
}

// begin sends a message up to its body.
func begin(t testing.TB, c *milter.Client, e milter.Envelope) {
	t.Helper()
	ctx := t.Context()
	continues := func(r milter.Reply, err error) {
		t.Helper()
		if err != nil || !r.IsContinue() {
			t.Fatal(r, err)
		}
	}
	continues(c.Mail(ctx, "<"+e.From+">"))
	for _, r := range e.Rcpts {
		continues(c.Rcpt(ctx, "<"+r.Address+">"))
	}
	continues(c.Header(ctx, "Subject", " hi"))
	continues(c.EndOfHeader(ctx))
}

// One recipient too many is refused, and the others get their mail.
func TestTooManyRecipients(t *testing.T) {
	b := newBed(t, nil, func(o *Options) { o.Recipients = 3 })
	answer, out := b.send(b.greet(stranger()), to("1@x.test", "2@x.test", "3@x.test", "4@x.test", "5@x.test"), plain)
	if len(out.Message.Recipients) != 3 || !answer.Reply.IsContinue() {
		t.Errorf("%d recipients, %s", len(out.Message.Recipients), answer.Reply)
	}
	for i, r := range answer.Rcpts {
		want := "continue"
		if i >= 3 {
			want = "452 4.5.3 Too many recipients (" + out.Message.ID + ")"
		}
		if r.String() != want {
			t.Errorf("recipient %d: %s, want %s", i+1, r, want)
		}
	}
	if b.limits() != "recipients recipients" {
		t.Errorf("limits hit: %s", b.limits())
	}
}

// Who finds no room for another message is asked to come back, and the session
// goes on.
func TestOutOfMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, func(o *Options) { o.Memory = message.NewBudget(2*reservation - 1) })
		ctx := t.Context()
		first, second := b.greet(stranger()), b.greet(stranger())
		begin(t, first, to("ann@here.test"))
		answer, out := b.send(second, to("ann@here.test"), plain)
		if out != nil || answer.Stage != "mail" || answer.Reply.Code() != 451 || !strings.HasPrefix(answer.Reply.SMTP(), "451 4.3.1 ") {
			t.Errorf("%s at %s", answer.Reply, answer.Stage)
		}
		if id := strings.TrimSuffix(answer.Reply.SMTP()[strings.LastIndex(answer.Reply.SMTP(), "(")+1:], ")"); !message.ValidID(id) {
			t.Errorf("no id at the end of %s", answer.Reply)
		}
		if b.limits() != "memory_inflight" {
			t.Errorf("limits hit: %s", b.limits())
		}
		if err := first.Abort(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if answer, out = b.send(second, to("ann@here.test"), plain); out == nil || !answer.Reply.IsContinue() {
			t.Errorf("when there is room: %s at %s", answer.Reply, answer.Stage)
		}
	})
}

// Long bodies are judged in turn. One whose turn does not come is to come back, and a
// short one does not wait for them.
func TestTurnOfLongBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered, leave := make(chan struct{}, 2), make(chan struct{})
		slow := checktest.Fake("slow", checks.Message, running(func(ctx context.Context, in *checks.Input) (checks.Result, error) {
			if in.Message.Body.Size() > spoolMemory {
				entered <- struct{}{}
				<-leave
			}
			return checks.Result{}, nil
		}))
		b := newBed(t, []checks.Spec{following(func([]byte, error) {}), slow}, func(o *Options) { o.Long = message.NewTurns(1 << 20) })
		long := "From: x@y.test\r\n\r\n" + strings.Repeat("all work and no play\r\n", 40_000)
		sent := make(chan milter.Outcome, 2)
		send := func() {
			c := b.greet(stranger())
			go func() {
				out, err := c.Send(t.Context(), to("ann@here.test"), []byte(long))
				if err != nil {
					t.Error(err)
				}
				sent <- out
			}()
		}
		send()
		<-entered
		send()
		synctest.Wait() // the second one waits
		if answer, out := b.send(b.greet(stranger()), to("ann@here.test"), plain); out == nil || !answer.Reply.IsContinue() {
			t.Errorf("a short one meanwhile: %s", answer.Reply)
		}
		began := time.Now()
		if out := <-sent; out.Stage != "eom" || !strings.HasPrefix(out.Reply.SMTP(), "451 4.3.1 ") || time.Since(began) != 20*time.Second {
			t.Errorf("the second: %s at %s after %v", out.Reply, out.Stage, time.Since(began))
		}
		if b.limits() != "memory_inflight" {
			t.Errorf("limits hit: %s", b.limits())
		}
		send()
		synctest.Wait()
		close(leave) // the first one ends, and the third has its turn
		for range 2 {
			if out := <-sent; !out.Reply.IsContinue() {
				t.Errorf("in turn: %s", out.Reply)
			}
		}
		synctest.Wait()
		if b.memory.Used() != 0 || b.files.Used() != 0 {
			t.Errorf("afterwards: %d bytes of memory, %d of spool", b.memory.Used(), b.files.Used())
		}
	})
}

// running is a check that is one function.
type running func(ctx context.Context, in *checks.Input) (checks.Result, error)

func (f running) Run(ctx context.Context, in *checks.Input) (checks.Result, error) { return f(ctx, in) }

// A body is not answered piece by piece, so there is its end for what went wrong with it.
func TestOutOfSpool(t *testing.T) {
	body := strings.Repeat(strings.Repeat("x", 70)+"\n", 10_000)
	for _, size := range []int64{100_000, 400_000} { // not even what is in memory fits; some of it does
		b := newBed(t, []checks.Spec{checktest.Clean("content", checks.Message)}, func(o *Options) { o.Files = message.NewBudget(size) })
		c := b.greet(stranger())
		answer, out := b.send(c, to("ann@here.test"), plain+body)
		if out != nil || answer.Stage != "eom" || !strings.HasPrefix(answer.Reply.SMTP(), "451 4.3.1 ") {
			t.Errorf("%d: %s at %s", size, answer.Reply, answer.Stage)
		}
		if b.limits() != "spool_bytes" {
			t.Errorf("limits hit: %s", b.limits())
		}
		b.settle()
		if b.files.Used() != 0 {
			t.Errorf("%d bytes of spool are held", b.files.Used())
		}
		if answer, out := b.send(c, to("ann@here.test"), plain); out == nil || !answer.Reply.IsContinue() {
			t.Errorf("a short one afterwards: %s", answer.Reply)
		}
	}
}

// A header over its limits is refused for good at the end of the message, and
// what lies over the limit is not kept.
func TestHeaderBombs(t *testing.T) {
	b := newBed(t, nil, nil)
	const wide = 8 << 20
	for _, c := range []struct {
		name, header string
		want         string
		limit        string
		fields       int
	}{
		{"20,000 fields", strings.Repeat("X-Bomb: x\n", 20_000), "552 5.3.4 Message header too large", "header_fields", 1000},
		{"8 MB", strings.Repeat("X-Bomb: "+strings.Repeat("y", 32_000)+"\n", wide/32_000), "552 5.3.4 Message header too large", "header_bytes", 8},
		{"one of 300 kB", "X-Bomb: " + strings.Repeat("y", 300_000) + "\n", "552 5.3.4 Message header too large", "header_bytes", 0},
		{"1,000 fields", strings.Repeat("X: y\n", 996), "continue", "", 1000},
		{"1,001 fields", strings.Repeat("X: y\n", 997), "552 5.3.4 Message header too large", "header_fields", 1000},
		{"what Postfix lets through of one field", "X-Long: " + strings.Repeat("y", 59_500) + "\n", "continue", "", 5},
	} {
		answer, out := b.send(b.greet(stranger()), to("ann@here.test"), c.header+plain)
		want := c.want
		if want != "continue" {
			want += " (" + out.Message.ID + ")"
		}
		if answer.Reply.String() != want || answer.Stage != "eom" {
			t.Errorf("%s: %s at %s, want %s", c.name, answer.Reply, answer.Stage, want)
		}
		h := out.Message.Header
		if h.OverLimit != c.limit || len(h.Fields) != c.fields || h.Size > 256<<10+4*len(h.Fields) {
			t.Errorf("%s: over %q, %d fields, %d bytes", c.name, h.OverLimit, len(h.Fields), h.Size)
		}
	}
	if got := b.limits(); got != "header_fields header_bytes header_bytes header_fields" {
		t.Errorf("limits hit: %s", got)
	}
	last := b.decided()[5]
	if f := last.Verdict.Findings; len(f) != 1 || f[0].Name != "HEADER_FIELD_LONG" {
		t.Errorf("the long field: %+v", f)
	}
}

// However much comes, what is kept of a header is bounded.
func TestHeaderBuilderIsBounded(t *testing.T) {
	for name, value := range map[string]int{"many": 0, "wide": 1000, "huge": 1 << 20} {
		h := headerBuilder{maxFields: 1000, maxBytes: 256 << 10}
		field, long := []byte("X-Bomb"), []byte(strings.Repeat("y", value))
		for range 100_000 {
			h.add(field, long)
		}
		if h.over == "" || cap(h.bytes) > 2*h.maxBytes || cap(h.ends) > 2*h.maxFields {
			t.Errorf("%s: over %q, room for %d bytes and %d fields", name, h.over, cap(h.bytes), cap(h.ends))
		}
		if built := h.build(8 << 10); built.OverLimit != h.over || len(built.Fields) > 1000 {
			t.Errorf("%s: built with %d fields, over %q", name, len(built.Fields), built.OverLimit)
		}
	}
}

// Fields come out of the builder as they went in, whatever is in them.
func FuzzHeaderBuilder(f *testing.F) {
	f.Add("From", " a@b.test", "", "\n\tx", 4, 100)
	f.Add("A", strings.Repeat("b", 50), "A", "", 1, 10)
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, maxFields, maxBytes int) {
		h := headerBuilder{maxFields: maxFields & 7, maxBytes: maxBytes & 255}
		var want []message.Field
		size, over := 0, ""
		for range 2 {
			for _, f := range []message.Field{{Name: n1, Value: v1}, {Name: n2, Value: v2}} {
				h.add([]byte(f.Name), []byte(f.Value))
				size += len(f.Name) + len(f.Value)
				switch {
				case over != "":
				case len(want) == h.maxFields:
					over = "header_fields"
				case size > h.maxBytes:
					over = "header_bytes"
				default:
					want = append(want, f)
				}
			}
		}
		got := h.build(100)
		if got.OverLimit != over || fmt.Sprint(got.Fields) != fmt.Sprint(want) {
			t.Errorf("over %q with %q\nwant %q with %q", got.OverLimit, got.Fields, over, want)
		}
	})
}

// Every reply that there is can be written: reply may not fail.
func TestEveryReplyIsWritable(t *testing.T) {
	author, err := message.ParseDomain(strings.Repeat(strings.Repeat("a", 63)+".", 3) + "test")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]message.Reply{
		"ReplySpam": message.ReplySpam, "ReplyBadAuthor": message.ReplyBadAuthor, "ReplyHeaderSize": message.ReplyHeaderSize,
		"ReplyRecipients": message.ReplyRecipients, "ReplyOwnFault": message.ReplyOwnFault, "ReplyNoMemory": message.ReplyNoMemory,
		"ReplyTooBusy": message.ReplyTooBusy, "ReplyShuttingDown": message.ReplyShuttingDown, "ReplyPolicyLookup": message.ReplyPolicyLookup,
		"ReplyNotOwner": message.ReplyNotOwner, "ReplySigning": message.ReplySigning,
		"ReplyAttachment": message.ReplyAttachment(strings.Repeat("a%\r\n.exe", 100)), "ReplyMalware": message.ReplyMalware, "ReplyScanner": message.ReplyScanner, "ReplyRate": message.ReplyRate,
		"ReplyListed": message.ReplyListed(netip.MustParseAddr("2001:db8::1%eth0"), "zen"),
		"ReplyDMARC":  message.ReplyDMARC(author), "ReplyGreylisted": message.ReplyGreylisted(1 << 30),
	}
	for name, r := range all {
		told := r.WithID("k7q2m9zt4w1c")
		got := reply(told)
		if got.SMTP() != told.String() || got.Code() != r.Code {
			t.Errorf("%s: %q, want %q", name, got.SMTP(), told)
		}
	}
	// None is missing above.
	file, err := parser.ParseFile(token.NewFileSet(), "../../message/reply.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		var name string
		switch d := node.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				name = d.Name.Name
			}
		case *ast.ValueSpec:
			name = d.Names[0].Name
		}
		if strings.HasPrefix(name, "Reply") {
			n++
			if _, known := all[name]; !known {
				t.Errorf("message.%s is not tested here", name)
			}
		}
		return true
	})
	if n != len(all) {
		t.Errorf("%d replies in the source, %d here", n, len(all))
	}
}

// Bodies that nobody reads are not sent; those that somebody reads arrive whole.
func TestSkip(t *testing.T) {
	ctx := t.Context()
	b := newBed(t, []checks.Spec{checktest.Clean("header", checks.Header)}, nil)
	c := b.greet(stranger())
	begin(t, c, to("ann@here.test"))
	if r, err := c.Body(ctx, []byte("line\r\n")); err != nil || r != milter.Skip {
		t.Errorf("nobody reads the body: %s, %v", r, err)
	}
	if r, err := c.EndOfMessage(ctx); err != nil || !r.Reply.IsContinue() {
		t.Errorf("%s, %v", r.Reply, err)
	}

	body := strings.Repeat(strings.Repeat("line ", 13)+"\n", 4000) // four chunks, over what stays in memory
	var got []byte
	whole := probe("whole", checks.Message, func(in *checks.Input) checks.Result {
		all, err := in.Message.Body.Bytes(1 << 20)
		if err != nil {
			t.Error(err)
		}
		got = append([]byte(nil), all...)
		return checks.Result{}
	})
	var streamed []byte
	b = newBed(t, []checks.Spec{whole, following(func(p []byte, err error) {
		if err == nil {
			streamed = append(streamed, p...)
		}
	})}, nil)
	b.send(b.greet(stranger()), to("ann@here.test"), "Subject: long\n\n"+body)
	want := strings.ReplaceAll(body, "\n", "\r\n")
	if string(got) != want || string(streamed) != want {
		t.Errorf("of %d bytes %d and %d arrived, or others", len(want), len(got), len(streamed))
	}
}

// A message without a body, a header or an end of header is a message.
func TestScantyMessages(t *testing.T) {
	ctx := t.Context()
	b := newBed(t, []checks.Spec{checktest.Clean("content", checks.Message)}, nil)
	c := b.greet(stranger())
	for name, steps := range map[string]func(){
		"nothing": func() {},
		"body only": func() {
			if r, err := c.Body(ctx, []byte("x")); err != nil || !r.IsContinue() {
				t.Fatal(r, err)
			}
		},
		"header only": func() { c.Header(ctx, "Subject", " hi") },
	} {
		if r, err := c.Mail(ctx, "<a@sender.test>"); err != nil || !r.IsContinue() {
			t.Fatal(r, err)
		}
		c.Rcpt(ctx, "<ann@here.test>")
		steps()
		r, err := c.EndOfMessage(ctx)
		if err != nil || !r.Reply.IsContinue() {
			t.Errorf("%s: %s, %v", name, r.Reply, err)
		}
	}
	if n := len(b.decided()); n != 3 {
		t.Errorf("%d messages were decided", n)
	}
}

// Whatever breaks in our own code gives 451 and keeps nothing.
func TestPanicAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil, nil)
		b.report = func(*pipeline.Outcome) { panic("report") }
		answer, err := b.greet(stranger()).Send(t.Context(), to("ann@here.test"), []byte(plain))
		if err == nil && answer.Reply.Code() != 451 {
			t.Errorf("%s", answer.Reply)
		}
		synctest.Wait()
		if b.memory.Used() != 0 {
			t.Errorf("%d bytes of memory are held", b.memory.Used())
		}
	})
}
