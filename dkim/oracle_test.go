package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"milterd/message"
)

// The slow and simple way: every step of RFC 6376 once more, over whole strings
// and with regular expressions, sharing nothing with the package. Signatures for
// tests are forged with it, and it is the oracle of the fuzz tests.

var (
	slowBlanks  = regexp.MustCompile(`[ \t]+`)
	slowFold    = regexp.MustCompile(`\r?\n`)
	slowB       = regexp.MustCompile(`((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*`)
	slowLineEnd = regexp.MustCompile(`(^|[^\r])\n`)
)

// slowBody is the canonical body.
func slowBody(c Canonicalization, body string) string {
	lines := strings.Split(strings.ReplaceAll(body, "\r\n", "\n"), "\n")
	for i := range lines {
		if c == Relaxed {
			lines[i] = strings.TrimSuffix(slowBlanks.ReplaceAllString(lines[i], " "), " ")
		}
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 && c == Relaxed {
		return ""
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// slowField is a canonical header field without its last CRLF.
func slowField(c Canonicalization, name, value string) string {
	if c == Simple {
		for slowLineEnd.MatchString(value) { // neighbours overlap
			value = slowLineEnd.ReplaceAllString(value, "$1\r\n")
		}
		return name + ":" + value
	}
	value = slowBlanks.ReplaceAllString(slowFold.ReplaceAllString(value, ""), " ")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Trim(value, " ")
}

// slowSigned is what a signature field on top of fields signs.
func slowSigned(c Canonicalization, names []string, fields []message.Field, sigName, sigValue string) string {
	used := make([]bool, len(fields))
	var b strings.Builder
	for _, name := range names {
		for i := len(fields) - 1; i >= 0; i-- {
			if name != "" && !used[i] && strings.EqualFold(name, strings.TrimRight(fields[i].Name, " \t")) {
				used[i] = true
				b.WriteString(slowField(c, fields[i].Name, fields[i].Value) + "\r\n")
				break
			}
		}
	}
	return b.String() + slowField(c, sigName, slowB.ReplaceAllString(sigValue, "$1"))
}

// slowTag finds a tag in text that the tests wrote themselves.
func slowTag(tags, name string) string {
	for t := range strings.SplitSeq(tags, ";") {
		if n, v, _ := strings.Cut(t, "="); strings.TrimSpace(n) == name {
			return strings.Join(strings.Fields(v), "")
		}
	}
	return ""
}

// testKey returns one of the keys in testdata: rsa1024, rsa2048, rsa4096,
// ed25519.
func testKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".key")
	if err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(dropSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key.(crypto.Signer)
}

// publicRecord returns the p= of a key, in its usual form.
func publicRecord(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	if k, ok := key.(*rsa.PublicKey); ok {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	return base64.StdEncoding.EncodeToString(key.(ed25519.PublicKey))
}

// testZone publishes the test keys under their names as selectors of
// example.org, and adds lines.
func testZone(t testing.TB, lines string) *zone {
	t.Helper()
	z := zoneOf(lines)
	for _, name := range []string{"rsa1024", "rsa2048", "rsa4096", "ed25519"} {
		at := name + "._domainkey.example.org"
		if _, ok := z.txt[at]; !ok && z.fail[at] == nil {
			z.add(at, testRecord(t, name))
		}
	}
	return z
}

// testRecord is the key record of one of the test keys.
func testRecord(t testing.TB, name string) string {
	kind := "rsa"
	if name == "ed25519" {
		kind = "ed25519"
	}
	return "v=DKIM1; k=" + kind + "; p=" + publicRecord(t, testKey(t, name).Public())
}

var (
	placeBH = regexp.MustCompile(`(\bbh\s*=\s*)\?`)
	placeB  = regexp.MustCompile(`(\bb\s*=\s*)\?`)
)

// forge returns fields with a signature on top. In tags, "bh=?" and "b=?" are
// replaced by what belongs there; everything else is left as it is, be it right
// or wrong.
func forge(t testing.TB, key crypto.Signer, tags string, fields []message.Field, body string) []message.Field {
	t.Helper()
	header, rest, _ := strings.Cut(slowTag(tags, "c"), "/")
	canonical := slowBody(canonicalization(rest), body)
	if l, err := strconv.Atoi(slowTag(tags, "l")); err == nil && l < len(canonical) {
		canonical = canonical[:l]
	}
	bh := sha256.Sum256([]byte(canonical))
	tags = placeBH.ReplaceAllString(tags, "${1}"+base64.StdEncoding.EncodeToString(bh[:]))
	names := strings.Split(slowTag(tags, "h"), ":")
	digest := sha256.Sum256([]byte(slowSigned(canonicalization(header), names, fields, FieldName, " "+tags)))
	var opts crypto.SignerOpts = crypto.SHA256
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		opts = crypto.Hash(0)
	}
	value, err := key.Sign(nil, digest[:], opts)
	if err != nil {
		t.Fatal(err)
	}
	tags = placeB.ReplaceAllString(tags, "${1}"+base64.StdEncoding.EncodeToString(value))
	return append([]message.Field{{Name: FieldName, Value: " " + tags}}, fields...)
}

func canonicalization(s string) Canonicalization {
	if strings.EqualFold(s, "relaxed") {
		return Relaxed
	}
	return Simple
}
