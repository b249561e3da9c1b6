package config

import (
	"fmt"

	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// Policy is another treatment for a part of the mail. For each recipient the first policy that fits holds: one fits when
// all the keys that it gives do.
type Policy struct {
	// Name is what log and journal call it. Default: its place in the list.
	Name string `yaml:"name"`

	// Who the mail is for, who it is from (the reverse-path, which a stranger chooses), which host brings it, and which
	// SASL login: each a list of entries or a file of them (package table).
	Recipient table.Entries `yaml:"recipient"`
	Sender    table.Entries `yaml:"sender"`
	Network   table.Entries `yaml:"network"`
	Login     []string      `yaml:"login"`

	// Mode replaces the mode for all mail.
	Mode Mode `yaml:"mode"`

	// Thresholds replace those for all mail that they give.
	Thresholds PolicyThresholds `yaml:"thresholds"`

	// Checks switches checks off: their findings are shown and do not count.
	Checks map[string]Switch `yaml:"checks"`
}

// PolicyThresholds are the thresholds that a policy changes; nil leaves one as it is.
type PolicyThresholds struct {
	Greylist *Threshold `yaml:"greylist"`
	Junk     *Threshold `yaml:"junk"`
	Reject   *Threshold `yaml:"reject"`
}

// Switch is on or off, in YAML also true or false.
type Switch bool

// DecodeYAML implements [strictyaml.Decoder].
func (s *Switch) DecodeYAML(n *strictyaml.Node) error {
	switch text, _ := n.Text(); text {
	case "on", "true":
		*s = true
	case "off", "false":
		*s = false
	default:
		return n.Expected("on or off")
	}
	return nil
}

// ValidateYAML implements [strictyaml.Validator].
func (p *Policy) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	if p.Recipient.IsZero() && p.Sender.IsZero() && p.Network.IsZero() && len(p.Login) == 0 {
		errs.Add(n.Errorf("for all mail, expected recipient, sender, network or login"))
	}
	if p.Mode == "" && p.Thresholds == (PolicyThresholds{}) && len(p.Checks) == 0 {
		errs.Add(n.Errorf("changes nothing, expected mode, thresholds or checks"))
	}
	return errs.Err()
}

// policies checks what no single policy can know: the names of checks, and whether the thresholds that a policy changes
// still ascend together with those that it leaves.
func (l *loader) policies(c *Config, at *strictyaml.Node) {
	for i := range c.Policies {
		p, n := &c.Policies[i], at.Item(i)
		if p.Name == "" {
			p.Name = fmt.Sprintf("#%d", i+1)
		}
		l.errs.Add(n.Key("checks").KnownKeys(l.Checks...))
		all := c.Thresholds
		for _, step := range []struct {
			from *Threshold
			to   *Threshold
		}{{p.Thresholds.Greylist, &all.Greylist}, {p.Thresholds.Junk, &all.Junk}, {p.Thresholds.Reject, &all.Reject}} {
			if step.from != nil {
				*step.to = *step.from
			}
		}
		l.errs.Add(all.ValidateYAML(n.Key("thresholds")))
	}
}
