package greylist

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"milterd/checks"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// config is the section checks.greylist; sample.yaml explains each key.
type config struct {
	checks.Common
	Stage             stage         `yaml:"stage"`
	Delay             time.Duration `yaml:"delay"`
	Window            time.Duration `yaml:"window"`
	Keep              time.Duration `yaml:"keep"`
	Clients           table.Entries `yaml:"clients"`
	ClientPatterns    []pattern     `yaml:"client_patterns"`
	Recipients        table.Entries `yaml:"recipients"`
	RecipientPatterns []pattern     `yaml:"recipient_patterns"`
}

func defaults() config {
	return config{
		Common: checks.Common{Enabled: false, OnError: checks.OnErrorIgnore}, Stage: atMessage,
		Delay: 300 * time.Second, Window: 48 * time.Hour, Keep: 35 * 24 * time.Hour,
		ClientPatterns: []pattern{}, RecipientPatterns: []pattern{},
	}
}

// stage is when senders are asked to come back.
type stage string

const (
	atMessage stage = "message" // at the end of the message, whose score is known
	atRcpt    stage = "rcpt"    // when a recipient is named, whatever the message will be
)

// UnmarshalText accepts the words that there are.
func (s *stage) UnmarshalText(text []byte) error {
	switch v := stage(text); v {
	case atMessage, atRcpt:
		*s = v
		return nil
	}
	return errors.New("expected message or rcpt")
}

// maxDelay is less than the pause after which servers with much patience try again:
// what takes longer costs mail and catches nobody.
const maxDelay = 6 * time.Hour

// ValidateYAML implements [strictyaml.Validator].
func (c *config) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	if c.Delay < time.Second || c.Delay > maxDelay {
		errs.Add(n.Key("delay").Expected("a time from 1s to 6h"))
	}
	if c.Window <= c.Delay {
		errs.Add(n.Key("window").Errorf("%v, expected more than delay, which is %v", c.Window, c.Delay))
	}
	if c.Keep < c.Window {
		errs.Add(n.Key("keep").Errorf("%v, expected at least window, which is %v", c.Keep, c.Window))
	}
	return errs.Err()
}

// open makes the exemptions of the configuration.
func (c *config) open(env checks.Env) (x exemptions, err error) {
	clients, err := c.Clients.Open(env.Now, env.Logger)
	recipients, err2 := c.Recipients.Open(env.Now, env.Logger)
	x = exemptions{clients: clients, recipients: recipients}
	for _, p := range c.ClientPatterns {
		x.clientPatterns = append(x.clientPatterns, p.Regexp)
	}
	for _, p := range c.RecipientPatterns {
		x.recipientPatterns = append(x.recipientPatterns, p.Regexp)
	}
	return x, errors.Join(err, err2)
}

// pattern is a regular expression, in which case does not matter.
type pattern struct{ *regexp.Regexp }

// maxPattern is how long an expression may be: names have 255 bytes.
const maxPattern = 1000

// UnmarshalText reads an expression.
func (p *pattern) UnmarshalText(text []byte) error {
	if len(text) == 0 || len(text) > maxPattern {
		return fmt.Errorf("expected a regular expression of 1 to %d bytes", maxPattern)
	}
	re, err := regexp.Compile("(?i)" + string(text))
	if err != nil {
		return fmt.Errorf("%w, expected a regular expression (RE2)", err)
	}
	p.Regexp = re
	return nil
}
