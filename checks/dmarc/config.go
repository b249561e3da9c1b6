package dmarc

import (
	"errors"
	"net/netip"
	"time"

	"milterd/checks"
	"milterd/dmarc"
	"milterd/message"
)

// config is the section checks.dmarc; sample.yaml explains each key.
type config struct {
	checks.Common
	Mode        mode       `yaml:"mode"`
	OrgDomain   method     `yaml:"org_domain"`
	TempfailMax patience   `yaml:"tempfail_max"`
	Forwarders  forwarders `yaml:"forwarders"`
}

// forwarders are those whose mail may fail: they change it, or break SPF, and the
// operator knows them.
type forwarders struct {
	Networks []netip.Prefix `yaml:"networks"`
	Domains  []signer       `yaml:"domains"`
}

func defaults() config {
	return config{
		Common:      checks.Common{Enabled: true, OnError: checks.OnErrorTempFail},
		Mode:        enforce,
		OrgDomain:   method(dmarc.TreeWalk),
		TempfailMax: patience(time.Hour),
		Forwarders:  forwarders{Networks: []netip.Prefix{}, Domains: []signer{}},
	}
}

// patience is how long mail may wait for the DNS.
type patience time.Duration

// maxPatience is less than the time after which a sender gives up, which is five
// days with Postfix: what we make wait shall not bounce.
const maxPatience = 72 * time.Hour

// UnmarshalText reads a duration.
func (p *patience) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 || d > maxPatience {
		return errors.New("expected a time from 0s to 72h")
	}
	*p = patience(d)
	return nil
}

// mode is how far the check may go. The mode of the whole daemon stands above it.
type mode string

const (
	observe mode = "observe" // log what fails
	score   mode = "score"   // let it count
	enforce mode = "enforce" // do what the domain asks for, except to indirect mail
	strict  mode = "strict"  // to indirect mail as well
)

// acts reports whether the check may ask for more than points.
func (m mode) acts() bool { return m == enforce || m == strict }

// UnmarshalText accepts the four words that there are.
func (m *mode) UnmarshalText(text []byte) error {
	switch v := mode(text); v {
	case observe, score, enforce, strict:
		*m = v
		return nil
	}
	return errors.New("expected observe, score, enforce or strict")
}

// method is how Organizational Domains are found.
type method dmarc.Method

// UnmarshalText accepts the three words that there are.
func (m *method) UnmarshalText(text []byte) error {
	switch v := dmarc.Method(text); v {
	case dmarc.TreeWalk, dmarc.PSL, dmarc.Both:
		*m = method(v)
		return nil
	}
	return errors.New("expected treewalk, psl or both")
}

// signer is the domain in d= of a forwarder's signature.
type signer struct{ message.Domain }

// UnmarshalText reads a domain name.
func (s *signer) UnmarshalText(text []byte) error {
	d, err := message.ParseDomain(string(text))
	if err != nil {
		return errors.New("expected a domain name")
	}
	s.Domain = d
	return nil
}

// trusts reports whether a message with these signers comes from a forwarder that
// the operator named, and says which one.
func (f *forwarders) trusts(client netip.Addr, signers []message.Domain) (who string, ok bool) {
	for _, n := range f.Networks {
		if n.Contains(client.Unmap()) {
			return n.String(), true
		}
	}
	for _, s := range f.Domains {
		for _, d := range signers {
			if d == s.Domain {
				return d.String(), true
			}
		}
	}
	return "", false
}
