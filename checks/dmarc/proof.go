package dmarc

import (
	"errors"
	"strings"

	"milterd/checks"
	"milterd/dkim"
	"milterd/dmarc"
	"milterd/internal/evidence"
	"milterd/message"
	"milterd/spf"
)

// arcDetail is what the check arc tells.
type arcDetail interface {
	// TrustedSealer returns the domain whose seal on an intact chain the
	// operator trusts.
	TrustedSealer() (sealer message.Domain, ok bool)
	// Vouched returns the trusted sealer that found the author's domain proven,
	// by DMARC or by domains that are aligned with it.
	Vouched(author message.Domain, aligned func(mailFrom, signers []message.Domain) bool) (sealer message.Domain, ok bool)
	// Undecided reports that only the DNS kept a chain from being one of a
	// trusted sealer.
	Undecided() bool
	// Reason is the chain in the words of a report.
	Reason() string
}

// proof is what SPF and DKIM have found out about a message. It is taken from
// their results, never from text, and says which identity passed.
type proof struct {
	// complete is false where SPF or DKIM is switched off: then what fails here may
	// pass elsewhere.
	complete bool

	spf       dmarc.Identifier // the MAIL FROM identity, that of HELO for the null reverse-path
	spfStatus spf.Status
	spfDomain string // that SPF was asked about, whatever it said
	dkim      []dmarc.Identifier
	// signatures are the results of DKIM, whatever they are.
	signatures []dkim.Result
	// arc is what ARC tells, nil when nothing.
	arc arcDetail
	// arcUnknown says why it is not known whether a trusted sealer vouches; empty
	// when it is.
	arcUnknown string
}

// gather takes the results of the other checks.
func gather(in *checks.Input) proof {
	p := proof{complete: true}
	p.gatherSPF(in)
	p.gatherDKIM(in)
	p.gatherARC(in)
	return p
}

func (p *proof) gatherARC(in *checks.Input) {
	if result := in.Prior["arc"]; result != nil && result.Err != nil && in.Message.Header.Count("ARC-Seal") > 0 {
		p.arcUnknown = "ARC could not be checked"
	}
	if detail, ok := checks.Detail[arcDetail](in.Prior, "arc"); ok {
		p.arc = detail
		if detail.Undecided() {
			p.arcUnknown = detail.Reason()
		}
	}
}

func (p *proof) gatherSPF(in *checks.Input) {
	result := in.Prior["spf"]
	if result == nil {
		p.complete = false
		return
	}
	if result.Err != nil {
		// A check of ours that fails is no reason to call a message forged.
		p.spf, p.spfStatus = dmarc.Identifier{Domain: envelope(in.Message), TempError: true}, spf.TempError
		return
	}
	mailFrom, ok := evidence.SPF(in.Prior)
	if !ok {
		p.complete = false
		return
	}
	p.spfStatus, p.spfDomain = mailFrom.Status, mailFrom.Domain
	if mailFrom.Status != spf.Pass && mailFrom.Status != spf.TempError {
		return
	}
	if d, err := message.ParseDomain(mailFrom.Domain); err == nil {
		p.spf = dmarc.Identifier{Domain: d, TempError: mailFrom.Status == spf.TempError}
	}
}

// envelope returns the domain that SPF would have been asked about.
func envelope(m *message.Message) message.Domain {
	if !m.MailFrom.Null {
		return m.MailFrom.Address.Domain
	}
	d, err := message.ParseDomain(m.Session.Helo)
	if err != nil {
		return message.Domain{}
	}
	return d
}

func (p *proof) gatherDKIM(in *checks.Input) {
	result := in.Prior["dkim"]
	if result == nil {
		p.complete = false
		return
	}
	if result.Err != nil {
		// Nobody knows whose signatures there are: the author's, for all we can say.
		p.dkim = []dmarc.Identifier{{Domain: in.Message.Author().Domain, TempError: true}}
		return
	}
	signatures, ok := evidence.DKIM(in.Prior)
	if !ok {
		p.complete = false
		return
	}
	p.signatures = signatures
	for i := range p.signatures {
		r := &p.signatures[i]
		if r.Status == dkim.Pass || r.Status == dkim.TempError {
			p.dkim = append(p.dkim, dmarc.Identifier{Domain: r.Domain, TempError: r.Status == dkim.TempError})
		}
	}
}

func (p *proof) identifiers() dmarc.Identifiers { return dmarc.Identifiers{SPF: p.spf, DKIM: p.dkim} }

// signers returns the domains whose signatures pass.
func (p *proof) signers() []message.Domain {
	var all []message.Domain
	for _, id := range p.dkim {
		if !id.TempError {
			all = append(all, id.Domain)
		}
	}
	return all
}

// passed returns the domains that DKIM and SPF authenticated.
func (p *proof) passed() []message.Domain {
	all := p.signers()
	if !p.spf.TempError && !p.spf.Domain.IsZero() {
		all = append(all, p.spf.Domain)
	}
	return all
}

// bodyChanged returns the domains of signatures whose signed header is as it was
// made while the body is not, or not all of it: nobody but the signer could have
// made that header, and lists that add a footer leave exactly this.
func (p *proof) bodyChanged() []dmarc.Identifier {
	var all []dmarc.Identifier
	for i := range p.signatures {
		r := &p.signatures[i]
		if r.HeaderMatches && (errors.Is(r.Err, dkim.ErrBodyHash) || errors.Is(r.Err, dkim.ErrPartial)) {
			all = append(all, dmarc.Identifier{Domain: r.Domain})
		}
	}
	return all
}

// String says for people what there is and why it is not enough.
func (p *proof) String() string {
	var b strings.Builder
	b.WriteString("spf=")
	switch {
	case p.spfStatus == "":
		b.WriteString("off")
	case p.spfDomain == "":
		b.WriteString(string(p.spfStatus))
	default:
		b.WriteString(string(p.spfStatus) + " for " + p.spfDomain)
	}
	b.WriteString(", dkim=")
	const most = 3
	for i := range p.signatures {
		if i == most {
			b.WriteString(" ...")
			break
		}
		if i > 0 {
			b.WriteString(" + ")
		}
		r := &p.signatures[i]
		b.WriteString(string(r.Status))
		if !r.Domain.IsZero() {
			b.WriteString(" for " + r.Domain.String())
		}
	}
	if len(p.signatures) == 0 {
		b.WriteString("none")
	}
	return b.String()
}
