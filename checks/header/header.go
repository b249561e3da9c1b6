// Package header is the check that compares header fields: with each other, with
// the envelope and with the time at which the message was handed on.
//
// What one field says by itself is for rules to read. A date is suspicious beside
// another date, an answer that shall go elsewhere beside the author, a Message-ID
// beside the domain of the recipient; rules cannot set two texts side by side, so
// this check does it and reports what it sees as facts. It judges nothing: the
// shipped rules give the points, mostly in company of other evidence.
package header

import (
	"context"
	_ "embed"
	"strings"
	"time"

	"milterd/checks"
	"milterd/dmarc"
	"milterd/message"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "header",
		Phase:    checks.Header,
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check.
const (
	findFuture      = "HEADER_DATE_FUTURE"
	findPast        = "HEADER_DATE_PAST"
	findUnreadable  = "HEADER_DATE_UNREADABLE"
	findWeekday     = "HEADER_DATE_WEEKDAY"
	findReplyOther  = "HEADER_REPLY_TO_OTHER"
	findFromRcpt    = "HEADER_FROM_IS_RCPT"
	findOurDomain   = "HEADER_FROM_OUR_DOMAIN"
	findSubjectRcpt = "HEADER_SUBJECT_HAS_RCPT"
	findIDRcpt      = "HEADER_ID_OF_RCPT"
	findNameDomain  = "HEADER_NAME_HAS_DOMAIN"
)

var findings = []checks.FindingSpec{
	{Name: findFuture, Describe: "Date lies more than twelve hours after the message was handed on"},
	{Name: findPast, Describe: "Date lies more than a week before the message was handed on"},
	{Name: findUnreadable, Describe: "Date is no date by any of the usual formats"},
	{Name: findWeekday, Describe: "Date names a day of the week that is not that of its day"},
	{Name: findReplyOther, Describe: "Reply-To leads to another organisation than From"},
	{Name: findFromRcpt, Describe: "The author claims to be the recipient"},
	{Name: findOurDomain, Describe: "The author claims to be of a recipient's organisation"},
	{Name: findSubjectRcpt, Describe: "The subject has the whole address of a recipient in it"},
	{Name: findIDRcpt, Describe: "The Message-ID pretends to be of the recipient's domain, From does not"},
	{Name: findNameDomain, Describe: "The name in From is or holds the domain of another organisation"},
}

// Clocks are wrong by a time zone, and mail waits over a weekend or in a queue for
// five days (RFC 5321, section 4.5.4.1). Beyond that a date was made up.
const (
	mostAhead  = 12 * time.Hour
	mostBehind = 7 * 24 * time.Hour
)

type check struct{}

var _ checks.Check = check{}

func newCheck(section checks.Section, _ checks.Env) (checks.Check, error) {
	cfg := defaults()
	return check{}, section.Decode(&cfg)
}

// Run compares. It never fails.
func (check) Run(_ context.Context, in *checks.Input) (checks.Result, error) {
	c := comparison{m: in.Message, author: in.Message.Author()}
	c.dates()
	c.replyTo()
	c.recipients()
	c.nameDomain()
	return checks.Result{Findings: c.found}, nil
}

// comparison is the way through one header.
type comparison struct {
	m      *message.Message
	author message.Author
	found  []checks.Finding
}

// maxDetail bounds what of a stranger's words goes into log and journal.
const maxDetail = 120

func (c *comparison) find(name, detail string) {
	c.found = append(c.found, checks.Finding{Name: name, Detail: message.SafeText(detail, maxDetail)})
}

// dates compares Date with the topmost Received field that has a time. Old mail
// that is looked at again is not old to the host that handed it on. Where no hop has
// left a time, the beginning of the transaction shows what lies ahead, and nothing
// about what lies behind.
func (c *comparison) dates() {
	text := c.m.Header.Text("Date")
	if text == "" {
		return
	}
	date, ok := parseDate(text)
	if !ok {
		c.find(findUnreadable, text)
		return
	}
	if day, _, ok := strings.Cut(text, ","); ok && len(day) >= 3 {
		if named, known := weekdays[strings.ToLower(day[:3])]; known && named != date.Weekday() {
			c.find(findWeekday, text)
		}
	}
	handed, hop := c.handedOn()
	switch ahead := date.Sub(handed); {
	case handed.IsZero():
	case ahead > mostAhead:
		c.find(findFuture, text)
	case ahead < -mostBehind && hop: // a file of old mail is looked at long after
		c.find(findPast, text)
	}
}

// handedOn is when the last hop that says so had the message; without such a hop it
// is when the transaction began.
func (c *comparison) handedOn() (at time.Time, hop bool) {
	for value := range c.m.Header.All("Received") {
		if i := strings.LastIndexByte(value, ';'); i >= 0 {
			if at, ok := parseDate(message.Unfold(value[i+1:])); ok {
				return at, true
			}
		}
	}
	return c.m.Time, false
}

// replyTo compares where answers go with who wrote. Lists answer for others, and
// say so.
func (c *comparison) replyTo() {
	text := c.m.Header.Text("Reply-To")
	if text == "" || c.author.Domain.IsZero() {
		return
	}
	ours := organization(c.author.Domain)
	for _, a := range message.ParseAuthor([]string{text}, true, 0).Addresses {
		if !a.Domain.IsZero() && organization(a.Domain) != ours {
			c.find(findReplyOther, a.String())
			return
		}
	}
}

// recipients compares what the header says with the recipients of the envelope.
func (c *comparison) recipients() {
	subject := strings.ToLower(c.m.Header.Text("Subject"))
	id := messageIDDomain(c.m.Header.Text("Message-ID"))
	var same, ours, inSubject, ofID string
	for i := range c.m.Recipients {
		to := c.m.Recipients[i].Path.Address
		if to.Domain.IsZero() {
			continue
		}
		for _, from := range c.author.Addresses {
			if from.Domain == to.Domain && strings.EqualFold(from.Local, to.Local) {
				same = to.String()
			}
		}
		if !c.author.Domain.IsZero() && organization(c.author.Domain) == organization(to.Domain) {
			ours = to.Domain.String()
		}
		if strings.Contains(subject, strings.ToLower(to.String())) {
			inSubject = to.String()
		}
		if !id.IsZero() && !c.author.Domain.IsZero() && organization(id) == organization(to.Domain) &&
			organization(c.author.Domain) != organization(to.Domain) {
			ofID = id.String()
		}
	}
	for _, f := range []struct{ name, detail string }{{findFromRcpt, same}, {findOurDomain, ours}, {findSubjectRcpt, inSubject}, {findIDRcpt, ofID}} {
		if f.detail != "" {
			c.find(f.name, f.detail)
		}
	}
}

// nameDomain looks for domains in the names of From: words with a dot whose end is
// a top-level domain that pretenders use. A name that holds an address is the
// business of package author.
func (c *comparison) nameDomain() {
	if c.author.Domain.IsZero() {
		return
	}
	ours := organization(c.author.Domain)
	for _, name := range c.author.Names {
		for word := range strings.FieldsFuncSeq(strings.ToLower(name), notInDomain) {
			dot := strings.LastIndexByte(word, '.')
			if dot <= 0 || !pretended[word[dot+1:]] {
				continue
			}
			if d, err := message.ParseDomain(word); err == nil && organization(d) != ours {
				c.find(findNameDomain, word)
				return
			}
		}
	}
}

// notInDomain is true for what separates words in a name. An @ does not: what has
// one is no domain.
func notInDomain(r rune) bool {
	return !(r == '.' || r == '-' || r == '@' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || r > 0x7f)
}

// pretended are the top-level domains that people know as such. Of the others many
// are words: "John.smith", "Jr.dev".
var pretended = map[string]bool{
	"com": true, "net": true, "org": true, "de": true, "fr": true, "es": true, "it": true, "nl": true, "uk": true, "eu": true,
	"at": true, "ch": true, "be": true, "pl": true, "br": true, "pt": true, "gov": true,
}

func organization(d message.Domain) message.Domain { return dmarc.OrganizationalByList(d, nil) }

// messageIDDomain is the right side of a Message-ID (RFC 5322, section 3.6.4), zero
// when it is no domain name of two labels or more.
func messageIDDomain(id string) message.Domain {
	_, right, _ := strings.Cut(strings.Trim(id, "<>"), "@")
	d, err := message.ParseDomain(right)
	if err != nil || d.Labels() < 2 {
		return message.Domain{}
	}
	return d
}
