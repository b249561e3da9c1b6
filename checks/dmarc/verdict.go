package dmarc

import (
	"context"
	"fmt"
	"strings"

	"milterd/authres"
	"milterd/checks"
	"milterd/dmarc"
	"milterd/message"
)

// verdict is one evaluation on its way to a checks.Result.
type verdict struct {
	*check
	m     *message.Message
	proof proof
	out   Outcome
	res   checks.Result
}

// judge turns the result of the protocol into findings and a demand.
func (v *verdict) judge(ctx context.Context) {
	r := &v.out.Result
	v.out.Disposition = dmarc.DispositionNone
	switch r.Status {
	case dmarc.None:
		v.find("DMARC_NONE", r.Reason)
	case dmarc.Pass:
		v.find("DMARC_PASS", v.policy()+v.aligned())
	case dmarc.PermError:
		v.find("DMARC_PERMERROR", r.Policy.Domain.String()+": "+r.Reason+": "+r.Policy.Text)
	case dmarc.TempError:
		v.unknown(ctx)
	case dmarc.Fail:
		v.fail(ctx)
	}
	if r.Policy.Known() {
		v.waiting.resolved(ctx, v.m)
	}
	if r.Differs() {
		v.find("DMARC_METHODS_DIFFER", fmt.Sprintf("treewalk: %s, psl: %s", outline(r), outline(r.Other)))
	}
}

func (v *verdict) find(name, detail string) {
	v.res.Findings = append(v.res.Findings, checks.Finding{Name: name, Detail: message.SafeText(detail, maxDetail)})
}

// maxDetail bounds what of names and records goes into log and journal.
const maxDetail = 400

// fail judges a message that the author's domain does not vouch for.
func (v *verdict) fail(ctx context.Context) {
	p := v.out.Result.Policy
	v.out.Disposition = p.Disposition
	if p.Disposition != p.Published {
		v.out.Override = Override{PolicyTestMode, "t=y"}
	}
	detail := v.policy() + ": " + v.proof.String()
	if p.Disposition == dmarc.DispositionNone {
		// RFC 9989, section 5.4: p=none changes nothing.
		v.report("DMARC_FAIL_NONE", detail)
		return
	}
	if who, ok := v.cfg.Forwarders.trusts(v.m.Session.Client, v.proof.signers()); ok {
		v.override(Override{TrustedForwarder, "forwarder " + who})
		v.report("DMARC_INDIRECT", v.out.Override.Comment+"; "+detail)
		return
	}
	if v.cfg.Mode != strict && v.chain(ctx, detail) {
		return
	}
	if o := v.indirect(ctx); o != (Override{}) && v.cfg.Mode != strict {
		v.report("DMARC_INDIRECT", o.Comment+"; "+detail)
		v.demand("DMARC_INDIRECT", message.Junk, message.Reply{})
		if p.Disposition == dmarc.Reject {
			v.override(o)
			v.out.Disposition = dmarc.Quarantine
		}
		v.localPolicy()
		return
	}
	name := "DMARC_FAIL_" + strings.ToUpper(string(p.Disposition))
	switch {
	case p.Disposition == dmarc.Quarantine:
		v.demand(name, message.Junk, message.Reply{})
	case !v.proof.complete:
		v.demand(name, message.Junk, message.Reply{})
		v.override(Override{LocalPolicy, "SPF or DKIM is switched off here"})
		v.out.Disposition = dmarc.Quarantine
		detail = v.out.Override.Comment + "; " + detail
	default:
		v.demand(name, message.RejectMail, message.ReplyDMARC(p.Author))
	}
	v.report(name, detail)
	v.localPolicy()
}

// chain judges a message that fails by its ARC chain, where that is enough: a trusted
// sealer vouches for it, or may do so as soon as the DNS answers.
func (v *verdict) chain(ctx context.Context, detail string) (done bool) {
	if sealer, ok := v.vouched(ctx); ok {
		v.override(v.sealed())
		v.report("DMARC_INDIRECT", v.out.Override.Comment+", "+sealer.String()+" found the author's domain proven; "+detail)
		return true
	}
	if v.proof.arcUnknown == "" {
		return false
	}
	v.find("DMARC_TEMPERROR", v.proof.arcUnknown+"; "+detail)
	v.override(Override{LocalPolicy, v.proof.arcUnknown})
	v.later(ctx)
	if d := v.res.Demand; d != nil && d.Action == message.Junk {
		v.out.Disposition = dmarc.Quarantine
	}
	v.localPolicy()
	return true
}

// unknown judges a message that passes or fails only when the DNS answers.
func (v *verdict) unknown(ctx context.Context) {
	r := &v.out.Result
	detail := r.Reason
	if r.Err != nil {
		detail += ": " + r.Err.Error()
	}
	v.find("DMARC_TEMPERROR", detail)
	p := r.Policy
	atStake := !p.Known() || p.Disposition != dmarc.DispositionNone
	if r.Aligned() || !atStake {
		return
	}
	if _, ok := v.cfg.Forwarders.trusts(v.m.Session.Client, v.proof.signers()); ok {
		return
	}
	if _, ok := v.vouched(ctx); ok && v.cfg.Mode != strict {
		return
	}
	v.later(ctx)
}

// later makes mail wait that cannot be judged for want of DNS, and files it when it
// has waited long enough.
func (v *verdict) later(ctx context.Context) {
	if !v.cfg.Mode.acts() {
		return
	}
	p := v.out.Result.Policy
	wait, many := v.waiting.wait(ctx, v.m, p, v.now())
	v.metrics.undecided(many)
	if wait {
		v.demand("DMARC_TEMPERROR", message.TempFail, message.ReplyPolicyLookup)
		return
	}
	v.find("DMARC_UNDECIDED", v.policy()+": waited long enough")
	if p.Disposition != dmarc.DispositionNone {
		v.demand("DMARC_UNDECIDED", message.Junk, message.Reply{})
	}
}

// report adds a finding that says that the message fails; in mode observe it has
// a name without weight.
func (v *verdict) report(name, detail string) {
	if v.cfg.Mode == observe {
		name, detail = "DMARC_OBSERVED", name+": "+detail
	}
	v.find(name, detail)
}

// demand asks for an action, where the mode lets it.
func (v *verdict) demand(finding string, action message.Action, reply message.Reply) {
	if v.cfg.Mode.acts() {
		v.res.Demand = &checks.Demand{Action: action, Reply: reply, Finding: finding}
	}
}

// override says why the policy is not followed.
func (v *verdict) override(o Override) {
	v.out.Override, v.out.Disposition = o, dmarc.DispositionNone
}

// localPolicy says that the mode of the check stands above any policy.
func (v *verdict) localPolicy() {
	if !v.cfg.Mode.acts() {
		v.override(Override{LocalPolicy, "mode " + string(v.cfg.Mode)})
	}
}

// policy says for people what the author's domain asks for and where it says so.
func (v *verdict) policy() string {
	p := v.out.Result.Policy
	if p.Domain.IsZero() {
		return "policy unknown"
	}
	s := p.Tag + "=" + string(p.Published)
	if p.Record.Testing {
		s += " t=y"
	}
	return s + " of " + p.Domain.String()
}

// aligned says for people which domains vouch for the message.
func (v *verdict) aligned() string {
	r, s := &v.out.Result, ""
	if !r.AlignedSPF.IsZero() {
		s += ", spf " + r.AlignedSPF.String()
	}
	if !r.AlignedDKIM.IsZero() {
		s += ", dkim " + r.AlignedDKIM.String()
	}
	return s
}

// outline is a result in a few words.
func outline(r *dmarc.Result) string {
	s := string(r.Status)
	if r.Status == dmarc.Fail {
		s += " " + string(r.Policy.Disposition)
	}
	return s + " by " + r.Policy.Organizational.String()
}

// method8601 is the line in Authentication-Results (RFC 8601; RFC 9989, section
// 9.1: header.from, and policy.dmarc for what the policy comes to).
func method8601(out *Outcome) authres.Method {
	r := &out.Result
	p := r.Policy
	m := authres.Method{Method: "dmarc", Result: string(r.Status), Reason: r.Reason}
	prop := func(ptype, property, value string) {
		m.Props = append(m.Props, authres.Prop{Ptype: ptype, Property: property, Value: value})
	}
	if !p.Author.IsZero() {
		prop("header", "from", p.Author.String())
	}
	if p.Tag == "" || !p.Known() {
		return m
	}
	m.Comment = p.Tag + "=" + string(p.Published)
	if p.Record.Testing {
		m.Comment += " t=y"
	}
	if o := out.Override; r.Status == dmarc.Fail && (o.Type == MailingList || o.Type == TrustedForwarder) {
		m.Comment += ", " + strings.ReplaceAll(string(o.Type), "_", " ")
	}
	prop("policy", "dmarc", string(p.Disposition))
	return m
}
