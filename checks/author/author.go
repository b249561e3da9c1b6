// Package author is the check of the From field itself: does the message name
// exactly one author, in a way that every mail program reads alike?
//
// All that DMARC proves is that the domain in From is genuine. It proves nothing
// when the recipient's program finds another domain in the same field, and most
// ways around DMARC are ways to write such a field. What can be read in two ways
// is therefore refused, before anybody asks which reading would pass.
//
// The reading itself is [message.ParseAuthor]; this check says what follows.
package author

import (
	"context"
	_ "embed"
	"strings"

	"milterd/checks"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check. It runs on outbound mail too, where what it finds is
// logged and never refused: the sender is our own user, whose program or cron job
// deserves a word to the operator and not lost mail. Whether such mail is signed
// is the business of signing.sender_binding.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "author",
		Phase:    checks.Header,
		Outbound: true,
		OnError:  checks.OnErrorTempFail,
		Sample:   sample,
		Findings: findings(),
		New:      newCheck,
	}
}

// observed is the one finding in mode observe. It has no weight of its own, and
// no rule that names the others sees them.
const observed = "AUTHOR_OBSERVED"

func findings() []checks.FindingSpec {
	var specs []checks.FindingSpec
	for _, p := range message.AuthorProblems() {
		specs = append(specs, checks.FindingSpec{Name: finding(p), Describe: describe(p)})
	}
	return append(specs, checks.FindingSpec{
		Name: observed, Describe: "Mode observe: what is wrong with From, without consequence"})
}

func finding(p message.AuthorProblem) string { return "AUTHOR_" + string(p) }

func describe(p message.AuthorProblem) string {
	switch p {
	case message.AuthorMissing:
		return "There is no From field"
	case message.AuthorMultipleFields:
		return "There is more than one From field"
	case message.AuthorEmpty:
		return "From has nothing in it"
	case message.AuthorBareWord:
		return "From has words in it and no address"
	case message.AuthorTooLong:
		return "From is longer than limits.from_bytes and was not read"
	case message.AuthorUnparsable:
		return "From is no list of mailboxes"
	case message.AuthorControl:
		return "From has a control character in it"
	case message.AuthorUnbalanced:
		return "From has a bracket, quote or parenthesis without its partner"
	case message.AuthorGroup:
		return "From has a group, or a colon without quotes"
	case message.AuthorRoute:
		return "From has an address with a source route"
	case message.AuthorTwoDomains:
		return "From has addresses of different domains"
	case message.AuthorBadDomain:
		return "The domain in From is no domain name"
	case message.AuthorTrailingDot:
		return "The domain in From ends in a dot"
	case message.AuthorFullStop:
		return "The domain in From has a full stop of another script"
	case message.AuthorZeroWidth:
		return "The address in From has an invisible character"
	case message.AuthorEncodedAddress:
		return "From has an encoded word that is an address or hides one"
	case message.AuthorAmbiguous:
		return "Some programs would find another address in From"
	case message.AuthorUnquotedComma:
		return "The name in From has a comma and no quotes"
	case message.AuthorUnquotedAt:
		return "The name in From has an @ and no quotes"
	case message.AuthorUnquotedBrackets:
		return "The name in From has brackets and no quotes"
	case message.AuthorLiteral:
		return "The address in From is at an IP address, so that no domain answers for it"
	case message.AuthorNoSender:
		return "From has several addresses and there is no Sender field"
	case message.AuthorLongLocal:
		return "The local part in From is longer than 64 octets"
	case message.AuthorLocalDots:
		return "The local part in From has a dot too many"
	case message.AuthorNameIsAddress:
		return "The name in From is or holds an address of another domain"
	case message.AuthorNameBidi:
		return "The name in From changes the direction of text"
	case message.AuthorNameControl:
		return "The name in From has encoded control characters"
	}
	return string(p)
}

type check struct {
	mode mode
}

var _ checks.Check = (*check)(nil)

func newCheck(section checks.Section, _ checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	return &check{mode: cfg.Mode}, nil
}

// Run reports one finding for each problem of the author and, in mode enforce,
// asks for a refusal when one of them leaves no author.
func (c *check) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	author := m.Author()
	problems := author.Problems
	if len(problems) == 0 || m.Header.OverLimit != "" && author.Has(message.AuthorMissing) {
		return checks.Result{}, nil // a From may stand in what was cut off
	}
	field := shown(m.Header)
	if c.mode == observe {
		names := make([]string, len(problems))
		for i, p := range problems {
			names[i] = string(p)
		}
		detail := message.SafeText(strings.Join(names, ", ")+": "+field, maxDetail)
		return checks.Result{Findings: []checks.Finding{{Name: observed, Detail: detail}}}, nil
	}
	var res checks.Result
	for _, p := range problems {
		res.Findings = append(res.Findings, checks.Finding{Name: finding(p), Detail: field})
		if c.mode == enforce && res.Demand == nil && p.Refusable() && !excused(p, m) {
			res.Demand = &checks.Demand{Action: message.RejectMail, Reply: reply(p), Finding: finding(p)}
		}
	}
	return res, nil
}

// reply is what the sender is told.
func reply(p message.AuthorProblem) message.Reply {
	if p == message.AuthorTooLong {
		return message.ReplyHeaderSize
	}
	return message.ReplyBadAuthor
}

// excused reports whether the problem is usual in what it stands in: bounces of
// old and small mail systems come from "MAILER-DAEMON" or from nobody. They name
// no domain, so there is none to forge.
func excused(p message.AuthorProblem, m *message.Message) bool {
	switch p {
	case message.AuthorMissing, message.AuthorEmpty, message.AuthorBareWord:
		return m.MailFrom.Null
	}
	return false
}

// maxDetail bounds what of a From field goes into log and journal.
const maxDetail = 160

// shown returns the From fields for people, cut and harmless.
func shown(h *message.Header) string {
	var b strings.Builder
	for value := range h.All("From") {
		if b.Len() > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(message.Unfold(value[:min(len(value), maxDetail)]))
		if b.Len() > maxDetail {
			break
		}
	}
	return message.SafeText(b.String(), maxDetail)
}
