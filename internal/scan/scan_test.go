package scan

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/internal/engine"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	"github.com/prometheus/client_golang/prometheus"
)

func testZone() dnstest.Zone {
	return dnstest.Zone{
		"sender.example": {"TXT v=spf1 ip4:192.0.2.10 -all"},
		"mail.example":   {"TXT v=spf1 ip4:192.0.2.20 -all"},
	}
}

// readConfig reads a configuration that asks server and touches nothing but dir.
func readConfig(t *testing.T, server, dir, more string) *config.Config {
	t.Helper()
	cfg, err := config.Read("milterd.yaml", []byte(more), config.Options{
		Checks: all.Names(), Environ: []string{"MILTERD_DNS_SERVERS=[\"" + server + "\"]", "MILTERD_HTTP=off", "MILTERD_SPOOL=" + dir,
			"MILTERD_JOURNAL_PATH=" + dir + "/state/verdicts", "MILTERD_STORE=bolt:" + dir + "/state/state.db", "MILTERD_LISTEN=[\"unix:" + dir + "/m.sock\"]", "MILTERD_CONTROL=unix:" + dir + "/c.sock"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func newScanner(t *testing.T, cfg *config.Config) *Scanner {
	t.Helper()
	return newScannerAt(t, cfg, dns.Options{Servers: []string{string(cfg.DNS.Servers[0])}})
}

// newScannerAt is newScanner with a resolver of its own.
func newScannerAt(t *testing.T, cfg *config.Config, o dns.Options) *Scanner {
	t.Helper()
	resolver, err := dns.New(o)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	quiet := slog.New(slog.DiscardHandler)
	e, err := engine.New(cfg, engine.Host{
		Resolver: resolver, Registerer: registry, Metrics: pipeline.NewMetrics(registry), Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
		MarkKey: []byte("key"), Hostname: "test.example", Version: "test", Logger: quiet, Now: time.Now, Random: rand.Reader, Forgetful: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := New(e, quiet)
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		resolver.Close()
	})
	return s
}

func scanTest(t *testing.T, more string) *Scanner {
	t.Helper()
	return newScanner(t, readConfig(t, dnstest.Start(t, testZone()).Addr(), t.TempDir(), more))
}

// TestSession: who brought a message from a file, as its header tells and as the
// operator says.
func TestSession(t *testing.T) {
	null := ""
	joe := "joe@sender.example"
	const (
		ours     = "Received: from inner.example (inner.example [127.0.0.1]) by mx.example (Postfix) with ESMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000\n"
		relay    = "Received: from relay.example (relay.example [198.51.100.1])\n\tby mx.example (Postfix) with ESMTPS id 2;\n\tMon, 1 Jan 2024 00:00:00 +0000\n"
		stranger = "Received: from helo.example (host.example [192.0.2.10]) by relay.example (Postfix) with ESMTP id 3; Mon, 1 Jan 2024 00:00:00 +0000\n"
		forged   = "Received: from bank.example (bank.example [203.0.113.5]) by helo.example with ESMTP id 4; Mon, 1 Jan 2024 00:00:00 +0000\n"
		lmtp     = "Received: from mx.example\n\tby imap.example with LMTP\n\tid aGVsbG8; Mon, 1 Jan 2024 00:00:00 +0000\n"
		userid   = "Received: by mx.example (Postfix, from userid 1000)\n\tid 5; Mon, 1 Jan 2024 00:00:00 +0000\n"
		qmail    = "Received: (qmail 4242 invoked from network); 1 Jan 2024 00:00:00 -0000\nReceived: from unknown (HELO q.example) (192.0.2.10) by 0 with SMTP; 1 Jan 2024 00:00:00 -0000\n"
		fetch    = "Received: from mx.example [127.0.0.1]\n\tby localhost with IMAP (fetchmail-6.4.37)\n\tfor <joe@localhost> (single-drop); Mon, 01 Jan 2024 00:00:00 +0000 (CET)\n"
		v6       = "Received: from six.example (six.example [IPv6:2001:db8::25]) by mx.example (Postfix) with ESMTP id 6\n"
	)
	s := scanTest(t, "networks: {relays: [198.51.100.0/24]}")
	for _, c := range []struct {
		name, header string
		env          Envelope
		client       string // "" is unknown
		host, helo   string
		from         string // as the path says, "<>" is the null sender
		rcpt         string
		role         message.Role
	}{
		{name: "stranger", header: stranger, client: "192.0.2.10", host: "host.example", helo: "helo.example"},
		{name: "below our own", header: relay + ours + stranger + forged, client: "192.0.2.10", host: "host.example", helo: "helo.example"},
		{name: "below local delivery", header: lmtp + relay + stranger, client: "192.0.2.10", host: "host.example", helo: "helo.example"},
		{name: "below fetchmail", header: ours + fetch + stranger, client: "192.0.2.10", host: "host.example", helo: "helo.example"},
		{name: "below qmail's", header: qmail, client: "192.0.2.10", helo: "q.example"},
		{name: "IPv6", header: v6, client: "2001:db8::25", host: "six.example", helo: "six.example"},
		{name: "none", header: "Subject: x\n"},
		{name: "only ours", header: ours + relay + userid},
		{name: "made here", header: userid},
		{name: "unreadable", header: "Received: from x (y [300.1.2.3]) by z\nReceived: \n"},

		{name: "address given", header: stranger, env: Envelope{IP: netip.MustParseAddr("203.0.113.9")}, client: "203.0.113.9"},
		{name: "all given", header: stranger, env: Envelope{IP: netip.MustParseAddr("::ffff:203.0.113.9"), Helo: "h.example", RDNS: "r.example"},
			client: "203.0.113.9", host: "r.example", helo: "h.example"},
		{name: "HELO given", header: stranger, env: Envelope{Helo: "h.example"}, client: "192.0.2.10", host: "host.example", helo: "h.example"},
		{name: "name given", header: stranger, env: Envelope{RDNS: "r.example"}, client: "192.0.2.10", host: "r.example", helo: "helo.example"},
		{name: "login given", header: stranger, env: Envelope{Login: "joe"}, client: "192.0.2.10", host: "host.example", helo: "helo.example", role: message.Outbound},
		{name: "address of ours given", header: stranger, env: Envelope{IP: netip.MustParseAddr("127.0.0.1")}, client: "127.0.0.1", role: message.Outbound},

		{name: "sender", header: "Return-Path: <joe@sender.example>\n" + stranger, client: "192.0.2.10", host: "host.example", helo: "helo.example", from: "<joe@sender.example>"},
		{name: "sender without brackets", header: "Return-Path: joe@sender.example\n", from: "<joe@sender.example>"},
		{name: "null sender", header: "Return-Path: <>\n", from: "<>"},
		{name: "sender given", header: "Return-Path: <x@y.example>\n", env: Envelope{From: &joe}, from: "<joe@sender.example>"},
		{name: "null sender given", header: "Return-Path: <x@y.example>\n", env: Envelope{From: &null}, from: "<>"},
		{name: "sender that is none", header: "Return-Path: <joe \xff <x>\n", from: "<joe \xff <x>"},
		{name: "NUL in the sender", header: "Return-Path: <joe\x00@sender.example>\n", from: "<joe>"},

		{name: "recipient", header: "X-Original-To: a@here.example\nDelivered-To: b@here.example\n", rcpt: "<a@here.example>"},
		{name: "recipient delivered to", header: "Delivered-To: <b@here.example>\n", rcpt: "<b@here.example>"},
		{name: "recipients given", header: "Delivered-To: b@here.example\n", env: Envelope{Rcpts: []string{"c@here.example", "d@here.example"}}, rcpt: "<c@here.example> <d@here.example>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := s.Scan(t.Context(), []byte(c.header+"From: joe@sender.example\n\nhello\n"), c.env)
			if err != nil {
				t.Fatal(err)
			}
			m := out.Message
			client := ""
			if m.Session.Client.IsValid() {
				client = m.Session.Client.String()
			}
			if client != c.client || m.Session.HostName() != c.host || m.Session.Helo != c.helo {
				t.Errorf("client %q, host %q, helo %q, want %q, %q, %q", client, m.Session.HostName(), m.Session.Helo, c.client, c.host, c.helo)
			}
			if c.from == "" {
				c.from = "<>"
			}
			if m.MailFrom.Raw != c.from || m.MailFrom.Null != (c.from == "<>") {
				t.Errorf("from %q, want %q", m.MailFrom.Raw, c.from)
			}
			if c.rcpt == "" {
				c.rcpt = "<" + unknownRecipient + ">"
			}
			var rcpts []string
			for _, r := range m.Recipients {
				rcpts = append(rcpts, r.Path.Raw)
			}
			if got := strings.Join(rcpts, " "); got != c.rcpt {
				t.Errorf("to %s, want %s", got, c.rcpt)
			}
			if c.role == "" {
				c.role = message.Inbound
			}
			if m.Role != c.role {
				t.Errorf("role %s, want %s", m.Role, c.role)
			}
		})
	}
}

// TestEvidence: what is taken from the header is what the checks look at.
func TestEvidence(t *testing.T) {
	s := scanTest(t, "")
	scan := func(raw string, env Envelope) string {
		out, err := s.Scan(t.Context(), []byte(raw), env)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.Auth {
			if a.Method == "spf" {
				return a.Result
			}
		}
		return "nothing"
	}
	const message = "Return-Path: <joe@sender.example>\nReceived: from mail.example (mail.example [192.0.2.10]) by mx.example\nFrom: joe@sender.example\n\nx\n"
	if got := scan(message, Envelope{}); got != "pass" {
		t.Errorf("SPF %s", got)
	}
	if got := scan(message, Envelope{IP: netip.MustParseAddr("203.0.113.1")}); got != "fail" {
		t.Errorf("SPF from elsewhere %s", got)
	}
	null := ""
	if got := scan(message, Envelope{From: &null}); got != "fail" { // HELO is judged: mail.example is another host
		t.Errorf("SPF of the null sender %s", got)
	}
	if got := scan(message, Envelope{IP: netip.MustParseAddr("203.0.113.1"), From: &null}); got != "none" {
		t.Errorf("SPF of nothing at all %s", got)
	}
}

// TestNothingMadeUp: what is not known of a session is no evidence.
func TestNothingMadeUp(t *testing.T) {
	s := scanTest(t, "")
	out, err := s.Scan(t.Context(), []byte("From: joe@sender.example\nTo: a@b.example\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-ID: <1@sender.example>\n\nhello\n"), Envelope{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range out.Verdict.Findings {
		if strings.HasPrefix(f.Name, "HELO_") || strings.HasPrefix(f.Name, "SPF_") && f.Score > 0 {
			t.Errorf("%+v", f)
		}
	}
}

// TestRefusedEarly: a message that gets no verdict is an error that says why, and
// the next one has nothing to do with it.
func TestRefusedEarly(t *testing.T) {
	s := scanTest(t, "limits: {memory_inflight: 1MiB}")
	for range 2 {
		if !s.memory.Take(1 << 20) {
			t.Fatal("no memory to take")
		}
		if out, err := s.Scan(t.Context(), []byte("From: a@b.example\n\n"), Envelope{}); err == nil || !strings.Contains(err.Error(), "451 4.3.1") {
			t.Errorf("%v, %v", out, err)
		}
		s.memory.Give(1 << 20)
		out, err := s.Scan(t.Context(), []byte("Message-ID: <next@x>\nFrom: a@b.example\n\n"), Envelope{})
		if err != nil || out.Message.Header.Text("Message-ID") != "<next@x>" {
			t.Errorf("the next one: %v, %v", out, err)
		}
	}
}

// TestInterrupted: a scan that was broken off leaves no verdict behind for the
// next one to take as its own.
func TestInterrupted(t *testing.T) {
	s := scanTest(t, "")
	s.decided <- &pipeline.Outcome{Message: &message.Message{ID: "stale"}}
	out, err := s.Scan(t.Context(), []byte("From: a@b.example\n\n"), Envelope{})
	if err != nil || out.Message.ID == "stale" {
		t.Errorf("%v, %v", out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Scan(ctx, []byte("From: a@b.example\n\n"), Envelope{}); err == nil {
		t.Error("no error of a dead context")
	}
	if _, err := s.Scan(t.Context(), []byte("From: a@b.example\n\n"), Envelope{}); err != nil {
		t.Error(err)
	}
}

// TestHostileFiles: whatever is in the file there is a verdict.
func TestHostileFiles(t *testing.T) {
	s := scanTest(t, "")
	for name, raw := range map[string][]byte{
		"NULs":            []byte("Subject: a\x00b\x00\nFrom: a@b.example\n\n\x00\x00\n"),
		"bare CR":         []byte("Subject: a\rFrom: x@y.example\rb\nFrom: a@b.example\r\n\r\nx\ry\r\n"),
		"no body":         []byte("From: a@b.example"),
		"only a body":     []byte("A: b\n" + strings.Repeat("\n", 1000)),
		"20,000 fields":   bytes.Repeat([]byte("X: y\n"), 20_000),
		"8 MB field":      append([]byte("Subject: "), bytes.Repeat([]byte("x"), 8<<20)...),
		"8 MB of a line":  append([]byte("From: a@b.example\n\n"), bytes.Repeat([]byte("x"), 8<<20)...),
		"invalid UTF-8":   []byte("Subject: \xff\xfe\nFrom: \xff@b.example\n\n\xff"),
		"header in lines": []byte("Subject:\n" + strings.Repeat(" \n", 5000) + "\nx"),
	} {
		out, err := s.Scan(t.Context(), raw, Envelope{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := message.Action("")
		if name == "20,000 fields" || name == "8 MB field" {
			want = message.RejectMail
		}
		if want != "" && (out.Verdict.Action != want || out.Verdict.Reply.Code != 552) {
			t.Errorf("%s: %s %s", name, out.Verdict.Action, out.Verdict.Reply)
		}
	}
}

func FuzzSession(f *testing.F) {
	f.Add("From: a@b\n\n", "", "")
	f.Add("Received: from [1.2.3.4] by x\nReturn-Path: <<>>\n\n", "<x>", "\x00")
	f.Add("Return-Path: \x00\nDelivered-To: \x00<\n", "a\nb", "c d")
	s := &Scanner{engine: &engine.Engine{Config: config.Default()}}
	s.engine.Pipeline, _ = pipeline.New(pipeline.Options{})
	f.Fuzz(func(t *testing.T, raw, from, helo string) {
		peer, e := s.session([]byte(raw), Envelope{From: &from, Helo: helo})
		if e.From != from || helo != "" && peer.Helo != helo {
			t.Fatalf("%q is not what was asked for", e.From)
		}
		_, e = s.session([]byte(raw), Envelope{})
		for _, text := range append([]string{e.From}, address(e.Rcpts)...) {
			if strings.ContainsAny(text, "\x00\n\r") {
				t.Fatalf("%q from %q would end the session", text, raw)
			}
		}
		if len(e.Rcpts) != 1 || e.Rcpts[0].Address == "" {
			t.Fatalf("recipients %v", e.Rcpts)
		}
	})
}

func address(all []milter.Recipient) (texts []string) {
	for _, r := range all {
		texts = append(texts, r.Address)
	}
	return texts
}
