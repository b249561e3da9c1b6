package opendkim

import (
	"cmp"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"milterd/dkim"
	"milterd/message"
)

// settle gives every setting its fate that needs no table.
func (im *importer) settle() {
	if s, ok := im.take("BaseDirectory"); ok {
		im.base = im.abs(s.value)
		im.enter(s.Pos, carried, shown(s), "")
	}
	if s, ok := im.take("ChangeRootDirectory"); ok {
		im.root = filepath.Clean(s.value)
		im.enter(s.Pos, carried, shown(s), "")
	}
	im.judge()
	im.authservID()
	im.dns()
	im.limits()
	im.how()
	im.headers()
}

// judge enters the settings that need no code of their own.
func (im *importer) judge() {
	for _, key := range slices.Sorted(maps.Keys(im.settings)) {
		d := directives[key]
		if d.judge == nil {
			continue
		}
		s, _ := im.take(key)
		switch d.kind {
		case yesno:
			if _, ok := boolean(s.value); !ok {
				im.enter(s.Pos, notCarried, shown(s), "expected yes or no: OpenDKIM does not start with this line")
				continue
			}
		case number:
			if _, err := strconv.ParseInt(s.value, 0, 64); err != nil {
				im.enter(s.Pos, notCarried, shown(s), "expected a number: OpenDKIM does not start with this line")
				continue
			}
		}
		f, why := d.judge(s.value)
		im.enter(s.Pos, f, shown(s), "%s", why)
	}
}

// integer takes a number, -1 where there is none.
func (im *importer) integer(name string) (s setting, n int64, ok bool) {
	s, ok = im.take(name)
	if !ok {
		return s, 0, false
	}
	n, err := strconv.ParseInt(s.value, 0, 32)
	if err != nil || n < 0 {
		im.enter(s.Pos, notCarried, shown(s), "expected a number from 0 on")
		return s, 0, false
	}
	return s, n, true
}

func (im *importer) authservID() {
	s, ok := im.take("AuthservID")
	switch {
	case !ok:
	case s.value == "HOSTNAME":
		im.enter(s.Pos, notNeeded, shown(s), "the default is the name that Postfix gives itself ($myhostname)")
	default:
		// authserv-id is a value: RFC 8601, section 2.2. A domain name is what all use.
		id, err := message.ParseDomain(s.value)
		if err != nil {
			im.enter(s.Pos, notCarried, shown(s), "%v, expected one for authserv_id", err)
			return
		}
		im.config.AuthservID = id.String()
		im.enter(s.Pos, carried, shown(s), "")
	}
}

func (im *importer) dns() {
	if s, n, ok := im.integer("DNSTimeout"); ok {
		const most = 8 // seconds, for all of DKIM's questions
		if n < 1 || n > most {
			im.enter(s.Pos, notCarried, shown(s), "dns.timeout is for one question, and all of DKIM's together have %d s: expected 1 to %d", most, most)
		} else {
			im.config.DNSTimeout = time.Duration(n) * time.Second
			im.enter(s.Pos, carried, shown(s), "")
		}
	}
	if s, ok := im.take("Nameservers"); ok {
		for _, e := range parseList(Pos{s.File, s.Line, s.valueCol}, s.value) {
			addr, err := netip.ParseAddr(e.key)
			if err != nil || e.value != "" {
				im.enter(e.Pos, notCarried, s.name+" "+e.key, "not an IP address")
				continue
			}
			im.config.DNSServers = append(im.config.DNSServers, addr.String())
			im.enter(e.Pos, carried, s.name+" "+e.key, "")
		}
	}
}

// The defaults of milterd's limits.
const (
	headerBytes    = 256 << 10
	dkimSignatures = 8
)

func (im *importer) limits() {
	if s, n, ok := im.integer("MaximumHeaders"); ok {
		switch {
		case n == 0:
			im.enter(s.Pos, notCarried, shown(s), "a header has a limit always; raise limits.header_bytes if 256KiB is too little")
		case n > 64*headerBytes:
			im.enter(s.Pos, notCarried, shown(s), "no mail has such a header; limits.header_bytes is 256KiB by default")
		case n <= headerBytes:
			im.enter(s.Pos, notNeeded, shown(s), "limits.header_bytes is 256KiB by default, and mail over it gets 552 5.3.4")
		default:
			im.config.HeaderBytes = n
			im.enter(s.Pos, carried, shown(s), "")
		}
	}
	if s, n, ok := im.integer("MaximumSignaturesToVerify"); ok {
		switch {
		case n <= dkimSignatures:
			im.enter(s.Pos, notNeeded, shown(s), "limits.dkim_signatures is 8 by default")
		case n > 100:
			im.enter(s.Pos, notCarried, shown(s), "that many look-ups let one message keep the DNS busy; limits.dkim_signatures is 8 by default")
		default:
			im.config.DKIMSignatures = n
			im.enter(s.Pos, carried, shown(s), "")
		}
	}
	if s, n, ok := im.integer("MinimumKeyBits"); ok {
		if n == 1024 {
			im.enter(s.Pos, notNeeded, shown(s), "1024 is the least that milterd takes (RFC 8301)")
		} else {
			im.enter(s.Pos, notCarried, shown(s), "it cannot be chosen: a key must have 1024 bits (RFC 8301)")
		}
	}
}

// how carries the way of signing that is the same for all mail.
func (im *importer) how() {
	if s, ok := im.take("Canonicalization"); ok {
		header, body, both := strings.Cut(strings.ToLower(s.value), "/")
		if !both {
			body = "simple" // OpenDKIM's default stays for the body
		}
		if !isCanonicalization(header) || !isCanonicalization(body) {
			im.enter(s.Pos, notCarried, shown(s), "expected relaxed or simple, or two of them with / between: OpenDKIM does not start with this line")
		} else {
			im.config.Canonicalization = header + "/" + body
			im.enter(s.Pos, carried, shown(s), "")
		}
	} else {
		im.note("no Canonicalization is set: OpenDKIM signs simple/simple, which breaks when anybody folds a line anew; milterd signs relaxed/simple (signing.canonicalization)")
	}
	if s, n, ok := im.integer("SignatureTTL"); ok {
		const day = 24 * 60 * 60
		switch {
		case n == 0:
			im.config.Expire = "off"
			im.enter(s.Pos, carried, shown(s), "")
		case n < day:
			im.enter(s.Pos, notCarried, shown(s), "mail may wait in queues longer: signing.expire takes a day or more, and is 7d by default")
		default:
			im.config.Expire = strconv.FormatInt(n, 10) + "s"
			if n%day == 0 {
				im.config.Expire = strconv.FormatInt(n/day, 10) + "d"
			}
			im.enter(s.Pos, carried, shown(s), "")
		}
	} else {
		im.note("no SignatureTTL is set: OpenDKIM's signatures hold for ever, milterd's for 7 days (signing.expire)")
	}
	if s, ok := im.take("SignatureAlgorithm"); ok {
		switch strings.ToLower(s.value) {
		case "rsa-sha256", "ed25519-sha256":
			im.enter(s.Pos, notNeeded, shown(s), "the kind of key says it")
		default:
			im.enter(s.Pos, notCarried, shown(s), "milterd signs rsa-sha256 and ed25519-sha256 only (RFC 8301)")
		}
	}
}

func isCanonicalization(s string) bool { return s == "relaxed" || s == "simple" }

// headers compares the fields that OpenDKIM is told to sign with those that
// milterd signs: milterd has two sets to choose from, and this is the stricter.
func (im *importer) headers() {
	names, oversigned := dkim.StandardNames()
	signed := slices.Concat(names, oversigned)
	has := func(set []string, name string) bool {
		return slices.ContainsFunc(set, func(s string) bool { return strings.EqualFold(s, name) })
	}
	each := func(setting string, judge func(name string) (fate, string)) {
		s, ok := im.take(setting)
		if !ok {
			return
		}
		d, ok := im.open(s, "milterd signs its own set of fields (signing.headers)")
		if !ok {
			return
		}
		for _, e := range d.entries {
			what := s.name + " " + e.key
			name := strings.TrimLeft(e.key, "+-")
			switch {
			case e.dead != "":
				im.enter(e.Pos, notCarried, what, "%s", e.dead)
			case e.key == "*" || e.key == "." || e.key == "-":
				im.enter(e.Pos, notNeeded, what, "it names no field")
			default:
				f, why := judge(name)
				if strings.HasPrefix(e.key, "-") {
					f, why = notCarried, "milterd signs its own set of fields (signing.headers)"
				}
				im.enter(e.Pos, f, what, "%s", why)
			}
		}
	}
	each("OversignHeaders", func(name string) (fate, string) {
		if has(oversigned, name) {
			return notNeeded, "milterd oversigns it (signing.headers: strict)"
		}
		return notCarried, "milterd does not oversign it, and has no list of fields to choose: signing.headers is strict or list-friendly"
	})
	each("SignHeaders", func(name string) (fate, string) {
		if has(signed, name) {
			return notNeeded, "milterd signs it (signing.headers: strict)"
		}
		return notCarried, "milterd does not sign it, and has no list of fields to choose: signing.headers is strict or list-friendly"
	})
	each("OmitHeaders", func(name string) (fate, string) {
		if !has(signed, name) {
			return notNeeded, "milterd does not sign it either"
		}
		return notCarried, "milterd signs it, and has no list of fields to choose: signing.headers is strict or list-friendly"
	})
}

// mode reports whether OpenDKIM signs at all.
func (im *importer) mode() (signs bool) {
	s, ok := im.take("Mode")
	if !ok {
		return true
	}
	if strings.Trim(s.value, "sv") != "" {
		im.enter(s.Pos, notCarried, shown(s), "expected s, v or sv: OpenDKIM does not start with this line")
		return true
	}
	signs = strings.Contains(s.value, "s")
	switch verifies := strings.Contains(s.value, "v"); {
	case signs && verifies:
		im.enter(s.Pos, carried, shown(s), "")
	case signs:
		im.enter(s.Pos, notCarried, shown(s), "milterd verifies what comes in as well as it signs what goes out (checks.dkim.enabled: false leaves it out, and DMARC with it)")
	default:
		im.enter(s.Pos, carried, shown(s), "")
		im.note("%s %s: OpenDKIM signs nothing, and so does the configuration that was made", s.name, cmp.Or(s.value, "v"))
	}
	return signs
}
