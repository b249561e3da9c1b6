package spf

import (
	"errors"
	"strings"
	"testing"
)

func TestMailboxes(t *testing.T) {
	long := strings.Repeat("a", 63)
	tests := map[string]struct {
		in     string
		local  string // what macros see
		domain string
		reason string // of none
		bad    error  // permerror
	}{
		"plain":                     {in: "user@example.org", local: "user", domain: "example.org"},
		"all of atext":              {in: "!#$%&'*+-/=?^_`{|}~@example.org", local: "!#$%&'*+-/=?^_`{|}~", domain: "example.org"},
		"dot-string":                {in: "a.b.c@example.org", local: "a.b.c", domain: "example.org"},
		"long VERP":                 {in: "b+" + long + "=" + long + "@example.org", local: "b+" + long + "=" + long, domain: "example.org"},
		"upper case":                {in: "User@EXAMPLE.Org", local: "User", domain: "example.org"},
		"quoted":                    {in: `"user name"@example.org`, local: "user name", domain: "example.org"},
		"quoted at sign":            {in: `"any@legit.test"@attack.test`, local: "any@legit.test", domain: "attack.test"},
		"quoted quote":              {in: `"a\"b\\c\d"@example.org`, local: `a"b\cd`, domain: "example.org"},
		"empty quoted":              {in: `""@example.org`, local: "", domain: "example.org"},
		"no local-part":             {in: "@example.org", local: "", domain: "example.org"},
		"UTF-8 local-part":          {in: "用户@example.org", local: "用户", domain: "example.org"},
		"quoted UTF-8 local-part":   {in: `"用 户"@example.org`, local: "用 户", domain: "example.org"},
		"U-label":                   {in: "user@bücher.example", local: "user", domain: "xn--bcher-kva.example"},
		"A-label":                   {in: "user@XN--bcher-kva.example", local: "user", domain: "xn--bcher-kva.example"},
		"U-label beside upper case": {in: "user@bücher.EXAMPLE", local: "user", domain: "xn--bcher-kva.example"},

		// None: mailboxes whose domain has no SPF (RFC 7208, section 4.3).
		"IPv4 literal":    {in: "user@[192.0.2.1]", reason: reasonLiteral},
		"IPv6 literal":    {in: "user@[IPv6:2001:db8::1]", reason: reasonLiteral},
		"one label":       {in: "user@localhost", reason: reasonName},
		"empty label":     {in: "user@a..example.org", reason: reasonName},
		"leading dot":     {in: "user@.example.org", reason: reasonName},
		"no domain":       {in: "user@", reason: reasonName},
		"label of 64":     {in: "user@" + long + "a.example.org", reason: reasonName},
		"name of 254":     {in: "user@" + strings.Repeat(long+".", 3) + long[:62], reason: reasonName},
		"IPv4 as a name":  {in: "user@192.0.2.1", reason: reasonName},
		"numeric top":     {in: "user@example.123", reason: reasonName},
		"label of 63":     {in: "user@" + long + ".example.org", local: "user", domain: long + ".example.org"},
		"numeric inwards": {in: "user@163.com", local: "user", domain: "163.com"},

		// Permerror: not mailboxes. The first are attacks of espoofer's.
		"a2: comment opens":           {in: "(any@legit.test", bad: errNoDomain},
		"a5: comment in domain":       {in: "any@legit.test(a.attack.test", bad: errDomain},
		"a6: two at signs":            {in: "any@legit.test'@any.attack.test", bad: errDomain},
		"a7: route with comma":        {in: "@legit.test,@any.test:'any@attack.test", bad: errDomain},
		"source route":                {in: "@legit.test:any@attack.test", bad: errDomain},
		"apostrophe in domain":        {in: "any@legit.test'a.attack.test", bad: errDomain},
		"quote in domain":             {in: `any@legit.test"a.attack.test`, bad: errDomain},
		"comment":                     {in: "any(legit.test)@attack.test", bad: errNoDomain},
		"brackets left on":            {in: "<any@legit.test>", bad: errNoDomain},
		"display name":                {in: "Any <any@legit.test>", bad: errNoDomain},
		"NUL in domain":               {in: "any@legit.test\x00.attack.test", bad: errDomain},
		"NUL in local-part":           {in: "any\x00@legit.test", bad: errNoDomain},
		"CR LF":                       {in: "any@legit.test\r\nX: y", bad: errDomain},
		"CR LF quoted":                {in: "\"a\r\nb\"@legit.test", bad: errLocalPart},
		"space after":                 {in: "any@legit.test ", bad: errDomain},
		"space in local-part":         {in: "any one@legit.test", bad: errNoDomain},
		"backslash in domain":         {in: `any@legit\.test.attack.test`, bad: errDomain},
		"percent":                     {in: "any@legit%00.attack.test", bad: errDomain},
		"slash":                       {in: "any@legit/24.test", bad: errDomain},
		"two addresses":               {in: "a@legit.test,b@attack.test", bad: errDomain},
		"quoted, text follows":        {in: `"any"x@legit.test`, bad: errNoDomain},
		"quoted, not closed":          {in: `"any@legit.test`, bad: errLocalPart},
		"quoted, backslash at end":    {in: `"any\`, bad: errLocalPart},
		"quoted pair of control":      {in: "\"any\\\x01\"@legit.test", bad: errLocalPart},
		"dot first":                   {in: ".any@legit.test", bad: errLocalPart},
		"dot last":                    {in: "any.@legit.test", bad: errLocalPart},
		"two dots":                    {in: "a..b@legit.test", bad: errLocalPart},
		"bare word":                   {in: "postmaster", bad: errNoDomain},
		"only a quote":                {in: `"`, bad: errLocalPart},
		"underscore":                  {in: "any@le_git.test", bad: errDomain},
		"final dot":                   {in: "any@legit.test.", bad: errDomain},
		"hyphen first":                {in: "any@-legit.test", bad: errDomain},
		"hyphen last":                 {in: "any@legit-.test", bad: errDomain},
		"literal not closed":          {in: "any@[192.0.2.1", bad: errLiteral},
		"literal with text after":     {in: "any@[192.0.2.1].legit.test", bad: errLiteral},
		"IPv6 literal without tag":    {in: "any@[2001:db8::1]", bad: errLiteral},
		"IPv6 literal with zone":      {in: "any@[IPv6:fe80::1%legit.test]", bad: errLiteral},
		"literal of another tag":      {in: "any@[x:@legit.test]", bad: errLiteral},
		"empty literal":               {in: "any@[]", bad: errLiteral},
		"nested literal":              {in: "any@[[192.0.2.1]]", bad: errLiteral},
		"broken UTF-8 in local-part":  {in: "a\xff@legit.test", bad: errLocalPart},
		"broken UTF-8 in domain":      {in: "any@legit\xff.test", bad: errDomain},
		"C1 control":                  {in: "a\u0085b@legit.test", bad: errLocalPart},
		"ideographic full stop":       {in: "any@legit。test.attack.test", bad: errDomain},
		"full-width full stop":        {in: "any@legit．test", bad: errDomain},
		"full-width letters":          {in: "any@ｌｅｇｉｔ.test", bad: errDomain},
		"zero-width space":            {in: "any@leg\u200bit.test", bad: errDomain},
		"soft hyphen":                 {in: "any@leg\u00adit.test", bad: errDomain},
		"right-to-left override":      {in: "any@\u202etset.legit", bad: errDomain},
		"Kelvin sign":                 {in: "any@\u212aelvin.test", bad: errDomain},
		"upper case beyond ASCII":     {in: "any@BÜCHER.example", bad: errDomain},
		"decomposed, not NFC":         {in: "any@bu\u0308cher.example", bad: errDomain},
		"mailbox longer than a limit": {in: strings.Repeat("a", maxMailbox) + "@legit.test", bad: errLong},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			box, err := parseMailbox(test.in, false)
			if !errors.Is(err, test.bad) {
				t.Fatalf("parseMailbox(%q): error %v, want %v", test.in, err, test.bad)
			}
			if box.reason != test.reason {
				t.Fatalf("parseMailbox(%q): reason %q, want %q", test.in, box.reason, test.reason)
			}
			if test.bad == nil && test.reason == "" && (box.local != test.local || box.domain != test.domain) {
				t.Errorf("parseMailbox(%q) = %q, %q, want %q, %q", test.in, box.local, box.domain, test.local, test.domain)
			}

			// The public face of the same: nothing but a mailbox is ever looked up.
			z := zoneOf("legit.test TXT v=spf1 +all")
			res, err := (&Verifier{Resolver: z}).CheckMailFrom(t.Context(), Args{IP: client4, MailFrom: test.in})
			checkInvariants(t, res, err)
			switch {
			case test.bad != nil:
				if res.Status != PermError || !errors.Is(err, ErrMailbox) || !errors.Is(err, test.bad) {
					t.Errorf("result %+v, error %v", res, err)
				}
			case test.reason != "":
				if res.Status != None || res.Reason != test.reason || err != nil {
					t.Errorf("result %+v, error %v", res, err)
				}
			default:
				if res.Domain != test.domain || len(z.asked) != 1 || z.asked[0] != "TXT "+test.domain {
					t.Errorf("result %+v after %q", res, z.asked)
				}
				return
			}
			if res.Domain != "" || len(z.asked) != 0 {
				t.Errorf("domain %q, asked %q", res.Domain, z.asked)
			}
		})
	}
}

func TestHeloNames(t *testing.T) {
	tests := map[string]struct {
		helo   string
		domain string // "" is none
	}{
		"host name":       {"mail.example.org", "mail.example.org"},
		"upper case":      {"MAIL.Example.ORG", "mail.example.org"},
		"final dot":       {"mail.example.org.", "mail.example.org"},
		"underscore":      {"win_host.example.org", ""},
		"U-label":         {"bücher.example", "xn--bcher-kva.example"},
		"empty":           {"", ""},
		"one label":       {"localhost", ""},
		"literal":         {"[192.0.2.1]", ""},
		"bare address":    {"192.0.2.1", ""},
		"bare IPv6":       {"2001:db8::1", ""},
		"space":           {"JUMPIN' JUPITER", ""},
		"NUL":             {"a.test\x00b.test", ""},
		"CR LF":           {"a.test\r\nb.test", ""},
		"broken UTF-8":    {"a\xff.test", ""},
		"empty label":     {"a..test", ""},
		"two final dots":  {"a.test..", ""},
		"longer than any": {strings.Repeat("a.", 5000) + "test", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			z := newZone()
			z.txt[test.domain] = []string{"v=spf1 +all"}
			v := &Verifier{Resolver: z}
			args := Args{IP: client4, Helo: test.helo, MailFrom: "ignored"}
			want := Result{Status: Pass, Identity: Helo, Domain: test.domain, Sender: "postmaster@" + test.domain,
				Mechanism: "+all", Record: "v=spf1 +all", RecordDomain: test.domain}
			if test.domain == "" {
				want = Result{Status: None, Identity: Helo, Reason: reasonHelo}
			}
			res, err := v.CheckHelo(t.Context(), args)
			if res != want || err != nil {
				t.Errorf("CheckHelo: %+v, %v\nwant %+v", res, err, want)
			}

			// RFC 7208, section 2.4: the null reverse-path checks the same, and says so.
			args.MailFrom = ""
			want.Identity, want.NullSender = MailFrom, true
			res, err = v.CheckMailFrom(t.Context(), args)
			if res != want || err != nil {
				t.Errorf("CheckMailFrom: %+v, %v\nwant %+v", res, err, want)
			}
		})
	}
}

// espoofer's case a1: the HELO name of the attacker passes, his MAIL FROM is a name
// below the victim's that does not exist. Neither result may take the other's place.
func TestIdentitiesAreNeverMixed(t *testing.T) {
	z := zoneOf(`
		helo.attack.test TXT v=spf1 +all
		legit.test TXT v=spf1 ip4:198.51.100.1 -all`)
	v := &Verifier{Resolver: z}
	args := Args{IP: client4, Helo: "helo.attack.test", MailFrom: "any@mailfrom.notexist.legit.test"}

	res, err := v.CheckMailFrom(t.Context(), args)
	want := Result{Status: None, Identity: MailFrom, Domain: "mailfrom.notexist.legit.test",
		Sender: args.MailFrom, Reason: reasonNXDomain}
	if res != want || err != nil {
		t.Errorf("CheckMailFrom: %+v, %v\nwant %+v", res, err, want)
	}

	res, err = v.CheckHelo(t.Context(), args)
	if res.Status != Pass || res.Identity != Helo || res.Domain != "helo.attack.test" || err != nil {
		t.Errorf("CheckHelo: %+v, %v", res, err)
	}

	// Not even for a MAIL FROM that cannot be read.
	args.MailFrom = "(any@legit.test"
	res, err = v.CheckMailFrom(t.Context(), args)
	if res.Status != PermError || res.Domain != "" || !errors.Is(err, ErrMailbox) {
		t.Errorf("CheckMailFrom: %+v, %v", res, err)
	}
}
