package scan

import (
	"fmt"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"milterd/message"
	"milterd/milter"
	"milterd/spf"

	"golang.org/x/text/unicode/norm"
)

// victims are the domains that the attacker wants to pass for. legit.test
// publishes all it should; the servers of dark.test do not answer.
var victims = []string{"legit.test", "dark.test"}

// An oracle knows what must never come of a spoof. It knows no more of the filter
// than what comes out of it, and shares no code with it.
type oracle struct {
	genuine []*genuine
	strict  bool // mail that fails p=reject is refused, also if it may come from a list
}

// objection says what is wrong with a verdict, "" for nothing. What follows a
// comma is detail.
func (c *oracle) objection(o *verdict) string {
	if o.Outcome == nil || o.Message.Header.OverLimit != "" && o.Verdict.Action.Refuses() {
		return ""
	}
	replayed := c.replayed(o)
	results, objection := c.results(o, replayed)
	switch seen := reading(o.delivered); {
	case objection != "", o.Verdict.Action.Refuses():
		return objection
	case seen == "", replayed.may && replayed.alone:
	case results["dmarc"] == "temperror" && o.Verdict.Mitigation == "postmaster":
		// Who runs a mail server is to be reached above all when DNS is down.
	case o.Verdict.Action != message.Junk:
		return "delivered, and " + seen
	case results["dmarc"] != "fail" && o.Verdict.Mitigation != "postmaster":
		return "delivered as junk without dmarc=fail, and " + seen
	}
	return forgery(o.delivered, results["dmarc"], replayed.may)
}

// A replay is what a message still has of one that the victim signed.
type replay struct {
	may   bool // the signed text is there: a pass is no lie
	must  bool // the signature as well, where it is looked at
	alone bool // there is one From field
}

func (c *oracle) replayed(o *verdict) (r replay) {
	for _, g := range c.genuine {
		if shows, whole := g.shows(o.shown); !g.expired {
			r.may, r.must = r.may || shows, r.must || whole
		}
	}
	count := map[string]int{}
	for _, f := range o.shown.Fields {
		count[strings.ToLower(f.Name)]++
	}
	r.alone = count["from"] == 1
	r.must = r.must && count["dkim-signature"] <= 8 // limits.dkim_signatures
	return r
}

// results reads what the filter says it found, by method.
func (c *oracle) results(o *verdict, replayed replay) (results map[string]string, objection string) {
	results = map[string]string{}
	passed := false
	for _, m := range o.Auth {
		props := map[string]string{}
		for _, p := range m.Props {
			props[p.Property] = p.Value
		}
		if m.Method != "dkim" && results[m.Method] != "" {
			return nil, "two results of " + m.Method
		}
		results[m.Method] = m.Result
		switch {
		case m.Method == "spf" && m.Result == "pass" && (ofVictim(props["mailfrom"]) || ofVictim(props["helo"])):
			return nil, "spf=pass for the victim"
		case m.Method == "dkim" && m.Result == "pass" && (ofVictim(props["d"]) || ofVictim(props["i"])):
			if passed = true; !replayed.may {
				return nil, "dkim=pass for the victim"
			}
		case m.Method == "dmarc" && ofVictim(props["from"]):
			if objection := c.policy(o, replayed, m.Result, props["from"]); objection != "" {
				return nil, objection
			}
		}
	}
	for i := range o.Results {
		if d, ok := o.Results[i].Detail.(interface {
			SPF() (mailFrom, helo spf.Result)
		}); ok {
			mailFrom, helo := d.SPF()
			if mailFrom.Status == spf.Pass && ofVictim(mailFrom.Domain) || helo.Status == spf.Pass && ofVictim(helo.Domain) {
				return nil, "SPF passes for the victim"
			}
		}
	}
	switch {
	case replayed.must && !passed:
		return nil, "no dkim=pass for what the victim signed"
	case results["spf"] == "" || results["dkim"] == "" || results["dmarc"] == "":
		return nil, "a method without a result"
	}
	return results, ""
}

// policy judges the result of DMARC for a domain of the victim.
func (c *oracle) policy(o *verdict, replayed replay, result, from string) string {
	dark := strings.HasSuffix(from, "dark.test")
	switch {
	case result == "pass" && replayed.may && replayed.alone:
	case result == "pass":
		return "dmarc=pass for the victim"
	case replayed.must && replayed.alone:
		return "dmarc is no pass for what the victim signed, but " + result
	case !dark && result != "fail":
		return "the policy is not known, but dmarc=" + result
	case dark && result != "temperror":
		return "DNS failed, but dmarc=" + result
	case c.strict && !o.Verdict.Action.Refuses() && o.Verdict.Mitigation == "":
		return "the policy is not followed"
	}
	return ""
}

var (
	passForVictim = regexp.MustCompile(`(?is)dmarc\s*=\s*pass.*header\.from\s*=\W*(?:[^\s;]*\.)?(?:legit|dark)\.test(?:[^\w.-]|$)`)
	claimRE       = regexp.MustCompile(`^\W*mx\.test(?:\W+\d*)?$`)
)

// forgery says what a careless program finds in the results, and should not.
func forgery(m *milter.Message, dmarc string, mayPass bool) string {
	ours := 0
	for _, f := range m.Fields {
		name := strings.ToLower(f.Name)
		switch {
		case name == "authentication-results" && claims(f.Value):
			ours++
			switch {
			case strings.Contains(strings.ToLower(f.Value), "dmarc=pass") != (dmarc == "pass"):
				return "the results do not say what was found"
			case !mayPass && passForVictim.MatchString(f.Value):
				return "the results can be read as a pass for the victim"
			}
		case name == "x-milterd-carry", name == "x-spam-status" && strings.Contains(f.Value, "-100"):
			return "a field of ours that the attacker wrote"
		}
	}
	if ours != 1 {
		return fmt.Sprintf("not one field with results of ours, but %d", ours)
	}
	return ""
}

// claims reports whether a field of results may be taken for one of ours.
func claims(value string) bool {
	id, _, _ := strings.Cut(norm.NFKC.String(value), ";")
	id = strings.ToLower(commentRE.ReplaceAllString(id, " "))
	return claimRE.MatchString(strings.TrimSpace(id)) || claimRE.MatchString(strings.Join(strings.Fields(id), ""))
}

// The readers below stand for the programs that show a From field to people, each
// lenient in its own way. They share no code with message.ParseAuthor.
var (
	quotedRE   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	naiveRE    = regexp.MustCompile(`"[^"]*"`)
	commentRE  = regexp.MustCompile(`\([^()]*\)`)
	anglesRE   = regexp.MustCompile(`<([^<>]*)>`)
	hostRE     = regexp.MustCompile(`^\s*[\pL\pM\pN._-]+`)
	aroundAtRE = regexp.MustCompile(`\s*@\s*`)
	wordRE     = regexp.MustCompile(`[^\s<>,;:"()\[\]]+@[^\s<>,;:"()\[\]]+`)
)

// parts drops what drop matches, cuts the rest at commas, and takes of each part
// what is in angle brackets, or else every word with an @.
func parts(field string, drop ...*regexp.Regexp) (found []string) {
	field = aroundAtRE.ReplaceAllString(field, "@")
	for _, re := range drop {
		for before := ""; before != field; {
			before, field = field, re.ReplaceAllString(field, " ")
		}
	}
	for part := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == ',' || r == ';' }) {
		inner := ""
		for _, m := range anglesRE.FindAllStringSubmatch(part, -1) {
			inner += m[1]
			found = append(found, m[1])
		}
		if !strings.Contains(inner, "@") {
			found = append(found, wordRE.FindAllString(part, -1)...)
		}
	}
	return found
}

var readers = map[string]func(field string) []string{
	"net/mail": func(field string) (found []string) {
		list, _ := mail.ParseAddressList(field)
		for _, a := range list {
			found = append(found, a.Address)
		}
		return found
	},
	"one who knows quotes and comments": func(field string) []string { return parts(field, quotedRE, commentRE) },
	"one who knows comments first":      func(field string) []string { return parts(field, commentRE, quotedRE) },
	"one who knows no escapes":          func(field string) []string { return parts(field, naiveRE, commentRE) },
	"one who knows no comments":         func(field string) []string { return parts(field, quotedRE) },
	"one who only knows angle brackets": func(field string) (found []string) {
		for _, m := range anglesRE.FindAllStringSubmatch(field, -1) {
			found = append(found, m[1])
		}
		return found
	},
}

// reading says who finds the victim in a From field, and where; "" for nobody.
func reading(m *milter.Message) string {
	for _, f := range m.Fields {
		if !strings.EqualFold(strings.TrimSpace(f.Name), "From") {
			continue
		}
		texts := []string{strings.ReplaceAll(f.Value, "\n", "")}
		if decoded, err := new(mime.WordDecoder).DecodeHeader(texts[0]); err == nil && decoded != texts[0] {
			texts = append(texts, decoded)
		}
		for _, text := range texts {
			for who, read := range readers {
				for _, address := range read(text) {
					if strings.Contains(address, "@") && ofVictim(address) {
						return fmt.Sprintf("%s reads %q", who, address)
					}
				}
			}
		}
	}
	return ""
}

// ofVictim reports whether somebody may take an address or a name for the victim's.
func ofVictim(address string) bool {
	host := strings.ToLower(norm.NFKC.String(address[strings.LastIndexByte(address, '@')+1:]))
	host = strings.Map(func(r rune) rune {
		switch {
		case r == '\u3002':
			return '.'
		case r < ' ', unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point):
			return -1
		}
		return r
	}, host)
	host = strings.Trim(hostRE.FindString(host), "-_. \t")
	return slices.ContainsFunc(victims, func(v string) bool { return host == v || strings.HasSuffix(host, "."+v) })
}
