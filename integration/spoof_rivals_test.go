package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"milterd/integration/netns"
	"milterd/integration/peers"
)

// A rival is a filter to which the spoof lab is played, behind a listener of the
// bed's Postfix, and what it made of each message.
type rival struct {
	name     string
	listener string
	milters  string // its smtpd_milters
	sessions int    // at a time
	start    func(*peers.Room, context.Context, string) (*peers.Filter, error)

	version                string
	spoofs, guards, beside []fate
	err                    error
}

// allRivals are milterd as it comes and those that may be installed beside it; how
// these are set up package peers says. OpenDKIM crashes when two sessions read its
// resolver's configuration at once.
func allRivals() []*rival {
	return []*rival{
		{name: "milterd", listener: "rival-milterd", milters: "unix:milterd/spoof.sock", sessions: 8, version: "as it comes"},
		{name: "OpenDKIM + OpenDMARC", listener: "rival-opendmarc", milters: "unix:peers/opendkim.sock, unix:peers/opendmarc.sock", sessions: 1,
			start: (*peers.Room).StartOpenDMARC},
		{name: "rspamd", listener: "rival-rspamd", milters: "unix:peers/rspamd.sock", sessions: 8, start: (*peers.Room).StartRspamd},
	}
}

// unfiltered is the listener that shows what Postfix itself says to a message.
const unfiltered = "rival-none"

// rivalListeners hand what their filter let pass to a sink, which keeps every byte.
func rivalListeners(s *suite) []Listener {
	behind := "content_filter = smtp:[127.0.0.1]:" + port(s.behind)
	list := []Listener{{Name: unfiltered, Options: []string{"smtpd_milters =", behind}}}
	for _, r := range allRivals() {
		list = append(list, Listener{Name: r.listener, Options: []string{"smtpd_milters = " + r.milters, behind}})
	}
	return list
}

// A contest is the spoof lab with everything that is sent to each rival.
type contest struct {
	postman
	room    *peers.Room // nil where the kernel gives none: milterd is alone
	sockets string      // of those in it

	spoofs, guards, beside []posting
}

func newContest(t *testing.T) *contest {
	t.Helper()
	c := &contest{postman: postman{bed: testBed(t)}, spoofs: spoofPostings(), guards: guardPostings(), beside: besidePostings()}
	var err error
	if c.sink, err = StartSink(shared.behind.Addr(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, c.sink.Close() == nil, "the sink did not end") })
	c.room, err = peers.NewRoom(shared.held.handle)
	if errors.Is(err, netns.ErrRefused) {
		fmt.Fprintf(os.Stderr, "*** NOT TESTED: spoofs beside other filters. %v ***\n", err)
		return c
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check(t, c.room.Close() == nil, "the peers' name server did not end") })
	c.sockets = filepath.Join(c.bed.Dir(), "spool", "peers")
	if err := errors.Join(os.MkdirAll(c.sockets, 0o755), os.Chmod(c.sockets, 0o777)); err != nil { // users of their own write there
		t.Fatal(err)
	}
	return c
}

// play plays to all rivals at once and returns those that are here.
func (c *contest) play(t *testing.T) (here []*rival) {
	t.Helper()
	var playing sync.WaitGroup
	for _, r := range allRivals() {
		if r.start == nil || c.room != nil {
			here = append(here, r)
			playing.Go(func() { r.err = c.playTo(t.Context(), r) })
		}
	}
	playing.Wait()
	played := here[:0]
	for _, r := range here {
		switch {
		case errors.Is(r.err, peers.ErrMissing) && r.name == "rspamd":
			fmt.Fprintf(os.Stderr, "*** NOT TESTED: %v; not every Debian has it ***\n", r.err)
		case errors.Is(r.err, peers.ErrMissing):
			skipLoudly(t, r.err.Error()+". integration/install.sh installs it")
		case r.err != nil:
			t.Fatalf("%s: %v", r.name, r.err)
		default:
			played = append(played, r)
		}
	}
	return played
}

// playTo starts a rival, sends it everything, and ends it.
func (c *contest) playTo(ctx context.Context, r *rival) (err error) {
	if r.start != nil {
		starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		filter, failed := r.start(c.room, starting, c.sockets)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, filter.Close()) }()
		r.version = filter.Version
	}
	for _, part := range []struct {
		letters []posting
		fates   *[]fate
	}{{c.spoofs, &r.spoofs}, {c.guards, &r.guards}, {c.beside, &r.beside}} {
		if *part.fates, err = c.postAll(ctx, r.listener, r.sessions, part.letters); err != nil {
			return err
		}
	}
	return nil
}
