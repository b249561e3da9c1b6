package scan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/emersion/go-milter"
	mdns "github.com/miekg/dns"

	"milterd/integration/netns"
	"milterd/integration/peers"
	"milterd/internal/dns/dnstest"
	"milterd/internal/dns/zone"
	"milterd/message"
	"milterd/milter"
)

// TestSpoofOthers plays what the attacker makes up to milterd and to other filters,
// through the milter protocol, and says how many messages each lets pass that a
// lenient reader takes for the victim's, who did not sign them. MILTERD_SPOOFS in
// the environment is how many messages there shall be; it takes root, and who is
// not installed is passed over.
//
// The DNS tells no lies here: what a resolver makes of them is not the filter's.
func TestSpoofOthers(t *testing.T) {
	messages, err := strconv.Atoi(os.Getenv("MILTERD_SPOOFS"))
	if err != nil {
		t.Skip("SKIPPED: spoofs beside other filters are a part of make spoofs")
	}
	l := newLab(t, warm, enforce)
	l.names.Honest()
	l.names.Lie("dark.test", dnstest.ServFail)
	l.names.Lie("_dmarc.dark.test", dnstest.ServFail)
	visits := l.fullVisits(messages / 4)

	ours := ends{}
	line := l.dial(t, 0)
	for _, v := range visits {
		if err := line.play(t.Context(), v, func(s *spoof, o *verdict) { l.note(ours, s, endOf(o)) }); err != nil {
			t.Fatal(err)
		}
	}
	line.close(t)
	fmt.Printf("milterd, %d messages: %v\n", messages, ours)
	if ours[passed] > 0 || ours[passedAsVictim] > 0 || ours[refused] == 0 {
		t.Errorf("of what is taken for the victim's, %v", ours)
	}

	room, err := peers.NewRoom(l.ask)
	if errors.Is(err, netns.ErrRefused) {
		t.Skip("*** NOT TESTED: spoofs beside other filters. " + err.Error() + " ***")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer room.Close()
	for _, other := range []struct {
		start    func(*peers.Room, context.Context, string) (*peers.Filter, error)
		sessions int // at a time; most wait until they may come back
	}{
		{(*peers.Room).StartOpenDMARC, 1},
		{(*peers.Room).StartRspamd, 32},
	} {
		dir, err := os.MkdirTemp("/tmp", "spoof")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o777); err != nil { // users of their own write there
			t.Fatal(err)
		}
		filter, err := other.start(room, t.Context(), dir)
		if errors.Is(err, peers.ErrMissing) {
			fmt.Printf("*** NOT TESTED: %v ***\n", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		theirs := l.playTo(t.Context(), filter, other.sessions, visits)
		fmt.Printf("%s: %v\n", filter.Version, theirs)
		if theirs[refused] == 0 || theirs[passed] > theirs.sum()/2 {
			t.Errorf("%s is not at work", filter.Version)
		}
		if err := filter.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An end is what became of a message, and ends how many came to each.
type (
	end  string
	ends map[end]int
)

const (
	refused        end = "refused"
	deferred       end = "deferred" // at each of some tries
	held           end = "held"
	spam           end = "delivered as spam"
	passed         end = "passed"
	passedAsVictim end = "passed as the victim's"
)

func (e ends) sum() (n int) {
	for _, times := range e {
		n += times
	}
	return n
}

// String lists the ends from good to bad.
func (e ends) String() string {
	text := fmt.Sprintf("%d are taken for the victim's", e.sum())
	for _, what := range []end{refused, deferred, held, spam, passed, passedAsVictim} {
		text += fmt.Sprintf(", %d %s", e[what], what)
	}
	return text
}

// note counts the end of a message that somebody takes for the victim's. One whose
// policy cannot be looked up does not count, nor what the victim has signed.
func (l *lab) note(e ends, s *spoof, what end) {
	shown := milter.ParseMessage(s.bytes())
	if seen := strings.ToLower(reading(shown)); seen != "" && !strings.Contains(seen, "dark.test") && !l.oracles[0].replayed(&verdict{shown: shown}).may {
		e[what]++
	}
}

// fullVisits are visits in which each message has the fields that every message
// should have, and which no filter shall miss.
func (l *lab) fullVisits(n int) (visits []*visit) {
	for i := range n {
		v := l.visit(9989, i)
		for j, s := range v.spoofs {
			m := milter.ParseMessage(s.bytes())
			for _, field := range []string{"To: Alice <" + s.rcpt + ">", "Subject: your account", fmt.Sprintf("Message-ID: <%d.%d@attack.test>", i, j),
				"Date: " + time.Now().Format(time.RFC1123Z)} {
				name, _, _ := strings.Cut(field, ":")
				if !slices.ContainsFunc(m.Fields, func(f milter.Field) bool { return strings.EqualFold(f.Name, name) }) {
					s.fields = slices.Insert(s.fields, 0, field)
				}
			}
		}
		visits = append(visits, v)
	}
	return visits
}

// endOf is the end that a verdict of milterd's means.
func endOf(o *verdict) end {
	if o.Outcome == nil {
		return refused
	}
	switch o.Verdict.Action {
	case message.Accept:
		return passing(o.delivered, passed)
	case message.Junk:
		return passing(o.delivered, spam)
	case message.Quarantine:
		return held
	case message.TempFail, message.Greylist:
		return deferred
	}
	return refused
}

// passing is what, or passedAsVictim where the filter says so: outside of quotation
// marks and comments, in which it may quote the attacker.
func passing(m *milter.Message, what end) end {
	for _, f := range m.Fields {
		value := commentRE.ReplaceAllString(quotedRE.ReplaceAllString(f.Value, "x"), " ")
		if strings.EqualFold(f.Name, "Authentication-Results") && claims(f.Value) && passForVictim.MatchString(value) {
			return passedAsVictim
		}
	}
	return what
}

// ask lets a name server elsewhere give the lab's answers.
func (l *lab) ask(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
	client := mdns.Client{Net: "udp", UDPSize: 4096}
	if tcp {
		client.Net = "tcp"
	}
	answer, _, err := client.ExchangeContext(ctx, q, l.names.Addr())
	if err != nil {
		return zone.Reply{}
	}
	packed, err := answer.Pack()
	if err != nil {
		return zone.Reply{}
	}
	return zone.Reply{Wire: packed}
}

// playTo plays visits to another filter, each message in a session of its own.
func (l *lab) playTo(ctx context.Context, f *peers.Filter, sessions int, visits []*visit) ends {
	total := ends{}
	var mu sync.Mutex
	next := make(chan *visit)
	var playing sync.WaitGroup
	for range sessions {
		playing.Go(func() {
			for v := range next {
				for _, s := range v.spoofs {
					what := try(ctx, f, v, s)
					mu.Lock()
					l.note(total, s, what)
					mu.Unlock()
				}
			}
		})
	}
	for _, v := range visits {
		next <- v
	}
	close(next)
	playing.Wait()
	return total
}

// try sends a message, again when the filter asks for it: rspamd here wants to see
// whoever is new after a second.
func try(ctx context.Context, f *peers.Filter, v *visit, s *spoof) (what end) {
	for range 4 {
		var err error
		if what, err = tryOnce(ctx, f, v, s); err != nil {
			what = deferred // as Postfix does without an answer
		}
		if what != deferred {
			break
		}
		select {
		case <-time.After(1100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return what
}

// tryOnce sends a message through the filter's milters, one after the other, with what
// the first one changed.
func tryOnce(ctx context.Context, f *peers.Filter, v *visit, s *spoof) (end, error) {
	m := milter.ParseMessage(s.bytes())
	for _, socket := range f.Sockets {
		out, err := sendTo(ctx, socket, v, s, m)
		switch {
		case err != nil:
			return "", err
		case out.Reply.Temporary():
			return deferred, nil
		case out.Reply.Refuses():
			return refused, nil
		case slices.ContainsFunc(out.Edits, func(e milter.Edit) bool { return e.Op == milter.OpQuarantine }):
			return held, nil
		}
		m = m.Apply(out.Edits)
	}
	if slices.ContainsFunc(m.Fields, func(f milter.Field) bool { return f.Name == "X-Spam" && strings.TrimSpace(f.Value) == "Yes" }) {
		return passing(m, spam), nil
	}
	return passing(m, passed), nil
}

func sendTo(ctx context.Context, socket string, v *visit, s *spoof, m *milter.Message) (out milter.Outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := milter.Dial(ctx, milter.Addr{Network: "unix", Address: socket}, milter.ClientOptions{Actions: milter.AllActions | wire.OptChangeBody})
	if err != nil {
		return out, err
	}
	defer c.Close()
	if out.Reply, err = c.Greet(ctx, v.peer()); err != nil || out.Reply.Refuses() {
		return out, err
	}
	if out, err = c.Send(ctx, milter.Envelope{From: s.mailFrom, Rcpts: []milter.Recipient{{Address: s.rcpt}}}, m.Bytes()); err != nil {
		return out, err
	}
	return out, c.Quit(ctx)
}
