package arc

import (
	"strings"

	"milterd/authres"
	"milterd/message"
)

// parseResults takes the value of an ARC-Authentication-Results apart into its
// instance and the payload, which is that of an Authentication-Results
// (RFC 8617, section 4.1.1):
//
//	arc-info = instance [CFWS] ";" authres-payload
//	instance = [CFWS] %s"i" [CFWS] "=" [CFWS] position
func parseResults(value string) (instance int, payload string, ok bool) {
	rest := value
	for _, c := range []byte("i=") {
		if rest, ok = skipCFWS(rest); !ok || rest == "" || rest[0] != c {
			return 0, "", false
		}
		rest = rest[1:]
	}
	if rest, ok = skipCFWS(rest); !ok {
		return 0, "", false
	}
	digits := 0
	for digits < len(rest) && digits < 2 && '0' <= rest[digits] && rest[digits] <= '9' {
		instance = 10*instance + int(rest[digits]-'0')
		digits++
	}
	if instance < 1 || instance > MaxSets {
		return 0, "", false
	}
	rest, ok = skipCFWS(rest[digits:])
	if !ok || rest == "" || rest[0] != ';' {
		return 0, "", false
	}
	return instance, rest[1:], true
}

// maxCommentDepth bounds nested comments.
const maxCommentDepth = 20

// skipCFWS drops white space and comments at the beginning of s (RFC 5322,
// section 3.2.2). ok is false for a comment that does not end.
func skipCFWS(s string) (rest string, ok bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '(':
			if depth++; depth > maxCommentDepth {
				return "", false
			}
		case depth > 0:
			switch c {
			case ')':
				depth--
			case '\\':
				i++
			}
		case c != ' ' && c != '\t' && c != '\r' && c != '\n':
			return s[i:], true
		}
	}
	return "", depth == 0
}

// Results returns what a message's own Authentication-Results fields of one host
// say together, as [Sealer.Seal] wants it: a host whose filters write a field
// each must seal them all (RFC 8617, section 4.1.1). It is the text of the fields
// from top to bottom, "" when there are none. Fields in which id does not stand
// plainly, without version or comments, and those that cannot be read, are passed
// over; the caller has removed the fields that only pretend to be the host's.
func Results(fields []message.Field, id string) string {
	var all strings.Builder
	for i := range fields {
		if !strings.EqualFold(fieldName(&fields[i]), authres.Name) {
			continue
		}
		value := fields[i].Value
		host, list, found := strings.Cut(value, ";")
		f, err := authres.Parse(value)
		if err != nil || len(f.Methods) == 0 || !found || !strings.EqualFold(strings.TrimSpace(host), id) {
			continue
		}
		if all.Len() == 0 {
			all.WriteString(id)
		}
		all.WriteString(";\n\t" + strings.Trim(list, "; \t\r\n"))
	}
	return all.String()
}
