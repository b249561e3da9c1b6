package demo

import (
	"bufio"
	"cmp"
	"context"
	"embed"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/milter"

	wire "github.com/emersion/go-milter"
)

//go:embed messages/*.eml
var messages embed.FS

// scene is one message of the play.
type scene struct {
	what  string
	file  string
	from  string
	rcpts []milter.Recipient
	// want is the action that the play is to show.
	want message.Action
}

// session is one SMTP session with its messages.
type session struct {
	peer   milter.Peer
	scenes []scene
}

func stranger(addr, name string) milter.Peer {
	return milter.Peer{Connect: milter.Connect{Host: name, Family: byte(wire.FamilyInet), Port: 40000, Addr: netip.MustParseAddr(addr)},
		Helo: name, Hostname: "mx.demo.example"}
}

func to(addrs ...string) (all []milter.Recipient) {
	for _, a := range addrs {
		all = append(all, milter.Recipient{Address: a})
	}
	return all
}

// script is the play. Later checks add their scenes here.
func script() []session {
	laptop := stranger("203.0.113.99", "[203.0.113.99]")
	laptop.Login, laptop.TLSVersion, laptop.Helo = "alice@demo.example", "TLSv1.3", "laptop.local"
	return []session{
		{peer: stranger("192.0.2.10", "mail.news.example"), scenes: []scene{
			{what: "newsletter, signed", file: "newsletter", from: "bounce@news.example", rcpts: to("alice@demo.example"), want: message.Accept},
			{what: "second one on that connection", file: "newsletter2", from: "bounce@news.example", rcpts: to("bob@demo.example"), want: message.Accept},
		}},
		{peer: stranger("198.51.100.20", "mail.unknown.example"), scenes: []scene{
			{what: "first mail of a stranger", file: "stranger", from: "joe@unknown.example", rcpts: to("alice@demo.example"), want: message.Accept},
		}},
		{peer: stranger("203.0.113.66", "dsl-66.attacker.example"), scenes: []scene{
			{what: "forged, its domain says reject", file: "forged", from: "dora@strict.example", rcpts: to("alice@demo.example"), want: message.RejectMail},
			{what: "lottery from a wrong host", file: "lottery", from: "win@bank.example", rcpts: to("alice@demo.example"), want: message.Junk},
			{what: "GTUBE, the test spam", file: "gtube", from: "joe@unknown.example", rcpts: to("alice@demo.example"), want: message.RejectMail},
			{what: "two From fields", file: "twofrom", from: "win@attacker.example", rcpts: to("alice@demo.example"), want: message.RejectMail},
			{what: "sender's DNS hangs, ours waits", file: "slowdns", from: "joe@slow.example", rcpts: to("alice@demo.example"), want: message.TempFail},
			{what: "header of 1,001 fields", file: "manyfields", from: "joe@unknown.example", rcpts: to("alice@demo.example"), want: message.RejectMail},
		}},
		{peer: stranger("192.0.2.40", "mail.list.example"), scenes: []scene{
			{what: "mailing list, author's signature broken", file: "list", from: "talk-bounces@list.example", rcpts: to("alice@demo.example"), want: message.Junk},
		}},
		{peer: stranger("192.0.2.30", "mail.friend.example"), scenes: []scene{
			{what: "two recipients, one unknown here", file: "friend", from: "carol@friend.example",
				rcpts: append([]milter.Recipient{{Address: "nobody@demo.example", Rejected: "5.1.1 User unknown"}}, to("alice@demo.example")...), want: message.Accept},
			{what: "bounce, null sender", file: "bounce", rcpts: to("alice@demo.example"), want: message.Accept},
		}},
		{peer: laptop, scenes: []scene{
			{what: "alice, submission", file: "submission", from: "alice@demo.example", rcpts: to("carol@friend.example"), want: message.Accept},
		}},
		{peer: milter.LocalPeer("mx.demo.example"), scenes: []scene{
			{what: "cron, sendmail(1)", file: "cron", from: "root@demo.example", rcpts: to("alice@demo.example"), want: message.Accept},
		}},
	}
}

// playTime bounds the whole play.
const playTime = 30 * time.Second

// play sends the messages and prints the table.
func play(ctx context.Context, script []session, addr string, decided *outcomes, w io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, playTime)
	defer cancel()
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "  #\tmessage\tauth\tscore\taction\twhy")
	n := 0
	for _, s := range script {
		if err := s.play(ctx, addr, decided, &n, table); err != nil {
			return err
		}
	}
	return table.Flush()
}

// play sends the messages of one session; n counts those of all.
func (s session) play(ctx context.Context, addr string, decided *outcomes, n *int, table io.Writer) error {
	client, err := milter.Dial(ctx, milter.Addr{Network: "tcp", Address: addr}, milter.ClientOptions{})
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.Greet(ctx, s.peer); err != nil {
		return err
	}
	for _, sc := range s.scenes {
		*n++
		out, err := sc.send(ctx, client, fmt.Sprintf("4DEMO%03d", *n), decided)
		if err != nil {
			return fmt.Errorf("demo: %s: %w", sc.what, err)
		}
		fmt.Fprintf(table, "%3d\t%s\t%s\t%.1f\t%s\t%s\n", *n, sc.what, auth(out), out.Verdict.Score, out.Verdict.Action, why(out))
	}
	return client.Quit(ctx)
}

// send plays one message and checks that the demonstration shows what it says.
func (sc scene) send(ctx context.Context, client *milter.Client, queueID string, decided *outcomes) (*pipeline.Outcome, error) {
	raw, err := sc.raw()
	if err != nil {
		return nil, err
	}
	answer, err := client.Send(ctx, milter.Envelope{From: sc.from, Rcpts: sc.rcpts, QueueID: queueID}, raw)
	if err != nil {
		return nil, err
	}
	out := decided.of(queueID)
	switch {
	case out == nil:
		return nil, fmt.Errorf("no verdict: %s", answer.Reply)
	case out.Verdict.Action != sc.want:
		return nil, fmt.Errorf("%s, but the demonstration wants %s (%s)", out.Verdict.Action, sc.want, why(out))
	case answer.Reply.Refuses() != out.Verdict.Action.Refuses():
		return nil, fmt.Errorf("verdict %s, but the answer was %s", out.Verdict.Action, answer.Reply)
	}
	return out, nil
}

func (sc scene) raw() ([]byte, error) {
	if sc.file == "manyfields" {
		return []byte(strings.Repeat("X-Noise: 1\r\n", 1000) + "From: joe@unknown.example\r\n\r\nhello\r\n"), nil
	}
	return messages.ReadFile("messages/" + sc.file + ".eml")
}

// auth says in a few words who sent it.
func auth(o *pipeline.Outcome) string {
	m := o.Message
	switch {
	case m.Role != message.Inbound && m.Login != "":
		return "sasl " + m.Login
	case m.Role != message.Inbound:
		return string(m.Role)
	}
	var all []string
	for _, a := range o.Auth {
		all = append(all, a.Method+" "+a.Result)
	}
	return cmp.Or(strings.Join(all, " "), "-")
}

// why names what decided: the reply, else the findings that weigh most.
func why(o *pipeline.Outcome) string {
	v := &o.Verdict
	var parts []string
	if v.Action.Refuses() {
		parts = append(parts, v.Reply.String())
	}
	findings := slices.DeleteFunc(slices.Clone(v.Findings), func(f message.Finding) bool { return f.Score == 0 })
	slices.SortStableFunc(findings, func(a, b message.Finding) int { return cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)) })
	for _, f := range findings[:min(len(findings), 3)] {
		parts = append(parts, fmt.Sprintf("%s %.1f", f.Name, f.Score))
	}
	if n := o.Message.RejectedRecipients; n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d recipients, Postfix refused the other", len(o.Message.Recipients), len(o.Message.Recipients)+n))
	}
	if o.Message.Role == message.Outbound {
		parts = append(parts, "ours: nothing is added")
	}
	if len(parts) == 0 {
		return "nothing speaks against it"
	}
	return strings.Join(parts, ", ")
}

// showMetrics prints the counters of messages as the daemon publishes them.
func showMetrics(ctx context.Context, w io.Writer, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintf(w, "\nfrom http://%s/metrics, while the demonstration ran:\n", address)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if l := lines.Text(); strings.HasPrefix(l, "milterd_messages_total{") && !strings.HasSuffix(l, " 0") {
			fmt.Fprintln(w, "  "+l)
		}
	}
	return lines.Err()
}
