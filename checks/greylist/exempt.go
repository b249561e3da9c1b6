package greylist

import (
	"regexp"
	"slices"
	"strings"

	"milterd/internal/table"
	"milterd/message"
)

// exemptions are those who need not come back.
type exemptions struct {
	clients, recipients               table.Tables // nil: nobody
	clientPatterns, recipientPatterns []*regexp.Regexp
}

// sender reports whether nobody is asked to come back for the sender's sake: a host of
// ours or one that is named, and a bounce (RFC 6647, section 5: those who verify
// addresses would wait).
func (x *exemptions) sender(m *message.Message) bool {
	return !m.Peer.Refusable() || m.MailFrom.Null || x.client(m.Session)
}

// message reports whether a message is never greylisted, for its sender's sake or
// because it reaches somebody who must be reachable or wants everything.
func (x *exemptions) message(m *message.Message) bool {
	return x.sender(m) || slices.ContainsFunc(m.Recipients, x.recipient)
}

func (x *exemptions) client(s *message.Session) bool {
	name := s.HostName()
	if x.clients != nil {
		t := x.clients.Table()
		if _, ok := t.FindAddr(s.Client); ok {
			return true
		}
		if _, ok := t.Find(name); ok {
			return true
		}
	}
	address := s.Client.Unmap().String()
	return slices.ContainsFunc(x.clientPatterns, func(p *regexp.Regexp) bool {
		return name != "" && p.MatchString(name) || p.MatchString(address)
	})
}

func (x *exemptions) recipient(to message.Recipient) bool {
	address := path(to.Path)
	local, host, _ := strings.Cut(address, "@")
	if local == "postmaster" || local == "abuse" {
		return true
	}
	if x.recipients != nil {
		t := x.recipients.Table()
		if _, ok := t.Find(address); ok {
			return true
		}
		if user, _, extended := strings.Cut(local, "+"); extended {
			if _, ok := t.Find(user + "@" + host); ok {
				return true
			}
		}
	}
	return slices.ContainsFunc(x.recipientPatterns, func(p *regexp.Regexp) bool { return p.MatchString(address) })
}
