package bridge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"milterd/checks"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"
)

// reservation is the memory that a message may take: its header, the part of
// its body that is not spooled, the decoded text that checks make of it.
const reservation = 512 << 10

// transaction is one mail transaction. Its message is replaced, never changed:
// checks hold on to the one that they were given.
type transaction struct {
	b      *Bridge
	run    *pipeline.Run
	m      *message.Message
	header headerBuilder
	spool  *message.Spool
	// refusals are the recipients that were refused here.
	refusals int
	// turn gives back what the message has of Options.Long, nil where it has nothing.
	turn func()
}

// maxRefusals bounds what is told of one transaction: who tries a thousand addresses
// shall not push everybody else out of the journal. Metrics count them all.
const maxRefusals = 50

// change replaces the message by a copy with a change.
func (t *transaction) change(f func(m *message.Message)) {
	m := *t.m
	f(&m)
	t.m = &m
}

func (t *transaction) rcpt(ctx context.Context, to string, args []string, refused bool, queueID string) milter.Reply {
	if refused {
		t.change(func(m *message.Message) { m.RejectedRecipients++ })
		return milter.Continue
	}
	if len(t.m.Recipients) >= t.b.o.Recipients {
		t.b.o.LimitHit("recipients")
		return reply(message.ReplyRecipients.WithID(t.m.ID))
	}
	before := t.m.Recipients
	t.change(func(m *message.Message) {
		m.QueueID = cmp.Or(queueID, m.QueueID)
		m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath(to), Args: slices.Clone(args)})
	})
	if t.m.Peer == message.Stranger {
		t.run.Recipient(t.m)
	}
	if t.b.o.Late {
		return milter.Continue
	}
	if out := t.run.Early(ctx, t.m); out != nil {
		t.change(func(m *message.Message) {
			m.Recipients = slices.Clip(before) // what was published stays as it is
			m.RejectedRecipients++
		})
		t.refuse(ctx, out)
		return reply(out.Verdict.Reply)
	}
	return milter.Continue
}

// refuse tells of a recipient that was refused, and lets the checks remember it.
func (t *transaction) refuse(ctx context.Context, out *pipeline.Outcome) {
	if t.refusals++; t.refusals <= maxRefusals {
		t.b.o.Report(out)
	}
	run := t.run
	t.afterwards(func() { run.Record(context.WithoutCancel(ctx), out) })
}

func (t *transaction) endOfHeader(queueID string) {
	if t.spool != nil {
		return
	}
	p := t.run.Pipeline()
	t.spool = message.NewSpool(message.SpoolOptions{Memory: spoolMemory, Buffers: t.b.o.Buffers, Dir: t.b.o.SpoolDir, Files: t.b.o.Files})
	header := t.header.build(t.b.o.FromBytes)
	if header.OverLimit != "" {
		t.b.o.LimitHit(header.OverLimit)
	}
	t.change(func(m *message.Message) {
		m.QueueID = queueID
		m.Header = header
		m.Body = t.spool
	})
	if p.Seen(t.m) {
		t.change(func(m *message.Message) { m.Role = message.Reinject })
	}
	if t.m.Peer != message.Stranger {
		t.lookBehind(p)
	}
	t.run.Publish(checks.Header, t.m)
}

// lookBehind replaces a relay or fetcher of ours by the client that it names
// in its Received field, and publishes the phases that were held back. Where it
// names none the client is unknown: a stranger whose mail were judged by the
// address of our relay would pass for us.
func (t *transaction) lookBehind(p *pipeline.Pipeline) {
	t.change(func(m *message.Message) { m.Session, _ = p.Roles().Behind(m.Header, m.Session.MTA) })
	recipients := t.m.Recipients
	for i := range recipients {
		t.change(func(m *message.Message) { m.Recipients = recipients[:i+1] })
		t.run.Recipient(t.m)
	}
}

func (t *transaction) body(chunk []byte) milter.Reply {
	if t.spool == nil {
		t.endOfHeader("")
	}
	if !t.run.Pipeline().ReadsBody() {
		return milter.Skip
	}
	if _, err := t.spool.Write(chunk); err != nil {
		t.b.o.LimitHit("spool_bytes")
		t.b.o.Logger.Error("body cannot be kept", "id", t.m.ID, "qid", t.m.QueueID, "err", err)
		return reply(message.ReplyNoMemory.WithID(t.m.ID))
	}
	return milter.Continue
}

// end decides the message.
func (t *transaction) end(ctx context.Context, queueID string) milter.Response {
	if t.spool == nil {
		t.endOfHeader(queueID)
	}
	if err := t.takeTurn(ctx); err != nil {
		if !errors.Is(err, context.Canceled) { // else the client has gone
			t.b.o.LimitHit("memory_inflight")
			t.b.o.Logger.Warn("message refused: no memory for a long body in time", "id", t.m.ID, "qid", cmp.Or(queueID, t.m.QueueID), "bytes", t.spool.Size())
		}
		t.drop()
		return milter.Response{Reply: reply(message.ReplyNoMemory.WithID(t.m.ID))}
	}
	t.spool.Finish()
	if t.m.QueueID == "" && queueID != "" {
		t.change(func(m *message.Message) { m.QueueID = queueID })
	}
	decided := false
	defer func() {
		if !decided { // a panic on its way to the server
			t.close()
		}
	}()
	out := t.run.Finish(ctx, t.m)
	t.b.o.Report(out)
	decided = true
	t.afterwards(func() {
		t.run.Record(context.WithoutCancel(ctx), out)
		t.close()
	})
	return response(out)
}

// afterwards runs f while the reply goes out. The bridge waits for it when it is closed.
func (t *transaction) afterwards(f func()) {
	t.b.after.Add(1)
	t.run.Beside(func() {
		defer t.b.after.Done()
		f()
	})
}

// takeTurn waits until there is memory for what checks make of a long body: the file
// itself, which they see mapped, and the decoded content. Checks do not see the end of the body
// before.
func (t *transaction) takeTurn(ctx context.Context) (err error) {
	size := t.spool.Size()
	if size <= spoolMemory || t.b.o.Long == nil {
		return nil
	}
	if end, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)*4/5) // the rest is for the checks
		defer cancel()
	}
	t.turn, err = t.b.o.Long.Take(ctx, 2*size)
	return err
}

// drop ends the transaction without a verdict.
func (t *transaction) drop() {
	if t.spool != nil {
		t.spool.Fail(errAborted)
	}
	t.close()
}

func (t *transaction) close() {
	t.run.Close()
	if t.spool != nil {
		t.spool.Release()
	}
	if t.turn != nil {
		t.turn()
	}
	t.b.o.Memory.Give(reservation)
}

// response is the verdict in the words of the milter protocol. A message that
// is accepted is answered with "continue": an early "accept" would keep other
// milters from their say, and Postfix has let the next message of such a
// session pass unfiltered.
func response(out *pipeline.Outcome) milter.Response {
	v := &out.Verdict
	var r milter.Response
	if out.Apply {
		for _, e := range out.Edits {
			switch e.Op {
			case message.Insert:
				r.Edits = append(r.Edits, milter.InsertHeader(e.Index, e.Name, e.Value))
			case message.Delete:
				r.Edits = append(r.Edits, milter.DeleteHeader(e.Index, e.Name))
			}
		}
	}
	switch {
	case v.Action.Refuses():
		r.Reply = reply(v.Reply)
	case v.Action == message.Discard:
		r.Reply = milter.Discard
	case v.Action == message.Quarantine:
		r.Edits = append(r.Edits, milter.Quarantine(message.SafeText(v.HoldReason, 200)))
		r.Reply = milter.Continue
	default:
		r.Reply = milter.Continue
	}
	return r
}
