package dmarc

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, txt string
		want      string // canonical form
		err       error
	}{
		// RFC 9989, section 4.7: v is the first tag, and its value has one case.
		{name: "shortest", txt: "v=DMARC1", want: "v=DMARC1; p=none"},
		{name: "shortest with semicolon", txt: "v=DMARC1;", want: "v=DMARC1; p=none"},
		{name: "no v", txt: "p=reject", err: ErrVersion},
		{name: "v second", txt: "p=reject; v=DMARC1", err: ErrVersion},
		{name: "other version", txt: "v=DMARC2; p=reject", err: ErrVersion},
		{name: "longer version", txt: "v=DMARC10; p=reject", err: ErrVersion},
		{name: "version in small letters", txt: "v=dmarc1; p=reject", err: ErrVersion},
		{name: "version without semicolon", txt: "v=DMARC1 p=reject", err: ErrVersion},
		{name: "empty version", txt: "v=; p=reject", err: ErrVersion},
		{name: "only v", txt: "v", err: ErrVersion},
		{name: "empty", txt: "", err: ErrVersion},
		{name: "other record", txt: "v=spf1 -all", err: ErrVersion},
		{name: "in quotes", txt: `"v=DMARC1; p=reject"`, err: ErrVersion},
		{name: "NUL in the version", txt: "v=DMARC1\x00; p=reject", err: ErrVersion},
		{name: "V", txt: "V=DMARC1; p=reject", want: "v=DMARC1; p=reject"},

		// Section 4.8: dmarc-sep and equals allow white space.
		{name: "no space", txt: "v=DMARC1;p=reject;sp=none;aspf=s", want: "v=DMARC1; p=reject; sp=none; aspf=s"},
		{name: "much space", txt: " \tv =\tDMARC1 ; p  =  reject\t; adkim = s ;  ", want: "v=DMARC1; p=reject; adkim=s"},
		{name: "folded", txt: "v=DMARC1;\r\n p=reject;\r\n t=y", want: "v=DMARC1; p=reject; t=y"},
		{name: "empty tags", txt: "v=DMARC1;;; p=reject;; ;", want: "v=DMARC1; p=reject"},

		// PROVENANCE of RFC 9989: any order after v.
		{name: "p last", txt: "v=DMARC1; sp=quarantine; adkim=s; p=reject", want: "v=DMARC1; p=reject; sp=quarantine; adkim=s"},

		// Section 4.8: strings of the ABNF are in any case.
		{name: "capitals", txt: "v=DMARC1; P=REJECT; Sp=Quarantine; NP=None; ADKIM=S; aSPF=S; PSD=N; T=Y",
			want: "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=s; psd=n; t=y"},
		{name: "letters of other scripts that fold to ASCII", txt: "v=DMARC1; p=reject; ad\u212aim=s; aspf=\u017f", want: "v=DMARC1; p=reject"},

		// Section 4.7: unknown tags are ignored.
		{name: "unknown", txt: "v=DMARC1; p=reject; foo=bar; x-y=z; 1=2; =; _=", want: "v=DMARC1; p=reject"},
		{name: "historic", txt: "v=DMARC1; p=reject; pct=0; rf=iodef; ri=abc; pct=abc", want: "v=DMARC1; p=reject"},
		{name: "stray words", txt: "v=DMARC1; p=reject; hello; none 0; fo:0", want: "v=DMARC1; p=reject"},

		// Section 4.8: errors in the remainder cost the tag only.
		{name: "bad alignment", txt: "v=DMARC1; p=reject; adkim=x; aspf=strict", want: "v=DMARC1; p=reject"},
		{name: "bad flags", txt: "v=DMARC1; p=reject; psd=x; t=yes", want: "v=DMARC1; p=reject"},
		{name: "bytes", txt: "v=DMARC1; p=reject; adkim=s\x00; aspf=\xff; sp=none", want: "v=DMARC1; p=reject; sp=none"},
		{name: "twice", txt: "v=DMARC1; p=reject; p=none; t=y; t=n; v=DMARC1", want: "v=DMARC1; p=reject; t=y"},

		// Section 4.7: without p it is p=none, with or without rua.
		{name: "no p", txt: "v=DMARC1; rua=mailto:a@b.test", want: "v=DMARC1; p=none; rua=mailto:a@b.test"},
		{name: "no p, but sp and np", txt: "v=DMARC1; sp=reject; np=quarantine", want: "v=DMARC1; p=none; sp=reject; np=quarantine"},

		// Section 4.10.1: a bad p, sp or np is p=none with a valid rua, else nothing.
		{name: "bad p and rua", txt: "v=DMARC1; p=rejct; sp=reject; rua=mailto:a@b.test", want: "v=DMARC1; p=none; rua=mailto:a@b.test"},
		{name: "bad sp and rua", txt: "v=DMARC1; p=reject; sp=quarantin; rua=mailto:a@b.test", want: "v=DMARC1; p=none; rua=mailto:a@b.test"},
		{name: "bad np and rua", txt: "v=DMARC1; p=reject; np=; rua=mailto:a@b.test", want: "v=DMARC1; p=none; rua=mailto:a@b.test"},
		{name: "bad p", txt: "v=DMARC1; p=rejct", want: "v=DMARC1; p=none", err: ErrRequest},
		{name: "empty p", txt: "v=DMARC1; p=", want: "v=DMARC1; p=none", err: ErrRequest},
		{name: "bad sp", txt: "v=DMARC1; p=reject; sp=x; t=y", want: "v=DMARC1; p=none; t=y", err: ErrRequest},
		{name: "bad np", txt: "v=DMARC1; p=reject; np=x; psd=y", want: "v=DMARC1; p=none; psd=y", err: ErrRequest},
		{name: "bad p, rua without URI", txt: "v=DMARC1; p=x; rua=a@b.test", want: "v=DMARC1; p=none; rua=a@b.test", err: ErrRequest},
		{name: "two values", txt: "v=DMARC1; p=none reject", want: "v=DMARC1; p=none", err: ErrRequest},

		// Section 4.7, fo.
		{name: "fo", txt: "v=DMARC1; p=none; fo=1:d:s; ruf=mailto:a@b.test", want: "v=DMARC1; p=none; ruf=mailto:a@b.test; fo=1:d:s"},
		{name: "fo in any order", txt: "v=DMARC1; p=none; fo=s : D : 0; ruf=mailto:a@b.test", want: "v=DMARC1; p=none; ruf=mailto:a@b.test; fo=0:d:s"},
		{name: "fo without ruf", txt: "v=DMARC1; p=none; fo=1", want: "v=DMARC1; p=none"},
		{name: "fo of both", txt: "v=DMARC1; p=none; fo=0:1; ruf=mailto:a@b.test", want: "v=DMARC1; p=none; ruf=mailto:a@b.test"},
		{name: "fo twice the same", txt: "v=DMARC1; p=none; fo=d:d; ruf=mailto:a@b.test", want: "v=DMARC1; p=none; ruf=mailto:a@b.test"},
		{name: "fo unknown", txt: "v=DMARC1; p=none; fo=2; ruf=mailto:a@b.test", want: "v=DMARC1; p=none; ruf=mailto:a@b.test"},
		{name: "fo empty member", txt: "v=DMARC1; p=none; fo=1:; ruf=mailto:a@b.test", want: "v=DMARC1; p=none; ruf=mailto:a@b.test"},

		// Appendix B.2.
		{name: "B.2.1", txt: "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com", want: "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com"},
		{name: "B.2.2", txt: "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com",
			want: "v=DMARC1; p=none; rua=mailto:dmarc-feedback@example.com; ruf=mailto:auth-reports@example.com"},
		{name: "B.2.5 testing", txt: "v=DMARC1; p=quarantine; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net; t=y",
			want: "v=DMARC1; p=quarantine; t=y; rua=mailto:dmarc-feedback@example.com,mailto:tld-test@thirdparty.example.net"},

		// Records that made others crash or drop all (OpenDMARC 62 and 78, go-msgauth).
		{name: "lost semicolon", txt: "v=DMARC1; p=reject; rf=afrfruf=mailto:a@b.test", want: "v=DMARC1; p=reject"},
		{name: "lost comma", txt: "v=DMARC1; p=reject; rua=mailto:a@b.test rua=mailto:c@d.test",
			want: "v=DMARC1; p=reject; rua=mailto:a@b.test rua=mailto:c@d.test"},
		{name: "colon for equals", txt: "v=DMARC1;p=none;fo:0;adkim=r;rf:afrf;sp=none", want: "v=DMARC1; p=none; sp=none"},
		{name: "long", txt: "v=DMARC1; " + strings.Repeat("x=y; ", 10000) + "p=reject", want: "v=DMARC1; p=reject"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Parse(c.txt)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if errors.Is(err, ErrVersion) {
				if r != (Record{}) {
					t.Errorf("a record: %+v", r)
				}
				return
			}
			if got := r.String(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLint(t *testing.T) {
	for txt, want := range map[string][]string{
		"v=DMARC1; p=reject; sp=none; rua=mailto:a@b.test": nil,
		"v=DMARC2": {"v: the record does not begin with v=DMARC1, so it is none"},
		"v=DMARC1": {"p: missing, so it is none"},
		"v=DMARC1; p=x; pct=50; foo=1; hi; 1=2; adkim=q; t=1; psd=1; rua=a@b.test; fo=1; fo=1; v=1; ruf=": {
			"p: not none, quarantine or reject",
			"pct: historic, and ignored since RFC 9989",
			"foo: unknown, and ignored",
			"something that is no tag",
			"a tag whose name is not made of letters",
			"adkim: not r or s, so it is r",
			"t: not y or n, so it is n",
			"psd: not y, n or u, so it is u",
			"rua: no valid URI in it",
			"fo: there twice; the first one counts",
			"v: there twice; the first one counts",
			"ruf: no valid URI in it",
		},
		"v=DMARC1; p=none; fo=7; aspf=\x01": {"fo: not 0 or 1 with d and s, so it is 0", "aspf: not r or s, so it is r"},
	} {
		var got []string
		for _, p := range Lint(txt) {
			got = append(got, p.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", txt, got, want)
		}
	}
	if n := len(Lint("v=DMARC1" + strings.Repeat("; "+strings.Repeat("x", 100)+"=1", 1000))); n != maxProblems {
		t.Errorf("%d problems", n)
	}
}

func TestURIs(t *testing.T) {
	for list, want := range map[URIs][]string{
		"mailto:a@b.test":                            {"mailto:a@b.test <a@b.test>"},
		"mailto:a@b.test , MAILTO:c@d.test":          {"mailto:a@b.test <a@b.test>", "MAILTO:c@d.test <c@d.test>"},
		"mailto:a@b.test!10m,mailto:c@d.test ! 2G":   {"mailto:a@b.test <a@b.test>", "mailto:c@d.test <c@d.test>"},
		"mailto:a@b.test!50":                         {"mailto:a@b.test <a@b.test>"},
		"mailto:a@b.test!, mailto:a@b.test!x":        nil,
		"mailto:a%2Cb%21@c.test":                     nil, // a comma is no atom
		"mailto:a%21b@c.test?subject=x":              {"mailto:a%21b@c.test?subject=x <a!b@c.test>"},
		"mailto:%22a%2Cb%22@c.test":                  {`mailto:%22a%2Cb%22@c.test <"a,b"@c.test>`},
		"https://r.example.test/x?y=z":               {"https://r.example.test/x?y=z <>"},
		"mailto:,mailto:a,mailto:a@,mailto:a@b..c":   nil,
		"a@b.test,://x,1x:y,x y:z,http:,http://a b":  nil,
		"mailto:a@b.test mailto:c@d.test":            nil,
		"mailto:a%0d%0ab@c.test,mailto:a%zz@b.test,": nil,
		"x:%4":         nil,
		"":             nil,
		",,,":          nil,
		"gopher:x,y:z": {"gopher:x <>", "y:z <>"},
	} {
		var got []string
		for u := range list.All() {
			got = append(got, u.Text+" <"+u.Mailbox.String()+">")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q", list, got, want)
		}
	}
	n := 0
	for range URIs(strings.Repeat("x:y,", 1000)).All() {
		n++
	}
	if n != maxURIs {
		t.Errorf("%d URIs", n)
	}
}
