package pipeline

import (
	"net/netip"

	"milterd/message"
)

// Roles knows who is who among the clients (configuration key networks).
type Roles struct {
	MyNetworks, Relays, Fetchers []netip.Prefix
}

// Peer returns the part that a client has in our network. Fetchers win over
// mynetworks: fetchmail runs on a host of ours and brings strangers' mail.
func (r *Roles) Peer(s *message.Session) message.Peer {
	switch {
	case s.Local():
		return message.Stranger
	case contains(r.Fetchers, s.Client):
		return message.Fetcher
	case contains(r.Relays, s.Client):
		return message.Relay
	}
	return message.Stranger
}

// Role returns the role of a transaction as known at MAIL FROM: outbound when
// the client authenticated, is in mynetworks, or is this host itself handing
// over mail that was made here.
func (r *Roles) Role(s *message.Session, login string, peer message.Peer) message.Role {
	switch {
	case login != "":
		return message.Outbound
	case peer != message.Stranger:
		return message.Inbound
	case s.Local(), r.Ours(s.Client):
		return message.Outbound
	}
	return message.Inbound
}

// Ours reports whether the address is in mynetworks.
func (r *Roles) Ours(a netip.Addr) bool { return contains(r.MyNetworks, a) }

// Trusted reports whether a Received field written by this address's host may
// be believed: it is ours, a relay or a fetcher.
func (r *Roles) Trusted(a netip.Addr) bool {
	return contains(r.MyNetworks, a) || contains(r.Relays, a) || contains(r.Fetchers, a)
}

func contains(nets []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// Behind returns the session of the client that handed the message to our own
// hosts, read from the Received fields from the top for as long as their
// writers are trusted: the first client that is not ours. ok is false when
// there is no usable field; the session is then one of an unknown client.
func (r *Roles) Behind(h *message.Header, mta string) (s *message.Session, ok bool) {
	for value := range h.All("Received") {
		hop, good := message.ParseReceived(value)
		if !good {
			break
		}
		if r.Trusted(hop.Client) {
			continue
		}
		return &message.Session{Client: hop.Client, Host: hop.Host, PTR: hop.Host, Helo: hop.Helo, Port: 0, MTA: mta}, true
	}
	return &message.Session{MTA: mta}, false
}
