package milter_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"milterd/milter"
)

// greeter is a filter that marks every message and refuses one sender.
type greeter struct {
	nothing
	conn *milter.Conn
}

func (g *greeter) Mail(_ context.Context, from string, _ []string) milter.Reply {
	if from == "<spam@example.net>" {
		refusal, err := milter.NewReply(550, "5.7.1", "Not from you")
		if err != nil {
			return milter.TempFail
		}
		return refusal
	}
	return milter.Continue
}

func (g *greeter) EndOfMessage(context.Context) milter.Response {
	return milter.Response{Edits: []milter.Edit{milter.InsertHeader(0, "X-Seen-By", g.conn.Macro("j"))}}
}

// Both sides at once: a filter, and an MTA that plays two messages to it.
func Example() {
	server := &milter.Server{
		NewSession: func(c *milter.Conn) milter.Session { return &greeter{conn: c} },
		Actions:    milter.AllActions,
	}
	ctx := context.Background()
	mta, filter := net.Pipe()
	go server.ServeConn(ctx, filter)

	client, err := milter.NewClient(ctx, mta, milter.ClientOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	client.Greet(ctx, milter.Peer{
		Connect:  milter.Connect{Host: "mail.example.net", Family: '4', Port: 40000, Addr: netip.MustParseAddr("192.0.2.1")},
		Helo:     "mail.example.net",
		Hostname: "mx.example.org",
	})
	raw := []byte("Subject: hello\n\nHow are you?\n")
	for _, from := range []string{"spam@example.net", "joe@example.net"} {
		outcome, err := client.Send(ctx, milter.Envelope{From: from, Rcpts: []milter.Recipient{{Address: "ann@example.org"}}}, raw)
		fmt.Println(from, outcome.Stage, outcome.Reply, err)
		if len(outcome.Edits) > 0 {
			fmt.Printf("%s", milter.ParseMessage(raw).Apply(outcome.Edits).Bytes())
		}
	}
	client.Quit(ctx)
	server.Shutdown(ctx)
	// Output:
	// spam@example.net mail 550 5.7.1 Not from you <nil>
	// joe@example.net eom continue <nil>
	// X-Seen-By: mx.example.org
	// Subject: hello
	//
	// How are you?
}
