package milter

import (
	"context"
	"net/netip"
)

// Session receives the events of one SMTP connection, in order, on one
// goroutine. Byte slices are valid only during the call; strings may be kept.
//
// The ctx of an event ends with the event, when the connection dies or the
// server is forced down, and at ReplyTime (EndOfMessage: MessageTime). Work that
// goes on between events takes Conn.Context instead.
//
// An answer for an event whose reply was negotiated away (NR_*) is remembered
// and given at the next event that takes one; until then the Session hears no
// more of that message.
type Session interface {
	// Connect tells who is connected. A refusal is for all that follows.
	Connect(ctx context.Context, c Connect) Reply

	// Helo tells the name of HELO or EHLO; a second time after STARTTLS, and as
	// often as the client likes.
	Helo(ctx context.Context, name string) Reply

	// Mail begins a message. from is verbatim: with angle brackets from SMTP,
	// without from sendmail(1), and a client may leave them out too. A refusal
	// ends the message.
	Mail(ctx context.Context, from string, args []string) Reply

	// Rcpt tells a recipient, verbatim. With RCPT_REJ those the MTA has refused
	// come too, with macro {rcpt_mailer} = error. A refusal is for this recipient.
	Rcpt(ctx context.Context, to string, args []string) Reply

	// Data tells of the DATA command. After a refusal the client may go on with
	// other recipients.
	Data(ctx context.Context) Reply

	// Header tells one header field. The name is without the white space before
	// the colon; with LEADSPC the value is exactly what follows the colon, else one
	// leading space is missing. Folds are a bare LF.
	Header(ctx context.Context, name, value []byte) Reply

	// EndOfHeader tells that the body follows.
	EndOfHeader(ctx context.Context) Reply

	// Body tells a chunk of the body, lines ended by CRLF.
	Body(ctx context.Context, chunk []byte) Reply

	// EndOfMessage asks for the verdict. The edits are dropped unless the reply is
	// Continue or Accept.
	EndOfMessage(ctx context.Context) Response

	// Unknown tells an SMTP command that the MTA does not know. Only refusals are
	// passed on.
	Unknown(ctx context.Context, command string) Reply

	// Abort tells that the message which Mail began is dropped, by whomever: the
	// client's RSET, our own refusal, a lost connection. The connection is kept.
	Abort()

	// Close tells that the SMTP connection is over; called exactly once.
	Close()
}

// Connect is the data of SMFIC_CONNECT.
type Connect struct {
	Host   string     // name of the client, or its address in brackets when it has none
	Family byte       // U unknown, L unix, 4, 6
	Port   uint16     // of 4 and 6; Postfix's sendmail(1) shows 0
	Addr   netip.Addr // of 4 and 6; IPv4 in IPv6 is unmapped; not valid when there is none
	Path   string     // of L
}

// Response is the answer at end of message.
type Response struct {
	Edits []Edit
	Reply Reply
}
