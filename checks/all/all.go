// Package all lists the checks. Adding one is a line here.
package all

import (
	"milterd/checks"
	"milterd/checks/arc"
	"milterd/checks/auth"
	"milterd/checks/author"
	"milterd/checks/content"
	"milterd/checks/dkim"
	"milterd/checks/dmarc"
	"milterd/checks/header"
	"milterd/checks/iprev"
	"milterd/checks/lists"
	"milterd/checks/signing"
	"milterd/checks/spf"
	"milterd/rules"
)

// Specs returns every check of this version in the order in which results are
// reported. set holds the rules that the content check runs; without one the
// specs still tell names and findings.
func Specs(set *rules.Set) []checks.Spec {
	return []checks.Spec{
		spf.Spec(),
		dkim.Spec(),
		arc.Spec(),
		iprev.Spec(),
		auth.Spec(),
		author.Spec(),
		dmarc.Spec(),
		header.Spec(),
		content.Spec(set),
		lists.Spec(),
		signing.Spec(),
	}
}

// Names returns the names of the checks whose keys stand below checks in the
// configuration.
func Names() []string {
	var names []string
	for _, s := range Specs(nil) {
		if !s.TopLevel {
			names = append(names, s.Name)
		}
	}
	return names
}
