// Package lists is the check of those whom the operator trusts, and of those whom
// he has had enough of.
//
// What a message says of its sender, a stranger can write. So an entry that
// allows counts only for an author whose domain vouches for the message, or for
// the host that brings it, which nobody can forge over TCP; one that blocks
// counts for whatever the message says.
package lists

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"milterd/checks"
	"milterd/internal/evidence"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "lists",
		TopLevel: true,
		Phase:    checks.Header,
		After:    []string{"spf", "dkim", "dmarc"},
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check.
const (
	findAllow    = "LISTS_ALLOW"
	findUnproven = "LISTS_ALLOW_UNPROVEN"
	findBlock    = "LISTS_BLOCK"
)

var findings = []checks.FindingSpec{
	{Name: findAllow, Describe: "An entry of lists.allow vouches for the sender, who is who he says"},
	{Name: findUnproven, Describe: "An entry of lists.allow names the sender, but nothing proves who that is"},
	{Name: findBlock, Describe: "An entry of lists.block names the sender"},
}

type check struct {
	allow, block []list
}

var (
	_ checks.Check      = (*check)(nil)
	_ checks.Doorkeeper = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := config{Allow: []item{}, Block: []item{}}
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	allow, err := open(cfg.Allow, env)
	if err != nil {
		return nil, err
	}
	block, err := open(cfg.Block, env)
	if err != nil {
		return nil, err
	}
	return &check{allow: allow, block: block}, nil
}

// AtRcpt returns the check itself where some entry exempts from others: what vouches for
// the client, for the recipient, or for whatever the envelope says, holds at RCPT TO.
func (c *check) AtRcpt() checks.Check {
	if !slices.ContainsFunc(c.allow, func(l list) bool { return len(l.exempt) > 0 }) {
		return nil
	}
	return c
}

// Run looks for the first entry that allows the message, and for the first that
// blocks it.
func (c *check) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	var res checks.Result
	m := in.Message
	for i := range c.allow {
		l := &c.allow[i]
		who, ok := l.find(m, in.Prior)
		if !ok || !l.forAny(m.Recipients) {
			continue
		}
		if !who.proven && !l.unsigned {
			if !has(res.Findings, findUnproven) {
				res.Findings = append(res.Findings, checks.Finding{Name: findUnproven, Detail: who.String()})
			}
			continue
		}
		res.Findings = append(res.Findings, checks.Finding{Name: findAllow, Detail: who.String()})
		res.Exempt = l.exempt
		break
	}
	for i := range c.block {
		l := &c.block[i]
		if who, ok := l.find(m, in.Prior); ok && l.forAll(m.Recipients) {
			res.Findings = append(res.Findings, checks.Finding{Name: findBlock, Detail: who.String()})
			break
		}
	}
	return res, nil
}

func has(findings []checks.Finding, name string) bool {
	return slices.ContainsFunc(findings, func(f checks.Finding) bool { return f.Name == name })
}

// match is what an entry was found for.
type match struct {
	what, value string // the author, alice@example.org
	entry       string
	proven      bool
}

// maxDetail bounds what of a stranger's names goes into log and journal.
const maxDetail = 200

func (w match) String() string {
	text := w.what
	if w.value != "" {
		text = fmt.Sprintf("%s %s", w.what, w.value)
	}
	if w.entry != "" && w.entry != w.value {
		text += " is in " + w.entry
	}
	return message.SafeText(text, maxDetail)
}

// find looks for the client, the author and the reverse-path of a message. What
// is proven comes first.
func (l *list) find(m *message.Message, prior checks.Prior) (match, bool) {
	if l.who == nil { // for some recipients, whoever sends
		return match{what: "every sender", proven: true}, true
	}
	t := l.who.Table()
	if entry, ok := t.FindAddr(m.Session.Client); ok {
		return match{"client", m.Session.Client.String(), entry, true}, true
	}
	author := m.Author()
	for _, a := range author.Addresses {
		if entry, ok := t.Find(a.String()); ok {
			return match{"author", a.String(), entry, evidence.Proves(author.Domain, prior)}, true
		}
	}
	if !m.MailFrom.Address.IsZero() {
		if entry, ok := t.Find(m.MailFrom.Address.String()); ok {
			return match{"envelope sender", m.MailFrom.Address.String(), entry, false}, true
		}
	}
	return match{}, false
}

// forAny reports whether the list is for a recipient: who lets a sender in for
// one lets him in for the message.
func (l *list) forAny(recipients []message.Recipient) bool {
	return l.recipient == nil || slices.ContainsFunc(recipients, l.isFor)
}

// forAll reports whether the list is for every recipient: who shuts a sender out
// for one must not do so for the others.
func (l *list) forAll(recipients []message.Recipient) bool {
	return l.recipient == nil || !slices.ContainsFunc(recipients, func(r message.Recipient) bool { return !l.isFor(r) })
}

func (l *list) isFor(r message.Recipient) bool {
	if r.Path.Address.IsZero() {
		return false
	}
	_, ok := l.recipient.Table().Find(r.Path.Address.String())
	return ok
}
