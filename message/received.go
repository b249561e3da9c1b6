package message

import (
	"net/netip"
	"strings"
)

// Hop is what a Received field says about the client that its writer saw.
type Hop struct {
	Helo   string     // the name the client gave
	Host   string     // the name the writer found for the address, or ""
	Client netip.Addr // the address the writer saw
	By     string     // the writer's own name
}

// receivedBytes bounds how much of a Received field is read.
const receivedBytes = 2048

// ParseReceived reads the from and by clauses of a Received field in the forms
// of Postfix, Sendmail, Exim, qmail and their kin (RFC 5321, section 4.4,
// leaves the comment free). ok is false when there is no client address in it.
//
//	from mail.example.org (mail.example.org [192.0.2.1]) by mx.example.net ...
//	from mail.example.org ([192.0.2.1] helo=mail) by ...
//	from unknown (HELO mail) (192.0.2.1) by ...
func ParseReceived(value string) (hop Hop, ok bool) {
	value = strings.ReplaceAll(Unfold(value[:min(len(value), receivedBytes)]), "\t", " ")
	rest, found := cutPrefixFold(value, "from ")
	if !found {
		return Hop{}, false
	}
	from, after, found := cutClause(rest, " by ")
	if !found {
		return Hop{}, false
	}
	hop.By, _, _ = strings.Cut(strings.TrimSpace(after), " ")
	hop.By = strings.TrimRight(hop.By, ";")

	name, comments, _ := strings.Cut(strings.TrimSpace(from), " ")
	hop.Helo = name
	for _, c := range parenthesized(comments) {
		words := strings.Fields(c)
		for i := 0; i < len(words); i++ {
			w := words[i]
			switch a, good := bracketAddr(w); {
			case good && !hop.Client.IsValid():
				hop.Client = a
				if i > 0 && strings.Contains(words[i-1], ".") && !strings.Contains(words[i-1], "=") {
					host := words[i-1]
					host = host[strings.LastIndexByte(host, '@')+1:] // RFC 1413 user
					hop.Host = strings.TrimSuffix(host, ".")
				}
			case good:
			case strings.HasPrefix(strings.ToLower(w), "helo="):
				hop.Helo = w[len("helo="):]
			case strings.EqualFold(w, "HELO") || strings.EqualFold(w, "EHLO"):
				if i++; i < len(words) { // whatever it is, it is not the client's address
					hop.Helo = words[i]
				}
			}
		}
	}
	// Exim puts the address in place of a name. Elsewhere that place has what the
	// client said, so an address in a comment, which the writer saw, comes first.
	if a, good := bracketAddr(name); good && !hop.Client.IsValid() {
		hop.Client = a
	}
	if strings.EqualFold(hop.Host, "unknown") {
		hop.Host = ""
	}
	return hop, hop.Client.IsValid()
}

// bracketAddr reads "[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.1" and
// "[192.0.2.1]:4711".
func bracketAddr(w string) (netip.Addr, bool) {
	if strings.HasPrefix(w, "[") {
		end := strings.IndexByte(w, ']')
		if end < 0 {
			return netip.Addr{}, false
		}
		w = w[1:end]
	}
	if p, ok := cutPrefixFold(w, "IPv6:"); ok {
		w = p
	}
	a, err := netip.ParseAddr(w)
	return a.WithZone("").Unmap(), err == nil // a zone is any text, and of another host
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return s, false
}

// cutClause cuts s at the first separator outside parentheses.
func cutClause(s, sep string) (before, after string, found bool) {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ' ':
			if depth <= 0 && len(s)-i >= len(sep) && strings.EqualFold(s[i:i+len(sep)], sep) {
				return s[:i], s[i+len(sep):], true
			}
		}
	}
	return s, "", false
}

// parenthesized returns the comments of s, outermost level only.
func parenthesized(s string) []string {
	var all []string
	depth, start := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '(':
			if depth++; depth == 1 {
				start = i + 1
			}
		case ')':
			if depth--; depth == 0 {
				all = append(all, s[start:i])
			}
		}
		if depth < 0 {
			return all
		}
	}
	return all
}
