// Package message holds the data that travels through milterd: the SMTP
// session, the mail transaction in it, and the verdict that comes out.
//
// A [Message] is a snapshot. While Postfix hands a message over, the bridge
// publishes a new Message after each phase (connect, helo, mail, each
// recipient, header, end of message); a published one is never changed again,
// so checks may read it from any goroutine without a lock. Header fields stay
// byte for byte as they were received. The body streams into a [Spool], which
// any number of readers follow at their own pace.
//
// Identity has strict types: a [Domain] is always a valid A-label name, an
// [Address] always an RFC 5321 mailbox. What could not be parsed stays beside
// it as the raw text it was, and never becomes an identity.
//
// The package knows neither the milter wire nor any check.
package message

import "time"

// Message is one mail transaction as far as it has come. What later phases
// bring is zero.
type Message struct {
	// ID is the transaction id: twelve letters and digits, ours, one a
	// message. It stands in the log, the journal, X-Milterd-Id and replies.
	ID string
	// QueueID is the MTA's name for the message. Postfix assigns it after the
	// first accepted recipient, so it may be empty before the header.
	QueueID string
	// Time is when the transaction began.
	Time time.Time

	Session *Session
	// Login is the SASL login name, macro {auth_authen}; empty when the client
	// did not authenticate.
	Login string
	Role  Role
	// Peer says whether the client is a host of ours with a part of its own.
	Peer Peer

	MailFrom Path
	// MailArgs are the ESMTP arguments of MAIL FROM (SIZE=, BODY=, SMTPUTF8).
	MailArgs []string
	// Recipients are those that the MTA accepted, in order.
	Recipients []Recipient
	// RejectedRecipients counts those that the MTA itself refused.
	RejectedRecipients int

	Header *Header
	// Body is complete once the Message phase has been published.
	Body *Spool
}

// Recipient is one accepted RCPT TO.
type Recipient struct {
	Path Path
	Args []string
}

// Author returns the From identity of the message (RFC 5322, section 3.6.2).
// It is empty before the header phase.
func (m *Message) Author() Author {
	if m.Header == nil {
		return Author{}
	}
	return m.Header.Author()
}
