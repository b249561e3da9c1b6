// Package milter speaks the Sendmail mail filter protocol, version 6, from both
// sides: [Server] is a filter that Postfix calls, [Client] is an MTA that calls
// a filter. It knows the wire and nothing of policy.
//
// # The journey of one message
//
// An MTA opens a connection for each SMTP client and speaks first. A packet is
// a length, a letter and data; the MTA's letters are commands (SMFIC_*), the
// filter's are replies (SMFIR_*). Left is what arrives, right is what this
// package makes of it:
//
//	O  SMFIC_OPTNEG    both masks are intersected, macro lists are asked for
//	D  SMFIC_MACRO     kept per stage, see Conn.Macro; never answered
//	C  SMFIC_CONNECT   Server.NewSession, then Session.Connect
//	H  SMFIC_HELO      Session.Helo; once more after STARTTLS
//	M  SMFIC_MAIL      Session.Mail: a message begins
//	R  SMFIC_RCPT      Session.Rcpt, for each recipient
//	T  SMFIC_DATA      Session.Data
//	L  SMFIC_HEADER    Session.Header, for each field
//	N  SMFIC_EOH       Session.EndOfHeader
//	B  SMFIC_BODY      Session.Body, in chunks of up to 65535 bytes
//	E  SMFIC_BODYEOB   Session.EndOfMessage: edits and the verdict, the message is over
//	A  SMFIC_ABORT     Session.Abort if a message was under way; never answered
//	U  SMFIC_UNKNOWN   Session.Unknown
//	K  SMFIC_QUIT_NC   Session.Close; the next CONNECT gets a new Session
//	Q  SMFIC_QUIT      Session.Close
//
// Every command but D, A, K and Q is answered with one [Reply], unless the
// filter negotiated that this command takes none (the NR_ flags). At end of
// message the reply is preceded by edits, and by SMFIR_PROGRESS while the
// filter thinks.
//
// # Two lifetimes
//
// What CONNECT and HELO told belongs to the connection; what MAIL, RCPT, DATA
// and the content told belongs to one message. A connection carries many
// messages, and Postfix does not repeat CONNECT and HELO for the second one. So
// a rejected recipient, an ABORT, a second MAIL ends at most a message, never
// what is known of the client. Every message that Session.Mail began ends with
// exactly one call of Session.EndOfMessage or Session.Abort, whatever ended it.
//
// # What is left out
//
// Body replacement (SMFIR_REPLBODY) is absent on purpose, on both sides. It
// breaks the signatures of whoever signed the body, and when the connection is
// lost in the middle of it Postfix with milter_default_action = accept queued
// the body that was to be replaced. A filter that must not let a body pass
// refuses or holds the message.
//
// # Hostile bytes
//
// The peer may be anybody who reaches the socket. A frame's length is checked
// before anything is reserved for it, buffers grow with the bytes that arrived,
// every read and write has a deadline, and whatever is not the protocol closes
// the connection within that packet. Everything that goes back (replies, header
// fields, addresses) is checked for line breaks and NUL, so that text from a
// message cannot become protocol.
//
// Constants and mask types are those of github.com/emersion/go-milter; what it
// lacks is in wire.go.
package milter
