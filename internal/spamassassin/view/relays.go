package view

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// relay is one hop of the message, as a Received field tells of it.
type relay struct {
	ip                                            netip.Addr
	rdns, helo, by, ident, envelopeFrom, id, auth string
	field                                         int // the place of its Received field; -1: there is none
}

// The pieces of a Received field. MTAs write it each in a way of its own; these are
// the ways of Postfix, sendmail, Exim, qmail, Microsoft's and PowerMTA.
var (
	receivedFrom = regexp.MustCompile(`(?is)^from\s+(\S+)(.*)$`)
	receivedBy   = regexp.MustCompile(`(?i)(?:^|\s)by\s+([^\s;()]+)`)
	receivedID   = regexp.MustCompile(`(?i)\sid\s+<?([^\s<>;()]+)`)
	receivedEnv  = regexp.MustCompile(`(?i)envelope-(?:from|sender)[\s=:]+<?([^\s<>()]*)`)
	receivedAuth = regexp.MustCompile(`(?i)\swith\s+(?:utf8)?(e?smtps?a|lmtps?a|asmtp|http)\b`)
	bracketed    = regexp.MustCompile(`(?i)\[(?:ipv6:)?([0-9a-f.:]+)\]`)
	bareIP       = regexp.MustCompile(`^(?:(\S*)@)?\[?([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)\]?$`)
	heloWord     = regexp.MustCompile(`(?i)\bhelo[ =]([^\s()]+)`)
	identWord    = regexp.MustCompile(`(?i)\bident=([^\s()]+)`)
)

// originatingIP are fields in which web mail tells from where it was used.
var originatingIP = []string{"X-Yahoo-Post-IP", "X-Originating-IP", "X-Apparently-From", "X-SenderIP"}

// route is the hops from the one that handed the message over, the last one first.
// What a program that fetches mail wrote, and all above it, is not of the journey.
func (v *View) route() []relay {
	if v.relays != nil {
		return *v.relays
	}
	list := []relay{}
	for i, f := range v.fields {
		if !strings.EqualFold(f.Name, "Received") {
			continue
		}
		text := strings.TrimSpace(unfold(f.Value))
		if strings.Contains(text, "(fetchmail") {
			list = list[:0]
			continue
		}
		if r, ok := parseReceived(text); ok {
			r.field = i
			list = append(list, r)
		}
	}
	if c := v.src.Client; c.Addr.IsValid() && (len(list) == 0 || list[0].ip != c.Addr.Unmap()) {
		r := relay{ip: c.Addr.Unmap(), rdns: c.Name, helo: c.Helo, field: -1}
		if c.Auth {
			r.auth = "ESMTPA"
		}
		if v.src.Envelope {
			r.envelopeFrom = v.src.MailFrom
		}
		list = append([]relay{r}, list...)
	}
	for _, name := range originatingIP {
		text, _ := v.values(name, decoded)
		if ip, err := netip.ParseAddr(firstIP(text)); err == nil {
			list = append(list, relay{ip: ip.Unmap(), field: len(v.fields)})
		}
	}
	v.relays = &list
	return list
}

// parseReceived reads one field. It is not ok for one that tells of no client's
// address: mail that was made on the host itself, or a way of writing that is not
// known.
func parseReceived(text string) (r relay, ok bool) {
	m := receivedFrom.FindStringSubmatch(text)
	if m == nil {
		return r, false
	}
	first, rest := m[1], m[2]
	client, after := rest, ""
	if at := receivedBy.FindStringSubmatchIndex(rest); at != nil {
		client, after = rest[:at[0]], rest[at[0]:]
		r.by = rest[at[2]:at[3]]
	}
	if r.helo = first; strings.HasPrefix(first, "[") {
		r.helo = ""
	}
	named := false // first is the name that was looked up, not what the client said
	for _, group := range groups(client) {
		if h := heloWord.FindStringSubmatch(group); h != nil {
			if r.helo != "" {
				r.rdns = first
			}
			r.helo, named = h[1], true
		}
		if i := identWord.FindStringSubmatch(group); i != nil {
			r.ident = i[1]
		}
		if at := bracketed.FindStringSubmatchIndex(group); at != nil && !r.ip.IsValid() {
			ip, err := netip.ParseAddr(group[at[2]:at[3]])
			if err != nil {
				continue
			}
			r.ip = ip.Unmap()
			if before := strings.Fields(group[:at[0]]); len(before) > 0 && !named {
				r.rdns, named = before[len(before)-1], true
			}
		} else if b := bareIP.FindStringSubmatch(strings.TrimSuffix(strings.TrimSpace(group), " with login")); b != nil && !r.ip.IsValid() {
			ip, err := netip.ParseAddr(b[2])
			if err != nil {
				continue
			}
			r.ip, r.ident = ip, b[1]
			if !named {
				r.rdns, named = first, true
			}
		}
	}
	if !r.ip.IsValid() { // "from host [192.0.2.1] by ...", "from 192.0.2.1 by ..."
		r.ip, _ = address(first)
		if at := bracketed.FindStringSubmatch(client); at != nil {
			if ip, err := netip.ParseAddr(at[1]); err == nil {
				r.ip = ip.Unmap()
			}
		}
	}
	if !r.ip.IsValid() {
		return r, false
	}
	if !named && strings.Contains(after, "(Exim") && strings.Contains(after, "(Cipher") {
		r.rdns = r.helo
	}
	if name, host, ok := strings.Cut(r.rdns, "@"); ok {
		r.ident, r.rdns = strings.TrimPrefix(strings.TrimPrefix(name, "IDENT:"), "ident:"), host
	}
	if strings.EqualFold(r.rdns, "unknown") {
		r.rdns = ""
	}
	if m := receivedID.FindStringSubmatch(after); m != nil {
		r.id = m[1]
	}
	if m := receivedEnv.FindStringSubmatch(text); m != nil {
		r.envelopeFrom = m[1]
	}
	switch m := receivedAuth.FindStringSubmatch(after); {
	case m != nil && strings.EqualFold(m[1], "asmtp"):
		r.auth = "asmtp"
	case m != nil:
		if r.auth = strings.ToUpper(m[1]); r.auth == "HTTP" {
			r.helo = ""
		}
	case strings.Contains(text, "(Authenticated sender:"):
		r.auth = "Postfix"
	case strings.Contains(text, "(authenticated"):
		r.auth = "Sendmail"
	}
	return r, true
}

// address reads [192.0.2.1] or 192.0.2.1.
func address(word string) (netip.Addr, bool) {
	word = strings.Trim(word, "[]")
	if len(word) > 5 && strings.EqualFold(word[:5], "IPv6:") {
		word = word[5:]
	}
	ip, err := netip.ParseAddr(word)
	return ip.WithZone("").Unmap(), err == nil
}

// groups returns what stands in parentheses, those inside of others left out.
func groups(text string) (list []string) {
	depth, from := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			if depth++; depth == 1 {
				from = i + 1
			}
		case ')':
			if depth--; depth == 0 {
				list = append(list, text[from:i])
			}
			depth = max(0, depth)
		}
	}
	return list
}

// ours says whether an address can only be one of the house.
func ours(ip netip.Addr) bool { return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() }

// split cuts the hops where the message came in from outside: those before came
// from addresses that only our own house can have.
func split(list []relay) (inside, outside []relay) {
	for i, r := range list {
		if !ours(r.ip) {
			return list[:i], list[i:]
		}
	}
	return list, nil
}

// relaysText is the form in which rules look at hops.
func relaysText(list []relay, internal bool) string {
	intl := 0
	if internal {
		intl = 1
	}
	parts := make([]string, 0, len(list))
	for _, r := range list {
		parts = append(parts, fmt.Sprintf("[ ip=%s rdns=%s helo=%s by=%s ident=%s envfrom=%s intl=%d id=%s auth=%s msa=0 ]",
			r.ip, plain(r.rdns), plain(r.helo), plain(r.by), plain(r.ident), plain(r.envelopeFrom), intl, plain(r.id), plain(r.auth)))
	}
	return strings.Join(parts, " ")
}

// plain takes out of a stranger's word what would end it.
func plain(word string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune("#[]()<>|", r) {
			return '!'
		}
		return r
	}, word)
}
