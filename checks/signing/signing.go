// Package signing is the check that signs our own mail with DKIM: whose mail is it,
// and may it bear our name?
//
// A signature says that a domain answers for a message. So the question that this
// check answers before it signs is who speaks: a user who logged in and owns the
// author's domain, a host of ours, this host itself, a mailing list of ours. Who
// writes somebody else's From is not signed for (VU#244112), and mail of our own
// domains that leaves unsigned is never silent about it: a finding, a warning, a
// count.
//
// The body is hashed while it arrives, once for all keys, and the keys sign when it
// has ended, before the verdict: a key that is missing or does not work makes mail
// wait, and never lets it pass without the signature that its receivers expect.
// Seal hands out what is ready.
//
//	decide.go                 who is signed, who is not, and why
//	belongings.go, reread.go  who owns which addresses
//	loginmap.go               the same, in the words of Postfix
//	domains.go                signing domains and their keys
//	again.go                  mail that we have signed before
package signing

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"milterd/checks"
	"milterd/dkim"
	"milterd/internal/keys"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:       "signing",
		Phase:      checks.Header,
		TopLevel:   true,
		BodyReader: true,
		Outbound:   true,
		OnError:    checks.OnErrorTempFail,
		Sample:     sample,
		Findings:   findings,
		New:        newCheck,
	}
}

// The findings of the check.
const (
	findForeign  = "SIGNING_FOREIGN"
	findUnsigned = "SIGNING_UNSIGNED"
	findNoKey    = "SIGNING_NO_KEY"
)

var findings = []checks.FindingSpec{
	{Name: findForeign, Describe: "Who logged in does not own the From of the message, so it is not signed"},
	{Name: findUnsigned, Describe: "Outbound mail of a signing domain has no signature of ours"},
	{Name: findNoKey, Describe: "Outbound mail is to be signed and there is no key to sign it with: it waits"},
}

type check struct {
	domains map[message.Domain]*domain
	binding binding
	reject  bool // who logged in and writes a foreign From
	senders *register
	metrics *metrics
	logger  *slog.Logger
	now     func() time.Time
}

var (
	_ checks.Check  = (*check)(nil)
	_ checks.Sealer = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	c := &check{binding: cfg.SenderBinding, reject: cfg.OnForeign == foreignReject, logger: env.Logger, now: env.Now}
	var err error
	if c.domains, err = cfg.domains(keys.NewCache(env.Now)); err != nil {
		return nil, err
	}
	if c.senders, err = newRegister(&cfg, env.Now, env.Logger); err != nil {
		return nil, err
	}
	if c.metrics, err = newMetrics(env.Registerer, c.domains); err != nil {
		return nil, err
	}
	for _, d := range slices.SortedFunc(maps.Values(c.domains), func(a, b *domain) int { return strings.Compare(a.name.String(), b.name.String()) }) {
		if _, err := d.keys(); err != nil { // the wait begins: say so before anybody notices
			env.Logger.Warn("no key to sign with, mail of the domain waits until there is one", "check", "signing", "domain", d.name.String(), "problem", err.Error())
		}
	}
	return c, nil
}

// Run decides whether the message is signed, and signs it.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	out, d := c.decide(m)
	if d != nil {
		if err := c.sign(ctx, in, d, &out); err != nil {
			return checks.Result{}, err
		}
	}
	return c.judge(m, out), nil
}

// sign makes the signatures while the body arrives. Its error is that of the body;
// what keeps the keys from signing goes into out.
func (c *check) sign(ctx context.Context, in *checks.Input, d *domain, out *Outcome) error {
	noKey := func(err error) {
		out.Reason, out.err, out.Why = NoKey, err, "no key of "+d.name.String()+" can be used"
	}
	list, err := d.keys()
	if err != nil {
		noKey(err)
		return nil
	}
	g, err := d.signer(list, c.now).Start(in.Message.Header.Fields)
	if errors.Is(err, dkim.ErrNoFrom) { // mail of a list, which needs no author
		out.Reason, out.Why = NoAuthor, "there is no From field to sign"
		return nil
	}
	if err != nil {
		noKey(err)
		return nil
	}
	if err := g.Follow(ctx, in.Body); err != nil {
		return err
	}
	seen, err := c.again(ctx, in, list)
	if err != nil {
		return err
	}
	if seen {
		out.Reason, out.Why = Already, "a valid signature of "+d.name.String()+" is on the message already"
		return nil
	}
	if out.Fields, err = g.Finish(); err != nil {
		noKey(err)
		return nil
	}
	out.Why = describe(d, list) + ", sent " + out.Why
	return nil
}

// describe names the keys.
func describe(d *domain, list []dkim.SigningKey) string {
	var b strings.Builder
	fmt.Fprintf(&b, "d=%s", d.name)
	for i := range list {
		fmt.Fprintf(&b, " s=%s a=%s", list[i].Selector, list[i].Algorithm())
	}
	return b.String()
}

// maxDetail bounds what of a message goes into log and journal.
const maxDetail = 200

// judge turns the outcome into findings, and into what it asks for.
func (c *check) judge(m *message.Message, out Outcome) checks.Result {
	res := checks.Result{Detail: out}
	if out.Reason == "" {
		res.Outcome = checks.None
		return res
	}
	res.Note = message.SafeText(out.String(), maxDetail)
	find := func(name string) {
		res.Findings = append(res.Findings, checks.Finding{Name: name, Detail: message.SafeText(out.Why, maxDetail)})
	}
	switch out.Reason {
	case Signed, Already:
		return res
	case Inbound:
		res.Outcome = checks.None
		return res
	case NoKey:
		find(findNoKey)
		res.Demand = &checks.Demand{Action: message.TempFail, Reply: message.ReplySigning, Finding: findNoKey, Outbound: true}
	case Foreign, NotOwner, NoAuthor:
		if m.Login == "" || c.listed(m) {
			res.Outcome = checks.None
			break
		}
		find(findForeign)
		if c.reject {
			res.Demand = &checks.Demand{Action: message.RejectMail, Reply: message.ReplyNotOwner, Finding: findForeign, Outbound: true}
		}
	}
	if out.own() {
		res.Outcome = "" // found
		find(findUnsigned)
	}
	return res
}

// listed reports whether the login is said to own a foreign author: nothing that we
// could sign, but nobody else's either.
func (c *check) listed(m *message.Message) bool {
	author, bind := m.Author(), c.binding
	if author.Domain.IsZero() || author.Has(message.AuthorNoSender) || c.ours(author.Domain) != nil {
		return false
	}
	if bind == bindOff {
		bind = bindDomain
	}
	who := c.senders.current()
	return !slices.ContainsFunc(author.Addresses, func(a message.Address) bool { return !who.login(m.Login, a, nil, bind) })
}

// Seal puts the signatures on the message, counts what became of it, and says
// aloud what should not have happened. Nothing in it waits.
func (c *check) Seal(_ context.Context, in *checks.Input, v *message.Verdict) ([]message.Edit, error) {
	out, ok := checks.Detail[Outcome](in.Prior, "signing")
	if !ok || out.Domain.IsZero() {
		return nil, nil
	}
	c.report(in.Message, &out, v)
	var edits []message.Edit
	for _, f := range out.Fields {
		edits = append(edits, message.Edit{Op: message.Insert, Index: 0, Name: f.Name, Value: f.Value[len(" "):]})
	}
	return edits, nil
}

// report counts, and warns of mail of ours that is not as its receivers expect it.
func (c *check) report(m *message.Message, out *Outcome, v *message.Verdict) {
	what := unsigned
	switch {
	case v.Action.Refuses() && out.Reason == NoKey:
		what = waiting
	case v.Action.Refuses() || v.Action == message.Discard:
		what = refused
	case out.Reason == Already:
		what = already
	case out.Reason == Signed && v.Mode == message.Observe:
		what = untouched
	case out.Reason == Signed:
		what = signed
	}
	c.metrics.count(out.Domain, what)
	if what != unsigned && what != waiting {
		return
	}
	attrs := []any{"check", "signing", "id", m.ID, "qid", m.QueueID, "domain", out.Domain.String(), "login", m.Login,
		"reason", string(out.Reason), "why", out.Why}
	if out.err != nil {
		c.logger.Error("no key to sign with", append(attrs, "problem", out.err.Error())...)
		return
	}
	c.logger.Warn("mail of a signing domain leaves unsigned", attrs...)
}
