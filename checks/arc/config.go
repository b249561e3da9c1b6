package arc

import (
	"errors"
	"fmt"
	"path/filepath"

	"milterd/arc"
	"milterd/checks"
	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/message"
)

// config is the section checks.arc; sample.yaml explains each key.
type config struct {
	checks.Common
	TrustedSealers []domain `yaml:"trusted_sealers"`
	Seal           sealing  `yaml:"seal"`
}

// sealing is the section seal; off without a domain.
type sealing struct {
	Domain   domain `yaml:"domain"`
	Selector string `yaml:"selector"`
	Key      path   `yaml:"key"`
}

func defaults() config {
	return config{
		Common:         checks.Common{Enabled: true, OnError: checks.OnErrorTempFail},
		TrustedSealers: []domain{},
	}
}

// domain is a domain name, or nothing.
type domain struct{ message.Domain }

// UnmarshalText reads a domain name.
func (d *domain) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		d.Domain = message.Domain{}
		return nil
	}
	name, err := message.ParseDomain(string(text))
	if err != nil {
		return errors.New("expected a domain name")
	}
	d.Domain = name
	return nil
}

// path is an absolute path, or nothing.
type path string

// UnmarshalText reads a path.
func (p *path) UnmarshalText(text []byte) error {
	if len(text) > 0 && !filepath.IsAbs(string(text)) {
		return errors.New("expected an absolute path")
	}
	*p = path(text)
	return nil
}

// sealer makes the sealer of the section, nil when sealing is off.
func (s *sealing) sealer() (*arc.Sealer, error) {
	switch {
	case *s == sealing{}:
		return nil, nil
	case s.Domain.IsZero() || s.Selector == "" || s.Key == "":
		return nil, errors.New("checks.arc.seal: domain, selector and key belong together")
	}
	private, err := keys.Load(string(s.Key))
	if err != nil {
		return nil, fmt.Errorf("checks.arc.seal.key: %w", err)
	}
	sealer := &arc.Sealer{Key: dkim.SigningKey{Domain: s.Domain.Domain, Selector: s.Selector, Private: private}}
	sealer.Names, sealer.Oversign = arc.StandardNames()
	if err := sealer.Check(); err != nil {
		return nil, fmt.Errorf("checks.arc.seal: %w", err)
	}
	return sealer, nil
}
