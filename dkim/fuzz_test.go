package dkim

import (
	"crypto/sha256"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"milterd/message"
)

// The grammar of RFC 6376, section 3.2, as a regular expression: a second
// opinion that shares nothing with the parser. Values may hold whatever RFC 8616
// adds, and line ends are CRLF or LF.
var (
	abnfFWS   = `(?:[ \t]|\r?\n[ \t])*`
	abnfValue = `(?:[!-:<-~\x{80}-\x{10ffff}]|` + abnfFWS[:len(abnfFWS)-1] + `)*`
	abnfSpec  = abnfFWS + `([A-Za-z][A-Za-z0-9_]*)` + abnfFWS + `=` + abnfValue
	abnfList  = regexp.MustCompile(`^` + abnfSpec + `(?:;` + abnfSpec + `)*(?:;` + abnfFWS + `)?$`)
	abnfName  = regexp.MustCompile(`(?:^|;)` + abnfFWS + `([A-Za-z][A-Za-z0-9_]*)`)
)

// abnfAccepts is ParseTags, slowly.
func abnfAccepts(text string) bool {
	if !utf8.ValidString(text) || !abnfList.MatchString(text) {
		return false
	}
	seen := map[string]bool{}
	for _, m := range abnfName.FindAllStringSubmatch(text, -1) {
		if seen[m[1]] {
			return false
		}
		seen[m[1]] = true
	}
	return len(seen) <= maxTags
}

func FuzzTags(f *testing.F) {
	for _, s := range []string{
		"v=1; a=rsa-sha256; d=example.org; s=s1; h=from:to; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA",
		" v = 1 ;\r\n\ta=ed25519-sha256\n ; b= AA\r\n AA ; c=relaxed;", "a=b;", ";", "", "=", "a", "a==", "a=;;b=", "a=b;a=c", "a=b; A=c",
		"d=legit.test'a.attack.test; s=selector._domainkey.attack.test.\x00.any", "d=legit.test(.attack.test", "d=\u00a0x.test", "d=x.test\u0085",
		"d=bücher.example; s=schlüssel; i=ü@bücher.example", "z=From:b=3D|b=x;b=y", "b\n =\n x\r\n\t;c", "i=a=40b@c=2Ed; d=c.d", "l=99999999999999999999999999",
		"t=1;x=0", "t=999999999999;x=999999999999", "h=::from:", "h=" + strings.Repeat("from:", 300), strings.Repeat("a=;", 200), "a=\xff", "a=\r", "a=\n", "a=b\x7f", "_=1", "1a=",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tags, err := ParseTags(text)
		if want := abnfAccepts(text); want != (err == nil) {
			t.Fatalf("ParseTags(%q): %v, the grammar says %t", text, err, want)
		}
		fields := []message.Field{{Name: FieldName, Value: text}, {Name: ARCFieldName, Value: text}}
		for i := range fields {
			sig, serr := ParseSignature(fields, i)
			if err != nil && serr == nil {
				t.Fatalf("ParseSignature(%q) without an error", text)
			}
			checkSignature(t, text, sig, serr)
		}
		if err != nil {
			return
		}
		for _, tag := range tags.list {
			if got, ok := tags.Get(tag.name); !ok || got != tag.value || trimSpace(got) != got || strings.Contains(got, ";") {
				t.Errorf("%q: %s is %q", text, tag.name, got)
			}
		}
		if got, want := tags.Without("b"), slowB.ReplaceAllString(text, "$1"); got != want {
			t.Errorf("%q without b= is %q, want %q", text, got, want)
		}
	})
}

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

// checkSignature holds for every signature that was read, usable or not.
func checkSignature(t *testing.T, text string, s *Signature, err error) {
	t.Helper()
	if d := s.Domain.String(); d != "" && (!hostName.MatchString(d) || len(d) > 253) {
		t.Errorf("%q: domain %q", text, d)
	}
	if s.Selector != "" && (!regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`).MatchString(s.Selector) ||
		!s.Domain.IsZero() && len(KeyName(s.Domain, s.Selector)) > 253) {
		t.Errorf("%q: selector %q", text, s.Selector)
	}
	if strings.ContainsAny(s.Identity+s.valueText+string(s.Algorithm), " \t\r\n\x00") && err == nil {
		t.Errorf("%q: %q %q %q", text, s.Identity, s.valueText, s.Algorithm)
	}
	if err != nil {
		reasonOf(err) // panics when there is none
		return
	}
	if s.Domain.IsZero() || s.Selector == "" || len(s.BodyHash) != sha256.Size || len(s.Value) == 0 || s.Length < -1 ||
		s.Instance == 0 && !slices.ContainsFunc(s.Names, func(n string) bool { return equalFold(n, "from") }) {
		t.Errorf("%q: %+v", text, s)
	}
}

func FuzzKeyRecord(f *testing.F) {
	for _, s := range []string{
		testRecord(f, "ed25519"), testRecord(f, "rsa1024"), "v=DKIM1; p=", "v=DKIM1; k=ed25519; p=AAAA", "p=" + strings.Repeat("A", 9000),
		"v=DKIM1;; h=sha1:SHA256 ; s=*:email; t=y : s; n=\u00fc; p= A\tA\r\n AA", "v=spf1 -all", "k=rsa; v=DKIM1; p=AA", "g=*; p=x", "p=x; p=y", "v=DKIM1\\; p=AA",
		// RSA with a modulus or exponent of 0, 1, even, negative, and a key of another kind.
		"p=MBowDQYJKoZIhvcNAQEBBQADCQAwBgIBAAIBAw", "p=MAYCAQECAQE=", "p=MAYCAf8CAQM=", "k=rsa; p=MCowBQYDK2VwAyEA3SUqa9UbfciWkk7tlcJ9P1VD5pXAasg0JUn/OgjVbKE=",
	} {
		f.Add(s, []byte("signature"))
	}
	digest := sha256.Sum256(nil)
	f.Fuzz(func(t *testing.T, record string, value []byte) {
		k, err := ParseKey(record)
		if err != nil {
			if k != nil || !slices.Contains([]error{ErrNoKey, ErrKeySyntax, ErrKeyRevoked, ErrKeyAlgorithm}, error(reasonOf(err))) {
				t.Errorf("ParseKey(%q): %v, %v", record, k, err)
			}
			return
		}
		if (k.rsa == nil) == (k.ed25519 == nil) || k.Bits <= 0 || k.ed25519 != nil && k.Bits != 256 || k.Bits > 8*maxKeyRecord {
			t.Errorf("ParseKey(%q): %+v", record, k)
		}
		// Nobody has signed this.
		v := &Verifier{}
		for _, a := range []Algorithm{RSASHA256, Ed25519SHA256} {
			if key, ok, _ := v.VerifyDigest([]*Key{k}, &Signature{Algorithm: a, Value: value}, digest[:]); ok || key != k {
				t.Errorf("%q verifies %x", record, value)
			}
		}
		// Blanks around tags, and unknown tags, change nothing.
		again, err := ParseKey(strings.ReplaceAll(record, ";", " ; ") + ";zz=1")
		if _, known := mustTags(t, record).Get("zz"); err != nil && !known && len(record) < maxKeyRecord/3 && len(mustTags(t, record).list) < maxTags {
			t.Errorf("%q with blanks: %v", record, err)
		} else if err == nil && (again.Bits != k.Bits || again.Strict != k.Strict || again.TestMode != k.TestMode || again.noMail != k.noMail || again.noSHA256 != k.noSHA256) {
			t.Errorf("%q with blanks: %+v, want %+v", record, again, k)
		}
	})
}

func mustTags(t *testing.T, record string) Tags {
	t.Helper()
	tags, problem := parseTags(record, true)
	if problem != "" {
		t.Fatalf("%q: %s", record, problem)
	}
	return tags
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{"", "\r\n", " C \r\nD \t E\r\n\r\n\r\n", "a\rb\r\r\n\n \t\r\n", strings.Repeat("\r\n", 600) + "x", strings.Repeat(" \t", 600) + "x", strings.Repeat("a ", 700), "a\x00\xff\v \v"} {
		f.Add(s, []byte{0, 1, 2, 255}, uint16(3))
	}
	f.Fuzz(func(t *testing.T, body string, cuts []byte, length uint16) {
		lengths := make([]int, len(cuts))
		for i, n := range cuts {
			lengths[i] = int(n)
		}
		for _, c := range []Canonicalization{Simple, Relaxed} {
			want := slowBody(c, body)
			if got := canonicalBody(c, body, lengths...); got != want {
				t.Fatalf("%s %q cut %d is %q, want %q", c, body, cuts, got, want)
			}
			checkSums(t, c, body, want, lengths, int64(length), int64(length)/7)
		}
	})
}

// fuzzFields cuts text into header fields at every zero byte, so that they may
// hold anything else.
func fuzzFields(text string) []message.Field {
	var fields []message.Field
	for part := range strings.SplitSeq(text, "\x00") {
		name, value, _ := strings.Cut(part, ":")
		fields = append(fields, message.Field{Name: name, Value: value})
	}
	return fields
}

func FuzzHeader(f *testing.F) {
	f.Add("From: a\x00Subject: \r\n b\t \n\tc \x00from:x\x00X \t:", "from:FROM::subject:x:y", " v=1; b=AAA; bh=x")
	f.Add(":\x00\u212a: a\x00K: b\x00DKIM-Signature: x", "\u212a:k:dkim-signature:dkim-signature", "b=\n b;")
	f.Fuzz(func(t *testing.T, text, names, value string) {
		fields := fuzzFields(text)
		list := strings.Split(names, ":")
		tags, err := ParseTags(value)
		if err != nil || !isASCII(text) || !isASCII(names) { // the oracle folds the case of all letters
			return
		}
		all := append([]message.Field{{Name: FieldName, Value: value}}, fields...)
		for _, c := range []Canonicalization{Simple, Relaxed} {
			want := slowSigned(c, list, fields, FieldName, value)
			sig := &Signature{Header: c, Names: list, unsigned: tags.Without("b")}
			h := NewHeader(all)
			if got := string(h.appendSigned(nil, sig)); got != want {
				t.Fatalf("%s: signed is\n%q, want\n%q", c, got, want)
			}
			if got := h.Digest(sig); got != sha256.Sum256([]byte(want)) {
				t.Errorf("%s: digest %x", c, got)
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// FuzzVerify is a whole verification: hostile fields before and after a signature
// that is good or nearly so.
func FuzzVerify(f *testing.F) {
	const tags = "v=1; a=ed25519-sha256; d=example.org; s=ed25519; h=From:Subject; bh=?; b=?"
	f.Add("From: a\x00Subject: b", tags, "", testBody, []byte{3, 200})
	f.Add("From: a\x00DKIM-Signature: v=1; d=example.org", tags+"; c=relaxed/relaxed; l=3; z=b=; i=@x.example.org", "v=DKIM1; t=s:y; p=", "", []byte{})
	f.Add("X:\r\n y", strings.Replace(tags, "From", "From:dkim-signature:x", 1)+"; t=1; x=2", "p=AAAA", " \r\r\n", []byte{1, 1, 1})
	f.Fuzz(func(t *testing.T, header, tags, record, body string, cuts []byte) {
		key := testKey(t, "ed25519")
		fields := forge(t, key, tags, fuzzFields(header), body)
		z := testZone(t, "")
		if record != "" {
			z.txt["ed25519._domainkey.example.org"] = []string{record, testRecord(t, "ed25519")}
		}
		v := &Verifier{Resolver: z, Now: testNow}
		whole := verifyParts(t, v, fields, body)
		if len(whole) > 8 {
			t.Errorf("%d results", len(whole))
		}
		for i, e := range v.Explain(t.Context(), fields, []byte(body)) {
			if w := whole[i]; e.Status != w.Status || e.Reason != w.Reason || e.Status == Pass && e.Changes != nil {
				t.Errorf("explained %+v, verified %+v", e, w)
			}
			for _, c := range e.Changes {
				if line := c.String(); strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
					t.Errorf("%q", line)
				}
			}
		}
		s := v.Start(t.Context(), fields, message.Domain{})
		rest := body
		for _, n := range cuts {
			n := min(int(n), len(rest))
			io.WriteString(s, rest[:n])
			rest = rest[n:]
		}
		io.WriteString(s, rest)
		for i, r := range s.Finish(t.Context()) {
			w := whole[i]
			if r.Status != w.Status || r.Reason != w.Reason || r.BodyMatches != w.BodyMatches || r.BodyLength != w.BodyLength || r.BPrefix != w.BPrefix {
				t.Errorf("in pieces %+v, whole %+v", r, w)
			}
			if r.Status == Pass {
				checkPass(t, r, fields, body)
			}
		}
	})
}

// checkPass makes sure, the slow way, that a signature that passed may pass.
func checkPass(t *testing.T, r Result, fields []message.Field, body string) {
	t.Helper()
	if d := r.Domain.String(); d != "example.org" || r.Selector != "ed25519" && r.Selector != "rsa1024" {
		t.Errorf("a pass for %s, %s", d, r.Selector)
	}
	value := fields[r.Index].Value
	others := slices.Delete(slices.Clone(fields), r.Index, r.Index+1)
	digest := sha256.Sum256([]byte(slowSigned(r.Header, r.Names, others, fields[r.Index].Name, value)))
	b, _ := decodeBase64(slowTag(value, "b"))
	k, err := ParseKey(testRecord(t, r.Selector))
	if err != nil || !k.Verify(digest[:], b) {
		t.Errorf("a pass that is none: %+v\n%q", r, fields)
	}
	sum := sha256.Sum256([]byte(slowBody(r.Body, body)))
	bh, _ := decodeBase64(slowTag(value, "bh"))
	if string(bh) != string(sum[:]) {
		t.Errorf("a pass with another body: %+v", r)
	}
}

// What we sign verifies, whatever the message.
func FuzzSign(f *testing.F) {
	f.Add("From: a\x00Subject: b", "From:Subject:Subject:X", testBody, true)
	f.Add("from:\r\n a \n\t \x00From : \x00", "x", "\r\r\n \t", false)
	f.Fuzz(func(t *testing.T, header, names, body string, relaxed bool) {
		c := Simple
		if relaxed {
			c = Relaxed
		}
		fields := fuzzFields(header)
		s := &Signer{Keys: testKeys(t, "ed25519", "rsa1024"), Oversign: []string{"From"}, Names: strings.Split(names, ":"), Header: c, Body: c, Now: testNow}
		if s.Check() != nil {
			return
		}
		g, err := s.Start(fields)
		if err != nil {
			return
		}
		io.WriteString(g, body)
		signatures, err := g.Finish()
		if err != nil {
			t.Fatal(err)
		}
		all := append(signatures, fields...)
		v := &Verifier{Resolver: testZone(t, ""), Now: testNow, MaxHeaderNames: 1 << 20, MaxSignatures: len(all)}
		for _, i := range []int{0, 1} {
			r := resultAt(t, v, all, body, i)
			// The second signature may cover other DKIM-Signature fields, and the
			// first one was not there yet.
			if r.Status != Pass && !(i == 1 && slices.ContainsFunc(s.Names, func(n string) bool { return equalFold(n, FieldName) })) {
				t.Errorf("%+v of %q", r, all)
			}
			if r.Status == Pass {
				checkPass(t, r, all, body)
			}
		}
	})
}
