// Package all lists the checks. Adding one is a line here.
package all

import (
	"milterd/checks"
	"milterd/checks/arc"
	"milterd/checks/attachments"
	"milterd/checks/auth"
	"milterd/checks/author"
	"milterd/checks/bayes"
	"milterd/checks/clamav"
	"milterd/checks/content"
	"milterd/checks/dkim"
	"milterd/checks/dmarc"
	"milterd/checks/dnsbl"
	"milterd/checks/firstseen"
	"milterd/checks/greylist"
	"milterd/checks/header"
	"milterd/checks/iprev"
	"milterd/checks/lists"
	"milterd/checks/rates"
	"milterd/checks/replies"
	"milterd/checks/signing"
	"milterd/checks/spf"
	"milterd/checks/uribl"
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
		dnsbl.Spec(),
		uribl.Spec(),
		dmarc.Spec(),
		header.Spec(),
		content.Spec(set),
		bayes.Spec(),
		replies.Spec(),
		firstseen.Spec(),
		rates.Spec(),
		greylist.Spec(),
		attachments.Spec(),
		clamav.Spec(),
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
