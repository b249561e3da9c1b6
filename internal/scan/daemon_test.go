package scan

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/config"
	"milterd/internal/daemon"
	"milterd/internal/dns/dnstest"
	"milterd/internal/journal"
	"milterd/internal/mailbox"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	"github.com/google/go-cmp/cmp"
)

// served is a daemon in this process, on a unix socket, and what it decided.
type served struct {
	socket string
	mu     sync.Mutex
	last   *pipeline.Outcome
}

func serve(t *testing.T, cfg *config.Config, dir string) *served {
	t.Helper()
	s := &served{socket: dir + "/m.sock"}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = daemon.Run(ctx, daemon.Options{Load: func() (*config.Config, error) { return cfg, nil }, Version: "test", Stderr: io.Discard,
			Report: func(o *pipeline.Outcome) { s.mu.Lock(); defer s.mu.Unlock(); s.last = o },
			Ready:  func(string) { close(ready) }}, nil)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("the daemon does not start")
	}
	return s
}

// play sends a message as the scan makes up its session, and returns what came
// over the wire beside what the daemon says of it.
func (s *served) play(t *testing.T, peer milter.Peer, e milter.Envelope, raw []byte) (milter.Outcome, *pipeline.Outcome) {
	t.Helper()
	client, err := milter.Dial(t.Context(), milter.Addr{Network: "unix", Address: s.socket}, milter.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Greet(t.Context(), peer); err != nil {
		t.Fatal(err)
	}
	out, err := client.Send(t.Context(), e, raw)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return out, s.last
}

// once hides what is another one each time: the id wherever it stands, the mark
// under it, times.
func once(t *testing.T, r *journal.Record) string {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(line), r.ID, "ID")
	for _, hide := range []string{`"time":"[^"]*"`, `"took_ms":[0-9.e-]+`, `"ms":[0-9.e-]+`, `"name":"X-Milterd-Id","value":"[^"]*"`} {
		text = regexp.MustCompile(hide).ReplaceAllString(text, "HIDDEN")
	}
	return text
}

// TestSameAsDaemon: the scan of a message and a daemon that gets the same one over
// its socket say the same, byte for byte, but for id and times: verdict, header
// fields, journal. And the wire carries what they say.
func TestSameAsDaemon(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cfg := readConfig(t, dnstest.Start(t, testZone()).Addr(), dir, "networks: {relays: [198.51.100.0/24]}\n"+
		// How long a rule took is another time each time.
		"limits: {rule_time: 1m, rules_time: 10m, message_time: 20m}\n"+
		// What a daemon remembers of one message it knows at the next; this scan asks nobody.
		"checks: {firstseen: {enabled: false}, replies: {enabled: false}, rates: {enabled: false}}")
	scanner, served := newScanner(t, cfg), serve(t, cfg, dir)
	messages := handmade()
	for name, raw := range corpus(t, 200) {
		messages[name] = raw
	}
	actions := map[message.Action]int{}
	for name, raw := range messages {
		for _, env := range []Envelope{{}, {Login: "joe"}} {
			if env.Login != "" && len(messages) > 300 {
				continue
			}
			scanned, err := scanner.Scan(t.Context(), raw, env)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			peer, e := scanner.session(raw, env)
			wire, decided := served.play(t, peer, e, raw)
			if diff := cmp.Diff(once(t, journal.NewRecord(decided, true)), once(t, journal.NewRecord(scanned, true))); diff != "" {
				t.Fatalf("%s: -daemon +scan:\n%s", name, diff)
			}
			var want []string
			if scanned.Apply {
				for _, edit := range decided.Edits {
					want = append(want, edit.Name+": "+edit.Value)
				}
			}
			var got []string
			for _, edit := range wire.Edits {
				got = append(got, edit.Name+": "+edit.Value)
			}
			slices.Sort(want) // in which order the wire takes them is the bridge's business
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s: -verdict +wire:\n%s", name, diff)
			}
			if reply := decided.Verdict.Reply.String(); wire.Reply.Refuses() != (reply != "") || reply != "" && wire.Reply.String() != reply {
				t.Fatalf("%s: the verdict says %q, the wire %q", name, reply, wire.Reply)
			}
			actions[scanned.Verdict.Action]++
		}
	}
	if actions[message.Accept] == 0 || actions[message.RejectMail] == 0 {
		t.Errorf("the messages show too little: %v", actions)
	}
	t.Logf("%d messages: %v", len(messages), actions)
}

// handmade are messages that each show another part of a verdict.
func handmade() map[string][]byte {
	const head = "Return-Path: <joe@sender.example>\nReceived: from mail.example (mail.example [192.0.2.10]) by mx.example (Postfix)\n"
	all := map[string][]byte{}
	for name, text := range map[string]string{
		"plain":    "From: joe@sender.example\nMessage-ID: <1@x>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: hi\n\nhello\n",
		"gtube":    "From: joe@sender.example\n\nXJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n",
		"two From": "From: joe@sender.example\nFrom: boss@bank.example\n\nhello\n",
		"forged fields": "Authentication-Results: mx.example; spf=pass\nX-Spam-Flag: NO\nX-Milterd-Id: x y\nAuthentication-Results: MX.EXAMPLE; dkim=pass\n" +
			"X-Spam-Status: No\nFrom: joe@sender.example\n\nhello\n",
		"too many fields": strings.Repeat("X: y\n", 1001) + "From: joe@sender.example\n\nhello\n",
		"html":            "From: joe@sender.example\nContent-Type: text/html\n\n<b>URGENT</b> <a href=http://x.example>y</a>\n",
		"hostile":         "From: \"\x1b[2J\" <joe@sender.example>\nSubject: \xff\xfe =?utf-8?q?=0d=0aX:_y?=\nMessage-ID: <\u2028>\n\n\x00\xff\n",
		"CRLF":            "From: joe@sender.example\r\nSubject: a\r\n b\r\n\r\nhello\r\n",
		"no header end":   "From: joe@sender.example",
		"other client":    "Received: from z (z [203.0.113.9]) by y\nFrom: joe@sender.example\n\nhello\n",
	} {
		all[name] = []byte(head + text)
	}
	return all
}

// corpus reads up to n messages of each part of the public corpus, when it lies
// beside the repository.
func corpus(t *testing.T, n int) map[string][]byte {
	t.Helper()
	suites := os.Getenv("MILTERD_SUITES")
	if suites == "" {
		suites = "../../../shared/suites"
	}
	archives, _ := filepath.Glob(filepath.Join(suites, "../corpora/*/*.tar.gz"))
	all := map[string][]byte{}
	for _, path := range archives {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		unzipped, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		in := tar.NewReader(unzipped)
		for got := 0; got < n; {
			head, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if head.Typeflag != tar.TypeReg {
				continue
			}
			for m := range mailbox.Messages([]string{"-"}, in, nil) {
				if m.Err == nil {
					all[head.Name] = m.Raw
					got++
				}
			}
		}
	}
	if len(all) == 0 {
		t.Logf("NOT TESTED on the public corpus: none beside %s (set MILTERD_SUITES)", suites)
	}
	return all
}

// TestLeavesNothing: a scan makes no file, neither where the daemon keeps its
// state nor where large bodies go.
func TestLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	s := newScanner(t, readConfig(t, dnstest.Start(t, testZone()).Addr(), dir, ""))
	for _, raw := range [][]byte{[]byte("From: a@b.example\n\nhello\n"), []byte("From: a@b.example\n\n" + strings.Repeat("large\n", 1<<17))} {
		if _, err := s.Scan(t.Context(), raw, Envelope{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestRepeatedly: the same message gives the same verdict however often it is
// looked at: a scan is no delivery attempt that could be the third.
func TestRepeatedly(t *testing.T) {
	s := scanTest(t, "")
	raw := handmade()["forged fields"]
	first := ""
	for range 5 {
		out, err := s.Scan(t.Context(), raw, Envelope{})
		if err != nil {
			t.Fatal(err)
		}
		if got := once(t, journal.NewRecord(out, true)); first == "" {
			first = got
		} else if got != first {
			t.Errorf("first %s\nthen %s", first, got)
		}
	}
}
