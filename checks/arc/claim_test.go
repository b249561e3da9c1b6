package arc

import (
	"slices"
	"testing"

	"milterd/authres"
	"milterd/message"
)

// FuzzClaim: whatever stands in a set, a claim vouches for the one author that one
// DMARC result passes, or names domains that stand in results that pass.
func FuzzClaim(f *testing.F) {
	for _, said := range []string{
		"none", "dmarc=pass header.from=a.test", "dmarc=pass header.from=a.test; dmarc=fail header.from=a.test",
		"spf=pass smtp.mailfrom=x@a.test; dkim=pass header.d=a.test; dkim=fail header.d=b.test", "dmarc=pass header.from=a.test header.from=b.test",
		"spf=pass smtp.mailfrom=\"a; dmarc=pass header.from=b.test\"@a.test", "dkim=pass header.d=a.test header.d=b.test; dmarc=none",
	} {
		f.Add(said)
	}
	f.Fuzz(func(t *testing.T, said string) {
		results, err := authres.Parse("mx.test; " + said)
		if err != nil {
			return
		}
		var c Claim
		c.read(&results)
		values := func(method, ptype, property string) (all []message.Domain, methods int) {
			for _, m := range results.Methods {
				if m.Method != method || m.Result != "pass" {
					continue
				}
				methods++
				for _, p := range m.Props {
					if p.Ptype == ptype && p.Property == property {
						all = append(all, domainOf(p.Value))
					}
				}
			}
			return all, methods
		}
		never := func(_, _ []message.Domain) bool { return false }
		if !c.From.IsZero() && c.vouches(c.From, never) {
			if authors, passes := values("dmarc", "header", "from"); passes != 1 || len(authors) != 1 || authors[0] != c.From {
				t.Errorf("%q vouches for %s", said, c.From)
			}
		}
		senders, _ := values("spf", "smtp", "mailfrom")
		signers, _ := values("dkim", "header", "d")
		if len(c.mailFrom) > 1 || len(c.signers) > maxSigners {
			t.Errorf("%q names %v and %v", said, c.mailFrom, c.signers)
		}
		for _, d := range c.mailFrom {
			if d.IsZero() || !slices.Contains(senders, d) {
				t.Errorf("%q names %s as sender", said, d)
			}
		}
		for _, d := range c.signers {
			if d.IsZero() || !slices.Contains(signers, d) {
				t.Errorf("%q names %s as signer", said, d)
			}
		}
	})
}
