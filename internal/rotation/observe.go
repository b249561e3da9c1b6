package rotation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"milterd/dkim"
	"milterd/internal/dns"
	"milterd/internal/keys"
)

// Status is what the DNS as a whole says about a key.
type Status string

// The statuses.
const (
	// Shown: every server gives the record that shall stand there.
	Shown Status = "shown"
	// Missing: a server answers, and does not give it.
	Missing Status = "missing"
	// Unknown: some server could not be asked, and none denies the record.
	Unknown Status = "unknown"
)

// Said is what one server says about a key.
type Said string

// What servers say.
const (
	SaysShown   Said = "shown"   // the record that shall stand there
	SaysAbsent  Said = "absent"  // no record
	SaysDiffers Said = "differs" // something else
	SaysNothing Said = "silent"  // no answer to be had
	SaysNoWay   Said = "no way"  // this host cannot reach the address, as with IPv6 where there is none
)

// A View is what one server says.
type View struct {
	Server string     `json:"server"` // its name; "resolver" for the one that this host uses, "name servers" where these cannot be found
	Addr   netip.Addr `json:"addr,omitzero"`
	Said   Said       `json:"said"`
	Detail string     `json:"detail,omitempty"` // what it gives instead, or why it does not answer
}

// A Sight is what all servers say about one key.
type Sight struct {
	Name   string        `json:"name"`
	Record string        `json:"-"` // that was looked for
	Status Status        `json:"status"`
	TTL    time.Duration `json:"-"` // the longest that its presence or absence may be remembered
	Views  []View        `json:"views,omitempty"`
	Err    error         `json:"-"` // why nobody could be asked, or what is wrong with the key's file
}

// An Observer looks at keys in the DNS as somebody does who has never seen them:
// at every authoritative server itself, and through a resolver with an empty
// cache.
type Observer struct {
	// Fresh makes a resolver whose cache is empty. It is closed after one look.
	Fresh func() (*dns.Resolver, error)
	// Port is where authoritative servers are asked. Zero: 53.
	Port uint16
}

const (
	lookTime   = 30 * time.Second // for one key
	maxAliases = 4                // from one zone to the next
)

// Look asks for a key. want is the record that shall stand at name.
func (o *Observer) Look(ctx context.Context, name, want string) Sight {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s := Sight{Name: name, Record: want, Status: Unknown}
	resolver, err := o.Fresh()
	if err != nil {
		s.Err = err
		return s
	}
	defer resolver.Close()
	var viaResolver View
	var other sync.WaitGroup
	other.Go(func() {
		texts, err := resolver.LookupTXT(ctx, name)
		viaResolver = view("resolver", netip.Addr{}, want, texts, err)
	})
	if err := o.authorities(ctx, resolver, &s, name); err != nil {
		s.Views = append(s.Views, View{Server: "name servers", Said: SaysNothing, Detail: why(err)})
	}
	other.Wait()
	s.Views = append(s.Views, viaResolver)
	s.Status = sum(s.Views)
	return s
}

// authorities asks the servers of the zone that name is in, and, where name is an
// alias there, those of the zone that the alias leads to.
func (o *Observer) authorities(ctx context.Context, resolver *dns.Resolver, s *Sight, name string) error {
	for range maxAliases {
		zone, servers, err := resolver.Authorities(ctx, name)
		if err != nil {
			return err
		}
		alias := ""
		for _, answer := range o.askAll(ctx, resolver, zone, name, servers) {
			if answer.err == nil && answer.said.Alias != "" {
				alias = answer.said.Alias
				s.TTL = max(s.TTL, answer.said.NegativeTTL)
				continue // what stands there counts
			}
			s.TTL = max(s.TTL, answer.said.TTL, answer.said.NegativeTTL)
			s.Views = append(s.Views, view(answer.host, answer.addr, s.Record, answer.said.Texts, answer.err))
		}
		if alias == "" {
			return nil
		}
		name = alias
	}
	return fmt.Errorf("%s: too many aliases", name)
}

// answered is what came from one address.
type answered struct {
	host string
	addr netip.Addr
	said dns.AuthorityAnswer
	err  error
}

// askAll asks every address of every server, side by side.
func (o *Observer) askAll(ctx context.Context, resolver *dns.Resolver, zone, name string, servers []dns.NameServer) []answered {
	var all []answered
	for _, server := range servers {
		if server.Err != nil {
			all = append(all, answered{host: server.Host, err: server.Err})
		}
		for _, addr := range server.Addrs {
			all = append(all, answered{host: server.Host, addr: addr})
		}
	}
	port := o.Port
	if port == 0 {
		port = 53
	}
	var asking sync.WaitGroup
	for i := range all {
		if a := &all[i]; a.addr.IsValid() {
			asking.Go(func() {
				a.said, a.err = resolver.AskAuthority(ctx, netip.AddrPortFrom(a.addr, port), zone, name)
			})
		}
	}
	asking.Wait()
	return all
}

// view judges one answer.
func view(server string, addr netip.Addr, want string, texts []string, err error) View {
	v := View{Server: server, Addr: addr}
	var dnsErr *net.DNSError
	switch {
	case errors.As(err, &dnsErr) && dnsErr.IsNotFound && (addr.IsValid() || server == "resolver"):
		v.Said = SaysAbsent
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		v.Said, v.Detail = SaysNoWay, "this host cannot reach it"
	case err != nil:
		v.Said, v.Detail = SaysNothing, why(err)
	case len(texts) == 0:
		v.Said = SaysAbsent
	case len(texts) > 1:
		v.Said, v.Detail = SaysDiffers, fmt.Sprintf("%d TXT records, expected one", len(texts))
	default:
		v.Said, v.Detail = judge(want, texts[0])
	}
	return v
}

// why is an error without what the reader knows already: who was asked for what.
func why(err error) string {
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) {
		return dnsErr.Err
	}
	return err.Error()
}

// judge compares a record with the one that shall be. A key may be written in
// several ways; what counts is that signatures verify.
func judge(want, got string) (Said, string) {
	wanted, wantErr := dkim.ParseKey(want)
	key, err := dkim.ParseKey(got)
	switch {
	case errors.Is(wantErr, dkim.ErrKeyRevoked):
		if errors.Is(err, dkim.ErrKeyRevoked) {
			return SaysShown, ""
		}
		return SaysDiffers, "the key is still published"
	case err != nil:
		return SaysDiffers, err.Error()
	case wantErr != nil || !wanted.Equal(key):
		return SaysDiffers, "another key"
	}
	algorithm := dkim.RSASHA256
	if wanted.Allows(algorithm) != nil {
		algorithm = dkim.Ed25519SHA256
	}
	if err := key.Allows(algorithm); err != nil {
		return SaysDiffers, err.Error()
	}
	return SaysShown, ""
}

// sum adds up what all say. An address that this host cannot reach does not count
// where another one of its server's answers.
func sum(views []View) Status {
	silent, authorities := false, 0
	for _, v := range views {
		switch v.Said {
		case SaysAbsent, SaysDiffers:
			return Missing
		case SaysNoWay:
			silent = silent || !slices.ContainsFunc(views, func(other View) bool {
				return other.Server == v.Server && other.Said == SaysShown
			})
			continue
		case SaysNothing:
			silent = true
		}
		if v.Addr.IsValid() {
			authorities++
		}
	}
	if silent || authorities == 0 {
		return Unknown
	}
	return Shown
}

// TXT is what Agree asks.
type TXT interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Agree compares the file of a key with what a resolver finds at its name.
func Agree(ctx context.Context, resolver TXT, k *keys.Key) (said Said, detail string) {
	private, err := keys.Load(k.Path)
	if err != nil {
		return SaysDiffers, err.Error()
	}
	texts, err := resolver.LookupTXT(ctx, k.Name)
	v := view("resolver", netip.Addr{}, keys.Record(private.Public()), texts, err)
	return v.Said, v.Detail
}
