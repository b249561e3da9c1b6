package milter_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"milterd/milter"
	"milterd/milter/miltertest"
)

func TestSlowloris(t *testing.T) {
	for _, test := range []struct {
		name   string
		play   func(t *testing.T, nc net.Conn)
		lasts  time.Duration
		reason milter.Reason
	}{
		{"silence", func(*testing.T, net.Conn) {}, 30 * time.Second, ""},
		{"silence after negotiation", func(t *testing.T, nc net.Conn) { miltertest.Play(t, nc, "> O\n< O") }, 675 * time.Second, ""},
		{"silence after a refreshed deadline", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello)
			time.Sleep(500 * time.Second)
			miltertest.Play(t, nc, "> H again\n< c")
		}, 1175 * time.Second, ""},
		{"a client that is silent for Postfix's 300 s", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello)
			for range 10 {
				time.Sleep(300 * time.Second)
				miltertest.Play(t, nc, "> H again\n< c")
			}
			nc.Close()
		}, 3000 * time.Second, ""},
		{"half a length", func(t *testing.T, nc net.Conn) { nc.Write([]byte{0, 0}) }, 30 * time.Second, milter.ReasonFrameTime},
		{"a byte every ten seconds", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello)
			nc.Write([]byte{0, 0, 1, 0, 'H'})
			for {
				time.Sleep(10 * time.Second)
				if _, err := nc.Write([]byte{'x'}); err != nil {
					return
				}
			}
		}, 30 * time.Second, milter.ReasonFrameTime},
		{"hung up in a frame", func(t *testing.T, nc net.Conn) {
			nc.Write([]byte{0, 0, 0, 13, 'O', 0})
			nc.Close()
		}, 0, milter.ReasonTruncated},
		{"a reader that does not read", func(t *testing.T, nc net.Conn) {
			miltertest.Play(t, nc, hello+"\n> H again")
		}, 37500 * time.Millisecond, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var reasons []milter.Reason
				s := newServer(&miltertest.Filter{})
				s.Hooks.ProtocolError = func(r milter.Reason) { reasons = append(reasons, r) }
				mta, filter := net.Pipe()
				defer mta.Close()
				start := time.Now()
				var player sync.WaitGroup
				player.Go(func() { test.play(t, mta) })
				s.ServeConn(t.Context(), filter)
				took := time.Since(start)
				player.Wait()
				if took != test.lasts {
					t.Errorf("took %v, expected %v", took, test.lasts)
				}
				if got := strings.Trim(fmt.Sprint(reasons), "[]"); got != string(test.reason) {
					t.Errorf("reasons %s, expected %s", got, test.reason)
				}
			})
		})
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deadline time.Duration
		f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
			switch line {
			case "eom":
				d, _ := ctx.Deadline()
				deadline = time.Until(d)
				<-ctx.Done()
				time.Sleep(time.Minute) // does not heed it
			case "helo slow":
				<-ctx.Done()
			}
		}}
		mta := pipe(t, newServer(f))
		start := time.Now()
		miltertest.Play(t, mta, "> O\n< O\n> C x U\n< c\n> H slow\n< c")
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("HELO had %v", took)
		}
		start = time.Now()
		miltertest.Play(t, mta, envelope+"\n> E\n< p\n< p\n< p\n< p")
		mta.SetDeadline(time.Now().Add(time.Hour))
		if code, _, err := miltertest.ReadFrame(mta); err != nil || code != 'c' {
			t.Errorf("got %q, %v", code, err)
		}
		if took := time.Since(start); took != 85*time.Second || deadline != 25*time.Second {
			t.Errorf("took %v, ctx had %v", took, deadline)
		}
		// The reader of the vigil gave the connection back.
		miltertest.Play(t, mta, "> A"+envelope+"\n> Q\n< end")
	})
}

func TestContextEndsWithTheConnection(t *testing.T) {
	for _, event := range []string{"helo", "mail", "rcpt", "eom"} {
		t.Run(event, func(t *testing.T) {
			cause := make(chan error, 1)
			f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
				if strings.HasPrefix(line, event) {
					child, cancel := context.WithCancel(ctx) // as any library would
					defer cancel()
					<-child.Done()
					cause <- context.Cause(child)
				}
			}}
			s := newServer(f)
			s.ReplyTime, s.MessageTime = time.Hour, time.Hour
			addr := listen(t, s)
			nc, err := net.Dial(addr.Network, addr.Address)
			if err != nil {
				t.Fatal(err)
			}
			script := hello + envelope + content
			letter := map[string]string{"helo": "> H ", "mail": "> M ", "rcpt": "> R ", "eom": "> E"}[event]
			end := strings.Index(script, letter)
			end += strings.IndexByte(script[end:]+"\n", '\n')
			miltertest.Play(t, nc, script[:end])
			nc.Close()
			if err := <-cause; err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("cause: %v", err)
			}
		})
	}
}

func TestSessionThatIgnoresEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
			if line == "helo stuck" {
				<-release
			}
		}}
		s := newServer(f)
		mta := pipe(t, s)
		miltertest.Play(t, mta, "> O\n< O\n> C x U\n< c\n> H stuck")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		if err := s.Shutdown(ctx); err == nil || time.Since(start) != 15*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(start))
		}
		close(release)
	})
}

func TestEventContext(t *testing.T) {
	type key struct{}
	var kept []context.Context
	var derived context.Context
	f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
		if line == "new" {
			return
		}
		kept = append(kept, ctx)
		if strings.HasPrefix(line, "mail") {
			if ctx.Err() != nil || ctx.Value(key{}) != "value" {
				t.Error("context of an event:", ctx.Err(), ctx.Value(key{}))
			}
			var cancel context.CancelFunc
			derived, cancel = context.WithCancel(ctx) // must end with its parent
			t.Cleanup(cancel)
		}
	}}
	s := newServer(f)
	mta, filter := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ServeConn(context.WithValue(t.Context(), key{}, "value"), filter)
	}()
	miltertest.Play(t, mta, hello+envelope+content+"\n< c\n> Q\n< end")
	<-done
	<-derived.Done()
	for i, ctx := range kept {
		if ctx.Err() == nil {
			t.Errorf("context %d outlives its event", i)
		}
	}
}

// What the MTA sends while the verdict is made is not lost.
func TestPipelinedBehindASlowVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &miltertest.Filter{Heard: func(ctx context.Context, c *milter.Conn, line string) {
			if line == "eom" {
				time.Sleep(time.Second)
			}
		}}
		mta := pipe(t, newServer(f))
		miltertest.Play(t, mta, hello+envelope+"\n> E\n> A\n> M <second@example.net>\n< c\n< c\n> Q\n< end")
		want := join(helloHeard, envelopeHeard, list("eom", "mail <second@example.net> []", "abort", "close"))
		if got := f.Events(); !slices.Equal(got, want) {
			t.Errorf("heard %q", got)
		}
	})
}
