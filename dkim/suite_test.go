package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/message"
)

// readSuite reads a file of the public suites, which lie outside the project.
func readSuite(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("MILTERD_SUITES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "suites")
	}
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("PUBLIC DKIM SUITE NOT RUN: %v (set MILTERD_SUITES to the folder of the suites)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// suiteTable yields the two columns of a TSV file.
func suiteTable(t *testing.T, name string) func(yield func(string, string) bool) {
	text := readSuite(t, name)
	return func(yield func(string, string) bool) {
		for line := range strings.Lines(text) {
			file, value, ok := strings.Cut(strings.TrimSpace(line), "\t")
			if ok && file[0] != '#' && !yield(file, value) {
				return
			}
		}
	}
}

func mailDKIMZone(t *testing.T) *zone {
	z := zoneOf("")
	for line := range strings.Lines(readSuite(t, "dkim-mail-dkim/FAKE_DNS.dat")) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.IndexAny(line, " \t")
		name, text := strings.ToLower(line[:i]), strings.TrimSpace(line[i:])
		switch text {
		case "NXDOMAIN":
		case "~~Query timed out~~":
			z.add(name, "TIMEOUT")
		case "~~SERVFAIL~~":
			z.add(name, "SERVFAIL")
		case `""`:
			z.txt[name] = []string{""}
		default:
			z.add(name, text)
		}
	}
	return z
}

// The messages of Mail::DKIM's corpus that its authors let pass and we do not,
// each with the reason. What is signed with rsa-sha1 or with a key under 1024
// bits is shown below to be understood all the same.
var mailDKIMRefused = map[string]error{
	// RFC 8301, section 3.1: rsa-sha1 has permanently failed.
	"good_1878523.txt":   ErrSHA1,
	"good_83176.txt":     ErrSHA1,
	"good_qp_1.txt":      ErrSHA1,
	"good_qp_2.txt":      ErrSHA1,
	"good_qp_3.txt":      ErrSHA1,
	"good_rfc4871_3.txt": ErrSHA1,
	"good_rfc4871_4.txt": ErrSHA1,
	"goodkey_1.txt":      ErrSHA1,
	"goodkey_2.txt":      ErrSHA1,
	"goodkey_3.txt":      ErrSHA1,
	"goodkey_4.txt":      ErrSHA1,
	"multiple_2.txt":     ErrSHA1,
	// Drafts before the first RFC: no v=, or v=0.5. RFC 6376, section 3.5 wants
	// v=1. Besides, all but mine_ietf01_3 and mine_ietf01_4 are rsa-sha1, or
	// signed with 768 bits (good_ietf01_1, multiple_1).
	"good_ietf01_1.txt": ErrMissingTag,
	"good_ietf01_2.txt": ErrMissingTag,
	"mine_ietf01_1.txt": ErrMissingTag,
	"mine_ietf01_2.txt": ErrMissingTag,
	"mine_ietf01_3.txt": ErrMissingTag,
	"mine_ietf01_4.txt": ErrMissingTag,
	"multiple_1.txt":    ErrMissingTag,
	"mine_ietf05_1.txt": ErrVersion,
	"no_body_1.txt":     ErrVersion,
	"no_body_2.txt":     ErrVersion,
	"no_body_3.txt":     ErrVersion,
}

func TestMailDKIMSuite(t *testing.T) {
	v := &Verifier{Resolver: mailDKIMZone(t)}
	counts := map[string]int{}
	for file, want := range suiteTable(t, "dkim-mail-dkim/EXPECTED.tsv") {
		raw := readSuite(t, "dkim-mail-dkim/corpus/"+file)
		results := verify(t, v, raw)
		passed := slices.ContainsFunc(results, func(r Result) bool { return r.Status == Pass })
		refused, explained := mailDKIMRefused[file]
		switch {
		case len(results) == 0:
			// RFC 4870, DomainKeys, has a field of another name.
			if !strings.Contains(strings.ToLower(raw), "domainkey-signature:") {
				t.Errorf("%s: no results", file)
			}
			counts["DomainKeys only"]++
		case passed:
			if want != "pass" {
				t.Errorf("%s: pass, want %s", file, want)
			}
			counts["pass"]++
		case explained:
			if !slices.ContainsFunc(results, func(r Result) bool { return errors.Is(r.Err, refused) }) {
				t.Errorf("%s: %+v, want %v", file, results, refused)
			}
			counts["refused"]++
		case want == "pass":
			t.Errorf("%s: %s (%s), want pass", file, results[0].Status, results[0].Reason)
		default:
			counts["no pass"]++
		}
	}
	if fmt.Sprint(counts) != "map[DomainKeys only:17 no pass:38 pass:1 refused:23]" {
		t.Error(counts)
	}
}

// The same corpus with the limits off: whatever RFC 8301 forbids and drafts
// before RFC 4871 had otherwise, tags, canonical forms and hashes are the same.
func TestMailDKIMHistoric(t *testing.T) {
	z := mailDKIMZone(t)
	algorithms := map[string]string{}
	for file, a := range suiteTable(t, "dkim-mail-dkim/ALGORITHMS.tsv") {
		algorithms[file] = a
	}
	counts := map[string]int{}
	for file, want := range suiteTable(t, "dkim-mail-dkim/EXPECTED.tsv") {
		kind, known := algorithms[file]
		if strings.HasPrefix(kind, "DK ") || want == "skip" || want == "invalid" {
			continue
		}
		fields, body := parseMessage(t, readSuite(t, "dkim-mail-dkim/corpus/"+file))
		var passed []string
		for i := range fields {
			if equalFold(fields[i].Name, FieldName) {
				if how, ok := historic(t, z, fields, i, body); ok {
					passed = append(passed, how)
				}
			}
		}
		switch {
		case want == "fail" && len(passed) > 0:
			t.Errorf("%s passes with %s", file, passed)
		case want == "fail":
			counts["fail"]++
		case known && !slices.Contains(passed, strings.TrimPrefix(kind, "DKIM ")):
			t.Errorf("%s passes with %s, want %s", file, passed, kind)
		case known:
			counts["pass"]++
		}
	}
	if counts["pass"] != 23 || counts["fail"] != 7 {
		t.Error(counts)
	}
}

// historic verifies with SHA-1 and keys of any size.
func historic(t *testing.T, z *zone, fields []message.Field, index int, body string) (how string, ok bool) {
	sig, _ := ParseSignature(fields, index)
	newHash, prefix := sha256.New, "3031300d060960864801650304020105000420"
	if sig.Algorithm == RSASHA1 {
		newHash, prefix = sha1.New, "3021300906052b0e03021a05000414"
	}
	txts, err := z.LookupTXT(t.Context(), KeyName(sig.Domain, sig.Selector))
	if err != nil {
		return "", false
	}
	key, err := ParseKey(txts[0])
	if err != nil || key.rsa == nil || sig.Value == nil || sig.Header != Simple && sig.Header != Relaxed {
		return "", false
	}
	b := BodyHashes{newHash: newHash}
	b.Want(sig.Body, sig.Length)
	b.Write([]byte(body))
	if sum, _ := b.Sum(sig.Body, sig.Length); sum == nil || !bytes.Equal(sum, sig.BodyHash) {
		return "", false
	}
	// RFC 8017, section 8.2.2: what the public key makes of the signature is the
	// padded hash.
	h := newHash()
	h.Write(NewHeader(fields).appendSigned(nil, sig))
	der, _ := hex.DecodeString(prefix)
	padded := new(big.Int).Exp(new(big.Int).SetBytes(sig.Value), big.NewInt(int64(key.rsa.E)), key.rsa.N).Bytes()
	return fmt.Sprintf("%s %d", sig.Algorithm, key.Bits), bytes.HasSuffix(padded, h.Sum(der)) && padded[0] == 1 && padded[1] == 0xff
}

func TestRFC8463Example(t *testing.T) {
	z := zoneOf(`brisbane._domainkey.football.example.com v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
		test._domainkey.football.example.com v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB`)
	raw := readSuite(t, "dkim-rfc8463/rfc8463-example.msg")
	expect(t, verify(t, &Verifier{Resolver: z}, raw), "pass ed25519-sha256 256", "pass rsa-sha256 1024")
	expect(t, verify(t, &Verifier{Resolver: z}, strings.Replace(raw, "hungry", "Hungry", 1)),
		"fail ed25519-sha256 256: body hash did not verify", "fail rsa-sha256 1024: body hash did not verify")
	expect(t, verify(t, &Verifier{Resolver: z}, strings.Replace(raw, "Subject: Is", "Subject: is", 1)),
		"fail ed25519-sha256 256: signature did not verify", "fail rsa-sha256 1024: signature did not verify")
}

// expect compares results, one line each.
func expect(t *testing.T, results []Result, want ...string) {
	t.Helper()
	var got []string
	for _, r := range results {
		line := fmt.Sprintf("%s %s %d", r.Status, r.Algorithm, r.KeyBits)
		if r.Reason != "" {
			line += ": " + r.Reason
		}
		got = append(got, line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDkimpySuite(t *testing.T) {
	record := func(name string) string { return strings.TrimSpace(readSuite(t, "dkim-dkimpy/"+name)) }
	z := zoneOf("")
	z.add("brisbane._domainkey.football.example.com", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=") // RFC 8463, appendix A
	z.add("test._domainkey.football.example.com", record("test.txt"))
	z.add("sed._domainkey.test.ex", record("eximtest.dns"))
	v := &Verifier{Resolver: z}
	raw := readSuite(t, "dkim-dkimpy/rfc6376.signed.msg")
	expect(t, verify(t, v, raw), "pass ed25519-sha256 256", "pass rsa-sha256 1024")
	expect(t, verify(t, v, readSuite(t, "dkim-dkimpy/ed25519test2.msg")), "pass ed25519-sha256 256")
	for _, name := range []string{"test2.message", "message.mbox"} { // their keys are not in the suite, but the hash of the body is in the field
		results := verify(t, v, readSuite(t, "dkim-dkimpy/"+name))
		expect(t, results, "permerror rsa-sha256 0: no key for signature")
		if !results[0].BodyMatches {
			t.Errorf("%s: body hash did not verify", name)
		}
	}
	for _, name := range []string{"rfc6376.msg", "ed25519test.msg", "test.message", "test_extra.message", "test_nofrom.message"} {
		expect(t, verify(t, v, readSuite(t, "dkim-dkimpy/"+name))) // no signatures
	}

	// Both algorithms are deterministic: the private keys give the same bytes.
	der, err := base64.StdEncoding.DecodeString(dropSpace(record("test.private")))
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base64.StdEncoding.DecodeString(record("rfc8032_7_1.key"))
	if err != nil {
		t.Fatal(err)
	}
	fields, _ := parseMessage(t, raw)
	for i, private := range []crypto.Signer{ed25519.NewKeyFromSeed(seed), rsaKey} {
		sig, err := ParseSignature(fields, i)
		if err != nil {
			t.Fatal(err)
		}
		digest := NewHeader(fields).Digest(sig)
		key := SigningKey{Domain: sig.Domain, Selector: sig.Selector, Private: private}
		if value, err := key.Sign(digest[:]); err != nil || !bytes.Equal(value, sig.Value) {
			t.Errorf("%s: signed %x, %v, want %x", key.Algorithm(), value, err, sig.Value)
		}
	}

	// The pair of keys for unsigned messages.
	seed, err = base64.StdEncoding.DecodeString(record("ed25519test.key"))
	if err != nil {
		t.Fatal(err)
	}
	z.add("pair._domainkey.example.org", record("ed25519test.dns"))
	s := &Signer{Keys: []SigningKey{{Domain: exampleOrg(t), Selector: "pair", Private: ed25519.NewKeyFromSeed(seed)}}, Oversign: []string{"From"}}
	fields, body := parseMessage(t, readSuite(t, "dkim-dkimpy/ed25519test.msg"))
	expect(t, verifyParts(t, v, append(sign(t, s, fields, body), fields...), body), "pass ed25519-sha256 256")

	// The bad records, each under the name of the good one.
	for name, want := range map[string]string{
		"badk.txt":        "permerror rsa-sha256 0: key is for another algorithm",
		"badversion.txt":  "permerror rsa-sha256 0: no key for signature",
		"test_bad.txt":    "permerror rsa-sha256 0: malformed key record",
		"test_tlsrpt.txt": "permerror rsa-sha256 1024: key is not for mail",
		"test2.txt":       "pass rsa-sha256 1024",
	} {
		z := zoneOf("")
		z.add("test._domainkey.football.example.com", record(name))
		if results := verify(t, &Verifier{Resolver: z}, raw); len(results) == 2 {
			expect(t, results[1:], want)
		} else {
			t.Errorf("%d results", len(results))
		}
	}
}
