package milter_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	wire "github.com/emersion/go-milter"

	"milterd/milter"
)

// nothing is the cheapest Session.
type nothing struct{}

func (nothing) Connect(context.Context, milter.Connect) milter.Reply { return milter.Continue }
func (nothing) Helo(context.Context, string) milter.Reply            { return milter.Continue }
func (nothing) Mail(context.Context, string, []string) milter.Reply  { return milter.Continue }
func (nothing) Rcpt(context.Context, string, []string) milter.Reply  { return milter.Continue }
func (nothing) Data(context.Context) milter.Reply                    { return milter.Continue }
func (nothing) Header(context.Context, []byte, []byte) milter.Reply  { return milter.Continue }
func (nothing) EndOfHeader(context.Context) milter.Reply             { return milter.Continue }
func (nothing) Body(context.Context, []byte) milter.Reply            { return milter.Continue }
func (nothing) EndOfMessage(context.Context) milter.Response         { return milter.Response{} }
func (nothing) Unknown(context.Context, string) milter.Reply         { return milter.Continue }
func (nothing) Abort()                                               {}
func (nothing) Close()                                               {}

// BenchmarkMessage is one message of 30 fields and 5 KB, both sides together:
// with a connection for each message, with one for all, and with the replies to
// header fields left out.
func BenchmarkMessage(b *testing.B) {
	var raw bytes.Buffer
	for i := range 30 {
		fmt.Fprintf(&raw, "X-Field-%d: some value of a usual length, folded\r\n\tonce for good measure %d\r\n", i, i)
	}
	raw.WriteString("\r\n")
	raw.Write(bytes.Repeat([]byte("sixty-two bytes of text and then the end of the line comes now\r\n"), 80))
	for _, bench := range []struct {
		name     string
		protocol wire.OptProtocol
		fresh    bool
	}{{"connection each", 0, true}, {"one connection", 0, false}, {"muted headers", wire.OptNoHeaderReply | wire.OptHeaderLeadingSpace, false}} {
		b.Run(bench.name, func(b *testing.B) {
			s := &milter.Server{NewSession: func(*milter.Conn) milter.Session { return nothing{} }, Actions: milter.AllActions, Protocol: bench.protocol}
			addr := listen(b, s)
			ctx := context.Background()
			var c *milter.Client
			b.ReportAllocs()
			for b.Loop() {
				if c == nil {
					var err error
					if c, err = milter.Dial(ctx, addr, milter.ClientOptions{}); err != nil {
						b.Fatal(err)
					}
					if _, err := c.Greet(ctx, stranger); err != nil {
						b.Fatal(err)
					}
				}
				if o, err := c.Send(ctx, toAnn, raw.Bytes()); err != nil || !o.Reply.IsContinue() {
					b.Fatal(o, err)
				}
				if bench.fresh {
					if err := c.Quit(ctx); err != nil {
						b.Fatal(err)
					}
					c = nil
				}
			}
		})
	}
}
