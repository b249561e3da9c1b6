package integration

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"regexp"
	"strings"
	"sync"
)

// A signer makes DKIM signatures as an attacker would: with a real key and with
// whatever stands in d= and s=. It is the simplest relaxed/relaxed signer that
// works, and shares nothing with package dkim.
type signer struct {
	key *rsa.PrivateKey
}

// newSigner makes a key once for each name: keys are slow to make.
var newSigner = func() func(name string) signer {
	var mu sync.Mutex
	keys := map[string]signer{}
	return func(name string) signer {
		mu.Lock()
		defer mu.Unlock()
		s, ok := keys[name]
		if !ok {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			s = signer{key}
			keys[name] = s
		}
		return s
	}
}()

// record is the TXT record of the key.
func (s signer) record() string {
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		panic(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)
}

var blanks = regexp.MustCompile(`[ \t]+`)

// relaxedHeader is RFC 6376, section 3.4.2.
func relaxedHeader(name, value string) string {
	value = strings.ReplaceAll(value, "\r\n", "")
	value = strings.Trim(blanks.ReplaceAllString(value, " "), " ")
	return strings.ToLower(strings.TrimSpace(name)) + ":" + value
}

// relaxedBody is RFC 6376, section 3.4.4.
func relaxedBody(body string) string {
	lines := strings.Split(body, "\r\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(blanks.ReplaceAllString(line, " "), " ")
	}
	body = strings.TrimRight(strings.Join(lines, "\r\n"), "\r\n")
	if body == "" {
		return ""
	}
	return body + "\r\n"
}

// sign returns the message with a signature above it over the given fields.
func (s signer) sign(raw, d, sel string, names ...string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	bodyHash := sha256.Sum256([]byte(relaxedBody(body)))
	field := " v=1; a=rsa-sha256; c=relaxed/relaxed; d=" + d + "; s=" + sel + "; h=" + strings.Join(names, ":") +
		"; bh=" + base64.StdEncoding.EncodeToString(bodyHash[:]) + "; b="
	var signed strings.Builder
	for _, name := range names {
		for _, f := range fieldsOf(head) {
			if strings.EqualFold(strings.TrimSpace(f.Name), name) {
				signed.WriteString(relaxedHeader(f.Name, f.Value) + "\r\n")
				break
			}
		}
	}
	signed.WriteString(relaxedHeader("DKIM-Signature", field))
	sum := sha256.Sum256([]byte(signed.String()))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return "DKIM-Signature:" + field + base64.StdEncoding.EncodeToString(sig) + "\r\n" + raw
}

// fieldsOf takes a header apart, folds kept; from the bottom up, as signatures
// count.
func fieldsOf(head string) []Field {
	var fields []Field
	for line := range strings.SplitSeq(head, "\r\n") {
		if n := len(fields); n > 0 && strings.IndexAny(line, " \t") == 0 {
			fields[n-1].Value += "\r\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, Field{Name: name, Value: value})
	}
	for i, j := 0, len(fields)-1; i < j; i, j = i+1, j-1 {
		fields[i], fields[j] = fields[j], fields[i]
	}
	return fields
}
