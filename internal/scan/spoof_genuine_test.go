package scan

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/dkim"
	"milterd/internal/dns/dnstest"
	"milterd/message"
	"milterd/milter"
)

// genuine is a message that the victim signed.
type genuine struct {
	*milter.Message // its signature first
	names           []string
	header, body    dkim.Canonicalization
	expired         bool
}

// shows reports whether m still shows all that the victim has signed; whole says
// that the signature is there too. White space in b= is nobody's business.
func (g *genuine) shows(m *milter.Message) (shows, whole bool) {
	canon := string(g.header)
	unsigned, value := cutSignature(canon, g.Fields[0])
	for _, f := range m.Fields {
		if !strings.EqualFold(f.Name, dkim.FieldName) {
			continue
		}
		u, v := cutSignature(canon, f)
		shows, whole = shows || u == unsigned, whole || u == unsigned && v == value
	}
	same := selected(canon, g.names, m.Fields) == selected(canon, g.names, g.Fields) &&
		bytes.Equal(canonicalBody(string(g.body), m.Body), canonicalBody(string(g.body), g.Body))
	return shows && same, whole && same
}

var valueTag = regexp.MustCompile(`((?:^|;)\s*b\s*=)([^;]*)`)

// cutSignature parts a signature field into what is signed and the value of b=.
func cutSignature(canon string, f milter.Field) (unsigned, value string) {
	at := valueTag.FindStringSubmatchIndex(f.Value)
	if at == nil {
		return f.Value, ""
	}
	value = strings.NewReplacer(" ", "", "\t", "", "\n", "").Replace(f.Value[at[4]:at[5]])
	f.Value = f.Value[:at[4]] + f.Value[at[5]:]
	return canonicalFields(canon, []milter.Field{f}), value
}

// noon is the time of all that happens here.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// write returns messages of the victim in the ways in which people sign, and what
// it publishes for them.
func write(t testing.TB) ([]*genuine, dnstest.Zone) {
	short := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{'v'}, ed25519.SeedSize))
	long := rsaKey()
	zone := dnstest.Zone{
		"e._domainkey.legit.test":      {edRecord(short)},
		"e._domainkey.news.legit.test": {edRecord(short)},
		"r._domainkey.legit.test": {"TXT v=DKIM1; k=rsa; p=" +
			base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&long.PublicKey))},
	}
	standard, oversign := dkim.StandardNames()
	var all []*genuine
	for _, c := range []struct {
		domain       string
		key          dkim.SigningKey
		header, body dkim.Canonicalization
		oversign     bool
		age, expire  time.Duration
	}{
		{"legit.test", dkim.SigningKey{Selector: "e", Private: short}, dkim.Relaxed, dkim.Relaxed, true, time.Hour, 0},
		{"legit.test", dkim.SigningKey{Selector: "r", Private: long}, dkim.Simple, dkim.Simple, true, time.Hour, 0},
		{"legit.test", dkim.SigningKey{Selector: "e", Private: short}, dkim.Relaxed, dkim.Simple, false, time.Hour, 0},
		{"news.legit.test", dkim.SigningKey{Selector: "e", Private: short}, dkim.Simple, dkim.Relaxed, false, time.Hour, 48 * time.Hour},
		{"legit.test", dkim.SigningKey{Selector: "e", Private: short}, dkim.Relaxed, dkim.Relaxed, true, 72 * time.Hour, 24 * time.Hour},
	} {
		m := milter.ParseMessage([]byte("Received: by mail.legit.test;\r\n\tFri, 20 Nov 2026 10:00:00 +0000\r\nFrom: \"Legit,  Inc.\" <billing@" + c.domain +
			">\r\nTo: Alice <alice@mx.test>\r\nSubject: Your invoice\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@legit.test>\r\n" +
			"MIME-Version: 1.0\r\nContent-Type: text/plain;\r\n\tcharset=us-ascii\r\n\r\nDear Alice,\r\n\r\nplease pay  9 euros.\r\n\r\n"))
		var fields []message.Field
		for _, f := range m.Fields {
			fields = append(fields, message.Field{Name: f.Name, Value: f.Value})
		}
		c.key.Domain, _ = message.ParseDomain(c.domain)
		s := &dkim.Signer{Keys: []dkim.SigningKey{c.key}, Header: c.header, Body: c.body, Expire: c.expire,
			Names: append(oversign, standard...), Now: func() time.Time { return noon.Add(-c.age) }}
		if c.oversign {
			s.Oversign = oversign
		}
		signing, err := s.Start(fields)
		if err != nil {
			t.Fatal(err)
		}
		signing.Write(m.Body)
		made, err := signing.Finish()
		if err != nil {
			t.Fatal(err)
		}
		m.Fields = slices.Insert(m.Fields, 0, milter.Field(made[0]))
		list := listTag.FindStringSubmatch(made[0].Value)[1]
		all = append(all, &genuine{Message: m, names: strings.Split(strings.Join(strings.Fields(list), ""), ":"),
			header: c.header, body: c.body, expired: c.expire > 0 && c.age > c.expire})
	}
	return all, zone
}

func edRecord(key ed25519.PrivateKey) string {
	return "TXT v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// rsaKey makes a key of 1024 bits, always the same, so that a seed tells all.
func rsaKey() *rsa.PrivateKey {
	random := rand.New(rand.NewPCG(1, 1024))
	e, one := big.NewInt(65537), big.NewInt(1)
	prime := func() *big.Int {
		for {
			p := new(big.Int)
			for range 8 {
				p.Or(p.Lsh(p, 64), new(big.Int).SetUint64(random.Uint64()))
			}
			p.SetBit(p.SetBit(p.SetBit(p, 511, 1), 510, 1), 0, 1)
			if p.ProbablyPrime(10) && new(big.Int).Mod(new(big.Int).Sub(p, one), e).Sign() != 0 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537},
		D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	key.Precompute()
	return key
}

// What follows is RFC 6376, sections 3.4 and 5.4.2, as simple as can be.

// selected returns the fields that h= names, from the bottom up.
func selected(canon string, names []string, fields []milter.Field) string {
	var b strings.Builder
	taken := map[int]bool{}
	for _, name := range names {
		for i, f := range slices.Backward(fields) {
			if !taken[i] && strings.EqualFold(f.Name, name) {
				taken[i] = true
				b.WriteString(canonicalFields(canon, fields[i:i+1]))
				break
			}
		}
	}
	return b.String()
}

var blanks = regexp.MustCompile(`[ \t]+`)

func canonicalFields(canon string, fields []milter.Field) string {
	var b strings.Builder
	for _, f := range fields {
		if canon == "relaxed" {
			value := blanks.ReplaceAllString(strings.ReplaceAll(f.Value, "\n", ""), " ")
			f = milter.Field{Name: strings.ToLower(f.Name), Value: strings.Trim(value, " ")}
		}
		b.WriteString(f.Name + ":" + strings.ReplaceAll(f.Value, "\n", "\r\n") + "\r\n")
	}
	return b.String()
}

func canonicalBody(canon string, body []byte) []byte {
	text := string(body)
	if canon == "relaxed" {
		text = strings.ReplaceAll(blanks.ReplaceAllString(text, " "), " \r\n", "\r\n")
	}
	for strings.HasSuffix(text, "\r\n\r\n") {
		text = strings.TrimSuffix(text, "\r\n")
	}
	if canon == "relaxed" && text == "\r\n" {
		text = ""
	} else if canon != "relaxed" && text == "" {
		text = "\r\n"
	}
	return []byte(text)
}
