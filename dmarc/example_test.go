package dmarc_test

import (
	"context"
	"fmt"
	"net"

	"milterd/dmarc"
	"milterd/message"
)

// dns is a Resolver for a few names.
type dns map[string]string

func (d dns) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := d[name]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func Example() {
	resolver := dns{"_dmarc.example.org": "v=DMARC1; p=reject; sp=quarantine; rua=mailto:dmarc@example.org"}
	author, _ := message.ParseDomain("news.example.org")
	signer, _ := message.ParseDomain("mail.example.org")
	stranger, _ := message.ParseDomain("example.net")

	// At the end of the header, while the body is still coming:
	policy := dmarc.Discover(context.Background(), resolver, author, dmarc.Options{})
	fmt.Println(policy.Domain, policy.Organizational, policy.Tag, policy.Disposition)

	// When SPF and DKIM are done:
	for _, d := range []message.Domain{signer, stranger} {
		res := policy.Evaluate(context.Background(), dmarc.Identifiers{DKIM: []dmarc.Identifier{{Domain: d}}})
		fmt.Println(d, res.Status, res.Queries)
	}
	// Output:
	// example.org example.org sp quarantine
	// mail.example.org pass 4
	// example.net fail 4
}

func ExampleLint() {
	for _, p := range dmarc.Lint("v=DMARC1; p=reject; pct=50; adkim=strict") {
		fmt.Println(p)
	}
	// Output:
	// pct: historic, and ignored since RFC 9989
	// adkim: not r or s, so it is r
}
