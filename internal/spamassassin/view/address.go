package view

import (
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// firstMailbox cuts the first mailbox of a list: its name part and its address.
// Comments in parentheses stand for a name where there is no other.
func firstMailbox(text string) (name, address string) {
	var phrase, comment strings.Builder
	angle := strings.LastIndexByte(text, '<')
	at := false // the phrase has an @
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '"':
			end := i + 1
			for end < len(text) && text[end] != '"' {
				if text[end] == '\\' && end+1 < len(text) {
					end++
				}
				phrase.WriteByte(text[end])
				end++
			}
			i = end + 1
		case '(':
			end, depth := i+1, 1
			for ; end < len(text); end++ {
				if text[end] == '(' {
					depth++
				} else if text[end] == ')' {
					if depth--; depth == 0 {
						break
					}
				}
			}
			if comment.Len() == 0 {
				comment.WriteString(text[i+1 : min(end, len(text))])
			}
			i = end + 1
		case '<':
			end := strings.IndexByte(text[i:], '>')
			if end < 0 {
				end = len(text) - i
			}
			return nameOf(phrase.String(), comment.String()), strings.TrimSpace(text[i+1 : i+end])
		case ',', ';', '\n':
			if at {
				return nameOf("", comment.String()), addressWord(phrase.String())
			}
			if c == ',' && i > angle {
				return nameOf(phrase.String(), comment.String()), ""
			}
			phrase.WriteByte(c)
			i++
		case ':':
			if !at { // a group begins
				phrase.Reset()
				i++
				continue
			}
			phrase.WriteByte(c)
			i++
		default:
			at = at || c == '@'
			phrase.WriteByte(c)
			i++
		}
	}
	if at {
		return nameOf("", comment.String()), addressWord(phrase.String())
	}
	return nameOf(phrase.String(), comment.String()), ""
}

// addressWord is the first word with an @.
func addressWord(text string) string {
	for word := range strings.FieldsSeq(text) {
		if strings.Contains(word, "@") {
			return word
		}
	}
	return strings.TrimSpace(text)
}

// nameOf is the name for people: the phrase, else the comment, without quotes.

func nameOf(phrase, comment string) string {
	name := strings.TrimSpace(phrase)
	if name == "" {
		name = strings.TrimSpace(comment)
	}
	if n := len(name); n > 1 && name[0] == '\'' && name[n-1] == '\'' {
		name = name[1 : n-1]
	}
	return strings.Trim(name, " \t\n")
}

func firstAddress(text string) string {
	_, address := firstMailbox(text)
	return address
}

func firstName(text string) string {
	name, _ := firstMailbox(text)
	return name
}

// registered is the domain under a public suffix.
func registered(host string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(host)); err == nil {
		return d
	}
	return host
}

// firstIP is the first IP address in a text.
func firstIP(text string) string {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n()[]<>,;=", r) }) {
		if a, err := netip.ParseAddr(word); err == nil {
			return a.WithZone("").Unmap().String() // a zone is any text
		}
	}
	return ""
}
