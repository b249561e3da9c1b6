package dkim

import (
	"crypto/rsa"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"milterd/message"
)

const testHeader = `Received: from a.test by b.test;
	Mon, 1 Jun 2026 12:00:00 +0000
From: Ann <ann@example.org>
To: bob@example.net
Subject: [list]  minutes
	of Monday
Received: from c.test by a.test
Message-ID: <1@example.org>
`

const testBody = "Hello  Bob,\r\n\r\nthe minutes are\tbelow. \r\n\r\n-- \r\nAnn\r\n\r\n\r\n"

// testNow is the time of these tests: the second 2,000,000,000 since 1970.
func testNow() time.Time { return time.Unix(2_000_000_000, 0) }

func TestVerify(t *testing.T) {
	shortKey := func(bits uint) string {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return "p=" + publicRecord(t, &rsa.PublicKey{N: n.Add(n, big.NewInt(12345)), E: 65537})
	}
	const (
		rsaTags = "v=1; a=rsa-sha256; d=example.org; s=rsa1024; h=From:Subject; "
		edTags  = "v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From:Subject; "
		at      = "ed25519._domainkey.example.org "
	)
	good := testRecord(t, "ed25519")
	bare := strings.TrimPrefix(good, "v=DKIM1; ")
	public := strings.TrimPrefix(good, "v=DKIM1; k=ed25519; ")
	tests := []struct {
		name string
		tags string
		dns  string // instead of the good record
		want string // status, and reason
	}{
		// Section 3.5.
		{"rsa", rsaTags + "bh=?; b=?", "", "pass"},
		{"ed25519", edTags + "bh=?; b=?", "", "pass"},
		{"all tags", "v=1; a=ed25519-sha256; b=?; bh=?; c=relaxed/relaxed; d=example.org; h=from:To:subject; i=ann@mail.example.org; " +
			"l=1; q=dns/txt; s=ed25519; t=1999999999; x=2000000001; z=From:Ann|To:b=3Db;", "", "policy l= does not cover the whole body"},
		{"any order", "b=?; bh=?; h=from; s=ed25519; d=example.org; a=ed25519-sha256; v=1", "", "pass"},
		{"folds", "v\r\n = 1;\n\ta=ed25519-sha256 ;d= example.org\n ;\ts=\r\n\ted25519; h=from\n :\n\tsubject : to; bh=?;\n b=?;\n\t", "", "pass"},
		{"relaxed", edTags + "c=relaxed; bh=?; b=?", "", "pass"},
		{"relaxed both", edTags + "c=relaxed/relaxed; bh=?; b=?", "", "pass"},
		{"simple and relaxed", edTags + "c=simple/relaxed; bh=?; b=?", "", "pass"},
		{"c= in capitals", edTags + "c=Relaxed/RELAXED; bh=?; b=?", "", "pass"},
		{"a= in capitals", strings.Replace(edTags, "ed25519-sha256", "Ed25519-SHA256", 1) + "bh=?; b=?", "", "pass"},
		{"unknown tags", edTags + "bh=?; b=?; xyz=a; y_9=", "", "pass"},
		{"b= inside z=", edTags + "z=Subject:b=3Dx|From:b=3D; bh=?; b=?; zb=b=c", "", "pass"},
		{"tag names have case", edTags + "D=evil.test; bh=?; b=?", "", "pass"},
		{"no d=", "v=1; a=ed25519-sha256; D=example.org; s=ed25519; h=From; bh=?; b=?", "", "permerror a required tag is missing"},
		{"no v=", edTags[5:] + "bh=?; b=?", "", "permerror a required tag is missing"},
		{"no bh=", edTags + "b=?", "", "permerror a required tag is missing"},
		{"no b=", edTags + "bh=?", "", "permerror a required tag is missing"},
		{"no tags", " ", "", "permerror malformed signature field"},
		{"v=2", "v=2" + edTags[3:] + "bh=?; b=?", "", "neutral unknown signature version"},
		{"v=1.0", "v=1.0" + edTags[3:] + "bh=?; b=?", "", "neutral unknown signature version"},
		{"a=rsa-sha512", strings.Replace(rsaTags, "256", "512", 1) + "bh=?; b=?", "", "neutral unknown algorithm"},
		{"a=rsa-sha1", strings.Replace(rsaTags, "sha256", "sha1", 1) + "bh=N9OQp3Fydw5h5SJ1UDyZrgBPEDU=; b=?", "", "permerror rsa-sha1 is no longer valid"},
		{"a= with long s", strings.Replace(rsaTags, "sha256", "\u017fha256", 1) + "bh=?; b=?", "", "neutral unknown algorithm"},
		{"c=nowsp", edTags + "c=nowsp; bh=?; b=?", "", "neutral unknown canonicalization"},
		{"c= empty", edTags + "c=; bh=?; b=?", "", "neutral unknown canonicalization"},
		{"c= of three", edTags + "c=relaxed/relaxed/relaxed; bh=?; b=?", "", "neutral unknown canonicalization"},
		{"q= of several", edTags + "q=http : dns/txt; bh=?; b=?", "", "pass"},
		{"q=http", edTags + "q=http; bh=?; b=?", "", "neutral unknown query method"},
		{"twice d=", edTags + "d=example.org; bh=?; b=?", "", "permerror malformed signature field"},
		{"twice unknown", edTags + "u=1; u=1; bh=?; b=?", "", "permerror malformed signature field"},
		{"empty tag", edTags + "; bh=?; b=?", "", "permerror malformed signature field"},
		{"tag without value", edTags + "u; bh=?; b=?", "", "permerror malformed signature field"},
		{"tag without name", edTags + "=u; bh=?; b=?", "", "permerror malformed signature field"},
		{"tag name with hyphen", edTags + "u-v=1; bh=?; b=?", "", "permerror malformed signature field"},
		{"no-break space before a name", edTags + "\u00a0bh=?; b=?", "", "permerror malformed signature field"},
		{"100 tags", edTags + manyTags(93) + "bh=?; b=?", "", "pass"},
		{"101 tags", edTags + manyTags(94) + "bh=?; b=?", "", "permerror malformed signature field"},
		{"bare CR", edTags + "u=\r; bh=?; b=?", "", "permerror malformed signature field"},
		{"line end without a fold", edTags + "u=1;\nbh=?; b=?", "", "permerror malformed signature field"},
		{"line end at the end", edTags + "bh=?; b=?;\n", "", "permerror malformed signature field"},
		{"NUL", edTags + "u=\x00; bh=?; b=?", "", "permerror malformed signature field"},
		{"bh= too short", edTags + "bh=AAAA; b=?", "", "permerror malformed signature field"},
		{"bh= no base64", edTags + "bh=" + strings.Repeat("*", 44) + "; b=?", "", "permerror malformed signature field"},
		{"b= empty", edTags + "bh=?; b=", "", "permerror malformed signature field"},
		{"b= no base64", edTags + "bh=?; b=a=b", "", "permerror malformed signature field"},
		{"b= of one byte", edTags + "bh=?; b=aa==", "", "fail signature did not verify"},
		{"b= without padding", edTags + "bh=?; b=" + strings.Repeat("A", 86), "", "fail signature did not verify"},

		// The domain is a host name, or there is none (security cases a3 and a4).
		{"a3: NUL and a dot in s=", strings.Replace(edTags, "s=ed25519", "s=selector._domainkey.attack.test.\x00.any", 1) + "bh=?; b=?", "", "permerror malformed signature field"},
		{"a3: as Postfix cuts it", strings.Replace(edTags, "s=ed25519", "s=ed25519._domainkey.attack.test.", 1) + "bh=?; b=?", "", "permerror s= is not a selector"},
		{"a4: quote in d=", strings.Replace(edTags, "d=example.org", "d=example.org'a.attack.test", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"a4: parenthesis in d=", strings.Replace(edTags, "d=example.org", "d=example.org(.attack.test", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"a4: double quote in d=", strings.Replace(edTags, "d=example.org", `d=example.org".attack.test`, 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= with trailing dot", strings.Replace(edTags, "d=example.org", "d=example.org.", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= with white space", strings.Replace(edTags, "d=example.org", "d=exam ple.org", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= with no-break space", strings.Replace(edTags, "d=example.org", "d=example.org\u00a0", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= with an empty label", strings.Replace(edTags, "d=example.org", "d=example..org", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= of one label", strings.Replace(edTags, "d=example.org", "d=org", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= empty", strings.Replace(edTags, "d=example.org", "d=", 1) + "bh=?; b=?", "", "permerror d= is not a host name"},
		{"d= in capitals", strings.Replace(edTags, "d=example.org", "d=Example.ORG", 1) + "bh=?; b=?", "", "pass"},
		{"d= as U-label", strings.Replace(edTags, "d=example.org", "d=bücher.example", 1) + "bh=?; b=?",
			"ed25519._domainkey.xn--bcher-kva.example " + good, "pass"},
		{"s= in capitals", strings.Replace(edTags, "s=ed25519", "s=ED25519", 1) + "bh=?; b=?", "", "pass"},
		{"s= of labels", strings.Replace(edTags, "s=ed25519", "s=2026_a.b-c", 1) + "bh=?; b=?", "2026_a.b-c._domainkey.example.org " + good, "pass"},
		{"s= as U-label", strings.Replace(edTags, "s=ed25519", "s=schlüssel", 1) + "bh=?; b=?", "xn--schlssel-95a._domainkey.example.org " + good, "pass"},
		{"s= empty", strings.Replace(edTags, "s=ed25519", "s=", 1) + "bh=?; b=?", "", "permerror s= is not a selector"},
		{"s= too long", strings.Replace(edTags, "s=ed25519", "s="+strings.Repeat("a.", 120)+"a", 1) + "bh=?; b=?", "", "permerror s= is not a selector"},

		// i=.
		{"i= with capitals", edTags + "i=ann@MAIL.Example.Org; bh=?; b=?", "", "pass"},
		{"i= domain only", edTags + "i=@example.org; bh=?; b=?", "", "pass"},
		{"i= quoted-printable", edTags + "i=a=40b@mail=2Eexample.org; bh=?; b=?", "", "pass"},
		{"i= of another domain", edTags + "i=@example.net; bh=?; b=?", "", "permerror i= does not belong to d="},
		{"i= that only ends alike", edTags + "i=@notexample.org; bh=?; b=?", "", "permerror i= does not belong to d="},
		{"i= of the parent", edTags + "i=@org; bh=?; b=?", "", "permerror i= does not belong to d="},
		{"i= without @", edTags + "i=example.org; bh=?; b=?", "", "permerror malformed signature field"},
		{"i= below d= with t=s", edTags + "i=@mail.example.org; bh=?; b=?", at + "t=s; " + bare, "permerror key does not allow subdomains in i="},
		{"i= is d= with t=s", edTags + "i=@Example.org; bh=?; b=?", at + "t=y:s; " + bare, "pass"},

		// h=.
		{"h= without From", strings.Replace(edTags, "From:", "To:", 1) + "bh=?; b=?", "", "permerror From is not signed"},
		{"h= empty", strings.Replace(edTags, "From:Subject", "", 1) + "bh=?; b=?", "", "permerror From is not signed"},
		{"h= bottom up", strings.Replace(edTags, "From:Subject", "Received:FROM:received", 1) + "bh=?; b=?", "", "pass"},
		{"h= oversigned", strings.Replace(edTags, "From:Subject", "From:From:Subject:Subject:Cc:Received:Received:Received:Received", 1) + "bh=?; b=?", "", "pass"},
		{"h= with an empty name", strings.Replace(edTags, "From:Subject", "From::Subject:", 1) + "bh=?; b=?", "", "pass"},
		{"h= with a blank inside", strings.Replace(edTags, "From:Subject", "From:Sub ject", 1) + "bh=?; b=?", "", "permerror malformed signature field"},
		{"h= with its own field", strings.Replace(edTags, "From:Subject", "From:DKIM-Signature:dkim-signature", 1) + "bh=?; b=?", "", "pass"},
		{"h= of 100", strings.Replace(edTags, "From:Subject", "From"+strings.Repeat(":x", 99), 1) + "bh=?; b=?", "", "pass"},
		{"h= of 101", strings.Replace(edTags, "From:Subject", "From"+strings.Repeat(":x", 100), 1) + "bh=?; b=?", "", "policy too many names in h="},

		// t= and x=.
		{"t= 300 s ahead", edTags + "t=2000000300; bh=?; b=?", "", "pass"},
		{"t= 301 s ahead", edTags + "t=2000000301; bh=?; b=?", "", "permerror signature is from the future"},
		{"x= 300 s ago", edTags + "x=1999999700; bh=?; b=?", "", "pass"},
		{"x= 301 s ago", edTags + "x=1999999699; bh=?; b=?", "", "permerror signature has expired"},
		{"x= before t=", edTags + "t=1999999999; x=1999999998; bh=?; b=?", "", "permerror x= is not after t="},
		{"x= equals t=", edTags + "t=1999999999; x=1999999999; bh=?; b=?", "", "permerror x= is not after t="},
		{"t= of 12 digits", edTags + "t=999999999999; bh=?; b=?", "", "permerror signature is from the future"},
		{"x= of 12 digits", edTags + "x=999999999999; bh=?; b=?", "", "pass"},
		{"x= of 13 digits", edTags + "x=9999999999999; bh=?; b=?", "", "permerror malformed signature field"},
		{"t= with a sign", edTags + "t=+1999999999; bh=?; b=?", "", "permerror malformed signature field"},
		{"t= with a blank", edTags + "t=1 2345; bh=?; b=?", "", "permerror malformed signature field"},
		{"t= empty", edTags + "t=; bh=?; b=?", "", "permerror malformed signature field"},

		// l=: the canonical body has 52 bytes.
		{"l= of the whole body", edTags + "l=52; bh=?; b=?", "", "pass"},
		{"l= short", edTags + "l=51; bh=?; b=?", "", "policy l= does not cover the whole body"},
		{"l=0", edTags + "l=0; bh=?; b=?", "", "policy l= does not cover the whole body"},
		{"l= too large", edTags + "l=53; bh=?; b=?", "", "permerror l= is larger than the body"},
		{"l= of 76 digits", edTags + "l=" + strings.Repeat("9", 76) + "; bh=?; b=?", "", "permerror l= is larger than the body"},
		{"l= of 77 digits", edTags + "l=" + strings.Repeat("9", 77) + "; bh=?; b=?", "", "permerror malformed signature field"},
		{"l= short, other body", edTags + "l=10; bh=" + strings.Repeat("A", 43) + "=; b=?", "", "fail body hash did not verify"},

		// Section 3.6.1: the key record.
		{"bare key", edTags + "bh=?; b=?", at + "k=ed25519;" + public, "pass"},
		{"key with tags of no concern", edTags + "bh=?; b=?", at + "v=DKIM1;; n=a note, b=c; g=*; h=sha1 : SHA256; s=tlsrpt:email; t=foo:y; " + bare + ";;", "pass"},
		{"key folded", edTags + "bh=?; b=?", at + strings.Replace(good, "p=", "p= \t", 1), "pass"},
		{"s=*", edTags + "bh=?; b=?", at + "s=*; " + bare, "pass"},
		{"no such name", strings.Replace(edTags, "s=ed25519", "s=no", 1) + "bh=?; b=?", "", "permerror no key for signature"},
		{"no TXT record", edTags + "bh=?; b=?", at + "NODATA", "permerror no key for signature"},
		{"server failure", edTags + "bh=?; b=?", at + "SERVFAIL", "temperror key could not be fetched"},
		{"timeout", edTags + "bh=?; b=?", at + "TIMEOUT", "temperror key could not be fetched"},
		{"budget", edTags + "bh=?; b=?", at + "BUDGET", "permerror DNS budget of the sender is used up"},
		{"revoked", edTags + "bh=?; b=?", at + "v=DKIM1; k=ed25519; p=", "permerror key is revoked"},
		{"revoked with blanks", edTags + "bh=?; b=?", at + "v=DKIM1; p= ; ", "permerror key is revoked"},
		{"no p=", edTags + "bh=?; b=?", at + "v=DKIM1; k=ed25519", "permerror malformed key record"},
		{"v=DKIM2", edTags + "bh=?; b=?", at + "v=DKIM2; " + bare, "permerror no key for signature"},
		{"v=dkim1", edTags + "bh=?; b=?", at + "v=dkim1; " + bare, "permerror no key for signature"},
		{"v= not first", edTags + "bh=?; b=?", at + bare + "; v=DKIM1", "permerror malformed key record"},
		{"an SPF record", edTags + "bh=?; b=?", at + "v=spf1 -all", "permerror no key for signature"},
		{"p= twice", edTags + "bh=?; b=?", at + good + ";" + public, "permerror malformed key record"},
		{"p= no base64", edTags + "bh=?; b=?", at + "v=DKIM1; k=ed25519; p=*", "permerror malformed key record"},
		{"key of 31 bytes", edTags + "bh=?; b=?", at + "v=DKIM1; k=ed25519; p=" + strings.Repeat("A", 42), "permerror malformed key record"},
		{"k=rsa for ed25519", edTags + "bh=?; b=?", at + "v=DKIM1; " + public, "permerror malformed key record"},
		{"k=unknown", edTags + "bh=?; b=?", at + "v=DKIM1; k=ed448; " + public, "permerror key is for another algorithm"},
		{"key of another kind", edTags + "bh=?; b=?", at + testRecord(t, "rsa1024"), "permerror key is for another algorithm"},
		{"h=sha1", edTags + "bh=?; b=?", at + "h=sha1; " + bare, "permerror key does not allow the hash algorithm"},
		{"s=tlsrpt", edTags + "bh=?; b=?", at + "s=tlsrpt; " + bare, "permerror key is not for mail"},
		{"long record", edTags + "bh=?; b=?", at + good + "; n=" + strings.Repeat("x", 8<<10), "permerror malformed key record"},
		{"t=y fails", edTags + "bh=" + strings.Repeat("A", 43) + "=; b=?", at + "t=y; " + bare, "neutral body hash did not verify"},
		{"t=y, other fault", edTags + "l=1; bh=?; b=?", at + "t=y; " + bare, "policy l= does not cover the whole body"},

		// RFC 8301, section 3.2, and our own limit.
		{"RSA of 512 bits", rsaTags + "bh=?; b=?", "rsa1024._domainkey.example.org " + shortKey(512), "policy key is too short"},
		{"RSA of 1023 bits", rsaTags + "bh=?; b=?", "rsa1024._domainkey.example.org " + shortKey(1023), "policy key is too short"},
		{"RSA of 4097 bits", rsaTags + "bh=?; b=?", "rsa1024._domainkey.example.org " + shortKey(4097), "policy key is too long"},
		{"RSA of another", rsaTags + "bh=?; b=?", "rsa1024._domainkey.example.org " + shortKey(1024), "fail signature did not verify"},
		{"RSA of 2048 bits", strings.Replace(rsaTags, "1024", "2048", 1) + "bh=?; b=?", "", "pass"},
		{"RSA of 4096 bits", strings.Replace(rsaTags, "1024", "4096", 1) + "bh=?; b=?", "", "pass"},

		// Several records: a wildcard's stray text does not matter, and any of a
		// few keys may be the one.
		{"key and stray text", edTags + "bh=?; b=?", at + "hello\n" + at + "v=spf1 -all\n" + at + good, "pass"},
		{"two keys", edTags + "bh=?; b=?", at + testRecord(t, "rsa1024") + "\n" + at + good, "pass"},
		{"bad key and good one", edTags + "bh=?; b=?", at + "v=DKIM1; p=*\n" + at + good, "pass"},
		{"four keys", edTags + "bh=?; b=?", strings.Repeat(at+"v=DKIM1; p=\n", 3) + at + good, "pass"},
		{"five keys", edTags + "bh=?; b=?", strings.Repeat(at+"v=DKIM1; p=\n", 4) + at + good, "permerror too many key records"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fields, _ := parseMessage(t, testHeader)
			key := "ed25519"
			if strings.Contains(tt.tags, "rsa-sha") {
				key = slowTag(tt.tags, "s")
			}
			fields = forge(t, testKey(t, key), tt.tags, fields, testBody)
			v := &Verifier{Resolver: testZone(t, tt.dns), Now: testNow}
			results := verifyParts(t, v, fields, testBody)
			if len(results) != 1 {
				t.Fatalf("%d results", len(results))
			}
			r := results[0]
			if got := strings.TrimSpace(string(r.Status) + " " + r.Reason); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, r.Err, tt.want)
			}
		})
	}
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "u%d=; ", i)
	}
	return b.String()
}

// What is changed after signing, and what of it is noticed.
func TestVerifyChanges(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	fields = append(fields, message.Field{Name: "X", Value: " y"})
	replace := func(name, value string) func([]message.Field, string) ([]message.Field, string) {
		return func(fs []message.Field, body string) ([]message.Field, string) {
			for i := range fs {
				if fs[i].Name == name {
					fs[i].Value = value
				}
			}
			return fs, body
		}
	}
	insert := func(name, value string, bottom bool) func([]message.Field, string) ([]message.Field, string) {
		return func(fs []message.Field, body string) ([]message.Field, string) {
			f := message.Field{Name: name, Value: value}
			if bottom {
				return append(fs, f), body
			}
			return append([]message.Field{f}, fs...), body
		}
	}
	body := func(body string) func([]message.Field, string) ([]message.Field, string) {
		return func(fs []message.Field, _ string) ([]message.Field, string) { return fs, body }
	}
	tests := []struct {
		name            string
		change          func([]message.Field, string) ([]message.Field, string)
		simple, relaxed string // header and body match?
	}{
		{"nothing", body(testBody), "header body", "header body"},
		{"unsigned field", replace("X", " z"), "header body", "header body"},
		{"subject", replace("Subject", " other"), "body", "body"},
		{"subject refolded", replace("Subject", " [list]\n minutes\r\n\tof   Monday \t"), "body", "header body"},
		{"case of a name", func(fs []message.Field, b string) ([]message.Field, string) { fs[3].Name = "TO"; return fs, b }, "body", "header body"},
		{"folds as CRLF", replace("Subject", " [list]  minutes\r\n\tof Monday"), "header body", "header body"},
		{"another Received on top", insert("Received", " from d.test", false), "header body", "header body"},
		{"another Received at the bottom", insert("Received", " from d.test", true), "body", "body"},
		{"oversigned From on top", insert("From", " evil@example.net", false), "body", "body"},
		{"oversigned Cc", insert("Cc", " evil@example.net", false), "body", "body"},
		{"Reply-To", insert("Reply-To", " evil@example.net", false), "header body", "header body"},
		{"body", body("Hello"), "header", "header"},
		{"empty lines at the end", body(testBody + "\r\n\n\r\n"), "header body", "header body"},
		{"blanks at the end", body(testBody + " \r\n\t\r\n "), "header", "header body"},
		{"LF line ends", body(strings.ReplaceAll(testBody, "\r\n", "\n")), "header body", "header body"},
		{"no line end at the end", body(strings.TrimRight(testBody, "\r\n")), "header body", "header body"},
		{"white space in lines", body(strings.ReplaceAll(testBody, " ", "\t ")), "header", "header body"},
		{"a footer", body(testBody + "-- \r\nlist\r\n"), "header", "header"},
	}
	for _, tt := range tests {
		for c, want := range map[string]string{"simple/simple": tt.simple, "relaxed/relaxed": tt.relaxed} {
			t.Run(tt.name+" "+c, func(t *testing.T) {
				tags := "v=1; a=ed25519-sha256; d=example.org; s=ed25519; c=" + c + "; h=From:From:Subject:To:Cc:Received:Received; bh=?; b=?"
				signed := forge(t, testKey(t, "ed25519"), tags, fields, testBody)
				changed, changedBody := tt.change(signed, testBody)
				r := verifyParts(t, &Verifier{Resolver: testZone(t, ""), Now: testNow}, changed, changedBody)[0]
				got := ""
				if r.HeaderMatches {
					got += "header "
				}
				if r.BodyMatches {
					got += "body"
				}
				if got = strings.TrimSpace(got); got != want {
					t.Errorf("matches %q, want %q", got, want)
				}
				if (r.Status == Pass) != (want == "header body") || r.Status != Pass && r.Status != Fail {
					t.Errorf("%s (%s)", r.Status, r.Reason)
				}
			})
		}
	}
}

// A result tells what is known of a signature, even of one that is of no use.
func TestResultDetails(t *testing.T) {
	fields, _ := parseMessage(t, testHeader)
	tags := "v=1; a=rsa-sha256; c=relaxed/simple; d=Example.ORG; s=RSA2048; i=Ann@Mail.example.org; t=1999999990; x=2000000010; l=20;\n\th=from : to; bh=?; b=?"
	fields = forge(t, testKey(t, "rsa2048"), tags, fields, testBody)
	z := testZone(t, "rsa2048._domainkey.example.org v=DKIM1; t=y; "+testRecord(t, "rsa2048")[9:])
	r := verifyParts(t, &Verifier{Resolver: z, Now: testNow}, fields, testBody)[0]
	got := fmt.Sprint(r.Status, " ", r.Domain, " ", r.Selector, " ", r.Identity, " ", r.Algorithm, " ", r.KeyBits, " ", r.Header, "/", r.Body, " ",
		r.Names, " ", r.Signed.Unix(), " ", r.Expires.Unix(), " ", r.TestMode, r.Partial, r.Covered, r.BodyLength, r.BodyMatches, r.HeaderMatches, " ", r.Err)
	want := "policy example.org rsa2048 Ann@Mail.example.org rsa-sha256 2048 relaxed/simple [from to] 1999999990 2000000010 " +
		"true true 20 52 true true l= does not cover the whole body: 20 of 52 bytes"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	fields[0].Value = " d=example.org; s=x; a=rsa-sha256; b=abcdefghijkl; v=7"
	r = verifyParts(t, &Verifier{Resolver: z, Now: testNow}, fields, testBody)[0]
	if r.Status != Neutral || r.Domain.String() != "example.org" || r.Selector != "x" || r.BPrefix != "abcdefgh" || r.Identity != "@example.org" {
		t.Errorf("%+v", r)
	}
	if len(z.asked) != 1 {
		t.Errorf("asked for %q", z.asked)
	}
}

// RFC 6008, section 4: the prefix tells signatures apart.
func TestBPrefix(t *testing.T) {
	var fields []message.Field
	for _, b := range []string{"abcdefghijkl", "abcdefghijXX", "zzzzzzzzzzzz", "abcdefghijkl", "abcd"} {
		fields = append(fields, message.Field{Name: FieldName, Value: "v=1; b=" + b})
	}
	var got []string
	for _, r := range verifyParts(t, &Verifier{}, fields, "") {
		got = append(got, r.BPrefix)
	}
	if want := "[abcdefghijkl abcdefghijX zzzzzzzz abcdefghijkl abcd]"; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
