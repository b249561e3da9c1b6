package opendkim

import (
	"strconv"
	"strings"
)

// kind is how OpenDKIM reads a value.
type kind int

const (
	text kind = iota
	number
	yesno
)

// A directive is a setting that OpenDKIM knows. Those without a judge are carried
// by code of their own.
type directive struct {
	kind  kind
	judge func(value string) (fate, string)
}

// own is a setting with code of its own.
var own = directive{}

// free is a setting that nobody will miss, whatever it says.
func free(k kind, why string) directive {
	return directive{k, func(string) (fate, string) { return notNeeded, why }}
}

// lost is a setting that milterd has nothing for.
func lost(k kind, why string) directive {
	return directive{k, func(string) (fate, string) { return notCarried, why }}
}

// lostIfOn is a Boolean that milterd has nothing for; off, it says what is so anyway.
func lostIfOn(why string) directive {
	return directive{yesno, func(v string) (fate, string) {
		if on, _ := boolean(v); on {
			return notCarried, why
		}
		return notNeeded, "off in milterd as well"
	}}
}

// onAnyway is a Boolean that milterd cannot switch off.
func onAnyway(why string) directive {
	return directive{yesno, func(v string) (fate, string) {
		if on, _ := boolean(v); on {
			return notNeeded, why
		}
		return notCarried, "it cannot be switched off: " + why
	}}
}

// action is one of the On- settings: fine when it says one of the words (or their
// first letters), else lost.
func action(why string, fine ...string) directive {
	return directive{text, func(v string) (fate, string) {
		for _, word := range fine {
			if strings.EqualFold(v, word) || strings.EqualFold(v, word[:1]) {
				return notNeeded, "milterd does so anyway"
			}
		}
		return notCarried, why
	}}
}

const (
	service  = "how milterd is run says its service unit"
	logging  = "milterd logs every verdict with its reasons (log:, milterd why)"
	onlyTest = "for OpenDKIM's own tests"
	aResult  = "a result of DKIM alone refuses nothing (RFC 6376, section 6.1): DMARC and scores decide"
	noLength = "milterd signs whole bodies only: with l= anybody can append to signed mail"
	noReport = "milterd sends no failure reports (RFC 6651)"
	noScript = "rules are data, not programs"
	noVBR    = "vouch by reference (RFC 5518) is not evaluated"
	noATPS   = "authorized third-party signatures (RFC 6541) are not evaluated"
	adsp     = "ADSP is historic: DMARC has its place"
	noLDAP   = "milterd asks no LDAP server"
	counted  = "milterd counts in its metrics and keeps every verdict in its journal"
	ratings  = "a feature that OpenDKIM never released"
	dnssec   = "milterd leaves DNSSEC to the resolver: let dns.servers name one that validates"
	verifies = "how signatures are verified is not open to choice"
)

// directives are the settings that OpenDKIM 2.4 to 2.11 know, by name in lower
// case (opendkim.conf(5), and opendkim-config.h for what is not in there).
var directives = map[string]directive{
	// What is signed, how, and for whom; see settle, hosts and signing.
	"authservid": own, "basedirectory": own, "canonicalization": own, "changerootdirectory": own, "dnstimeout": own, "domain": own,
	"exemptdomains": own, "internalhosts": own, "keyfile": own, "keytable": own, "maximumheaders": own, "maximumsignaturestoverify": own,
	"minimumkeybits": own, "mode": own, "multiplesignatures": own, "nameservers": own, "omitheaders": own, "oversignheaders": own,
	"peerlist": own, "selector": own, "signaturealgorithm": own, "signaturettl": own, "signheaders": own, "signingtable": own, "subdomains": own,
	"include": own,

	"bodylengthdb":                 lost(text, noLength),
	"maximumsignedbytes":           lost(number, noLength),
	"diagnostics":                  lostIfOn("z= would copy the header into the signature; milterd dkim verify explains what broke one without it"),
	"dontsignmailto":               lost(text, "milterd signs without regard to recipients"),
	"externalignorelist":           free(text, "it only keeps a line out of OpenDKIM's log"),
	"fixcrlf":                      lostIfOn("lines are signed as Postfix will send them"),
	"macrolist":                    lost(text, "milterd signs for logins ({auth_authen}) and for networks.mynetworks, whatever other macros say"),
	"mta":                          lost(text, "milterd signs for logins ({auth_authen}) and for networks.mynetworks, whatever the name of the port"),
	"popdbfile":                    lost(text, "POP before SMTP is not asked"),
	"removeoldsignatures":          lostIfOn("signatures of others stay in the mail"),
	"replaceheaders":               lost(text, "milterd signs the header as Postfix shows it"),
	"replacerules":                 lost(text, "milterd signs the header as Postfix shows it"),
	"requestreports":               lostIfOn(noReport),
	"requiresafekeys":              onAnyway("milterd takes no key file that others can read"),
	"resignall":                    lostIfOn("mail that only passes through is not signed"),
	"resignmailto":                 lost(text, "mail that only passes through is not signed"),
	"selectcanonicalizationheader": lost(text, "no header field chooses how its mail is signed"),
	"senderheaders": {text, func(v string) (fate, string) {
		if strings.EqualFold(strings.TrimPrefix(v, "csl:"), "from") {
			return notNeeded, "milterd goes by From"
		}
		return notCarried, "milterd goes by From; mail of local lists is signed with the list's domain without being told"
	}},
	"sendermacro":          lost(text, "milterd goes by From"),
	"defaultsender":        lost(text, "mail without a From field is not signed"),
	"identityheader":       lost(text, "i= is not set"),
	"identityheaderremove": lostIfOn("i= is not set"),
	"setuppolicyscript":    lost(text, noScript+"; it may decide what is signed"),

	// What is verified.
	"allowsha1only":             free(yesno, "SHA-256 is always there"),
	"alwaysaddarheader":         onAnyway("every incoming message gets an Authentication-Results field"),
	"addallsignatureresults":    onAnyway("the field shows every signature that was looked at"),
	"authservidwithjobid":       lostIfOn("the authserv-id is the same for all mail; X-Milterd-Id names the message"),
	"atpsdomains":               lost(text, noATPS),
	"atpshashalgorithm":         lost(text, noATPS),
	"boguskey":                  free(text, dnssec),
	"boguspolicy":               free(text, dnssec),
	"unprotectedkey":            lost(text, dnssec),
	"unprotectedpolicy":         free(text, adsp),
	"trustanchorfile":           free(text, dnssec),
	"clockdrift":                {number, exactly(300, "a signature may be 300 s ahead of our clock, as in OpenDKIM by default")},
	"diagnosticdirectory":       lost(text, "milterd dkim verify explains what broke a signature"),
	"domainkeyscompat":          lostIfOn("keys of DomainKeys (RFC 4870, historic) are none of DKIM's"),
	"ignoremalformedmail":       lostIfOn("malformed mail is judged like any other"),
	"keepauthresults":           lostIfOn("results in our name that others wrote are always removed"),
	"minimum":                   lost(text, verifies),
	"mustbesigned":              lost(text, verifies),
	"noheaderb":                 lostIfOn("how results are written is not open to choice"),
	"on-badsignature":           action(aResult, "accept"),
	"on-default":                lost(text, aResult),
	"on-dnserror":               action(aResult, "accept"),
	"on-internalerror":          action("our own faults answer 451 4.3.0, and HOLD when they last", "tempfail"),
	"on-keynotfound":            action(aResult, "accept"),
	"on-nosignature":            action(aResult, "accept"),
	"on-policyerror":            free(text, adsp),
	"on-reputationerror":        lost(text, ratings),
	"on-security":               lost(text, aResult),
	"on-signatureerror":         action("mail that cannot be signed waits (451 4.7.5) until its keys are there", "tempfail"),
	"captureunknownerrors":      free(yesno, "a message that milterd fails on again and again goes to HOLD"),
	"quarantine":                lostIfOn(aResult),
	"redirectfailuresto":        lost(text, "mail is never redirected"),
	"removearall":               lostIfOn("results in the names of others are left to those who read them"),
	"removearfrom":              lost(text, "only results in our own name are removed"),
	"requiredheaders":           lostIfOn("the check author judges the From field; the rest is left to rules"),
	"strictheaders":             lostIfOn("the check author judges the From field; the rest is left to rules"),
	"trustsignaturesfrom":       lost(text, "what DMARC takes is a signature of the author's own domain"),
	"weaksyntaxchecks":          lostIfOn("the syntax of signatures and addresses is not open to choice"),
	"adspaction":                free(text, adsp),
	"adspnosuchdomain":          free(yesno, adsp),
	"disableadsp":               free(yesno, adsp),
	"localadsp":                 free(text, adsp),
	"nodiscardablemailto":       free(text, adsp),
	"sendadspreports":           free(yesno, adsp),
	"vbr-certifiers":            lost(text, noVBR),
	"vbr-purgefields":           lostIfOn(noVBR),
	"vbr-trustedcertifiers":     lost(text, noVBR),
	"vbr-trustedcertifiersonly": lostIfOn(noVBR),
	"vbr-type":                  lost(text, noVBR),
	"sendreports":               lostIfOn(noReport),
	"reportaddress":             free(text, noReport),
	"reportbccaddress":          free(text, noReport),
	"mtacommand":                free(text, noReport),
	"smtpuri":                   free(text, noReport),
	"softwareheader":            lostIfOn("X-Milterd-Id is the only field that names milterd"),
	"x-header":                  lostIfOn("X-Milterd-Id is the only field that names milterd"),

	// Programs.
	"finalpolicyscript":      lost(text, noScript),
	"screenpolicyscript":     lost(text, noScript),
	"statisticspolicyscript": lost(text, noScript),

	// DNS.
	"dnsconnect":            free(yesno, "TCP is used where an answer needs it"),
	"querycache":            free(yesno, "answers are always cached"),
	"resolverconfiguration": lost(text, "name the resolver in dns.servers and configure it there"),
	"resolvertracing":       free(yesno, logging),

	// The process.
	"autorestart":         free(yesno, service),
	"autorestartcount":    free(number, service),
	"autorestartrate":     free(text, service),
	"background":          free(yesno, service),
	"disablecryptoinit":   free(yesno, service),
	"enablecoredumps":     free(yesno, service),
	"keeptemporaryfiles":  free(yesno, "milterd dkim verify --hashed prints what was hashed"),
	"logresults":          free(yesno, logging),
	"logwhy":              free(yesno, logging),
	"milterdebug":         free(number, logging),
	"pidfile":             free(text, service),
	"socket":              free(text, "milterd's sockets are in listen:; smtpd_milters in main.cf has to name one of them"),
	"softstart":           free(yesno, noLDAP),
	"stricttestmode":      free(yesno, onlyTest),
	"syslog":              free(yesno, logging),
	"syslogfacility":      free(text, logging),
	"syslogname":          free(text, logging),
	"syslogsuccess":       free(yesno, logging),
	"temporarydirectory":  free(text, "milterd has its own (spool:)"),
	"testdnsdata":         free(text, onlyTest),
	"testpublickeys":      free(text, onlyTest),
	"umask":               free(number, "the mode of a socket stands beside it in listen:"),
	"userid":              free(text, "serve --user names milterd's"),
	"statistics":          free(text, counted),
	"statisticsname":      free(text, counted),
	"statisticsprefix":    free(text, counted),
	"anonymousdomains":    free(text, counted),
	"anonymousstatistics": free(yesno, counted),

	// Where tables come from.
	"ldapauthmechanism":     free(text, noLDAP),
	"ldapauthname":          free(text, noLDAP),
	"ldapauthrealm":         free(text, noLDAP),
	"ldapauthuser":          free(text, noLDAP),
	"ldapbindpassword":      free(text, noLDAP),
	"ldapbinduser":          free(text, noLDAP),
	"ldapdisablecache":      free(yesno, noLDAP),
	"ldapkeepaliveidle":     free(text, noLDAP),
	"ldapkeepaliveinterval": free(text, noLDAP),
	"ldapkeepaliveprobes":   free(text, noLDAP),
	"ldapsoftstart":         free(yesno, noLDAP),
	"ldaptimeout":           free(text, noLDAP),
	"ldapusetls":            free(yesno, noLDAP),

	// Never released: rate limits and reputation.
	"flowdata":                 lost(text, ratings),
	"flowdatafactor":           lost(number, ratings),
	"flowdatattl":              lost(number, ratings),
	"ratelimits":               lost(text, ratings),
	"dkimreputationfail":       lost(number, ratings),
	"dkimreputationpass":       lost(number, ratings),
	"dkimreputationreject":     lost(number, ratings),
	"dkimreputationroot":       lost(text, ratings),
	"reputationcache":          lost(text, ratings),
	"reputationcachettl":       lost(number, ratings),
	"reputationduplicates":     lost(text, ratings),
	"reputationlimitmodifiers": lost(text, ratings),
	"reputationlimits":         lost(text, ratings),
	"reputationlowtime":        lost(text, ratings),
	"reputationminimum":        lost(number, ratings),
	"reputationratios":         lost(text, ratings),
	"reputationrrdhashdepth":   lost(number, ratings),
	"reputationrrdroot":        lost(text, ratings),
	"reputationspamcheck":      lost(text, ratings),
	"reputationtest":           lost(yesno, ratings),
	"reputationtimefactor":     lost(number, ratings),
	"reputationtimeout":        lost(number, ratings),
	"reputationverbose":        lost(yesno, ratings),
}

// exactly judges a number that milterd does not let anybody choose.
func exactly(n int64, why string) func(string) (fate, string) {
	return func(v string) (fate, string) {
		if got, _ := strconv.ParseInt(v, 0, 64); got == n {
			return notNeeded, why
		}
		return notCarried, "it cannot be chosen: " + why
	}
}

// secret names the settings whose value is nobody's business.
func secret(name string) bool { return strings.EqualFold(name, "LDAPBindPassword") }
