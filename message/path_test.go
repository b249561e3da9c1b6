package message

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		raw  string
		null bool
		want string // the address
		err  error
	}{
		{raw: "<>", null: true},
		{raw: "", null: true},
		{raw: "<a@x.test>", want: "a@x.test"},
		{raw: "a@x.test", want: "a@x.test"},
		{raw: "root@X.test", want: "root@x.test"},
		{raw: `<"a>b"@x.test>`, want: `"a>b"@x.test`},
		{raw: "<a@[192.0.2.1]>", want: "a@[192.0.2.1]"},
		{raw: "<Postmaster>", want: "Postmaster"},
		{raw: "postmaster", want: "postmaster"},
		{raw: "<MAILER-DAEMON>", err: ErrNoDomain},
		{raw: "root", err: ErrNoDomain},
		{raw: "<a@x.test", err: ErrPath},
		{raw: "a@x.test>", err: ErrPath},
		{raw: "<", err: ErrPath},
		{raw: ">", err: ErrPath},
		{raw: " <a@x.test>", err: ErrPath},
		{raw: "<a@x.test> ", err: ErrPath},
		{raw: "<<a@x.test>>", err: ErrAddress},
		{raw: "< >", err: ErrAddress},
		{raw: "<a@x.test.>", err: ErrTrailingDot},
		// espoofer a2, a5, a6, a7: what Postfix lets through, verbatim
		{raw: "<(any@legit.test>", err: ErrAddress},
		{raw: "<any@legit.test(a.attack.test>", err: ErrDomain},
		{raw: "<any@legit.test'@any.attack.test>", err: ErrDomain},
		{raw: "<@legit.test,@any.test:'any@attack.test>", err: ErrRoute},
		{raw: "<@relay.test:a@x.test>", err: ErrRoute},
	} {
		p := ParsePath(c.raw)
		if p.Raw != c.raw || p.Null != c.null || p.Address.String() != c.want || !errors.Is(p.Err, c.err) {
			t.Errorf("ParsePath(%q) = %+v", c.raw, p)
		}
		if (p.Err != nil || p.Null) && !p.Address.IsZero() {
			t.Errorf("ParsePath(%q) has an address: %+v", c.raw, p)
		}
	}
}

// FuzzParsePath: a path is null, an address or an error, never two of them; with
// brackets and without them it is the same; printed, it reads as what it was.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"", "<>", "<a@x.test>", "a@x.test", "<", "<<>>", "postmaster", "<\"a>b\"@x.test>", "<@a,@b:c@d>", "<a@[IPv6:::1]>", "<a@x.test\r\n>", "<ü@ü.test>", "<(a@b>", "<a@b>\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p := ParsePath(raw)
		outcomes := 0
		for _, is := range []bool{p.Null, p.Err != nil, !p.Address.IsZero()} {
			if is {
				outcomes++
			}
		}
		if outcomes != 1 || p.Raw != raw || p.Null != (raw == "" || raw == "<>") {
			t.Fatalf("ParsePath(%q) = %+v", raw, p)
		}
		if p.Err != nil && !errors.Is(p.Err, ErrAddress) && !errors.Is(p.Err, ErrDomain) {
			t.Fatalf("ParsePath(%q): %v is neither of the two errors", raw, p.Err)
		}
		if !strings.HasPrefix(raw, "<") && !strings.HasSuffix(raw, ">") && raw != "" {
			if in := ParsePath("<" + raw + ">"); in.Address != p.Address || (in.Err == nil) != (p.Err == nil) {
				t.Fatalf("%q is %+v, in brackets %+v", raw, p, in)
			}
		}
		if p.Address.IsZero() {
			return
		}
		if bare := p.Address.Domain.IsZero() && !p.Address.Literal.IsValid(); bare && !strings.EqualFold(p.Address.Local, "postmaster") {
			t.Fatalf("ParsePath(%q) = %+v, an address without a domain", raw, p)
		}
		if again := ParsePath("<" + p.Address.String() + ">"); again.Address != p.Address || again.Err != nil {
			t.Fatalf("%q prints as %s, which is %+v", raw, p.Address, again)
		}
	})
}
