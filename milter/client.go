package milter

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	wire "github.com/emersion/go-milter"
)

// maxFromFilter is the longest packet that Postfix takes from a filter.
const maxFromFilter = 2 * wire.MaxBodyChunk

// ClientOptions say what kind of MTA a Client is. Zero values are Postfix's.
type ClientOptions struct {
	Version  uint32           // 6
	Actions  wire.OptAction   // edits offered, AllActions
	Protocol wire.OptProtocol // protocol flags offered, AllProtocol

	ConnectTimeout time.Duration // milter_connect_timeout, 30 s
	CommandTimeout time.Duration // milter_command_timeout, 30 s: until each answer
	ContentTimeout time.Duration // milter_content_timeout, 300 s: the same from the first header on
}

// Client is the MTA's side: it plays SMTP sessions to a filter the way Postfix
// does. It is for one goroutine. After an error the connection is of no more use.
//
// The methods named like events send one command and give the filter's answer;
// what the filter negotiated not to see is not sent, and answered Continue. Greet
// and Send play a whole session.
type Client struct {
	nc      net.Conn
	in      *bufio.Reader
	out     []byte
	options ClientOptions

	version   uint32
	actions   wire.OptAction
	protocol  wire.OptProtocol
	requested map[wire.Stage][]string // SETSYMLIST: names without braces

	macros   [stages][]Macro
	known    []Macro // what Greet and Send have told so far
	peer     Peer
	inBody   bool // content timeouts hold
	skipBody bool
}

// Macro is one macro that a Client knows.
type Macro struct {
	Name, Value string
	OnRequest   bool // sent only to a filter that asks for it by SETSYMLIST
}

// Dial connects to a filter and negotiates.
func Dial(ctx context.Context, a Addr, o ClientOptions) (*Client, error) {
	d := net.Dialer{Timeout: orDefault(o.ConnectTimeout, 30*time.Second)}
	nc, err := d.DialContext(ctx, a.Network, a.Address)
	if err != nil {
		return nil, fmt.Errorf("milter: %s: %w", a, err)
	}
	c, err := NewClient(ctx, nc, o)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// NewClient negotiates over a connection that the caller made, and takes it over
// unless it fails.
func NewClient(ctx context.Context, nc net.Conn, o ClientOptions) (*Client, error) {
	o.CommandTimeout = orDefault(o.CommandTimeout, 30*time.Second)
	o.ContentTimeout = orDefault(o.ContentTimeout, 300*time.Second)
	if o.Version == 0 {
		o.Version = ProtocolVersion
	}
	if o.Actions == 0 {
		o.Actions = AllActions
	}
	if o.Protocol == 0 {
		o.Protocol = AllProtocol
	}
	c := &Client{nc: nc, in: bufio.NewReader(nc), options: o}
	if err := c.negotiate(ctx); err != nil {
		return nil, fmt.Errorf("milter: negotiation: %w", err)
	}
	return c, nil
}

func (c *Client) negotiate(ctx context.Context) error {
	defer c.interruptible(ctx)()
	c.out = appendNegotiation(c.out, negotiation{version: c.options.Version, actions: c.options.Actions, protocol: c.options.Protocol})
	if err := c.flush(ctx); err != nil {
		return err
	}
	code, data, err := c.read(ctx)
	if err != nil {
		return err
	}
	n, ok := parseNegotiation(data)
	switch {
	case code != byte(wire.CodeOptNeg) || !ok:
		return fmt.Errorf("unexpected answer %q", code)
	case n.version > c.options.Version || n.version < 2:
		return fmt.Errorf("the filter speaks version %d, we offered %d", n.version, c.options.Version)
	case n.actions&^c.options.Actions != 0:
		return fmt.Errorf("the filter wants actions %#x of the offered %#x", uint32(n.actions), uint32(c.options.Actions))
	case n.protocol&^c.options.Protocol != 0:
		return fmt.Errorf("the filter wants protocol flags %#x of the offered %#x", uint32(n.protocol), uint32(c.options.Protocol))
	}
	c.version, c.actions, c.protocol = n.version, n.actions, n.protocol
	for _, m := range n.macros {
		if c.requested == nil {
			c.requested = map[wire.Stage][]string{}
		}
		names := strings.Fields(m.names)
		for i, name := range names {
			names[i] = bareName(name)
		}
		c.requested[m.stage] = names
	}
	return nil
}

// Actions are the edits that the filter may ask for.
func (c *Client) Actions() wire.OptAction { return c.actions }

// Protocol are the protocol flags agreed upon.
func (c *Client) Protocol() wire.OptProtocol { return c.protocol }

// RequestedMacros are the names, without braces, that the filter asked for at a
// stage by SETSYMLIST.
func (c *Client) RequestedMacros(stage wire.Stage) []string { return slices.Clone(c.requested[stage]) }

// SetMacros sets the macros of a stage. They go out before every command of that
// stage: for a stage in the filter's SETSYMLIST those it asked for, else those
// that are not OnRequest.
func (c *Client) SetMacros(stage wire.Stage, macros ...Macro) {
	if stage < stages {
		c.macros[stage] = macros
	}
}

// appendMacros queues the macro packet for a command, if there is anything in it.
func (c *Client) appendMacros(code wire.Code) {
	stage, ok := macroStage(code)
	if !ok || len(c.macros[stage]) == 0 {
		return
	}
	wanted, listed := c.requested[stage]
	start := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0, byte(wire.CodeMacro), byte(code))
	for _, m := range c.macros[stage] {
		if listed && !slices.Contains(wanted, bareName(m.Name)) || !listed && m.OnRequest {
			continue
		}
		c.out = append(append(c.out, m.Name...), 0)
		c.out = append(append(c.out, m.Value...), 0)
	}
	if len(c.out) == start+6 {
		c.out = c.out[:start]
		return
	}
	binary.BigEndian.PutUint32(c.out[start:], uint32(len(c.out)-start-4))
}

// command sends one command with its macros and gives the answer.
func (c *Client) command(ctx context.Context, code wire.Code, parts ...string) (Reply, error) {
	if c.protocol&noSendFlag(code) != 0 || c.tooOld(code) {
		return Continue, nil
	}
	defer c.interruptible(ctx)()
	c.appendMacros(code)
	c.out = appendFrame(c.out, byte(code), parts...)
	if c.protocol&noReplyFlag(code) != 0 {
		if len(c.out) < 4<<10 { // as Postfix's stream buffer: many fields in one write
			return Continue, nil
		}
		return Continue, c.flush(ctx)
	}
	if err := c.flush(ctx); err != nil {
		return Reply{}, err
	}
	for {
		act, data, err := c.read(ctx)
		if err != nil {
			return Reply{}, err
		}
		if wire.ActionCode(act) == ActProgress && len(data) == 0 {
			continue // the deadline starts anew
		}
		return decodeReply(wire.ActionCode(act), data)
	}
}

// tooOld tells commands that a filter of that version does not know.
func (c *Client) tooOld(code wire.Code) bool {
	return (code == CodeUnknown && c.version < 3) || (code == wire.CodeData && c.version < 4)
}

// notify sends a command that has no answer.
func (c *Client) notify(ctx context.Context, code wire.Code) error {
	defer c.interruptible(ctx)()
	c.inBody, c.skipBody = false, false
	c.out = appendFrame(c.out, byte(code))
	return c.flush(ctx)
}

func (c *Client) deadline() time.Time {
	if c.inBody {
		return time.Now().Add(c.options.ContentTimeout)
	}
	return time.Now().Add(c.options.CommandTimeout)
}

// interruptible ends reads and writes when ctx does; call the function it gives
// when done. Whoever sets a deadline looks at ctx afterwards.
func (c *Client) interruptible(ctx context.Context) func() {
	if ctx.Done() == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, func() { c.nc.SetDeadline(longAgo) })
	return func() { stop() }
}

func (c *Client) flush(ctx context.Context) error {
	if len(c.out) == 0 {
		return nil
	}
	c.nc.SetDeadline(c.deadline())
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("milter: sending: %w", err))
	}
	return nil
}

// read gives one packet of the filter; the data are the caller's.
func (c *Client) read(ctx context.Context) (byte, []byte, error) {
	fail := func(err error) (byte, []byte, error) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, errors.Join(ctx.Err(), fmt.Errorf("milter: waiting for the answer: %w", err))
	}
	c.nc.SetReadDeadline(c.deadline())
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	head, err := c.in.Peek(5)
	if err != nil {
		return fail(err)
	}
	length, code := binary.BigEndian.Uint32(head), head[4]
	if length < 1 || length > maxFromFilter {
		return fail(fmt.Errorf("packet of %d bytes", length))
	}
	c.in.Discard(5)
	if length == 1 {
		return code, nil, nil
	}
	data := make([]byte, length-1)
	if _, err := io.ReadFull(c.in, data); err != nil {
		return fail(err)
	}
	return code, data, nil
}

// Close ends the connection without a word. Quit is the polite way.
func (c *Client) Close() error { return c.nc.Close() }
