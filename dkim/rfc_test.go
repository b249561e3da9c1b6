package dkim

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"testing"
	"time"
)

// The signed message of RFC 6376, appendix A.2, with the key of its appendix C.
const (
	rfc6376Key = "brisbane._domainkey.example.com v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkM" +
		"oGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGj" +
		"aNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"

	rfc6376Message = `DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
`
)

func TestRFC6376Example(t *testing.T) {
	results := verify(t, &Verifier{Resolver: zoneOf(rfc6376Key)}, rfc6376Message)
	if len(results) != 1 {
		t.Fatalf("%d results", len(results))
	}
	r := results[0]
	if r.Status != Pass || r.Domain.String() != "example.com" || r.Selector != "brisbane" || r.Identity != "joe@football.example.com" ||
		r.Algorithm != RSASHA256 || r.KeyBits != 1024 || r.BPrefix != "AuUoFEfD" || r.Header != Simple || r.Body != Simple ||
		len(r.Names) != 6 || r.Signed != (time.Time{}) || r.BodyLength != 54 || r.Covered != 54 {
		t.Errorf("%+v", r)
	}
}

// The same message, signed with a key that is published as the bare RSAPublicKey
// of RFC 8017 (RFC 6376, section 3.6.1 by the letter).
func TestRSAPublicKey(t *testing.T) {
	z := zoneOf("")
	for _, name := range []string{"rsa1024", "rsa2048"} {
		der := x509.MarshalPKCS1PublicKey(testKey(t, name).Public().(*rsa.PublicKey))
		z.add(name+"._domainkey.example.org", "v=DKIM1; p="+base64.StdEncoding.EncodeToString(der))
	}
	fields, _ := parseMessage(t, testHeader)
	for _, name := range []string{"rsa1024", "rsa2048"} {
		fields = forge(t, testKey(t, name), "v=1; a=rsa-sha256; d=example.org; s="+name+"; h=From:Subject; bh=?; b=?", fields, testBody)
	}
	expect(t, verifyParts(t, &Verifier{Resolver: z}, fields, testBody), "pass rsa-sha256 2048", "pass rsa-sha256 1024")

	// The limits on keys, which go no lower than the RFC's.
	short, long := "policy rsa-sha256 1024: key is too short", "policy rsa-sha256 2048: key is too long"
	expect(t, verifyParts(t, &Verifier{Resolver: z, MinRSABits: 1025}, fields, testBody), "pass rsa-sha256 2048", short)
	expect(t, verifyParts(t, &Verifier{Resolver: z, MaxRSABits: 2047}, fields, testBody), long, "pass rsa-sha256 1024")
	expect(t, verifyParts(t, &Verifier{Resolver: z, MinRSABits: 512, MaxRSABits: 2048}, fields, testBody), "pass rsa-sha256 2048", "pass rsa-sha256 1024")
}
