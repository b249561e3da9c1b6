package message

import (
	"errors"
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
