package arc_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"milterd/arc"
	"milterd/dkim"
	"milterd/message"
)

// txt answers from memory.
type txt map[string]string

func (t txt) LookupTXT(_ context.Context, name string) ([]string, error) {
	return []string{t[name]}, nil
}

// A list checks a message, seals it, and its subscriber's host reads the seal.
func Example() {
	ctx := context.Background()
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	resolver := txt{"s._domainkey.list.example": "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))}
	fields := []message.Field{{Name: "From", Value: " ann@author.example"}, {Name: "Subject", Value: " Hello"}}
	body := []byte("Hello, list.\r\n")

	// At the list.
	list, err := message.ParseDomain("list.example")
	if err != nil {
		panic(err)
	}
	v := &arc.Verifier{DKIM: dkim.Verifier{Resolver: resolver}, ForSealing: true}
	chain := v.Start(ctx, fields)
	chain.Write(body)
	found := chain.Finish(ctx)

	sealer := &arc.Sealer{Key: dkim.SigningKey{Domain: list, Selector: "s", Private: key}, Now: time.Now}
	sealer.Names, sealer.Oversign = arc.StandardNames()
	set, err := sealer.Seal(fields, &found, "list.example; arc=none; dmarc=pass header.from=author.example")
	if err != nil {
		panic(err)
	}
	fields = append(set, fields...)

	// At the subscriber's host.
	v = &arc.Verifier{DKIM: dkim.Verifier{Resolver: resolver}}
	chain = v.Start(ctx, fields)
	chain.Write(body)
	found = chain.Finish(ctx)
	fmt.Println(found.Status, "sealed by", found.Newest().Seal.Domain)
	for _, set := range found.Trusted(func(d message.Domain) bool { return d == list }) {
		said, _ := set.Results()
		fmt.Println(said)
	}
	// Output:
	// pass sealed by list.example
	// list.example;
	// 	dmarc=pass header.from=author.example;
	// 	arc=none
}
