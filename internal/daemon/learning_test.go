package daemon

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"milterd/bayes"
	"milterd/internal/config"
	"milterd/internal/control"
)

// call is one of Dovecot's calls.
func call(t *testing.T, socket, user, message string, args ...string) string {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "VERSION\tscript\t4\t0\nenv_USER=%s\n-\n", user)
	for _, a := range args {
		fmt.Fprintln(c, a)
	}
	fmt.Fprintf(c, "\n%s", message)
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestDovecotSockets: what the daemon is taught on one socket it knows on the others,
// and after a restart.
func TestDovecotSockets(t *testing.T) {
	const mail = "From: a@b.example\nMessage-ID: <1@x>\n\nsome words\n"
	h := newHouse(t, "delivery: {socket: unix:new/d.sock, users: [nosuchuser]}\ntraining: unix:new/t.sock\n")
	h.run()
	h.log.wait(t, "a user who may speak for every mailbox is not known on this host", 1)
	if info, err := os.Stat(h.path("new/t.sock")); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info, err)
	}
	if got := call(t, h.path("new/t.sock"), "bob", mail, "spam", "bob"); got != "+\n" {
		t.Errorf("training: %q\n%s", got, h.log)
	}
	if got := call(t, h.path("new/d.sock"), "bob", mail); got != "+\n" { // no carry field, so no opinion
		t.Errorf("delivery: %q\n%s", got, h.log)
	}
	h.log.wait(t, "reason=no_carry", 1)
	h.stop()
	h.run()
	c := control.NewClient("unix:" + h.path("c.sock"))
	defer c.Close()
	report, err := c.Learn(t.Context(), "bob", bayes.Spam, []byte(mail))
	if err != nil || len(report.Results) != 1 || report.Results[0] != bayes.Known {
		t.Errorf("%+v, %v", report, err)
	}
	for series, want := range map[string]string{
		`milterd_learning_lessons_total{class="spam",result="known",source="learn"}`: "1",
		`milterd_delivery_verdicts_total{reason="no_carry",verdict="none"}`:          "0",
	} {
		if got := h.metric(series); got != want {
			t.Errorf("%s: %q, want %s", series, got, want)
		}
	}
}

// TestLearnWithoutStore: a daemon that has no store takes no lessons that it would
// forget.
func TestLearnWithoutStore(t *testing.T) {
	h := newHouse(t, "")
	h.run(func(o *Options) { o.Load = h.loadWith(func(c *config.Config) { c.Store = "bolt:/dev/null/state.db" }) })
	c := control.NewClient("unix:" + h.path("c.sock"))
	defer c.Close()
	report, err := c.Learn(t.Context(), "", bayes.Spam, []byte("From: a@b.example\n\nwords\n"))
	if err == nil || !strings.Contains(err.Error(), "would be forgotten") || len(report.Results) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}
