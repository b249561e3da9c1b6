package content

import (
	"html"
	"maps"
	stdmime "mime"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/message"
	"milterd/rules"

	"gopkg.in/yaml.v3"
)

// shippedFile is as much of a rule file as these tests need.
type shippedFile struct {
	Rules []struct {
		Name, When string
		Tests      struct{ Hit, Miss []string }
	}
	Scores map[string]float64
}

func shippedFiles(tb testing.TB) (files []shippedFile) {
	tb.Helper()
	for _, s := range rules.Shipped() {
		var f shippedFile
		if err := yaml.Unmarshal(s.Text, &f); err != nil {
			tb.Fatal(s.Name, err)
		}
		files = append(files, f)
	}
	return files
}

var word = regexp.MustCompile(`[A-Z][A-Z0-9_]+`)

// shippedSet is the shipped rules. What other checks report is taken from the
// files themselves; checks/all knows whether they do.
func shippedSet(tb testing.TB) *rules.Set {
	tb.Helper()
	var known []string
	for _, f := range Spec(nil).Findings {
		known = append(known, f.Name)
	}
	own := map[string]bool{} // rules, and what this check reports itself
	for _, name := range known {
		own[name] = true
	}
	files := shippedFiles(tb)
	for _, f := range files {
		for _, r := range f.Rules {
			own[r.Name] = true
		}
	}
	for _, f := range files {
		names := slices.Collect(maps.Keys(f.Scores))
		for _, r := range f.Rules {
			names = append(names, word.FindAllString(r.When, -1)...)
		}
		for _, name := range names {
			if !own[name] {
				known = append(known, name)
			}
		}
	}
	set, err := rules.Load(rules.Shipped(), known)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// What the tests of the shipped rules promise of a text, the check keeps for a
// message that has it.
func TestShippedRules(t *testing.T) {
	set := shippedSet(t)
	kinds := map[string]*rules.TextRule{}
	for i := range set.Texts {
		kinds[set.Texts[i].Name] = &set.Texts[i]
	}
	c := newCheckWith(t, set, checks.Limits{}, time.Now)
	tried := 0
	for _, f := range shippedFiles(t) {
		for _, r := range f.Rules {
			rule := kinds[r.Name]
			if rule == nil || rule.State == rules.Off {
				continue
			}
			for _, list := range []struct {
				tests []string
				want  bool
			}{{r.Tests.Hit, true}, {r.Tests.Miss, false}} {
				for _, test := range list.tests {
					res, err := c.Run(t.Context(), &checks.Input{Message: messageWith(t, rule, test)})
					if err != nil {
						t.Fatal(err)
					}
					hit := slices.ContainsFunc(res.Findings, func(f checks.Finding) bool { return f.Name == r.Name })
					if hit != list.want {
						t.Errorf("%s: %s on %q: hit is %v, want %v", rule.Pos, r.Name, test, hit, list.want)
					}
					tried++
				}
			}
		}
	}
	if tried < 40 {
		t.Errorf("only %d tests", tried)
	}
}

// messageWith makes a message in which a text of the kind that a rule looks at is
// the one given.
func messageWith(tb testing.TB, rule *rules.TextRule, text string) *message.Message {
	tb.Helper()
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	body := func(contentType, text string) *message.Message {
		return newMessage(tb, []message.Field{{Name: "Content-Type", Value: " " + contentType + "; charset=utf-8"}}, []byte(text))
	}
	field := func(name, value string) *message.Message {
		return newMessage(tb, []message.Field{{Name: name, Value: value}}, nil)
	}
	m := newMessage(tb, nil, nil)
	switch rule.Text {
	case rules.Header, rules.HeaderRaw:
		if name, _, ok := strings.Cut(text, ":"); (rule.Match != "" || rule.In != nil) && (!ok || !strings.EqualFold(name, rule.Header)) {
			text = rule.Header + ": " + text
		}
		m = parse(tb, []byte(text+"\n\n"))
	case rules.FromAddr:
		m = field("From", " <"+text+">")
	case rules.FromName:
		m = field("From", " "+stdmime.BEncoding.Encode("utf-8", text)+" <a@example.org>")
	case rules.Body, rules.RawBody:
		m = body("text/plain", crlf)
		if rule.Text == rules.RawBody && strings.Contains(text, "<") {
			m = body("text/html", crlf)
		}
	case rules.Hidden:
		m = body("text/html", `<div style="display:none">`+html.EscapeString(crlf)+"</div>")
	case rules.URI:
		m = body("text/html", `<a href="`+html.EscapeString(text)+`">look</a>`)
	case rules.URIHost:
		if strings.Contains(text, ":") {
			text = "[" + text + "]"
		}
		m = body("text/html", `<a href="https://`+html.EscapeString(text)+`/">look</a>`)
	case rules.URIShown:
		m = body("text/html", `<a href="https://elsewhere.invalid/">`+html.EscapeString(text)+`</a>`)
	case rules.Full:
		m = parse(tb, []byte(text))
	case rules.AttachmentName:
		m = newMessage(tb, []message.Field{{Name: "Content-Type", Value: " application/octet-stream"},
			{Name: "Content-Disposition", Value: " attachment; filename*=utf-8''" + url.PathEscape(text)}}, []byte("x"))
	case rules.AttachmentType:
		m = newMessage(tb, []message.Field{{Name: "Content-Type", Value: " " + text}, {Name: "Content-Disposition", Value: " attachment"}}, []byte("x"))
	case rules.EnvelopeFrom:
		m.MailFrom = message.ParsePath("<" + text + ">")
	case rules.EnvelopeRcpt:
		m.Recipients = []message.Recipient{{Path: message.ParsePath("<" + text + ">")}}
	case rules.ClientName:
		m.Session.Host = text
	case rules.ClientAddr:
		m.Session.Client, _ = netip.ParseAddr(text)
	case rules.Helo:
		m.Session.Helo = text
	default:
		tb.Fatalf("%s: %s is a kind of text that this test does not know", rule.Name, rule.Text)
	}
	return m
}
