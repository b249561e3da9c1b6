package peers

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"milterd/integration/netns"
	"milterd/internal/dns/zone"
)

// A program in a room sees one name server, and this process its own as before.
func TestRoom(t *testing.T) {
	before, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skip(err)
	}
	asked := make(chan string, 16)
	r, err := NewRoom(func(_ context.Context, q *mdns.Msg, tcp bool) zone.Reply {
		asked <- q.Question[0].Name
		return zone.Pack(new(mdns.Msg).SetRcode(q, mdns.RcodeNameError), q, tcp)
	})
	if errors.Is(err, netns.ErrRefused) {
		t.Skip("*** NOT TESTED: filters in a room. " + err.Error() + " ***")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := r.start(map[string]string{"names": "@"}, "nobody", "sh", "-c", "cat /etc/resolv.conf @/names; getent hosts who.test; echo done; exec sleep 1000")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.ready(t.Context(), func(context.Context) error {
		if !strings.Contains(string(p.output.tail()), "done") {
			return errors.New("not done")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := string(p.output.tail()), "nameserver 10.53.53.53\n"+p.dir+"done\n"; got != want {
		t.Errorf("inside: %q, want %q", got, want)
	}
	if name := <-asked; name != "who.test." {
		t.Errorf("asked for %s", name)
	}
	if after, err := os.ReadFile("/etc/resolv.conf"); err != nil || string(after) != string(before) {
		t.Errorf("outside: %q, %v", after, err)
	}
}
