package integration

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The spoof lab: an attacker with a host, a domain with valid SPF and DKIM, and
// every name below it, writes in the name of legit.test, which publishes p=reject.
// Nothing of it may pass. The cases a1 to a19 are those of "Composition Kills"
// (USENIX Security 2020) with their exact bytes.
const (
	attackerIP = "ADDR=203.0.113.66 NAME=mail.attack.test REVERSE_NAME=mail.attack.test PORT=40066"
	legitIP    = "ADDR=198.51.100.1 NAME=mail.legit.test REVERSE_NAME=mail.legit.test PORT=40001"
	selector   = "sel"
)

// spoofZone is the part of the Internet's DNS that the lab needs. broken.test
// and what is below it does not resolve (see heldNames).
func spoofZone() string {
	records := []string{
		`legit.test             TXT v=spf1 ip4:198.51.100.1 -all`,
		`legit.test             MX  10 mail.legit.test`,
		`_dmarc.legit.test      TXT v=DMARC1; p=reject`,
		`mail.legit.test        A   198.51.100.1`,
		`attack.test            TXT v=spf1 ip4:203.0.113.66 -all`,
		`attack.test            MX  10 mail.attack.test`,
		`*.attack.test          TXT v=spf1 ip4:203.0.113.66 -all`,
		`*.attack.test          MX  10 mail.attack.test`,
		`_dmarc.attack.test     TXT v=DMARC1; p=none`,
		`mail.attack.test       TXT v=spf1 ip4:203.0.113.66 -all`,
		`mail.attack.test       A   203.0.113.66`,
		`helo.attack.test       TXT v=spf1 ip4:203.0.113.66 -all`,
		`helo.attack.test       A   203.0.113.66`,
		`any.test               TXT v=spf1 ip4:203.0.113.66 -all`,
		`any.test               MX  10 mail.attack.test`,
		`alumni.test            MX  10 mail.alumni.test`,
		`mail.alumni.test       A   203.0.113.50`,
		`list.test              TXT v=spf1 ip4:203.0.113.40 -all`,
		`list.test              MX  10 mail.list.test`,
		`mail.list.test         A   203.0.113.40`,
		`_dmarc.list.test       TXT v=DMARC1; p=none`,
		`quarantine.test        TXT v=spf1 -all`,
		`quarantine.test        MX  10 mail.legit.test`,
		`_dmarc.quarantine.test TXT v=DMARC1; p=quarantine`,
		`testing.test           TXT v=spf1 -all`,
		`testing.test           MX  10 mail.legit.test`,
		`_dmarc.testing.test    TXT v=DMARC1; p=reject; t=y`,
		`none.test              TXT v=spf1 -all`,
		`none.test              MX  10 mail.legit.test`,
		`_dmarc.none.test       TXT v=DMARC1; p=none`,
		selector + `._domainkey.legit.test  TXT ` + newSigner("legit.test").record(),
		selector + `._domainkey.attack.test TXT ` + newSigner("attack.test").record(),
		selector + `._domainkey.list.test   TXT ` + newSigner("list.test").record(),
	}
	for _, sign := range []string{"'", "(", `"`} { // names in which a careless reader sees the victim's
		name := "legit.test" + sign + "a.attack.test"
		records = append(records, name+" TXT v=spf1 ip4:203.0.113.66 -all", name+" MX 10 mail.attack.test",
			selector+"._domainkey."+name+" TXT "+newSigner("attack.test").record())
	}
	return strings.Join(records, "\n") + "\n"
}

// An attack is a message with its session. Want is the reply that it must get.
type attack struct {
	name string
	helo string // default mail.attack.test
	from string // default any@attack.test, verbatim between the angle brackets
	head string // the fields that are the point, with their line ends
	d, s string // of the signature that the attacker makes with his key; none without d
	want string
}

const (
	noAuthor = "550 5.7.1"
	noDMARC  = "550 5.7.26"
)

var attacks = []attack{
	{name: "a1 a HELO that passes, a sender that does not exist", helo: "helo.attack.test", from: "any@mailfrom.notexist.legit.test",
		head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "a2 sender with a parenthesis", from: "(any@legit.test", head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "a3 selector with NUL", head: "From: <admin@legit.test>\r\n", d: "legit.test", s: "sel._domainkey.attack.test.\x00.any", want: noDMARC},
	{name: "a4 domain with a quote", head: "From: <admin@legit.test>\r\n", d: "legit.test'a.attack.test", s: selector, want: noDMARC},
	{name: "a4 domain with a parenthesis", head: "From: <admin@legit.test>\r\n", d: "legit.test(a.attack.test", s: selector, want: noDMARC},
	{name: "a4 domain with a double quote", head: "From: <admin@legit.test>\r\n", d: "legit.test\"a.attack.test", s: selector, want: noDMARC},
	{name: "a5 sender's domain with a parenthesis", from: "any@legit.test(a.attack.test", head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "a6 sender with a quote and two at signs", from: "any@legit.test'@any.attack.test", head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "a7 sender with a route and quotes", from: "@legit.test,@any.test:'any@attack.test", head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "a8 two From", head: "From: <first@attack.test>\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "a9 leading blank", head: " From: <first@attack.test>\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "a10 blank before the colon", head: "From: <first@attack.test>\r\nFrom : <admin@legit.test>\r\n", want: noAuthor},
	{name: "a11 folded name", head: "From\r\n : <first@attack.test>\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "a12 folded name and Sender", head: "From\r\n : <first@attack.test>\r\nSender: <admin@legit.test>\r\n", want: noAuthor},
	{name: "a13 folded name and Resent-From", head: "From\r\n : <first@attack.test>\r\nResent-From: <admin@legit.test>\r\n", want: noAuthor},
	{name: "a14 two addresses", head: "From: <first@attack.test>, <admin@legit.test>\r\n", want: noAuthor},
	{name: "a15 encoded address", head: "From:=?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte("<admin@legit.test>")) + "?=,<second@attack.test>\r\n", want: noAuthor},
	{name: "a16 route", head: "From: <@attack.test,@any.test:admin@legit.test>\r\n", want: noAuthor},
	{name: "a17 backslash and comma", head: "From: <admin@legit.test>\\,<second@attack.test>\r\n", want: noAuthor},
	{name: "a18 bare and bracketed", head: "From: admin@legit.test,<second@attack.test>\r\n", want: noAuthor},
	{name: "a19 text behind the brackets", head: "From: <any@attack.test>admin@legit.test\r\n", want: noAuthor},

	// Beyond the paper.
	{name: "plain spoof", head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "plain spoof, signed by the attacker", head: "From: <admin@legit.test>\r\n", d: "attack.test", s: selector, want: noDMARC},
	{name: "subdomain that does not exist", head: "From: <admin@nowhere.legit.test>\r\n", want: noDMARC},
	{name: "capitals", head: "From: <Admin@LEGIT.Test>\r\n", want: noDMARC},
	{name: "null sender", from: "-", head: "From: <admin@legit.test>\r\n", want: noDMARC},
	{name: "NUL in the name of From", head: "Fr\x00om: <first@attack.test>\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "NUL in the address", head: "From: <admin@legit.test\x00.attack.test>\r\n", want: noAuthor},
	{name: "bare CR", head: "From: <first@attack.test>\rFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "tab before the colon", head: "From\t: <first@attack.test>\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "8-bit name", head: "Fr\xf6m: <first@attack.test>\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "empty name", head: ": foo\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "a line that is no field", head: "no field\r\nFrom: <admin@legit.test>\r\n", want: noAuthor},
	{name: "group", head: "From: g:<a@attack.test>,<b@legit.test>;\r\n", want: noAuthor},
	{name: "stray bracket", head: "From: <admin@legit.test>>\r\n", want: noAuthor},
	{name: "encoded word as local part", head: "From: =?utf-8?q?admin?=@legit.test\r\n", want: noAuthor},
	{name: "trailing dot", head: "From: <admin@legit.test.>\r\n", want: noAuthor},
	{name: "59 kB of From", head: "From: " + strings.Repeat("\"x\" ", 20000) + "<admin@legit.test>\r\n", want: "552 5.3.4"},
	{name: "ideographic full stop", head: "From: <admin@legit\xe3\x80\x82test>\r\n", want: noAuthor},
	{name: "zero width space", head: "From: <admin@legit\xe2\x80\x8b.test>\r\n", want: noAuthor},
}

// message is the whole message of an attack. No two are alike.
func (a attack) message() string {
	n := serial.Add(1)
	raw := a.head + fmt.Sprintf("To: <%s>\r\nSubject: your account\r\nMessage-ID: <%d@attack.test>\r\nDate: %s\r\n\r\nPlease sign in, case %[2]d.\r\n",
		alice, n, time.Now().Format(time.RFC1123Z))
	if a.d != "" {
		raw = newSigner("attack.test").sign(raw, a.d, a.s, "From", "To", "Subject", "Date")
	}
	return raw
}

// envelope is who the attacker says he is.
func (a attack) envelope() (helo, from string) {
	helo, from = cmp.Or(a.helo, "mail.attack.test"), cmp.Or(a.from, "any@attack.test")
	return helo, strings.TrimPrefix(from, "-")
}

// attack plays one in a session of its own and returns the reply.
func (a attack) play(t *testing.T, listener string) Reply {
	t.Helper()
	c := dial(t, listener, attackerIP)
	helo, from := a.envelope()
	cmd(t, c, 250, "EHLO %s", helo)
	r, err := c.Send(from, []string{alice}, []byte(a.message()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSpoofLab(t *testing.T) {
	t.Parallel()
	for _, listener := range []string{"spoof", "spoof-strict"} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			daemon(t, listener)
			for _, a := range attacks {
				t.Run(a.name, func(t *testing.T) {
					t.Parallel()
					r := a.play(t, listener)
					got := fmt.Sprint(r.Code, " ", strings.SplitN(r.Text()+" ", " ", 2)[0])
					check(t, got == a.want, "got %v, want %s", r, a.want)
				})
			}
		})
	}
}

// honest is mail that must get through, or at least must not be refused, in the
// face of everything above.
type honest struct {
	name     string
	client   string
	from     string // reverse-path without brackets; "-" is the null sender
	raw      func(subject string) string
	folder   string // where it lies in mode enforce
	results  []string
	strictly string // the reply in mode strict, where it is a refusal
}

// letter is a plain message; extra are fields above From.
func letter(from, subject, extra, body string) string {
	return extra + fmt.Sprintf("From: %s\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%d@lab.test>\r\nDate: %s\r\n\r\n%s",
		from, alice, subject, serial.Add(1), time.Now().Format(time.RFC1123Z), body)
}

// byTheList is what a mailing list makes of a signed message: its own fields, a
// footer, and its own signature on top.
func byTheList(raw string) string {
	return newSigner("list.test").sign("List-Id: <talk.list.test>\r\nList-Post: <mailto:talk@list.test>\r\n"+raw+"-- \r\nThe talk list\r\n",
		"list.test", selector, "From", "To", "Subject", "Date", "List-Id")
}

func signedBy(domain, raw string) string {
	return newSigner(domain).sign(raw, domain, selector, "From", "To", "Subject", "Date")
}

var guards = []honest{
	{name: "legit from its own host", client: legitIP, from: "admin@legit.test",
		raw: func(s string) string { return letter("<admin@legit.test>", s, "", "hello\r\n") }, folder: "INBOX",
		results: []string{"spf=pass", "dmarc=pass", "header.from=legit.test"}},
	{name: "the attacker in his own name", client: attackerIP, from: "any@attack.test",
		raw: func(s string) string {
			return signedBy("attack.test", letter("<any@attack.test>", s, "", "hello\r\n"))
		}, folder: "INBOX",
		results: []string{"spf=pass", "dkim=pass", "dmarc=pass", "header.from=attack.test"}},
	{name: "an alumni forwarder, the author's signature intact", client: "ADDR=203.0.113.50 NAME=mail.alumni.test PORT=40050", from: "srs0=x@alumni.test",
		raw: func(s string) string {
			return signedBy("legit.test", letter("<admin@legit.test>", s, "", "hello\r\n"))
		}, folder: "INBOX", results: []string{"dkim=pass", "dmarc=pass"}},
	{name: "a list with a footer and its own signature", client: "ADDR=203.0.113.40 NAME=mail.list.test PORT=40040", from: "talk-bounces@list.test",
		raw: func(s string) string {
			return byTheList(signedBy("legit.test", letter("<admin@legit.test>", s, "", "hello\r\n")))
		}, folder: "Junk", results: []string{"dkim=pass", "dkim=fail", "dmarc=fail"}, strictly: noDMARC},
	{name: "a bounce from MAILER-DAEMON", client: legitIP, from: "-",
		raw:    func(s string) string { return letter("MAILER-DAEMON", s, "", "undeliverable\r\n") },
		folder: "INBOX", results: []string{"dmarc=none"}},
	{name: "a club mail to a thousand", client: legitIP, from: "admin@legit.test",
		raw: func(s string) string {
			cc := "Cc: " + strings.Repeat("member@club.test,\r\n ", 999) + "member@club.test\r\n"
			return letter("<admin@legit.test>", s, cc, "the annual meeting\r\n")
		}, folder: "INBOX", results: []string{"dmarc=pass"}},
	{name: "p=quarantine fails", client: attackerIP, from: "any@quarantine.test",
		raw: func(s string) string { return letter("<any@quarantine.test>", s, "", "hello\r\n") }, folder: "Junk",
		results: []string{"dmarc=fail"}},
	{name: "p=reject with t=y is quarantine", client: attackerIP, from: "any@testing.test",
		raw: func(s string) string { return letter("<any@testing.test>", s, "", "hello\r\n") }, folder: "Junk",
		results: []string{"dmarc=fail"}},
	{name: "p=none fails", client: attackerIP, from: "any@none.test",
		raw: func(s string) string { return letter("<any@none.test>", s, "", "hello\r\n") }, folder: "INBOX",
		results: []string{"dmarc=fail"}},
	{name: "an escaped quote in the name", client: legitIP, from: "admin@legit.test",
		raw: func(s string) string { return letter(`"\"Acme, Inc.\"" <admin@legit.test>`, s, "", "hello\r\n") }, folder: "INBOX",
		results: []string{"dmarc=pass"}},
	{name: "a name with a comma, by a list", client: legitIP, from: "admin@legit.test",
		raw: func(s string) string { return letter(`'X, Y' via Z <admin@legit.test>`, s, "", "hello\r\n") }, folder: "INBOX",
		results: []string{"dmarc=pass"}},
	{name: "two authors of one domain, with Sender", client: legitIP, from: "admin@legit.test",
		raw: func(s string) string {
			return letter("<admin@legit.test>, <boss@legit.test>", s, "Sender: <admin@legit.test>\r\n", "hello\r\n")
		}, folder: "INBOX", results: []string{"dmarc=pass"}},
	{name: "a folded name", client: legitIP, from: "admin@legit.test",
		raw: func(s string) string {
			return letter("=?utf-8?q?J=C3=B6rg?=\r\n =?utf-8?q?_M?= <admin@legit.test>", s, "", "hello\r\n")
		}, folder: "INBOX",
		results: []string{"dmarc=pass"}},
}

func TestSpoofGuards(t *testing.T) {
	t.Parallel()
	for _, listener := range []string{"spoof", "spoof-strict"} {
		t.Run(listener, func(t *testing.T) {
			t.Parallel()
			daemon(t, listener)
			for _, h := range guards {
				t.Run(h.name, func(t *testing.T) {
					t.Parallel()
					subject := fmt.Sprintf("guard %d", serial.Add(1))
					from := h.from
					if from == "-" {
						from = ""
					}
					r, err := dial(t, listener, h.client).Send(from, []string{alice}, []byte(h.raw(subject)))
					if err != nil {
						t.Fatal(err)
					}
					if h.strictly != "" && listener == "spoof-strict" {
						got := fmt.Sprint(r.Code, " ", strings.SplitN(r.Text()+" ", " ", 2)[0])
						check(t, got == h.strictly, "got %v, want %s", r, h.strictly)
						return
					}
					if !check(t, r.Code == 250, "got %v, want 250", r) {
						return
					}
					wantResults(t, find(t, alice, h.folder, Mail{Subject: subject}), h.results...)
				})
			}
		})
	}
}

// While the victim's policy cannot be looked up, his name is not believed, and
// nobody is refused for good.
func TestSpoofWithoutDNS(t *testing.T) {
	t.Parallel()
	d := daemon(t, "spoof")
	for range 5 {
		raw := letter("<admin@broken.test>", fmt.Sprintf("no DNS %d", serial.Add(1)), "", "hello\r\n")
		r, err := dial(t, "spoof", attackerIP).Send("any@attack.test", []string{alice}, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		id := wantRefusal(t, r, 451, "4.7.0")
		v, err := d.VerdictOf(within(t), id)
		check(t, err == nil && v["action"] == "tempfail" && strings.Contains(v["auth"], "dmarc=temperror"), "verdict %v, %v", v, err)
	}
}
