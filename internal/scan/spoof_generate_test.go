package scan

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"milterd/milter"
)

// A spoof is a mail transaction of which the attacker wrote every byte.
type spoof struct {
	mailFrom, rcpt string
	fields         []string // lines of the header: "Name: value"
	body           string
}

func (s *spoof) bytes() []byte { return []byte(strings.Join(s.fields, "\r\n") + "\r\n\r\n" + s.body) }

// A visit is an SMTP session of the attacker, from one of its own addresses.
type visit struct {
	client    netip.Addr
	ptr, helo string // the name that reverse DNS gives, unverified, and HELO
	spoofs    []*spoof
}

// A generator makes up visits: the same random numbers, the same bytes.
type generator struct {
	*rand.Rand
	genuine []*genuine // what the victim has once written to the attacker
	grammar map[string][]string
}

// one in n.
func (g *generator) one(n int) bool { return g.IntN(n) == 0 }

func (g *generator) visit() *visit {
	v := &visit{client: netip.MustParseAddr("203.0.113.66"), helo: g.line("helo"), ptr: g.line("ptr")}
	if g.one(8) {
		v.client = netip.MustParseAddr("2001:db8:66::25")
	}
	for range 4 {
		v.spoofs = append(v.spoofs, g.spoof())
	}
	return v
}

func (g *generator) spoof() *spoof {
	s := &spoof{mailFrom: g.line("mailfrom"), rcpt: "alice@mx.test"}
	switch {
	case g.one(50):
		s.rcpt = "postmaster@mx.test" // whom the policy of a domain may not silence
	case g.one(20):
		s.mailFrom = g.mutate(s.mailFrom)
	}
	if len(g.genuine) > 0 && g.one(5) {
		g.replay(s)
	} else {
		g.compose(s)
	}
	s.mailFrom = oneLine(s.mailFrom)
	return s
}

// compose writes a message and signs it, perhaps.
func (g *generator) compose(s *spoof) {
	s.fields, s.body = []string{g.expand("from")}, g.expand("body")
	for range g.IntN(5) {
		s.fields = slices.Insert(s.fields, g.IntN(len(s.fields)+1), g.expand("extra"))
	}
	for i := range s.fields {
		if g.one(8) {
			s.fields[i] = g.mutate(s.fields[i])
		}
	}
	for n := 0; g.IntN(5) < 3 && n < 12; n++ {
		g.sign(s)
	}
}

// replay takes a message that the victim signed, and does to it what anybody can.
func (g *generator) replay(s *spoof) {
	text := g.genuine[g.IntN(len(g.genuine))]
	for _, f := range text.Fields {
		s.fields = append(s.fields, f.Name+":"+f.Value)
	}
	s.body = string(text.Body)
	for range g.IntN(4) {
		at := g.IntN(len(s.fields) + 1)
		on := min(at, len(s.fields)-1)
		name, value, _ := strings.Cut(s.fields[on], ":")
		switch g.IntN(16) {
		case 0, 1:
			s.fields = slices.Insert(s.fields, at, g.expand("extra"))
		case 2:
			s.fields = slices.Insert(s.fields, at, g.expand("from"))
		case 3:
			s.fields = slices.Insert(s.fields, at, name+": "+g.expand("author"))
		case 4:
			s.fields = slices.Delete(s.fields, on, on+1)
		case 5:
			s.fields = slices.Insert(s.fields, at, s.fields[on])
		case 6:
			s.fields[on] = g.mutate(s.fields[on])
		case 7: // what "relaxed" forgives
			s.fields[on] = strings.ToUpper(name) + g.expand("space") + ":" + strings.ReplaceAll(value, " ", g.expand("space")+" ")
		case 8:
			s.fields[0] = strings.Replace(s.fields[0], g.expand("tagpart"), g.expand("tagpart"), 1)
		case 9:
			s.fields[0] += ";" + g.expand("tag")
		case 10:
			s.body += g.expand("body")
		case 11:
			s.body = g.expand("body") + s.body
		case 12:
			s.body = strings.ReplaceAll(s.body, g.expand("space"), g.expand("space"))
		case 13:
			s.body = g.mutate(s.body)
		case 14:
			g.Shuffle(len(s.fields), func(i, j int) { s.fields[i], s.fields[j] = s.fields[j], s.fields[i] })
		case 15:
			g.sign(s)
		}
		if len(s.fields) == 0 {
			return
		}
	}
}

// line expands a symbol to what an SMTP command may hold.
func (g *generator) line(symbol string) string { return oneLine(g.expand(symbol)) }

func oneLine(s string) string { return strings.NewReplacer("\x00", "", "\r", "", "\n", "").Replace(s) }

// expand makes a text of a symbol of the grammar, in whose alternatives {name}
// stands for another symbol, and {b64 name} and {qp name} for one as it stands in
// encoded words.
func (g *generator) expand(symbol string) string {
	alternatives := g.grammar[symbol]
	if alternatives == nil {
		panic("no symbol " + symbol)
	}
	rest := alternatives[g.IntN(len(alternatives))]
	var b strings.Builder
	for {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		symbol, after, _ = strings.Cut(after, "}")
		encoding, name, encoded := strings.Cut(symbol, " ")
		switch {
		case !encoded:
			b.WriteString(g.expand(symbol))
		case encoding == "b64":
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(g.expand(name))))
		default:
			for _, c := range []byte(g.expand(name)) {
				fmt.Fprintf(&b, "=%02X", c)
			}
		}
		rest = after
	}
}

// mutate changes a text in one place.
func (g *generator) mutate(s string) string {
	i := g.IntN(len(s) + 1)
	j := i + g.IntN(min(len(s)-i, 12)+1)
	switch g.IntN(6) {
	case 0:
		return s[:i] + s[j:]
	case 1:
		return s[:j] + s[i:]
	case 2:
		return s[:i] + strings.ToUpper(s[i:j]) + s[j:]
	case 3:
		return s[:i] + "\r\n" + g.expand("space") + s[i:]
	}
	return s[:i] + g.expand("piece") + s[i:]
}

// attackerKey signs for every name below attack.test.
var attackerKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{'a'}, ed25519.SeedSize))

var (
	listTag  = regexp.MustCompile(`(?:^|;)\s*h\s*=([^;]*)`)
	canonTag = regexp.MustCompile(`(?:^|;)\s*c\s*=\s*([a-z]*)(?:/([a-z]*))?`)
)

// sign puts a signature with the attacker's key on top, correct as far as that
// can be said of its tags.
func (g *generator) sign(s *spoof) {
	tags := g.expand("signature")
	m := milter.ParseMessage(s.bytes())
	header, body := "simple", "simple"
	if c := canonTag.FindStringSubmatch(tags); c != nil {
		header, body = c[1], c[2]
	}
	sum := sha256.Sum256(canonicalBody(body, m.Body))
	tags = strings.Replace(tags, "@BH", base64.StdEncoding.EncodeToString(sum[:]), 1)
	var names []string
	if h := listTag.FindStringSubmatch(tags); h != nil {
		for name := range strings.SplitSeq(h[1], ":") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	own := milter.ParseMessage([]byte("DKIM-Signature: " + strings.Replace(tags, "@B", "", 1) + "\r\n\r\n")).Fields
	signed := selected(header, names, m.Fields) + strings.TrimSuffix(canonicalFields(header, own), "\r\n")
	sum = sha256.Sum256([]byte(signed))
	value := base64.StdEncoding.EncodeToString(ed25519.Sign(attackerKey, sum[:]))
	s.fields = slices.Insert(s.fields, 0, "DKIM-Signature: "+strings.Replace(tags, "@B", value, 1))
}
