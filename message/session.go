package message

import "net/netip"

// Session is one SMTP session: who is connected. It does not change between
// the messages of the session, except that a second HELO (after STARTTLS)
// makes a new Session.
type Session struct {
	// Client is the address of the SMTP client; the zero value when the MTA
	// gave none (a local socket, or an address family it does not know).
	Client netip.Addr
	// Port is the client's port. Postfix gives 0 for mail that came through
	// sendmail(1) and for bounces.
	Port uint16
	// Host is the client's name as the CONNECT event gave it: verified by the
	// MTA (forward-confirmed), or the address in brackets, or "unknown".
	Host string
	// PTR is the name the client's address maps to, verified or not
	// (macro {client_ptr}).
	PTR string
	// Helo is the argument of the last HELO or EHLO.
	Helo string
	// MTA is the receiving MTA's own name, macro j.
	MTA string
	// TLSVersion and TLSCipher describe the connection, empty without TLS.
	TLSVersion, TLSCipher string
}

// Local reports whether the message was handed over inside the host and not
// by SMTP: sendmail(1), a bounce, mail from cron. Postfix shows such mail as a
// session from host "localhost", 127.0.0.1 and port 0 together; each of them
// alone proves nothing, since a stranger can show port 0 or, with a bad
// reverse zone, the name localhost.
func (s *Session) Local() bool {
	return s.Host == "localhost" && s.Port == 0 && s.Client == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// HostName returns the verified name of the client, or "" when there is none.
func (s *Session) HostName() string {
	if s.Host == "" || s.Host == "unknown" || s.Host[0] == '[' {
		return ""
	}
	return s.Host
}
