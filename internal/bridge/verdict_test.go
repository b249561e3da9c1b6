package bridge

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"
	"milterd/rules"
	"milterd/scoring"
)

// observing makes the policy of o one that touches nothing.
func observing(t testing.TB) func(o *pipeline.Options) {
	t.Helper()
	set, err := rules.Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(o *pipeline.Options) {
		o.Policy = scoring.New(scoring.Options{Mode: message.Observe, OwnFault: scoring.FaultHold, Rules: set})
	}
}

// What becomes of a message on the wire.
func TestVerdicts(t *testing.T) {
	demand := func(a message.Action) checks.Result {
		return checks.Result{Demand: &checks.Demand{Action: a, Reply: message.ReplyMalware, Finding: "FOUND", Outbound: true}}
	}
	refusing := func(a message.Action, r message.Reply) checks.Result {
		return checks.Result{Demand: &checks.Demand{Action: a, Reply: r, Finding: "FOUND"}}
	}
	finding := func(name string) checks.Result { return checks.Result{Findings: []checks.Finding{{Name: name}}} }
	for _, c := range []struct {
		name   string
		result checks.Result
		reply  string // ID stands for the transaction's
		edits  string // names of fields put on top, and HOLD
	}{
		{"accept", checks.Result{}, "continue", "Authentication-Results X-Spam-Status X-Spam-Score X-Milterd-Id"},
		{"junk", finding("ODD"), "continue", "Authentication-Results X-Spam-Flag X-Spam X-Spam-Status X-Spam-Score X-Spam-Level X-Milterd-Id"},
		{"reject by score", finding("SPAM"), "554 5.7.1 Message rejected as spam (ID)", ""},
		{"reject", refusing(message.RejectMail, message.ReplyMalware), "554 5.7.1 Malware detected (ID)", ""},
		{"tempfail", refusing(message.TempFail, message.ReplyPolicyLookup), "451 4.7.0 Sender policy lookup failed, try again (ID)", ""},
		{"hold", demand(message.Quarantine), "continue", "Authentication-Results X-Spam-Status X-Spam-Score X-Milterd-Id HOLD"},
		{"discard", demand(message.Discard), "discard", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, []checks.Spec{always(c.result)}, nil)
			conn := b.greet(stranger())
			for range 2 { // the second meets a filter that has answered before
				answer, out := b.send(conn, to("ann@here.test"), plain)
				if got, want := answer.Reply.String(), strings.Replace(c.reply, "ID", out.Message.ID, 1); got != want {
					t.Errorf("answered %s, want %s", got, want)
				}
				if got := shown(answer.Edits); got != c.edits {
					t.Errorf("edits %s\nwant  %s", got, c.edits)
				}
			}
		})
	}
	t.Run("observe", func(t *testing.T) {
		b := newBed(t, nil, nil)
		b.reload(newPipeline(t, []checks.Spec{always(demand(message.Quarantine))}, observing(t)))
		answer, out := b.send(b.greet(stranger()), to("ann@here.test"), "X-Spam-Flag: YES\n"+plain)
		if !answer.Reply.IsContinue() || len(answer.Edits) != 0 || out.Verdict.Would != message.Quarantine || len(out.Edits) == 0 {
			t.Errorf("%s with %v, would be %s", answer.Reply, answer.Edits, out.Verdict.Would)
		}
	})
}

// shown names the fields that edits put on top, in the order in which they will
// stand, and the hold.
func shown(edits []milter.Edit) string {
	var words []string
	for _, e := range edits {
		switch e.Op {
		case milter.OpInsertHeader:
			words = append([]string{e.Name}, words...) // each goes above the one before
		case milter.OpQuarantine:
			words = append(words, "HOLD")
		default:
			words = append(words, string(e.Op))
		}
	}
	return strings.Join(words, " ")
}

// Golden: the message as its recipient gets it.
func TestMessageAsDelivered(t *testing.T) {
	b := newBed(t, []checks.Spec{always(checks.Result{
		Findings: []checks.Finding{{Name: "ODD"}},
		Auth:     []authres.Method{{Method: "spf", Result: "fail", Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: "joe@sender.test"}}}},
	})}, nil)
	raw := "Received: from a by b\n" +
		"Authentication-Results: mx.test; dmarc=pass\n" +
		"X-Spam-Flag: NO\n" +
		"Authentication-Results: other.test; dmarc=pass\n" +
		"authentication-results: MX.test; spf=pass\n" +
		"X-Milterd-Id: forged\n" +
		"Subject: hi\n" +
		"Authentication-Results: mx.test; dkim=pass\n" +
		"X-Spam-Status: No\n\nhello\n"
	answer, out := b.send(b.greet(stranger()), to("ann@here.test"), raw)
	id, _, _ := strings.Cut(out.Edits[len(out.Edits)-1].Value, " ")
	got := string(milter.ParseMessage([]byte(raw)).Apply(answer.Edits).Bytes())
	want := "Authentication-Results: mx.test;\n\tspf=fail smtp.mailfrom=joe@sender.test\n" +
		"X-Spam-Flag: YES\nX-Spam: Yes\n" +
		"X-Spam-Status: Yes, score=6.0 required=6.0\n\ttests=[ODD=6.0]\n\tautolearn=no milterd=1\n" +
		"X-Spam-Score: 6.0\nX-Spam-Level: ******\n" +
		"X-Milterd-Id: " + out.Edits[len(out.Edits)-1].Value + "\n" +
		"Received: from a by b\n" +
		"Authentication-Results: other.test; dmarc=pass\n" +
		"Subject: hi\n\nhello\n"
	if got != want || id != out.Message.ID {
		t.Errorf("delivered\n%s\nwant\n%s", got, want)
	}
}

// What our content filter hands back is known by its mark: nothing is done twice.
// The same from a stranger is a stranger's.
func TestReinject(t *testing.T) {
	b := newBed(t, []checks.Spec{always(checks.Result{Findings: []checks.Finding{{Name: "ODD"}}})}, nil)
	answer, _ := b.send(b.greet(stranger()), to("ann@here.test"), plain)
	once := milter.ParseMessage([]byte(plain)).Apply(answer.Edits).Bytes()

	answer, out := b.send(b.greet(peer("127.0.0.1")), to("ann@here.test"), string(once))
	if m := out.Message; m.Role != message.Reinject || len(answer.Edits) != 0 || !answer.Reply.IsContinue() || len(out.Results) != 0 || out.Verdict.Action != message.Accept {
		t.Errorf("back from the filter: %s, edits %v, results %v", m.Role, answer.Edits, out.Results)
	}
	answer, out = b.send(b.greet(milter.LocalPeer("mx.test")), to("ann@here.test"), string(once))
	if m := out.Message; m.Role != message.Reinject || len(answer.Edits) != 0 {
		t.Errorf("back by sendmail(1): %s, edits %v", m.Role, answer.Edits)
	}
	answer, out = b.send(b.greet(stranger()), to("ann@here.test"), string(once))
	if m := out.Message; m.Role != message.Inbound || len(out.Results) != 1 {
		t.Errorf("from a stranger: %s, results %v", m.Role, out.Results)
	}
	twice := string(milter.ParseMessage(once).Apply(answer.Edits).Bytes())
	if strings.Count(twice, "X-Milterd-Id:") != 1 || strings.Count(twice, "X-Spam-Status:") != 1 || strings.Count(twice, "Authentication-Results:") != 1 {
		t.Errorf("from a stranger:\n%s", twice)
	}
	_, out = b.send(b.greet(peer("127.0.0.1")), to("ann@here.test"), strings.Replace(string(once), "1@sender", "2@sender", 1))
	if out.Message.Role != message.Outbound {
		t.Errorf("another message with that mark: %s", out.Message.Role)
	}
}

// Mail of our own users leaves as it came, but for what is forged in our name.
func TestOutbound(t *testing.T) {
	b := newBed(t, []checks.Spec{always(checks.Result{Findings: []checks.Finding{{Name: "SPAM"}}})}, nil)
	answer, out := b.send(b.greet(milter.LocalPeer("mx.test")), to("bob@else.test"), "X-Spam-Flag: YES\nAuthentication-Results: mx.test; spf=pass\nX-Milterd-Id: x\n"+plain)
	if out.Message.Role != message.Outbound || out.Message.QueueID != "4bQueue" || out.Verdict.Mitigation != "outbound" || !answer.Reply.IsContinue() {
		t.Errorf("%s, %s softened by %s", out.Message.Role, out.Verdict.Action, out.Verdict.Mitigation)
	}
	left := string(milter.ParseMessage([]byte("X-Spam-Flag: YES\nAuthentication-Results: mx.test; spf=pass\nX-Milterd-Id: x\n" + plain)).Apply(answer.Edits).Bytes())
	if left != "X-Spam-Flag: YES\n"+plain {
		t.Errorf("left as\n%s", left)
	}
}

// A message is remembered after its reply, and the next one does not wait for
// that.
func TestRecordAfterTheReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := newBed(t, []checks.Spec{checktest.Fake("bayes", checks.Header, &recorder{release: release})}, nil)
		c := b.greet(stranger())
		for range 2 {
			if answer, _ := b.send(c, to("ann@here.test"), plain); !answer.Reply.IsContinue() {
				t.Errorf("%s", answer.Reply)
			}
		}
		synctest.Wait()
		if b.memory.Used() != 2*reservation {
			t.Errorf("%d bytes of memory are held while the messages are remembered", b.memory.Used())
		}
		close(release)
	})
}

type recorder struct{ release chan struct{} }

func (*recorder) Run(context.Context, *checks.Input) (checks.Result, error) {
	return checks.Result{}, nil
}

func (r *recorder) Record(context.Context, *checks.Input, *message.Verdict) error {
	<-r.release
	return nil
}

// The MTA that hangs up while a message is decided leaves nothing behind.
func TestHangUpAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, []checks.Spec{checktest.Fake("slow", checks.Message, checktest.Func(func(ctx context.Context, _ *checks.Input) (checks.Result, error) {
			<-ctx.Done()
			return checks.Result{}, ctx.Err()
		}))}, nil)
		c := b.greet(stranger())
		done := make(chan error, 1)
		go func() {
			_, err := c.Send(t.Context(), to("ann@here.test"), []byte(plain))
			done <- err
		}()
		synctest.Wait()
		c.Close()
		if err := <-done; err == nil {
			t.Error("a message on a closed connection was answered")
		}
		time.Sleep(time.Second) // of the bubble: the server looks after its peer a little later
		synctest.Wait()
		if b.memory.Used() != 0 {
			t.Errorf("%d bytes of memory are held", b.memory.Used())
		}
	})
}

// Many sessions at once share nothing but the budgets.
func TestManySessions(t *testing.T) {
	b := newBed(t, []checks.Spec{checktest.Clean("mail", checks.Mail), checktest.Clean("content", checks.Message)}, nil)
	const sessions, each = 16, 8
	done := make(chan error, sessions)
	for range sessions {
		c := b.greet(stranger())
		go func() {
			for range each {
				out, err := c.Send(b.t.Context(), to("ann@here.test", "bob@here.test"), []byte(plain))
				if err != nil || !out.Reply.IsContinue() {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range sessions {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	ids := map[string]bool{}
	for _, o := range b.decided() {
		ids[o.Message.ID] = true
	}
	if len(ids) != sessions*each {
		t.Errorf("%d ids of %d messages", len(ids), sessions*each)
	}
}
