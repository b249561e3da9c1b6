package spf_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"milterd/spf"
)

// dns is a Resolver for two domains.
type dns map[string]string

func (d dns) LookupTXT(_ context.Context, name string) ([]string, error) {
	if txt, ok := d[name]; ok {
		return []string{txt}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (d dns) LookupIP(context.Context, string, string) ([]netip.Addr, error)   { return nil, nil }
func (d dns) LookupMX(context.Context, string) ([]*net.MX, error)              { return nil, nil }
func (d dns) LookupAddr(context.Context, netip.Addr) (names []string, _ error) { return nil, nil }

func Example() {
	v := &spf.Verifier{Resolver: dns{
		"example.org":      "v=spf1 ip4:192.0.2.0/24 include:_spf.example.net -all",
		"_spf.example.net": "v=spf1 ip6:2001:db8::/32 ~all",
	}}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1", "203.0.113.9"} {
		res, err := v.CheckMailFrom(context.Background(), spf.Args{
			IP:       netip.MustParseAddr(ip),
			Helo:     "mail.example.org",
			MailFrom: "user@example.org",
		})
		if err != nil {
			fmt.Println(err) // temperror or permerror; res is complete all the same
		}
		fmt.Println(res.Status, res.Mechanism, res.Lookups)
	}
	// Output:
	// pass ip4:192.0.2.0/24 0
	// pass include:_spf.example.net 1
	// fail -all 1
}

func ExampleParse() {
	r, err := spf.Parse("v=spf1 +A:mail.example.org/24 -All")
	fmt.Println(r, err)

	_, err = spf.Parse("v=spf1 +all a:museum")
	fmt.Println(err)
	// Output:
	// v=spf1 a:mail.example.org/24 -all <nil>
	// "a:museum": domain-spec ends neither in a macro nor in a dot and a top label
}
