package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"milterd/milter"
)

// What each message of [Bench.occupy] leaves in milterd's memory: a header just below what is
// refused (limits.header_bytes), and as much of a body as does not go to a file.
const (
	occupierFields = 4
	occupierField  = 59_000
	occupierBody   = 127 << 10
)

// occupy begins one message after the other, straight at milterd's socket, and ends none, until milterd has no memory for
// one more. It is the worst that strangers can do with what they may have.
func (b *Bench) occupy(ctx context.Context) error {
	for {
		c, refused, err := b.beginMessage(ctx)
		if c != nil {
			b.idle = append(b.idle, c)
		}
		switch {
		case err != nil:
			return fmt.Errorf("message %d: %w", len(b.idle), err)
		case refused && len(b.idle) == 1:
			return errors.New("there was no memory for a first message")
		case refused:
			return nil
		}
	}
}

// beginMessage begins one, whose header and body it sends but for the end. refused says that there was no
// memory for it.
func (b *Bench) beginMessage(ctx context.Context) (conn io.Closer, refused bool, err error) {
	c, err := milter.Dial(ctx, milter.Addr{Network: "unix", Address: b.Daemon.Socket()}, milter.ClientOptions{})
	if err != nil {
		return nil, false, err
	}
	p := milter.LocalPeer("mx.example.test")
	p.Local, p.Port, p.Host, p.Addr = false, 40000, "mail.sender.test", netip.MustParseAddr("203.0.113.7")
	if r, err := c.Greet(ctx, p); err != nil || !r.IsContinue() {
		return c, false, fmt.Errorf("HELO: %v %w", r, err)
	}
	if r, err := c.Mail(ctx, "<joe@occupier.sender.test>"); err != nil || !r.IsContinue() {
		return c, err == nil, err
	}
	if r, err := c.Rcpt(ctx, "<alice@example.test>"); err != nil || !r.IsContinue() {
		return c, false, fmt.Errorf("RCPT TO: %v %w", r, err)
	}
	_, err = c.Header(ctx, "From", "joe@occupier.sender.test")
	for range occupierFields {
		if err == nil {
			_, err = c.Header(ctx, "X-Occupier", strings.Repeat("and so on ", occupierField/10))
		}
	}
	if err == nil {
		_, err = c.EndOfHeader(ctx)
	}
	for left := occupierBody; err == nil && left > 0; left -= 32 << 10 {
		_, err = c.Body(ctx, []byte(strings.Repeat("and so on.\r\n", min(left, 32<<10)/12)))
	}
	return c, false, err
}
