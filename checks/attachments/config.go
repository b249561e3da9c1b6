package attachments

import (
	"errors"

	"milterd/checks"
	"milterd/internal/table"
	"milterd/message"
)

// config is the section checks.attachments; sample.yaml explains each key.
type config struct {
	checks.Common
	Actions    actions     `yaml:"actions"`
	Exceptions []exception `yaml:"exceptions"`
	Executable extensions  `yaml:"executable"`
	Risky      extensions  `yaml:"risky"`
}

func defaults() config {
	return config{
		Common: checks.Common{Enabled: true, OnError: checks.OnErrorTempFail},
		Actions: actions{
			Executable: reject, ArchivedExecutable: finding, Risky: finding, DoubleExtension: finding, Bidi: finding, TypeOther: finding,
			Encrypted: finding, Macro: finding, HTML: finding, Unopened: finding, Limit: finding, Broken: finding,
		},
		Exceptions: []exception{},
		Executable: executables,
		Risky:      riskies,
	}
}

// action is what is to become of a message for what was found in it. An empty one, in an
// exception, leaves it to the next that fits.
type action string

const (
	finding    action = "finding"
	junk       action = "junk"
	quarantine action = "quarantine"
	reject     action = "reject"
)

// UnmarshalText accepts the words that there are.
func (a *action) UnmarshalText(text []byte) error {
	switch v := action(text); v {
	case finding, junk, quarantine, reject:
		*a = v
		return nil
	}
	return errors.New("expected finding, junk, quarantine or reject")
}

// harshness orders actions.
var harshness = map[action]int{"": 0, finding: 0, junk: 1, quarantine: 2, reject: 3}

// actions says for each finding what is to be done.
type actions struct {
	Executable         action `yaml:"executable"`
	ArchivedExecutable action `yaml:"archived_executable"`
	Risky              action `yaml:"risky"`
	DoubleExtension    action `yaml:"double_extension"`
	Bidi               action `yaml:"bidi"`
	TypeOther          action `yaml:"type_other"`
	Encrypted          action `yaml:"encrypted"`
	Macro              action `yaml:"macro"`
	HTML               action `yaml:"html"`
	Unopened           action `yaml:"unopened"`
	Limit              action `yaml:"limit"`
	Broken             action `yaml:"broken"`
}

// of returns the action for a finding.
func (a *actions) of(f string) action {
	switch f {
	case findExecutable:
		return a.Executable
	case findArchived:
		return a.ArchivedExecutable
	case findRisky:
		return a.Risky
	case findDouble:
		return a.DoubleExtension
	case findBidi:
		return a.Bidi
	case findOther:
		return a.TypeOther
	case findEncrypted:
		return a.Encrypted
	case findMacro:
		return a.Macro
	case findHTML:
		return a.HTML
	case findUnopened:
		return a.Unopened
	case findLimit:
		return a.Limit
	case findBroken:
		return a.Broken
	}
	return finding
}

// exception are other actions for mail of a role, for some recipients.
type exception struct {
	Role       role          `yaml:"role"`
	Recipients table.Entries `yaml:"recipients"`
	Actions    actions       `yaml:"actions"`
}

// role is inbound or outbound; empty is inbound.
type role message.Role

// UnmarshalText accepts the words that there are.
func (r *role) UnmarshalText(text []byte) error {
	switch v := message.Role(text); v {
	case message.Inbound, message.Outbound:
		*r = role(v)
		return nil
	}
	return errors.New("expected inbound or outbound")
}

// policy is an exception in working order.
type policy struct {
	role       message.Role
	recipients table.Tables // nil is everybody
	actions    actions
}

// open makes policies of exceptions.
func open(exceptions []exception, env checks.Env) ([]policy, error) {
	var (
		all  []policy
		errs []error
	)
	for i := range exceptions {
		x := &exceptions[i]
		recipients, err := x.Recipients.Open(env.Now, env.Logger)
		errs = append(errs, err)
		p := policy{role: message.Role(x.Role), recipients: recipients, actions: x.Actions}
		if p.role == "" {
			p.role = message.Inbound
		}
		all = append(all, p)
	}
	return all, errors.Join(errs...)
}

// applies reports whether the policy is for a recipient.
func (p *policy) applies(r message.Role, recipient string) bool {
	if p.role != r {
		return false
	}
	if p.recipients == nil {
		return true
	}
	_, listed := p.recipients.Table().Find(recipient)
	return listed
}

// action returns what becomes of a message with such a finding: the mildest of what its
// recipients' policies say, since it is one message for all of them.
func (c *check) action(m *message.Message, f string) action {
	mildest := reject
	for i := range m.Recipients {
		if a := c.actionFor(m.Role, m.Recipients[i].Path.Address.String(), f); harshness[a] < harshness[mildest] {
			mildest = a
		}
	}
	if len(m.Recipients) == 0 {
		return c.actionFor(m.Role, "", f)
	}
	return mildest
}

func (c *check) actionFor(r message.Role, recipient, f string) action {
	for i := range c.policies {
		if p := &c.policies[i]; p.applies(r, recipient) {
			if a := p.actions.of(f); a != "" {
				return a
			}
		}
	}
	if r != message.Inbound {
		return finding
	}
	return c.actions.of(f)
}
