package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	gomilter "github.com/emersion/go-milter"
)

// standin is a milter that knows nothing of milterd: it writes the client's name and
// address into the mail, refuses the sender bad@sender.test and holds the rest of
// sender.test's. With it the bed itself is tested.
type standin struct {
	gomilter.NoOpMilter
	client, from string
}

func (s *standin) Connect(host, _ string, _ uint16, addr net.IP, _ *gomilter.Modifier) (gomilter.Response, error) {
	s.client = fmt.Sprintf("%s [%s]", host, addr)
	return gomilter.RespContinue, nil
}

func (s *standin) MailFrom(from string, _ *gomilter.Modifier) (gomilter.Response, error) {
	if s.from = from; from == "bad@sender.test" {
		return gomilter.RespReject, nil
	}
	return gomilter.RespContinue, nil
}

func (s *standin) Body(m *gomilter.Modifier) (gomilter.Response, error) {
	err := m.AddHeader("X-Standin", s.client)
	if strings.HasSuffix(s.from, "@sender.test") {
		err = errors.Join(err, m.Quarantine("held by the stand-in"))
	}
	return gomilter.RespAccept, err
}

// TestBed proves that the bed is what it claims to be: Postfix asks a milter about
// every message, and mailboxes, queue and logs can be read.
func TestBed(t *testing.T) {
	t.Parallel()
	b := testBed(t)
	socket := filepath.Join(b.Dir(), "spool/milterd/standin.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	server := gomilter.Server{
		NewMilter: func() gomilter.Milter { return new(standin) },
		Actions:   gomilter.OptAddHeader | gomilter.OptQuarantine,
	}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	t.Cleanup(func() { server.Close(); serving.Wait() })

	t.Run("delivers", func(t *testing.T) {
		t.Parallel()
		m := newMail(t, "hello\n.a line with a dot\n.")
		r := sendFrom(t, dial(t, "standin", stranger), "joe@other.test", m, alice)
		check(t, r.Code == 250 && r.QueueID() != "", "got %v, want 250 and a queue id", r)
		got := find(t, alice, "INBOX", m)
		check(t, got.Get("X-Standin") == "mail.sender.test [203.0.113.7]", "X-Standin: %q", got.Get("X-Standin"))
		check(t, got.Body == "hello\n.a line with a dot\n.\n", "body: %q", got.Body)
		check(t, b.Gone(within(t), r.QueueID()) == nil, "%s is still queued", r.QueueID())
	})
	t.Run("refuses", func(t *testing.T) {
		t.Parallel()
		r := sendFrom(t, dial(t, "standin", stranger), "bad@sender.test", newMail(t, ""), alice)
		check(t, r.Code == 550, "got %v, want 550", r)
	})
	t.Run("holds", func(t *testing.T) {
		t.Parallel()
		m := newMail(t, "")
		r := send(t, dial(t, "standin", stranger), m)
		q := queued(t, r.QueueID())
		check(t, q.Queue == "hold" && q.Sender == joe, "queue: %+v", q)
		got, err := b.QueuedMessage(within(t), r.QueueID())
		check(t, err == nil && got.Get("Subject") == m.Subject, "postcat: %v\n%v", err, got)
	})
	t.Run("knows no relaying", func(t *testing.T) {
		t.Parallel()
		r := send(t, dial(t, "standin", ""), newMail(t, ""), "x@remote.test")
		check(t, r.Code == 554, "got %v, want 554: 127.0.0.1 is a stranger here", r)
	})
	t.Run("log", func(t *testing.T) {
		t.Parallel()
		got := ParseLine(`time=2026-11-20T10:00:00Z level=INFO msg=verdict qid=4bV findings=A,B reply="554 5.7.1 \"no\" (k7q)" score=-1.5`)
		check(t, got["msg"] == "verdict" && got["findings"] == "A,B" && got["reply"] == `554 5.7.1 "no" (k7q)` && got["score"] == "-1.5", "%v", got)
	})
}

// queued returns the queue's entry for a message.
func queued(t *testing.T, id string) Queued {
	t.Helper()
	queue, err := testBed(t).Queue(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queue {
		if q.ID == id {
			return q
		}
	}
	t.Fatalf("%s is not in the queue: %+v", id, queue)
	return Queued{}
}

// TestDeployedSettings asks Postfix whether it knows every parameter that
// deploy/postfix/main.cf names, those in comments too.
func TestDeployedSettings(t *testing.T) {
	t.Parallel()
	testBed(t)
	text, err := deployed("main.cf")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^#?([a-z_]+) = `).FindAllStringSubmatch(text, -1)
	check(t, len(all) >= 10, "only %d settings found in deploy/postfix/main.cf", len(all))
	for _, setting := range all {
		out, err := exec.CommandContext(within(t), "postconf", "-d", setting[1]).CombinedOutput()
		known := err == nil && strings.HasPrefix(string(out), setting[1]+" =")
		check(t, known, "postconf -d %s: %v: %s", setting[1], err, out)
	}
}
