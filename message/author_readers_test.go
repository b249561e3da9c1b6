package message

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// The readers below stand for the programs that show a From field to people. Each
// one is lenient in its own way, and shares no code with ParseAuthor.

type reader struct {
	name string
	read func(field string) []string // what it takes for addresses
}

var (
	anglesRE  = regexp.MustCompile(`<([^<>]*)>`)
	quotedRE  = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	naiveRE   = regexp.MustCompile(`"[^"]*"`)
	commentRE = regexp.MustCompile(`\([^()]*\)`)
	atWordRE  = regexp.MustCompile(`[^\s<>,;:"()\[\]]+@[^\s<>,;:"()\[\]]+`)
	hostRE    = regexp.MustCompile(`^[\pL\pM\pN._-]+`)
	breaksRE  = regexp.MustCompile(`\r?\n`)
)

// standardReader is Go's own net/mail, which no one should trust with this.
func standardReader(field string) []string {
	list, err := mail.ParseAddressList(field)
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range list {
		out = append(out, a.Address)
	}
	return out
}

// lenientReader drops what quotes matches, and comments, parts the rest at commas,
// and takes in each part what is in angle brackets, or else every word with an @.
func lenientReader(quotes *regexp.Regexp, comments bool) func(string) []string {
	return func(field string) []string {
		if quotes != nil {
			field = quotes.ReplaceAllString(field, " ")
		}
		for comments && commentRE.MatchString(field) {
			field = commentRE.ReplaceAllString(field, " ")
		}
		var out []string
		for _, part := range strings.FieldsFunc(field, func(r rune) bool { return r == ',' || r == ';' || r == 0 || r == '\n' }) {
			angles := anglesRE.FindAllStringSubmatch(part, -1)
			for _, m := range angles {
				out = append(out, strings.TrimSpace(m[1]))
			}
			if len(angles) == 0 {
				out = append(out, atWordRE.FindAllString(part, -1)...)
			}
		}
		return out
	}
}

// angleReader takes whatever stands in angle brackets, wherever it stands.
func angleReader(field string) []string {
	var out []string
	for _, m := range anglesRE.FindAllStringSubmatch(field, -1) {
		out = append(out, strings.TrimSpace(m[1]))
	}
	return out
}

// cutReader sees nothing after a NUL, as programs in C do.
func cutReader(field string) []string {
	field, _, _ = strings.Cut(field, "\x00")
	return lenientReader(quotedRE, true)(field)
}

var readers = []reader{
	{"net/mail", standardReader},
	{"quotes and comments", lenientReader(quotedRE, true)},
	{"quotes without escapes", lenientReader(naiveRE, true)},
	{"quotes, no comments", lenientReader(quotedRE, false)},
	{"angle brackets anywhere", angleReader},
	{"stops at NUL", cutReader},
}

// dissent returns a reader who finds an address of another domain in the field.
func dissent(field string, want Domain) string {
	plain := breaksRE.ReplaceAllString(field, "")
	texts := []string{plain}
	if decoded, err := new(mime.WordDecoder).DecodeHeader(plain); err == nil {
		texts = append(texts, decoded)
	}
	for i, text := range texts {
		for _, r := range readers {
			for _, address := range r.read(text) {
				host := address[strings.LastIndexByte(address, '@')+1:]
				host = strings.Trim(hostRE.FindString(host), "-_.")
				dot := strings.LastIndexByte(host, '.')
				if !strings.Contains(address, "@") || strings.HasPrefix(address, "@") || dot < 0 ||
					strings.IndexFunc(host[dot:], unicode.IsLetter) < 0 {
					continue // no domain that anybody could own
				}
				if d, err := ParseDomain(host); err != nil || d != want {
					return fmt.Sprintf("%s (decoded first: %v) reads %q", r.name, i == 1, address)
				}
			}
		}
	}
	return ""
}

// TestReadersAgree: in a field that is accepted, nobody sees another domain.
func TestReadersAgree(t *testing.T) {
	dissenters := 0
	for _, c := range slices.Concat(espoofer, hostileAuthors, soundAuthors) {
		for _, field := range c.fields {
			a := ParseAuthor(one(field), true, 0)
			other := dissent(field, a.Domain)
			if !a.Refusable() && other != "" {
				t.Errorf("%s: accepted as %s, but %s", c.name, a.Domain, other)
			}
			if other != "" {
				dissenters++
			}
		}
	}
	// The readers do find what there is to find.
	if dissenters < 30 {
		t.Errorf("only %d fields of the tables can be read in two ways", dissenters)
	}
}

// TestAuthorMutations makes fields out of pieces that matter to one reader or the
// other, and holds the accepted ones to the same promise.
func TestAuthorMutations(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"admin@legit.test", "x@attack.test", "<admin@legit.test>", "<x@attack.test>", "@legit.test", "x@", "<", ">", `"`, `\`, `\"`,
		"(", ")", ",", ";", ":", " ", "\r\n ", "\n\t", ".", "@", "Joe", "=?utf-8?Q?admin=40legit.test?=", "=?utf-8?Q?=22?=",
		"=?utf-8?B?PGFkbWluQGxlZ2l0LnRlc3Q+?=", "=?utf-8?Q?=00=2C?=", "=?utf-8?Q?=3C?=", "[", "]", "[192.0.2.1]", "\u200b", "\u3002",
		"=?", "?=", `"Joe" `, "(Joe) ", "attack.test", "legit.test", "é", "\xff",
	}
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 20_000 {
		var b strings.Builder
		sound := random.IntN(2) == 0 // half of them end in a sound address
		for range 1 + random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		if sound {
			b.WriteString(" <x@attack.test>")
		}
		field := b.String()
		a := ParseAuthor(one(field), true, 0)
		if a.Refusable() {
			continue
		}
		accepted++
		if other := dissent(field, a.Domain); other != "" {
			t.Fatalf("%q: accepted as %s, but %s", field, a.Domain, other)
		}
	}
	if accepted < 500 {
		t.Errorf("only %d of the fields were accepted: the test tests little", accepted)
	}
}

// FuzzParseAuthor: whatever is accepted is read alike by all, is what it seems, and
// can be printed and read again.
func FuzzParseAuthor(f *testing.F) {
	for _, c := range slices.Concat(espoofer, hostileAuthors, soundAuthors) {
		for _, field := range c.fields {
			f.Add(field)
		}
	}
	f.Fuzz(func(t *testing.T, field string) {
		a := ParseAuthor(one(field), true, 0)
		for _, p := range a.Problems {
			if !slices.Contains(AuthorProblems(), p) {
				t.Fatalf("%q: a problem %q that is not in the set", field, p)
			}
		}
		for _, name := range a.Names {
			if strings.ContainsFunc(name, unicode.IsControl) {
				t.Fatalf("%q: a control in the name %q", field, name)
			}
		}
		if a.Refusable() {
			if !a.Domain.IsZero() {
				t.Fatalf("%q: refusable (%v), with the domain %s", field, a.Problems, a.Domain)
			}
			return
		}
		if len(a.Addresses) == 0 || len(a.Names) != len(a.Addresses) {
			t.Fatalf("%q: accepted with addresses %v, names %q", field, a.Addresses, a.Names)
		}
		for i, address := range a.Addresses {
			if address.Domain != a.Domain || address.Domain.IsZero() != address.Literal.IsValid() {
				t.Fatalf("%q: domain %q, address %v", field, a.Domain, address)
			}
			if again, err := ParseAddress(address.String()); !a.Has(AuthorLongLocal) && !errors.Is(err, errLocalLength) &&
				!errors.Is(err, errAddressLength) && (err != nil || again != address) {
				t.Fatalf("%q: %q reads as %v, %v", field, address, again, err)
			}
			if strings.ContainsAny(a.Names[i], "@\uff20\ufe6b") || strings.Contains(a.Names[i], "=?") || strings.Contains(address.Local, "@") {
				continue
			}
			printed := quote(a.Names[i]) + " <" + address.String() + ">"
			again := ParseAuthor(one(printed), true, 2*DefaultFromBytes)
			if again.Refusable() || again.Addresses[0] != address || again.Names[0] != a.Names[i] {
				t.Fatalf("%q prints as %q, which is %+v", field, printed, again)
			}
		}
		if other := dissent(field, a.Domain); other != "" {
			t.Fatalf("%q: accepted as %s, but %s", field, a.Domain, other)
		}
	})
}

// FuzzParseAddress: printed and read again it is the same, and nothing in it can
// end a line or hide.
func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{
		"a@x.test", `"a b"@x.test`, `""@x.test`, `"a\"b"@[192.0.2.1]`, "a@[IPv6:::ffff:192.0.2.1]", "дмитрий@bücher.test",
		"@a.test,@b.test:c@x.test", "(any@legit.test", "any@legit.test(a.attack.test", "any@legit.test'@any.attack.test", "a@x.test.",
		"a\u037eb@x.test", "\"a\r\nb\"@x.test", "<a@b>", "a@xn--bcher-kva.test", `"\a"@b`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range []Path{ParsePath(s), ParsePath("<" + s + ">")} {
			if p.Err != nil && !p.Address.IsZero() {
				t.Fatalf("ParsePath(%q) = %+v", p.Raw, p)
			}
		}
		a, err := ParseAddress(s)
		if err != nil {
			if !a.IsZero() || !errors.Is(err, ErrAddress) && !errors.Is(err, ErrDomain) {
				t.Fatalf("ParseAddress(%q) = %+v, %v", s, a, err)
			}
			return
		}
		text := a.String()
		if again, err := ParseAddress(text); err != nil || again != a || len(text) > maxAddress {
			t.Fatalf("ParseAddress(%q) prints as %q, which is %+v, %v", s, text, again, err)
		}
		if strings.ContainsFunc(text, unicode.IsControl) || a.Domain.IsZero() != a.Literal.IsValid() {
			t.Fatalf("ParseAddress(%q) = %q, %+v", s, text, a)
		}
		if p := ParsePath("<" + text + ">"); p.Address != a || p.Err != nil {
			t.Fatalf("ParsePath(<%s>) = %+v", text, p)
		}
		if author := ParseAuthor(one(text), false, 0); !author.Has(AuthorEncodedAddress) && !author.Has(AuthorAmbiguous) &&
			(author.Refusable() || author.Addresses[0] != a) {
			t.Fatalf("%q is an address, but as From it is %+v", text, author)
		}
	})
}
