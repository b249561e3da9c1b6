package signing

import (
	"errors"
	"slices"
	"strings"
	"time"

	"milterd/checks"
	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/internal/strictyaml"
	"milterd/message"
)

// config is the section signing, which stands at the top of milterd.yaml;
// sample.yaml explains each key.
type config struct {
	checks.Common
	Domains       map[string]domainConfig `yaml:"domains"`
	SenderBinding binding                 `yaml:"sender_binding"`
	OnForeign     onForeign               `yaml:"on_foreign"`
	Senders       sendersConfig           `yaml:"senders"`
	LoginMaps     []loginMap              `yaml:"sender_login_maps"`
	Headers       headerSet               `yaml:"headers"`
	Canon         canonicalization        `yaml:"canonicalization"`
	Expire        expiry                  `yaml:"expire"`
}

// domainConfig is one of signing.domains. What it leaves out is as for all.
type domainConfig struct {
	Keys       []keyConfig      `yaml:"keys"`
	Directory  strictyaml.Path  `yaml:"directory"`
	Subdomains bool             `yaml:"subdomains"`
	Headers    headerSet        `yaml:"headers"`
	Canon      canonicalization `yaml:"canonicalization"`
	Expire     expiry           `yaml:"expire"`
}

// keyConfig is a key in a file of its own.
type keyConfig struct {
	Selector string          `yaml:"selector"`
	File     strictyaml.Path `yaml:"file"`
}

func defaults() config {
	return config{
		Common:        checks.Common{Enabled: true, OnError: checks.OnErrorTempFail},
		Domains:       map[string]domainConfig{},
		SenderBinding: bindDomain,
		OnForeign:     foreignUnsigned,
		Senders:       sendersConfig{logins: map[string]belongings{}},
		LoginMaps:     []loginMap{},
		Headers:       headersStrict,
		Canon:         "relaxed/simple",
		Expire:        expiry(7 * 24 * time.Hour),
	}
}

// binding is what a login must own of the From field.
type binding string

const (
	bindOff     binding = "off"
	bindDomain  binding = "domain"
	bindAddress binding = "address"
)

// DecodeYAML implements [strictyaml.Decoder].
func (b *binding) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, b, bindOff, bindDomain, bindAddress)
}

// onForeign is what becomes of a login's mail with somebody else's From.
type onForeign string

const (
	foreignUnsigned onForeign = "unsigned"
	foreignReject   onForeign = "reject"
)

// DecodeYAML implements [strictyaml.Decoder].
func (f *onForeign) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, f, foreignUnsigned, foreignReject)
}

// headerSet names a list of fields to sign.
type headerSet string

const (
	headersStrict       headerSet = "strict"
	headersListFriendly headerSet = "list-friendly"
)

// DecodeYAML implements [strictyaml.Decoder].
func (h *headerSet) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, h, headersStrict, headersListFriendly)
}

// names returns the fields of the set.
func (h headerSet) names() (names, oversign []string) {
	if h == headersListFriendly {
		return dkim.ListFriendlyNames()
	}
	return dkim.StandardNames()
}

// canonicalization is c=, header/body.
type canonicalization string

// DecodeYAML implements [strictyaml.Decoder].
func (c *canonicalization) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, c, "relaxed/simple", "relaxed/relaxed", "simple/simple", "simple/relaxed")
}

func (c canonicalization) split() (header, body dkim.Canonicalization) {
	h, b, _ := strings.Cut(string(c), "/")
	return dkim.Canonicalization(h), dkim.Canonicalization(b)
}

// expiry is how long a signature holds. Zero is not said, never is for ever.
type expiry time.Duration

const never expiry = -1

// shortest is what mail may need to arrive: a day in queues is nothing unusual.
const shortest = expiry(24 * time.Hour)

// DecodeYAML implements [strictyaml.Decoder].
func (e *expiry) DecodeYAML(n *strictyaml.Node) error {
	if text, _ := n.Text(); text == "off" {
		*e = never
		return nil
	}
	var d time.Duration
	if err := n.Decode(&d); err != nil || expiry(d) < shortest {
		return n.Expected("a duration of a day or more, such as 7d, or off")
	}
	*e = expiry(d)
	return nil
}

// duration is x= minus t=, zero for no x=.
func (e expiry) duration() time.Duration { return time.Duration(max(e, 0)) }

// ValidateYAML implements [strictyaml.Validator]: what no single key can know, and
// what the files hold that are named here.
func (c *config) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	taken := map[message.Domain]string{}
	for name, d := range c.Domains {
		at := n.Key("domains").Key(name)
		domain, err := message.ParseDomain(name)
		switch {
		case err != nil || domain.Labels() < 2:
			errs.Add(at.Errorf("%q is not a domain name of two labels or more, expected one such as example.org", message.SafeText(name, 60)))
			continue
		case taken[domain] != "":
			errs.Add(at.Errorf("the same domain as %q, expected each once", taken[domain]))
		}
		taken[domain] = name
		errs.Add(d.validate(at))
	}
	if err := c.Senders.check(); err != nil {
		errs.Add(place(n.Key("senders"), err))
	}
	for i, m := range c.LoginMaps {
		if _, err := readLoginMap(m.path); err != nil {
			errs.Add(place(n.Key("sender_login_maps").Item(i), err))
		}
	}
	return errs.Err()
}

// place puts an error where the file is named, unless it says itself where in the
// file it is.
func place(at *strictyaml.Node, err error) error {
	if _, placed := errors.AsType[*strictyaml.Error](err); placed {
		return err
	}
	return at.Errorf("%w", err)
}

// validate looks at the keys. What is not mounted yet may come: a file whose
// directory is there and which is not in it is a mistake.
func (d *domainConfig) validate(at *strictyaml.Node) error {
	var errs strictyaml.Errors
	if len(d.Keys) == 0 && d.Directory == "" {
		errs.Add(at.Errorf("no keys, expected keys: [{selector:, file:}] or directory: PATH"))
	}
	for i, k := range d.Keys {
		key := at.Key("keys").Item(i)
		switch {
		case !keys.ValidSelector(k.Selector):
			errs.Add(key.Key("selector").Errorf("%q is not a selector, expected lower case letters, digits, hyphens and dots", message.SafeText(k.Selector, 60)))
		case slices.ContainsFunc(d.Keys[:i], func(o keyConfig) bool { return o.Selector == k.Selector }):
			errs.Add(key.Key("selector").Errorf("selector %s is already that of another key, expected each once", k.Selector))
		}
		if k.File == "" {
			errs.Add(key.Errorf("no file, expected the path of a private key"))
		} else if _, err := keys.Load(string(k.File)); err != nil && !errors.Is(err, keys.ErrNoDirectory) {
			errs.Add(key.Key("file").Errorf("%w", err))
		}
	}
	if d.Directory != "" {
		if _, err := keys.ReadState(string(d.Directory)); err != nil && !errors.Is(err, keys.ErrMissing) {
			errs.Add(at.Key("directory").Errorf("%w", err))
		}
	}
	return errs.Err()
}

// domains makes the signing domains.
func (c *config) domains(cache keyring) (map[message.Domain]*domain, error) {
	all := make(map[message.Domain]*domain, len(c.Domains))
	for name, d := range c.Domains {
		of, err := message.ParseDomain(name)
		if err != nil {
			return nil, err
		}
		s := c.domain(of, d)
		s.cache = cache
		for _, k := range d.Keys {
			s.files = append(s.files, keyFile{k.Selector, string(k.File)})
		}
		all[of] = s
	}
	return all, nil
}
