package milter

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	wire "github.com/emersion/go-milter"
)

// Peer is one SMTP session as an MTA sees it: who is connected to whom.
type Peer struct {
	Connect
	Helo string

	Hostname   string // of the MTA, macro j; default localhost
	DaemonName string // macro {daemon_name}; default Hostname (Postfix), on submission often ORIGINATING
	DaemonAddr string // macro {daemon_addr}; default 127.0.0.1
	DaemonPort string // macro {daemon_port}; default 25
	ClientPtr  string // macro {client_ptr}, the unverified name; default Host
	Login      string // SASL login, macro {auth_authen}; empty: not authenticated
	AuthType   string // macro {auth_type}; default PLAIN with a Login
	TLSVersion string // macro {tls_version}, told by a second HELO; empty: no TLS
	Local      bool   // mail by sendmail(1): no angle brackets, the queue id is known at MAIL
}

// LocalPeer is the session that Postfix shows for mail by sendmail(1).
func LocalPeer(hostname string) Peer {
	return Peer{
		Connect:  Connect{Host: "localhost", Family: byte(wire.FamilyInet), Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})},
		Helo:     "localhost",
		Hostname: hostname,
		Local:    true,
	}
}

// Recipient is one RCPT TO.
type Recipient struct {
	Address  string   // without angle brackets
	Args     []string // ESMTP arguments
	Rejected string   // the MTA's own refusal, "5.1.1 User unknown": told only to filters with RCPT_REJ
}

// Envelope is what SMTP says of one message.
type Envelope struct {
	From     string // without angle brackets; empty is the null sender
	FromArgs []string
	Rcpts    []Recipient
	QueueID  string // macro i; default 4bNoQueueId
}

// Outcome is what became of one message.
type Outcome struct {
	Stage string  // where it was decided: connect, helo, mail, rcpt, data, header, eoh, body, eom
	Reply Reply   // the deciding one
	Rcpts []Reply // by recipient, as far as they were asked for
	Edits []Edit  // in the order in which the filter asked
}

// Greet opens the SMTP session: CONNECT and HELO, and HELO again with TLS. A
// reply that is not Continue decides for all messages of the session.
func (c *Client) Greet(ctx context.Context, p Peer) (Reply, error) {
	c.peer = p
	c.known = nil
	hostname := firstOf(p.Hostname, "localhost")
	client, ptr := p.clientText()
	addr := "unknown"
	if p.Addr.IsValid() {
		addr = p.Addr.String()
	}
	shown := fmt.Sprintf("%s [%s]", ptr, addr)
	if p.Addr.Is6() {
		addr = "IPv6:" + addr // as a macro, not in CONNECT
	}
	c.stage(wire.StageConnect, []Macro{
		{"j", hostname, false},
		{"{daemon_name}", firstOf(p.DaemonName, hostname), false},
		{"{daemon_addr}", firstOf(p.DaemonAddr, "127.0.0.1"), false},
		{"v", "Postfix 3.7.11", false},
		{"_", shown, false},
		{"{client_addr}", addr, true},
		{"{client_name}", client, true},
		{"{client_ptr}", ptr, true},
		{"{client_port}", strconv.Itoa(int(p.Port)), true},
		{"{client_connections}", "1", true},
		{"{daemon_port}", firstOf(p.DaemonPort, "25"), true},
	})
	r, err := c.Connect(ctx, p.Connect)
	if err != nil || !r.IsContinue() {
		return r, err
	}
	c.stage(wire.StageHelo, nil)
	r, err = c.Helo(ctx, p.Helo)
	if err != nil || !r.IsContinue() || p.TLSVersion == "" {
		return r, err
	}
	c.stage(wire.StageHelo, []Macro{
		{"{tls_version}", p.TLSVersion, false},
		{"{cipher}", "TLS_AES_256_GCM_SHA384", false},
		{"{cipher_bits}", "256", false},
	})
	return c.Helo(ctx, p.Helo)
}

// clientText is {client_name}, where a client whose name is not verified is
// "unknown", and {client_ptr}.
func (p Peer) clientText() (name, ptr string) {
	name = p.Host
	if name == "" || strings.HasPrefix(name, "[") {
		name = "unknown"
	}
	return name, firstOf(p.ClientPtr, name)
}

// stage sets the macros of a stage: those given, and on request all that is
// known so far.
func (c *Client) stage(stage wire.Stage, macros []Macro) {
	all := slices.Clone(macros)
	for _, k := range c.known {
		if !slices.ContainsFunc(macros, func(m Macro) bool { return m.Name == k.Name }) {
			all = append(all, k)
		}
	}
	c.SetMacros(stage, all...)
	c.known = slices.Clone(all)
	for i := range c.known {
		c.known[i].OnRequest = true
	}
}

// Send plays one mail transaction after Greet: MAIL, RCPT, DATA, the content of
// raw, end of message. It stops where the filter decides and aborts what is left,
// so that the next Send may follow. Line endings of raw may be LF or CRLF.
func (c *Client) Send(ctx context.Context, e Envelope, raw []byte) (Outcome, error) {
	session := c.known
	o, err := c.transaction(ctx, e, ParseMessage(raw))
	if err == nil {
		err = c.Abort(ctx) // Postfix does, after every message
	}
	c.known = session
	return o, err
}

func (c *Client) transaction(ctx context.Context, e Envelope, m *Message) (o Outcome, err error) {
	o.Stage = "mail"
	if o.Reply, err = c.sendMail(ctx, e); err != nil || !o.Reply.IsContinue() {
		return o, err
	}
	o.Stage = "rcpt"
	accepted, err := c.sendRcpts(ctx, e, &o)
	if err != nil || accepted == 0 || !o.Reply.IsContinue() {
		return o, err
	}
	queueID := Macro{"i", firstOf(e.QueueID, "4bNoQueueId"), false}
	for _, stage := range [...]wire.Stage{wire.StageData, wire.StageEOH, wire.StageEOM} {
		c.stage(stage, []Macro{queueID})
	}
	o.Stage = "data"
	if o.Reply, err = c.Data(ctx); err != nil || !o.Reply.IsContinue() {
		return o, err
	}
	if o.Stage, o.Reply, err = c.sendContent(ctx, m); err != nil || !o.Reply.IsContinue() {
		return o, err
	}
	o.Stage = "eom"
	verdict, err := c.EndOfMessage(ctx)
	o.Reply, o.Edits = verdict.Reply, verdict.Edits
	return o, err
}

func (c *Client) sendMail(ctx context.Context, e Envelope) (Reply, error) {
	user, host, _ := strings.Cut(e.From, "@")
	macros := []Macro{{"{mail_addr}", e.From, false}, {"{mail_host}", host, false}, {"{mail_mailer}", "smtp", false}}
	if host == "" && user != "" {
		macros[1].Value = "localhost"
	}
	if c.peer.Login != "" {
		macros = append(macros, Macro{"{auth_type}", firstOf(c.peer.AuthType, "PLAIN"), false},
			Macro{"{auth_authen}", c.peer.Login, false})
	}
	if c.peer.Local {
		macros = append(macros, Macro{"i", firstOf(e.QueueID, "4bNoQueueId"), false})
	}
	c.stage(wire.StageMailFrom, macros)
	return c.Mail(ctx, c.path(e.From), e.FromArgs...)
}

// sendRcpts tells the recipients. Postfix has a queue id only once a recipient
// was accepted. Those the MTA refused itself are for filters with RCPT_REJ.
func (c *Client) sendRcpts(ctx context.Context, e Envelope, o *Outcome) (accepted int, err error) {
	known := c.known
	for _, rcpt := range e.Rcpts {
		_, host, _ := strings.Cut(rcpt.Address, "@")
		macros := []Macro{{"{rcpt_addr}", rcpt.Address, false}, {"{rcpt_host}", host, false}, {"{rcpt_mailer}", "smtp", false}}
		if rcpt.Rejected != "" {
			if c.protocol&wire.OptRcptRej == 0 {
				continue
			}
			status, _, _ := strings.Cut(rcpt.Rejected, " ")
			macros = []Macro{{"{rcpt_addr}", rcpt.Rejected, false}, {"{rcpt_host}", status, false}, {"{rcpt_mailer}", "error", false}}
		}
		if accepted > 0 || c.peer.Local {
			macros = append(macros, Macro{"i", firstOf(e.QueueID, "4bNoQueueId"), false})
		}
		c.known = known
		c.stage(wire.StageRcptTo, macros)
		r, err := c.Rcpt(ctx, c.path(rcpt.Address), rcpt.Args...)
		if err != nil {
			return accepted, err
		}
		o.Rcpts = append(o.Rcpts, r)
		switch {
		case rcpt.Rejected != "": // the filter's word counts for nothing
		case r.Refuses():
			o.Reply = r
		case r.IsContinue():
			accepted++
		default: // Accept and Discard are for the whole message
			o.Reply = r
			return accepted, nil
		}
	}
	if accepted > 0 {
		o.Reply = Continue
	}
	return accepted, nil
}

func (c *Client) sendContent(ctx context.Context, m *Message) (stage string, r Reply, err error) {
	for _, f := range m.Fields {
		if r, err = c.Header(ctx, f.Name, f.Value); err != nil || !r.IsContinue() {
			return "header", r, err
		}
	}
	if r, err = c.EndOfHeader(ctx); err != nil || !r.IsContinue() {
		return "eoh", r, err
	}
	for rest := m.Body; len(rest) > 0; {
		n := min(len(rest), wire.MaxBodyChunk)
		if r, err = c.Body(ctx, rest[:n]); err != nil || (!r.IsContinue() && r != Skip) {
			return "body", r, err
		}
		if r == Skip {
			break
		}
		rest = rest[n:]
	}
	return "body", Continue, nil
}

// path is an address as the command shows it.
func (c *Client) path(address string) string {
	if c.peer.Local {
		return address
	}
	return "<" + address + ">"
}

func firstOf(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
