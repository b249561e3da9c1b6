package rates

import (
	"errors"

	"milterd/checks"
	"milterd/internal/strictyaml"
)

// config is the section checks.rates; sample.yaml explains each key.
type config struct {
	checks.Common
	Login             reaction `yaml:"login"`
	Spam              reaction `yaml:"spam"`
	LoginRecipients   int      `yaml:"login_recipients"`
	LocalRecipients   int      `yaml:"local_recipients"`
	Factor            float64  `yaml:"factor"`
	NetworkRecipients int      `yaml:"network_recipients"`
	SenderRecipients  int      `yaml:"sender_recipients"`
}

func defaults() config {
	return config{
		Common: checks.Common{Enabled: true, OnError: checks.OnErrorIgnore},
		Login:  hold, Spam: hold, LoginRecipients: 300, LocalRecipients: 1000, Factor: 5,
	}
}

// ValidateYAML implements [strictyaml.Validator].
func (c *config) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	for _, k := range []struct {
		key   string
		value int
		least int
		want  string
	}{
		{"login_recipients", c.LoginRecipients, 1, "a number of recipients from 1"},
		{"local_recipients", c.LocalRecipients, 1, "a number of recipients from 1"},
		{"network_recipients", c.NetworkRecipients, 0, "a number of recipients, or 0 for no limit"},
		{"sender_recipients", c.SenderRecipients, 0, "a number of recipients, or 0 for no limit"},
	} {
		if k.value < k.least {
			errs.Add(n.Key(k.key).Expected(k.want))
		}
	}
	if !(c.Factor >= 1 && c.Factor <= 1000) {
		errs.Add(n.Key("factor").Expected("a number from 1 to 1000"))
	}
	return errs.Err()
}

// reaction is what becomes of a login's mail that is too much, or spam.
type reaction string

const (
	hold  reaction = "hold"  // and alert
	alert reaction = "alert" // and let it leave
)

// UnmarshalText accepts the two words that there are.
func (r *reaction) UnmarshalText(text []byte) error {
	switch v := reaction(text); v {
	case hold, alert:
		*r = v
		return nil
	}
	return errors.New("expected hold or alert")
}
