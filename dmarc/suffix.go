package dmarc

import (
	"strings"

	"golang.org/x/net/publicsuffix"

	"milterd/message"
)

// SuffixList is a Public Suffix List, such as the List of
// golang.org/x/net/publicsuffix.
type SuffixList interface {
	// PublicSuffix returns the public suffix of a domain given in lower case and
	// A-labels: "co.uk" of "www.example.co.uk", and of "co.uk" itself.
	PublicSuffix(domain string) string
}

// OrganizationalByList returns the Organizational Domain of d as RFC 7489, section
// 3.2, has it: the public suffix and one label more. A public suffix is its own.
// A nil list is the one that was compiled in.
func OrganizationalByList(d message.Domain, list SuffixList) message.Domain {
	if d.IsZero() {
		return d
	}
	return ancestor(d, strings.Count(suffix(d, list), ".")+2)
}

// isPublicSuffix reports whether d is a suffix of the list, nil for the one that
// was compiled in. Every top-level domain is one.
func isPublicSuffix(d message.Domain, list SuffixList) bool {
	return suffix(d, list) == d.String()
}

func suffix(d message.Domain, list SuffixList) string {
	if list == nil {
		list = publicsuffix.List
	}
	return list.PublicSuffix(d.String())
}
