package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// wantTold wants log, journal and metrics to tell of a recipient who was refused at RCPT.
func wantTold(t *testing.T, d *Daemon, id, rcpt, action, by string) {
	t.Helper()
	v, err := d.Refused(within(t), id, rcpt)
	check(t, err == nil && v["action"] == action && v["by"] == by && strings.HasSuffix(v["reply"], "("+id+")"), "the log tells of %s: %v, %v", rcpt, v, err)
	n, err := d.Metric(within(t), "milterd_recipients_refused_total", `by="`+by+`"`, `action="`+action+`"`)
	check(t, err == nil && n >= 1, "refused by %s: %v, %v", by, n, err)
	var out string
	found := false
	for until := time.Now().Add(patience); !found && time.Now().Before(until); { // the journal is written after the reply
		var code int
		out, code, err = d.Command(within(t), "why", "--json", id)
		check(t, err == nil && (code == 0 || code == 1), "why: %d, %v", code, err)
		for line := range strings.Lines(out) {
			var r struct {
				ID, Stage, Action, Reply string
				DecidedBy                string `json:"decided_by"`
				Rcpt                     []string
			}
			check(t, json.Unmarshal([]byte(line), &r) == nil && r.ID == id, "why says %s", line)
			found = found || r.Stage == "rcpt" && r.Action == action && r.DecidedBy == by && len(r.Rcpt) == 1 && r.Rcpt[0] == "<"+rcpt+">" && strings.HasSuffix(r.Reply, "("+id+")")
		}
	}
	check(t, found, "milterd why %s does not tell of <%s>: %s", id, rcpt, out)
}

// TestGreylistAtRcpt is a server's first mail to us where all who are new are asked when
// they name a recipient: postmaster is reached at once, milterd is killed, another host of
// the server's pool comes back, and from then on nobody waits.
func TestGreylistAtRcpt(t *testing.T) {
	t.Parallel()
	testBed(t)
	const friend = "ADDR=198.51.100.90 NAME=friend.test PORT=40090"
	d, err := startDaemon("grey-rcpt", DaemonConfig{YAML: fmt.Sprintf(`
checks: {greylist: {enabled: true, stage: rcpt, delay: %v}}
lists: {allow: [{who: [198.51.100.90], exempt: [greylist]}]}
`, greyDelay)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c := dial(t, "grey-rcpt", stranger)
	cmd(t, c, 250, "MAIL FROM:<%s>", joe)
	r, err := c.Cmd("RCPT TO:<%s>", alice)
	if err != nil {
		t.Fatal(err)
	}
	id := wantRefusal(t, r, 451, "4.7.1")
	check(t, r.Text() == fmt.Sprintf("4.7.1 <%s>: Recipient address rejected: Greylisted, try again in 4 s (%s)", alice, id) ||
		r.Text() == fmt.Sprintf("4.7.1 Greylisted, try again in 4 s (%s)", id), "got %v", r)
	cmd(t, c, 250, "RCPT TO:<postmaster@example.test>")
	r, err = c.Data(newMail(t, "is anybody there").Bytes())
	check(t, err == nil && r.Code == 250, "postmaster: %v, %v", r, err)
	v := verdict(t, d, r.QueueID())
	check(t, v["id"] == id && v["action"] == "accept" && v["rcpts"] == "1", "the message goes on for postmaster: %v", v)
	wantTold(t, d, id, alice, "greylist", "greylist")
	asked, err := d.Metric(within(t), "milterd_greylist_senders_total", `outcome="asked"`)
	check(t, err == nil && asked == 1, "asked: %v, %v", asked, err)

	m := newMail(t, "nothing wrong with this one") // its score does not matter here
	if r := send(t, dial(t, "grey-rcpt", stranger), m); time.Since(began) < greyDelay {
		wantRefusal(t, r, 451, "4.7.1")
	}
	check(t, sendFrom(t, dial(t, "grey-rcpt", friend), "ann@friend.test", newMail(t, "from a friend"), alice).Code == 250, "an exempt client is asked")
	check(t, sendFrom(t, dial(t, "grey-rcpt", stranger), "", newMail(t, "a bounce"), alice).Code == 250, "the null sender is asked")

	comesBack(t, d, "grey-rcpt", began, m)
	check(t, send(t, dial(t, "grey-rcpt", stranger), newMail(t, "known by now")).Code == 250, "a known sender is asked again")
}
