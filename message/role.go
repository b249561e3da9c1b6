package message

// Role says on whose behalf a message travels; see docs/roles.md.
type Role string

const (
	// Inbound mail comes from strangers: verified, scored, marked.
	Inbound Role = "inbound"
	// Outbound mail is our own: an authenticated user, our networks, or mail
	// made on this host. Nothing of ours is added to it but signatures.
	Outbound Role = "outbound"
	// Reinject is a message that has been through milterd before and comes
	// back from a content filter of ours. Nothing is done twice.
	Reinject Role = "reinject"
)

// Peer is the part a client plays in our network, from the configuration key
// networks.
type Peer string

const (
	// Stranger is any client that the configuration does not name.
	Stranger Peer = ""
	// Relay is a backup MX or forwarder of ours: look behind it, never refuse
	// it (it would have to bounce), never greylist it.
	Relay Peer = "relay"
	// Fetcher brings mail from a mailbox elsewhere (fetchmail): there is
	// nobody to refuse.
	Fetcher Peer = "fetcher"
)

// Refusable reports whether a 4xx or 5xx reaches somebody who can act on it.
func (p Peer) Refusable() bool { return p == Stranger }
