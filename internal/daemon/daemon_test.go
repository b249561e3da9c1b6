package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"milterd/internal/engine"
	"milterd/internal/journal"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"
)

// TestServe: a message from the socket to the log, the journal, the metrics and
// the control socket, and an end that leaves nothing behind.
func TestServe(t *testing.T) {
	h := start(t, "")
	client := h.dial()
	if out := h.send(client, "4bHam", ham); !out.Reply.IsContinue() {
		t.Errorf("ham: %s", out.Reply)
	}
	out := h.send(client, "4bSpam", spam)
	if !out.Reply.Refuses() || !strings.HasPrefix(out.Reply.String(), "554 5.7.1 Message rejected as spam (") {
		t.Errorf("spam: %s", out.Reply)
	}
	if err := client.Quit(t.Context()); err != nil {
		t.Error(err)
	}

	line := h.log.line("qid=4bSpam")
	for _, want := range []string{"msg=verdict qid=4bSpam id=", "role=inbound", "client=192.0.2.10", "action=reject", "score=100", "findings=", "GTUBE", `auth="spf=pass`, "took="} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is not in %s", want, line)
		}
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if code, body := h.get(path); code != 200 || body != want {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if code, _ := h.get("/verdicts?key=4bSpam"); code != 404 {
		t.Errorf("verdicts for everybody: %d", code)
	}
	if got := h.metric(`milterd_messages_total{action="reject",role="inbound"}`); got != "1" {
		t.Errorf("rejected: %s", got)
	}

	h.stop() // which writes what is under way
	for _, name := range []string{"m.sock", "c.sock"} {
		if _, err := os.Stat(h.path(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	found, err := journal.Find(h.path("state/verdicts"), "spam@sender.example", 9)
	if err != nil || len(found) != 1 || found[0].Action != message.RejectMail || found[0].QueueID != "4bSpam" {
		t.Errorf("journal: %+v, %v", found, err)
	}
}

// TestControl: the control socket answers by id, queue id and Message-ID.
func TestControl(t *testing.T) {
	h := start(t, "journal: {subjects: false}")
	h.send(h.dial(), "4bHam", ham)
	var found []*journal.Record
	for late := time.Now().Add(patience); len(found) == 0 && time.Now().Before(late); { // it is written off the path of the message
		code, body := h.control("/verdicts?key=ham%40sender.example")
		if code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		if err := json.Unmarshal([]byte(body), &found); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) != 1 || found[0].QueueID != "4bHam" || found[0].Subject != "" {
		t.Fatalf("%+v", found)
	}
	if code, body := h.control("/verdicts?key=" + found[0].ID); code != 200 || !strings.Contains(body, "4bHam") {
		t.Errorf("by id: %d %s", code, body)
	}
	if code, body := h.control("/verdicts?key=nobody"); code != 200 || strings.TrimSpace(body) != "null" {
		t.Errorf("nobody: %d %s", code, body)
	}
	if code, _ := h.control("/metrics"); code != 404 {
		t.Errorf("metrics: %d", code)
	}
}

// TestReload: good, broken in four ways, and good again, while mail comes in on
// several connections: none of it is lost, and every answer is that of one whole
// configuration.
func TestReload(t *testing.T) {
	h := start(t, "mode: observe")
	var sent, refused atomic.Int64
	var stop atomic.Bool
	var traffic sync.WaitGroup
	for i := range 4 {
		traffic.Go(func() {
			client, err := connect(t.Context(), h.path("m.sock"))
			if err != nil {
				t.Error(err)
				return
			}
			for j := 0; !stop.Load(); j++ {
				out, err := client.Send(t.Context(), envelope(fmt.Sprintf("4b%d%d", i, j)), []byte(spam))
				if err != nil {
					t.Error(err)
					return
				}
				sent.Add(1)
				switch reply := out.Reply.String(); {
				case strings.HasPrefix(reply, "554 5.7.1 Message rejected as spam"):
					refused.Add(1)
				case !out.Reply.IsContinue():
					t.Errorf("neither configuration says %s", reply)
				}
			}
			if err := client.Quit(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	client := h.dial()
	refuses := func() bool { return h.send(client, "4bProbe", spam).Reply.Refuses() }
	if refuses() {
		t.Error("refused in mode observe")
	}
	if got := h.metric("milterd_config_last_reload_successful"); got != "1" {
		t.Errorf("at the start: %s", got)
	}

	h.write("mode: enforce")
	h.reloaded("configuration reloaded")
	if !refuses() {
		t.Error("not refused in mode enforce")
	}

	for name, broken := range map[string]struct {
		yaml string
		want []string
	}{
		"unknown key":   {"mode: observe\nmod: enforce\n", []string{"/milterd.yaml:2:1: mod: unknown key, did you mean mode?"}},
		"syntax":        {"mode: [observe\n", []string{"/milterd.yaml:"}},
		"in a check":    {"mode: observe\nchecks:\n  author: {mode: maybe}\n", []string{"/milterd.yaml:3:18: checks.author.mode: "}},
		"several":       {"mode: nothing\nlimits: {idle: 5}\n", []string{"/milterd.yaml:1:7: mode: ", "/milterd.yaml:2:16: limits.idle: "}},
		"missing rules": {"mode: observe\nrules: [nowhere.yaml]\n", []string{"/milterd.yaml:2:9: rules[0]: "}},
	} {
		h.write(broken.yaml)
		h.reloaded("reload refused")
		for _, want := range broken.want {
			if !strings.Contains(h.log.String(), "reload refused, the running configuration stays") || h.log.line(want) == "" {
				t.Errorf("%s: %q is not in the log:\n%s", name, want, h.log.line("reload refused"))
			}
		}
		if !refuses() {
			t.Errorf("%s: a part of it took effect", name)
		}
		if got := h.metric("milterd_config_last_reload_successful"); got != "0" {
			t.Errorf("%s: the metric says %s", name, got)
		}
		if code, _ := h.get("/readyz"); code != 200 {
			t.Errorf("%s: not ready: %d", name, code)
		}
	}
	if err := os.Remove(h.path("milterd.yaml")); err != nil {
		t.Fatal(err)
	}
	h.reloaded("reload refused")

	h.write("mode: tag")
	h.reloaded("configuration reloaded")
	if refuses() {
		t.Error("refused in mode tag")
	}
	if got := h.metric("milterd_config_last_reload_successful"); got != "1" {
		t.Errorf("back: %s", got)
	}
	stop.Store(true)
	traffic.Wait()
	h.stop()
	if sent.Load() == 0 || refused.Load() == 0 || sent.Load() == refused.Load() {
		t.Errorf("%d messages, %d refused: there was no traffic", sent.Load(), refused.Load())
	}
	if n := h.log.count("msg=verdict"); n < int(sent.Load()) {
		t.Errorf("%d messages, %d verdicts", sent.Load(), n)
	}
	t.Logf("%d messages on 4 connections, %d of them refused", sent.Load(), refused.Load())
}

// TestReloadRules: a rule file is part of the configuration.
func TestReloadRules(t *testing.T) {
	h := newHouse(t, "rules: [site.yaml]")
	rule := func(text string) {
		if err := os.WriteFile(h.path("site.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rule("rules: []")
	h.run()
	client := h.dial()
	findings := func() string {
		h.send(client, "4bRule", ham)
		return h.log.line("qid=4bRule")
	}
	const good = "rules:\n  - name: SITE_MINUTES\n    header: Subject\n    match: minutes\n    score: 1\n    tests: {hit: [minutes], miss: [x]}\n"
	rule(good)
	h.reloaded("configuration reloaded")
	if line := findings(); !strings.Contains(line, "SITE_MINUTES") {
		t.Errorf("not hit: %s", line)
	}
	rule(strings.Replace(good, "hit: [minutes]", "hit: [x]", 1))
	h.reloaded("reload refused")
	if line := h.log.line("reload refused"); !strings.Contains(line, "/site.yaml:6:") {
		t.Errorf("where is it? %s", line)
	}
	if line := findings(); !strings.Contains(line, "SITE_MINUTES") {
		t.Errorf("forgotten after a refused reload: %s", line)
	}
}

// TestReloadNotes: what needs a restart is said, and does not take effect by half.
func TestReloadNotes(t *testing.T) {
	h := start(t, "")
	client := h.dial()
	h.write("log: {format: json, level: warn}\nlimits: {connections: 5, recipients: 7}\nmode: enforce")
	h.reload <- struct{}{}
	h.log.wait(t, "next start only", 1)
	if line := h.log.line("next start only"); !strings.Contains(line, `keys="[log.format limits]"`) || strings.HasPrefix(line, "{") {
		t.Errorf("the note: %s", line)
	}
	h.send(client, "4bQuiet", ham)
	if h.log.line("4bQuiet") != "" {
		t.Error("log.level did not take effect")
	}
}

// TestNeedsRestart: every key that is read at the start only is in the list, and
// no key that a reload carries out.
func TestNeedsRestart(t *testing.T) {
	h := newHouse(t, "")
	at := func(yaml string) []string {
		t.Helper()
		h.write("")
		old, err := h.load()
		if err != nil {
			t.Fatal(err)
		}
		h.write(yaml)
		now, err := h.load()
		if err != nil {
			t.Fatal(err)
		}
		return needsRestart(old, now)
	}
	for yaml, want := range map[string]string{
		"": "", "mode: observe": "", "thresholds: {junk: 5}": "", "networks: {mynetworks: [10.0.0.0/8]}": "", "authserv_id: x.example": "",
		"headers: {compat: []}": "", "checks: {spf: {enabled: false}}": "", "own_fault: junk": "", "log: {level: debug}": "", "journal: {subjects: false}": "",
		"limits: {dns_queries: 7, text_bytes: 2MiB, rules_time: 3s}": "",
		"journal: {max_size: 1MiB}":                                  "journal", "journal: {max_age: 1d}": "journal", "log: {format: json}": "log.format",
		"dns: {timeout: 1s}": "dns", "limits: {message_time: 9s}": "limits", "limits: {spool_bytes: 1GiB}": "limits",
		"delivery: unix:d.sock": "delivery", "training: {socket: unix:t.sock, users: [mail]}": "training",
	} {
		if got := strings.Join(at(yaml), " "); got != want {
			t.Errorf("%q: %q, want %q", yaml, got, want)
		}
	}
}

// TestFreshStartWithErrors: everything that is wrong with rules and checks is
// said at once, and nothing stays open.
func TestFreshStartWithErrors(t *testing.T) {
	h := newHouse(t, "rules: [bad.yaml]\nchecks:\n  author: {mode: maybe}\n  spf: {enabled: perhaps, on_error: panic}\n")
	if err := os.WriteFile(h.path("bad.yaml"), []byte("rules:\n  - name: BAD\n    header: Subject\n    match: '('\n    tests: {hit: [x], miss: [y]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Options{Load: h.load, Stderr: h.log}, nil)
	var wrong *ConfigError
	if !errors.As(err, &wrong) {
		t.Fatalf("%v", err)
	}
	problems := engine.Problems(wrong.Err)
	for _, want := range []string{"bad.yaml:4:", "milterd.yaml:3:18: checks.author.mode", "milterd.yaml:4:18: checks.spf.enabled", "milterd.yaml:4:37: checks.spf.on_error"} {
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, want) }) {
			t.Errorf("%q is not among\n%s", want, strings.Join(problems, "\n"))
		}
	}
	if len(problems) != 4 {
		t.Errorf("%d problems:\n%s", len(problems), strings.Join(problems, "\n"))
	}
	if _, err := os.Stat(h.path("m.sock")); err == nil {
		t.Error("the socket is still there")
	}
	h.write("nonsense: 1")
	if err := Run(t.Context(), Options{Load: h.load, Stderr: h.log}, nil); !errors.As(err, &wrong) {
		t.Errorf("a configuration that does not load: %v", err)
	}
}

// TestJournalBroken: without a journal mail goes on.
func TestJournalBroken(t *testing.T) {
	h := newHouse(t, "")
	if err := os.WriteFile(h.path("state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.run()
	if out := h.send(h.dial(), "4bHam", ham); !out.Reply.IsContinue() {
		t.Errorf("%s", out.Reply)
	}
	if h.log.count("no journal") != 1 || h.log.count("kept in memory only") != 1 {
		t.Errorf("the log:\n%s", h.log)
	}
	h.stop()
}

// TestShutdownFinishes: a message that is under way when the end comes gets its
// verdict, its line in the log and its record.
func TestShutdownFinishes(t *testing.T) {
	h := start(t, "")
	client := h.dial()
	idle := h.dial()
	ctx := t.Context()
	steps := func(r milter.Reply, err error) {
		t.Helper()
		if err != nil || r.Refuses() {
			t.Fatalf("%s, %v", r, err)
		}
	}
	steps(client.Mail(ctx, "<joe@sender.example>"))
	steps(client.Rcpt(ctx, "<ann@here.example>"))
	steps(client.Header(ctx, "From", " joe@sender.example"))
	steps(client.Header(ctx, "Message-ID", " <late@sender.example>"))
	steps(client.EndOfHeader(ctx))
	steps(client.Body(ctx, []byte("hello\r\n")))
	h.cancel()
	h.log.wait(t, "milterd ends", 1)
	if code, _ := h.get("/readyz"); code != 503 {
		t.Errorf("ready while it ends: %d", code)
	}
	verdict, err := client.EndOfMessage(ctx)
	if err != nil || !verdict.Reply.IsContinue() || len(verdict.Edits) == 0 {
		t.Errorf("%+v, %v", verdict, err)
	}
	h.stop()
	if found, err := journal.Find(h.path("state/verdicts"), "late@sender.example", 9); err != nil || len(found) != 1 {
		t.Errorf("journal: %v, %v", found, err)
	}
	if _, err := idle.Send(ctx, envelope("4bIdle"), []byte(ham)); err == nil {
		t.Error("an idle connection outlived the daemon")
	}
}

// TestEphemeral: the demonstration leaves nothing on the disk.
func TestEphemeral(t *testing.T) {
	h := newHouse(t, "")
	h.run(func(o *Options) { o.Ephemeral = true })
	h.send(h.dial(), "4bHam", ham)
	h.stop()
	left, err := filepath.Glob(h.path("*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "milterd.yaml" {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestPanic: a bug of ours costs one message its verdict, for now: it waits. The
// log has it in one line, with the stack, and nobody else notices.
func TestPanic(t *testing.T) {
	h := newHouse(t, "")
	h.run(func(o *Options) {
		o.Report = func(o *pipeline.Outcome) {
			if o.Message.QueueID == "4bPanic" {
				panic("bug\n\x1b[2Jtime=forged " + o.Message.MailFrom.Raw)
			}
		}
	})
	other := h.dial()
	// The connection ends with it, so Send has an error beside the answer.
	if out, _ := h.dial().Send(t.Context(), envelope("4bPanic"), []byte(ham)); !strings.HasPrefix(out.Reply.String(), "451 ") {
		t.Errorf("%s", out.Reply)
	}
	if out := h.send(other, "4bNext", ham); !out.Reply.IsContinue() {
		t.Errorf("the next one: %s", out.Reply)
	}
	line := h.log.line("panicked")
	if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, `stack="goroutine `) || !strings.Contains(line, "daemon_test.go:") {
		t.Errorf("the log says %s", line)
	}
	if strings.ContainsAny(h.log.String(), "\x1b") || strings.Contains(h.log.String(), "\ntime=forged") {
		t.Errorf("the log:\n%q", h.log.String())
	}
	if got := h.metric(`milterd_milter_errors_total{reason="panic"}`); got != "1" {
		t.Errorf("the metric says %s", got)
	}
}
