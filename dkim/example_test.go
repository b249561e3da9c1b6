package dkim_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"log"

	"milterd/dkim"
	"milterd/message"
)

// published is a TXTResolver for one key.
type published struct{ name, record string }

func (p published) LookupTXT(_ context.Context, name string) ([]string, error) {
	if name == p.name {
		return []string{p.record}, nil
	}
	return nil, nil
}

func Example() {
	domain, err := message.ParseDomain("example.org")
	if err != nil {
		log.Fatal(err)
	}
	header := []message.Field{
		{Name: "From", Value: " Ann <ann@example.org>"},
		{Name: "Subject", Value: " minutes"},
	}
	body := "Hello Bob.\r\n"

	// Sign: the header first, then the body as it comes in.
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // for the example only
	signer := dkim.Signer{Keys: []dkim.SigningKey{{Domain: domain, Selector: "s1", Private: private}}}
	signer.Names, signer.Oversign = dkim.StandardNames()
	signing, err := signer.Start(header)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(signing, body)
	signatures, err := signing.Finish()
	if err != nil {
		log.Fatal(err)
	}
	header = append(signatures, header...)

	// Verify: in the same way.
	public := base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	verifier := dkim.Verifier{Resolver: published{"s1._domainkey.example.org", "v=DKIM1; k=ed25519; p=" + public}}
	ctx := context.Background()
	verification := verifier.Start(ctx, header, domain)
	fmt.Fprint(verification, body)
	for _, r := range verification.Finish(ctx) {
		fmt.Println(r.Status, r.Domain, r.Selector, r.Algorithm, r.KeyBits)
	}

	// A mailing list adds a footer.
	verification = verifier.Start(ctx, header, domain)
	fmt.Fprint(verification, body+"-- \r\nthe list\r\n")
	for _, r := range verification.Finish(ctx) {
		fmt.Printf("%s: %s; the header is unchanged: %t\n", r.Status, r.Reason, r.HeaderMatches)
	}
	// Output:
	// pass example.org s1 ed25519-sha256 256
	// fail: body hash did not verify; the header is unchanged: true
}
