package opendkim

import (
	"strings"
	"unicode/utf8"

	"milterd/message"
)

// signing carries who signs what: SigningTable and KeyTable, or Domain, Selector
// and KeyFile.
func (im *importer) signing() {
	if !im.mode() {
		for _, name := range []string{"SubDomains", "MultipleSignatures", "Domain", "Selector", "KeyFile", "KeyTable", "SigningTable", "ExemptDomains"} {
			if s, ok := im.take(name); ok {
				im.enter(s.Pos, notNeeded, shown(s), "OpenDKIM does not sign in this mode")
			}
		}
		return
	}
	withTable, withoutTable := "", "it is for a SigningTable, and there is none"
	if _, ok := im.settings["signingtable"]; ok {
		withTable, withoutTable = "it is for Domain; a SigningTable says itself what it is for", ""
	}
	subdomains, multiple := im.flag("SubDomains", withTable), im.flag("MultipleSignatures", withoutTable)
	exempt := im.exempt()
	table, hasTable := im.take("SigningTable")
	keyTable, hasKeys := im.take("KeyTable")
	var s *signers
	switch {
	case hasTable && hasKeys:
		for _, name := range []string{"Domain", "Selector", "KeyFile"} {
			if s, ok := im.take(name); ok {
				im.enter(s.Pos, notNeeded, shown(s), "OpenDKIM takes no notice of it where there is a KeyTable")
			}
		}
		s = im.tables(table, keyTable, multiple)
	case hasTable:
		im.enter(table.Pos, notCarried, shown(table), "there is no KeyTable: OpenDKIM does not start without one")
	case hasKeys:
		im.enter(keyTable.Pos, notCarried, shown(keyTable), "there is no SigningTable, and OpenDKIM starts only with one, or with a SetupPolicyScript that chooses keys")
	default:
		s = im.single(subdomains)
	}
	for _, name := range []string{"Domain", "Selector", "KeyFile"} {
		if s, ok := im.take(name); ok {
			im.enter(s.Pos, notCarried, shown(s), "OpenDKIM signs with Domain, Selector and KeyFile together, or with KeyTable and SigningTable")
		}
	}
	if s != nil {
		s.index()
		im.fit(s, exempt)
	} else {
		im.enterExempt(exempt, nil)
	}
}

// tables reads the two tables. Nil stands for tables that cannot be read.
func (im *importer) tables(table, keyTable setting, multiple bool) *signers {
	kd, ok := im.open(keyTable, "Nothing is signed")
	td, ok2 := im.open(table, "Nothing is signed")
	if ok && ok2 {
		return im.signers(td, kd, multiple)
	}
	for _, d := range []dataset{kd, td} {
		for _, e := range d.entries {
			im.enter(e.Pos, notCarried, d.name+" "+e.key, "KeyTable and SigningTable are of use together only")
		}
	}
	return nil
}

// signers joins the two tables. A line that OpenDKIM cannot use is entered at once.
func (im *importer) signers(td, kd dataset, multiple bool) *signers {
	s := &signers{keys: im.readKeyTable(kd), multiple: multiple, refile: td.kind == pattern}
	for _, e := range td.entries {
		what := td.name + " " + e.key
		name, signer, hasSigner := strings.Cut(e.value, ":")
		switch {
		case e.dead != "":
			im.enter(e.Pos, notCarried, what, "%s", e.dead)
			continue
		case name == "" && s.refile:
			im.enter(e.Pos, notCarried, what, "no name of a key behind it: OpenDKIM 2.11 crashes over mail that it fits")
			continue
		}
		e.key = strings.ToLower(e.key)
		l := &line{entry: e, keyName: name}
		if name != "%" {
			l.key = s.keys.get(name)
		}
		if hasSigner && signer != "" {
			f, why := l.signer(signer)
			im.enter(e.Pos, f, what+" (signer "+signer+")", "%s", why)
		}
		s.lines = append(s.lines, l)
	}
	return s
}

// signer judges the second field of a value, which is i=.
func (l *line) signer(signer string) (fate, string) {
	domain := strings.ToLower(strings.TrimPrefix(signer, "@"))
	if domain == "%" || l.key != nil && domain == l.key.domain {
		return notNeeded, "i= means the domain of the signature where it is missing"
	}
	return notCarried, "milterd sets no i="
}

// single reads Domain, Selector and KeyFile: one key for some domains.
func (im *importer) single(subdomains bool) *signers {
	_, d := im.settings["domain"]
	_, sel := im.settings["selector"]
	_, file := im.settings["keyfile"]
	if !d || !sel || !file {
		return nil
	}
	domain, _ := im.take("Domain")
	selector, _ := im.take("Selector")
	keyFile, _ := im.take("KeyFile")
	set, ok := im.open(domain, "Nothing is signed")
	// KeyFile is read before OpenDKIM changes its root directory.
	k := &key{entry: entry{Pos: keyFile.Pos, key: "KeyFile"}, domain: "%", selector: strings.ToLower(selector.value), path: im.abs(keyFile.value)}
	k.checkSelector()
	if k.why != "" {
		im.enter(selector.Pos, notCarried, shown(selector), "%s", k.why)
	} else {
		im.enter(selector.Pos, carried, shown(selector), "")
	}
	if utf8.ValidString(k.path) {
		im.enter(keyFile.Pos, carried, shown(keyFile), "")
	} else {
		k.why = "its path is not UTF-8, which YAML cannot say"
		im.enter(keyFile.Pos, notCarried, shown(keyFile), "%s", k.why)
	}
	if !ok {
		return nil
	}
	s := &signers{single: k, subdomains: subdomains, refile: set.kind == pattern}
	for _, e := range set.entries {
		if e.dead != "" {
			im.enter(e.Pos, notCarried, set.name+" "+e.key, "%s", e.dead)
			continue
		}
		e.key = strings.ToLower(e.key)
		s.lines = append(s.lines, &line{entry: e, key: k})
	}
	return s
}

// exemptions are the entries of ExemptDomains: mail of these domains OpenDKIM
// leaves alone. Domains below them are not meant.
type exemptions struct {
	entries []entry
	names   map[string]bool
}

// exempt reads ExemptDomains.
func (im *importer) exempt() *exemptions {
	x := &exemptions{names: map[string]bool{}}
	s, ok := im.take("ExemptDomains")
	if !ok {
		return x
	}
	d, ok := im.open(s, "Mail of these domains is signed and verified like any other")
	if !ok {
		return x
	}
	x.entries = d.entries
	for i, e := range d.entries {
		name := strings.ToLower(e.key)
		x.entries[i].key = name
		if e.dead == "" {
			x.names[name] = true
		}
	}
	return x
}

// enterExempt gives the entries of ExemptDomains their fate: the first half is
// carried by leaving the domain out, the second half milterd does not have.
func (im *importer) enterExempt(exempt *exemptions, domains map[message.Domain]*Domain) {
	for _, e := range exempt.entries {
		what := "ExemptDomains " + e.key
		d, err := message.ParseDomain(e.key)
		switch {
		case e.dead != "":
			im.enter(e.Pos, notCarried, what, "%s", e.dead)
		case err == nil && len(signaturesOf(domains, d)) > 0:
			im.enter(e.Pos, notCarried, what, "its mail is signed, because a domain above it signs for subdomains, and verified like any other")
		default:
			im.enter(e.Pos, notCarried, what, "its mail is not signed, but verified like any other (lists.allow may exempt a sender from checks)")
		}
	}
}
