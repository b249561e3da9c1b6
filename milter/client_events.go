package milter

import (
	"context"
	"fmt"
	"strings"

	wire "github.com/emersion/go-milter"
)

// Connect tells who is connected.
func (c *Client) Connect(ctx context.Context, conn Connect) (Reply, error) {
	if err := noNUL(conn.Host, conn.Path); err != nil {
		return Reply{}, err
	}
	return c.command(ctx, wire.CodeConn, string(appendConnect(nil, conn)))
}

// Helo tells the name of HELO or EHLO.
func (c *Client) Helo(ctx context.Context, name string) (Reply, error) {
	if err := noNUL(name); err != nil {
		return Reply{}, err
	}
	return c.command(ctx, wire.CodeHelo, name, "\x00")
}

// Mail begins a message. The address goes out as it is: SMTP has angle brackets,
// sendmail(1) none.
func (c *Client) Mail(ctx context.Context, from string, args ...string) (Reply, error) {
	c.inBody, c.skipBody = false, false
	return c.address(ctx, wire.CodeMail, from, args)
}

// Rcpt tells a recipient; the same holds for its address.
func (c *Client) Rcpt(ctx context.Context, to string, args ...string) (Reply, error) {
	return c.address(ctx, wire.CodeRcpt, to, args)
}

func (c *Client) address(ctx context.Context, code wire.Code, address string, args []string) (Reply, error) {
	if err := noNUL(append([]string{address}, args...)...); err != nil {
		return Reply{}, err
	}
	parts := []string{address, "\x00"}
	for _, arg := range args {
		parts = append(parts, arg, "\x00")
	}
	return c.command(ctx, code, parts...)
}

// Data tells of the DATA command.
func (c *Client) Data(ctx context.Context) (Reply, error) {
	return c.command(ctx, wire.CodeData)
}

// Header tells one header field: the value is all that follows the colon, folds
// a bare LF. Without LEADSPC its first space is left out.
func (c *Client) Header(ctx context.Context, name, value string) (Reply, error) {
	if err := noNUL(name, value); err != nil {
		return Reply{}, err
	}
	c.inBody = true
	if c.protocol&wire.OptHeaderLeadingSpace == 0 {
		value = strings.TrimPrefix(value, " ")
	}
	return c.command(ctx, wire.CodeHeader, name, "\x00", value, "\x00")
}

// EndOfHeader tells that the body follows.
func (c *Client) EndOfHeader(ctx context.Context) (Reply, error) {
	c.inBody = true
	return c.command(ctx, wire.CodeEOH)
}

// Body tells a chunk of at most 65535 bytes of the body, in the line endings of
// SMTP. After the filter has answered Skip the rest of the body is not sent.
func (c *Client) Body(ctx context.Context, chunk []byte) (Reply, error) {
	if len(chunk) > wire.MaxBodyChunk {
		return Reply{}, fmt.Errorf("milter: body chunk of %d bytes", len(chunk))
	}
	c.inBody = true
	if c.skipBody {
		return Continue, nil
	}
	r, err := c.command(ctx, wire.CodeBody, string(chunk))
	if r == Skip {
		c.skipBody = true
	}
	return r, err
}

// EndOfMessage asks for the verdict: the edits in the order in which the filter
// asked for them, and the reply. The message is over then.
func (c *Client) EndOfMessage(ctx context.Context) (Response, error) {
	defer c.interruptible(ctx)()
	defer func() { c.inBody, c.skipBody = false, false }()
	c.inBody = true
	c.appendMacros(wire.CodeEOB)
	c.out = appendFrame(c.out, byte(wire.CodeEOB))
	if err := c.flush(ctx); err != nil {
		return Response{}, err
	}
	var v Response
	for {
		code, data, err := c.read(ctx)
		if err != nil {
			return Response{}, err
		}
		if wire.ActionCode(code) == ActProgress && len(data) == 0 {
			continue
		}
		edit, ok, err := decodeEdit(wire.ModifyActCode(code), data, c.protocol&wire.OptHeaderLeadingSpace != 0)
		if err != nil {
			return Response{}, err
		}
		if !ok {
			v.Reply, err = decodeReply(wire.ActionCode(code), data)
			return v, err
		}
		v.Edits = append(v.Edits, edit)
	}
}

// Unknown tells an SMTP command that the MTA does not know.
func (c *Client) Unknown(ctx context.Context, command string) (Reply, error) {
	if err := noNUL(command); err != nil {
		return Reply{}, err
	}
	return c.command(ctx, CodeUnknown, command, "\x00")
}

// Abort drops the message and keeps the session, as after RSET.
func (c *Client) Abort(ctx context.Context) error { return c.notify(ctx, wire.CodeAbort) }

// QuitNewConn ends the SMTP session; another may begin with Connect.
func (c *Client) QuitNewConn(ctx context.Context) error {
	c.macros, c.known, c.peer = [stages][]Macro{}, nil, Peer{}
	return c.notify(ctx, wire.CodeQuitNewConn)
}

// Quit ends the session and the connection.
func (c *Client) Quit(ctx context.Context) error {
	err := c.notify(ctx, wire.CodeQuit)
	if closed := c.nc.Close(); err == nil {
		err = closed
	}
	return err
}

func noNUL(texts ...string) error {
	for _, s := range texts {
		if strings.ContainsRune(s, 0) {
			return fmt.Errorf("milter: NUL in %s", quote([]byte(s)))
		}
	}
	return nil
}
