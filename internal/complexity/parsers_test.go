package complexity_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/arc"
	"milterd/authres"
	"milterd/bayes"
	"milterd/dkim"
	"milterd/dmarc"
	"milterd/internal/archive"
	"milterd/internal/carry"
	"milterd/internal/complexity"
	"milterd/internal/dnslist"
	"milterd/internal/dovecot"
	"milterd/internal/mailbox"
	"milterd/internal/match"
	"milterd/internal/spamassassin/tokens"
	"milterd/internal/spamassassin/view"
	"milterd/internal/store"
	"milterd/internal/strictyaml"
	"milterd/internal/table"
	"milterd/message"
	"milterd/milter"
	"milterd/mime"
	"milterd/rules"
	"milterd/spf"
)

// noLimit is for parsers whose limit the caller sets: it is the work below the
// limit that is measured.
const noLimit = 1 << 30

func TestAddresses(t *testing.T) {
	envelope := func(text string) string { return "<" + text + "@a.test>" }
	complexity.Check(t,
		complexity.Parser{Name: "From", Frame: func(text string) string { return text + " <x@attack.test>" },
			Shapes: map[string]complexity.Text{
				"comments in comments": complexity.Repeat("(a (b) c) "), "half words": complexity.Repeat("=?a?q?x "), "groups": complexity.Repeat("a:b@c.test;"),
				"routes": complexity.Repeat("<@a,@b:c@d>"), "wide": complexity.Repeat("ü@ü.test, "), "addresses in names": complexity.Repeat(`"<a@b.test" `),
				"at in comments": complexity.Repeat("(a@b.test) "), "angles in comments": complexity.Repeat("(<) "), "literals": complexity.Repeat("[a] "), "words begun": complexity.Repeat("=?x"),
				"addresses in words": complexity.Repeat("=?utf-8?B?PGFAYg=?= "), "names": complexity.Repeat(`"a@b.test", `), "in utf-7": complexity.Repeat("=?utf-7?Q?+AEA-?= "),
			},
			Run: func(text string) { message.ParseAuthor([]string{text}, true, noLimit) }},
		complexity.Parser{Name: "address", Run: func(text string) { message.ParseAddress(text) }},
		complexity.Parser{Name: "path", Frame: envelope, Run: func(text string) { message.ParsePath(text) }},
		complexity.Parser{Name: "domain", Run: func(text string) { message.ParseDomain(text) }},
		complexity.Parser{Name: "received line", Frame: func(text string) string { return "from a (" + text + " [192.0.2.1]) by b; " + text },
			Run: func(text string) { message.ParseReceived(text) }},
	)
}

func TestHeader(t *testing.T) {
	complexity.Check(t,
		complexity.Parser{Name: "fields", Frame: func(text string) string { return text + "\n\nbody\n" },
			Run: func(text string) {
				m := milter.ParseMessage([]byte(text))
				fields := make([]message.Field, len(m.Fields))
				for i, f := range m.Fields {
					fields[i] = message.Field{Name: f.Name, Value: f.Value}
				}
				h := message.NewHeader(fields, noLimit)
				h.Author()
				h.Text("Subject")
			}},
		complexity.Parser{Name: "unfold", Run: func(text string) { message.Unfold(text) }},
		complexity.Parser{Name: "safe text", Run: func(text string) { _ = message.SafeText(text, noLimit) }},
		complexity.Parser{Name: "encoded words", Run: func(text string) { mime.DecodeWords(text) },
			Shapes: map[string]complexity.Text{
				"words that touch": complexity.Repeat("=?utf-8?q?a?="), "charsets": complexity.Repeat("=?iso-2022-jp?b?GyRC?= "),
				"long word": complexity.After("=?utf-8?b?", "YWFh"), "letters cut in two": complexity.Repeat("=?utf-8?q?=C3?= =?utf-8?q?=BC?= "),
			}},
		complexity.Parser{Name: "list of words", Run: func(text string) {
			for range table.Words(text) {
			}
		}},
	)
}

func TestAuthenticationResults(t *testing.T) {
	frame := func(text string) string { return " mx.test; " + text }
	shapes := map[string]complexity.Text{
		"results": complexity.Repeat("spf=pass smtp.mailfrom=a@b.test; "), "properties": complexity.After("spf=pass ", "smtp.helo=a "),
		"reasons": complexity.Repeat(`spf=pass reason="a" ; `), "our name": complexity.Repeat("mx.example"), "our name in comments": complexity.Repeat("(mx.example)"), "dots": complexity.Repeat("a.b=c "), "versions": complexity.Repeat("spf/1=pass;"), "none": complexity.Repeat("none;"),
	}
	for _, begin := range []string{"(", `"`, "a=b (", `a=b reason="`} {
		for _, piece := range []string{"(", ")", `"`, `\`, ";", "a=b;", "\r\n ", " ", "\xff"} {
			shapes[fmt.Sprintf("%q after %q", piece, begin)] = complexity.After(begin, piece)
		}
	}
	complexity.Check(t,
		complexity.Parser{Name: "parse", Frame: frame, Shapes: shapes, Most: authres.MaxBytes - 100, Run: func(text string) { authres.Parse(text) }},
		complexity.Parser{Name: "remove", Frame: frame, Shapes: shapes, Run: func(text string) { authres.IsOurs([]byte(text), "mx.example") }},
		complexity.Parser{Name: "remove id", Frame: func(text string) string { return text + " mx.test; none" }, Run: func(text string) { authres.IsOurs([]byte(text), "mx.example") }},
		complexity.Parser{Name: "write", Run: func(text string) {
			f := authres.Field{AuthservID: "mx.test", Methods: []authres.Method{{Method: "spf", Result: "pass", Comment: text, Reason: text,
				Props: []authres.Prop{{Ptype: "smtp", Property: "mailfrom", Value: text}}}}}
			_ = f.String()
		}},
		complexity.Parser{Name: "seal results", Frame: frame, Shapes: shapes, Most: authres.MaxBytes - 100, Run: func(text string) {
			arc.Results([]message.Field{{Name: authres.Name, Value: text}, {Name: authres.Name, Value: text}}, "mx.test")
		}},
	)
}

// noNames is a DNS without names.
type noNames struct{}

func (noNames) LookupTXT(context.Context, string) ([]string, error) {
	return nil, errors.ErrUnsupported
}

func TestDKIM(t *testing.T) {
	const signature = " v=1; a=rsa-sha256; d=example.org; s=s; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA; "
	tags := map[string]complexity.Text{
		"unknown tags": complexity.Repeat("zz=1;"), "names of fields": complexity.After("h=", "from:"), "copied fields": complexity.After("z=", "From:b=3D|"),
		"base64 in lines": complexity.After("x=", "AAAA\r\n "), "quoted identity": complexity.After("i=", "=41"),
	}
	for _, begin := range []string{"h=", "b=", "i=", "d=", "s=", "l=", "z="} {
		for _, piece := range []string{"=", " ", "\r\n ", "\n", ":", "a:", "@", "=40", "0", "."} {
			tags[fmt.Sprintf("%q after %q", piece, begin)] = complexity.After(begin, piece)
		}
	}
	complexity.Check(t,
		complexity.Parser{Name: "tags", Shapes: tags, Run: func(text string) { dkim.ParseTags(text) }},
		complexity.Parser{Name: "signature", Shapes: tags, Frame: func(text string) string { return signature + text },
			Run: func(text string) { dkim.ParseSignature([]message.Field{{Name: dkim.FieldName, Value: text}}, 0) }},
		complexity.Parser{Name: "seal", Shapes: tags, Frame: func(text string) string { return " i=1; cv=none; a=rsa-sha256; d=a.test; s=s; b=AA; " + text },
			Run: func(text string) { dkim.ParseSeal([]message.Field{{Name: arc.SealName, Value: text}}, 0) }},
		complexity.Parser{Name: "key record", Frame: func(text string) string { return "v=DKIM1; k=rsa; " + text }, Most: 8000, Run: func(text string) { dkim.ParseKey(text) }},
		complexity.Parser{Name: "key", Frame: func(text string) string { return "v=DKIM1; p=" + text }, Most: 8000, Run: func(text string) { dkim.ParseKey(text) }},
		complexity.Parser{Name: "explain", Frame: func(text string) string {
			return "DKIM-Signature:" + signature + "c=relaxed/relaxed; h=from:subject; z=From:a|Subject:" + text + "\nFrom: a@b.test\nSubject: x\n\n" + text
		}, Run: func(text string) {
			m := milter.ParseMessage([]byte(text))
			v := &dkim.Verifier{Resolver: noNames{}}
			v.Explain(context.Background(), fieldsOf(text), m.Body)
		}},
		complexity.Parser{Name: "header canonicalization", Run: func(text string) {
			for _, c := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
				dkim.AppendHeader(nil, c, &message.Field{Name: "Subject", Value: text})
			}
		}},
		complexity.Parser{Name: "verify header", Frame: func(text string) string {
			return "DKIM-Signature:" + signature + "h=from:subject:a:a:a:a:a:a:a:a\n" + text + "\nFrom: a@b.test\n\n"
		},
			Shapes: map[string]complexity.Text{"signatures": complexity.Repeat("DKIM-Signature:" + signature + "h=a:a:a:a:a\n"), "bad signatures": complexity.Repeat("DKIM-Signature: b=\n"), "one name": complexity.Repeat("a:\n")},
			Run: func(text string) {
				fields := fieldsOf(text)
				v := &dkim.Verifier{Resolver: noNames{}}
				v.Start(context.Background(), fields, message.Domain{}).Finish(context.Background())
			}},
	)
}

func fieldsOf(text string) []message.Field {
	m := milter.ParseMessage([]byte(text))
	fields := make([]message.Field, len(m.Fields))
	for i, f := range m.Fields {
		fields[i] = message.Field{Name: f.Name, Value: f.Value}
	}
	return fields
}

// TestSign covers both canonicalizations of whole messages, as the signer does
// them: the body comes in pieces.
func TestSign(t *testing.T) {
	key := dkim.SigningKey{Domain: domain(t, "example.org"), Selector: "s", Private: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	var all []complexity.Parser
	for _, c := range []dkim.Canonicalization{dkim.Simple, dkim.Relaxed} {
		names, oversign := dkim.StandardNames()
		s := &dkim.Signer{Keys: []dkim.SigningKey{key}, Names: names, Oversign: oversign, Header: c, Body: c, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
		all = append(all,
			complexity.Parser{Name: string(c) + " body", Run: func(text string) {
				g, err := s.Start([]message.Field{{Name: "From", Value: " a@example.org"}})
				if err != nil {
					t.Fatal(err)
				}
				for piece := range slices.Chunk([]byte(text), 4000) {
					g.Write(piece)
				}
				if _, err := g.Finish(); err != nil {
					t.Error(err)
				}
			}},
			complexity.Parser{Name: string(c) + " header", Frame: func(text string) string { return text + "\nFrom: a@example.org\n\n" },
				Shapes: map[string]complexity.Text{"fields of one name": complexity.Repeat("To: a\n")},
				Run: func(text string) {
					if g, err := s.Start(fieldsOf(text)); err == nil {
						g.Finish()
					}
				}})
	}
	complexity.Check(t, all...)
}

func domain(t *testing.T, name string) message.Domain {
	t.Helper()
	d, err := message.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestARC(t *testing.T) {
	set := "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.test; s=s; b=AAAA\nARC-Message-Signature: i=1; a=rsa-sha256; d=a.test; s=s; h=from; bh=AAAA; b=AAAA\nARC-Authentication-Results: i=1; a.test; none\n"
	complexity.Check(t, complexity.Parser{Name: "chain",
		Frame: func(text string) string { return set + text + "\nFrom: a@b.test\n\n" },
		Shapes: map[string]complexity.Text{
			"one instance": complexity.Repeat(set), "seals": complexity.Repeat("ARC-Seal: i=2; cv=pass\n"), "no instance": complexity.Repeat("ARC-Seal:\n"),
			"comments before it": complexity.After("ARC-Authentication-Results: ", "(i=1;"), "tags of a seal": complexity.After("ARC-Seal: i=2; ", "zz=1;"),
		},
		Run: func(text string) {
			v := &arc.Verifier{DKIM: dkim.Verifier{Resolver: noNames{}}, ForSealing: true}
			v.Start(context.Background(), fieldsOf(text)).Finish(context.Background())
		}})
}

func TestRecords(t *testing.T) {
	lists, _, err := dnslist.Load()
	if err != nil {
		t.Fatal(err)
	}
	uris := map[string]complexity.Text{"addresses": complexity.After("rua=", "mailto:a@b.test,"), "sizes": complexity.After("rua=mailto:a@b.test!", "1"), "policies": complexity.Repeat("p=none;")}
	complexity.Check(t,
		complexity.Parser{Name: "spf", Most: 8000, Frame: func(text string) string { return "v=spf1 " + text },
			Shapes: map[string]complexity.Text{
				"mechanisms": complexity.Repeat("a:a.test/24//64 "), "macros": complexity.After("a:", "%{d1r+-,/_=}."), "modifiers": complexity.Repeat("x=y "), "open macro": complexity.Repeat("%{"), "prefix": complexity.After("ip4:1.2.3.4/", "0"),
			},
			Run: func(text string) { spf.Parse(text) }},
		complexity.Parser{Name: "spf sender", Run: func(text string) {
			v := &spf.Verifier{}
			v.CheckMailFrom(context.Background(), spf.Args{Helo: text, MailFrom: text + "@" + text})
		}},
		complexity.Parser{Name: "dmarc", Frame: func(text string) string { return "v=DMARC1; " + text }, Shapes: uris, Run: func(text string) {
			dmarc.Parse(text)
			dmarc.Lint(text)
		}},
		complexity.Parser{Name: "answer of a list", Shapes: map[string]complexity.Text{"codes": complexity.Repeat("\x7f\x00\x00\x02"), "refusals": complexity.Repeat("\x7f\xff\xff\xfe")}, Run: func(text string) {
			var addrs []netip.Addr
			for a := range slices.Chunk([]byte(text), 4) {
				if ip, ok := netip.AddrFromSlice(a); ok {
					addrs = append(addrs, ip)
				}
			}
			for _, l := range lists {
				l.Classify(addrs)
			}
		}},
	)
}

func TestMIME(t *testing.T) {
	walk := func(text string) {
		tree := mime.WalkMessage([]byte(text), mime.Limits{Parts: 1 << 20, HeaderFields: 1 << 20, HeaderBytes: 1 << 30, URLs: 1 << 20})
		tree.URLs()
		tree.VisibleText()
		tree.HiddenText()
		tree.Attachments()
	}
	in := func(begin, end string) func(string) string {
		return func(text string) string { return begin + text + end }
	}
	parts := map[string]complexity.Text{
		"parts": complexity.Repeat("\n--b\n\nx"), "parts of parts": deep, "boundaries that are none": complexity.Repeat("\n--bb"), "messages in messages": complexity.Repeat("Content-Type: message/rfc822\n\n"),
		"boundaries with blanks": complexity.Repeat("\n--b \t"), "a boundary in a boundary": complexity.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n"),
	}
	complexity.Check(t,
		complexity.Parser{Name: "header of a part", Frame: in("From: a@b.test\n", "\n\nbody"), Run: walk},
		complexity.Parser{Name: "parts", Shapes: parts, Frame: in("Content-Type: multipart/mixed; boundary=b\n\n--b\n", "\n--b--\n"), Run: walk},
		complexity.Parser{Name: "parameters", Shapes: map[string]complexity.Text{
			"continued names": continued, "one name": complexity.Repeat(" name=a;"), "words in names": complexity.Repeat(` name="=?utf-8?q?a?=";`),
		}, Frame: in("Content-Type: text/plain; ", "\n\nbody"), Run: walk},
		complexity.Parser{Name: "disposition", Frame: in("Content-Disposition: attachment; filename=\"", "\"\n\nbody"), Run: walk},
		complexity.Parser{Name: "plain text", Frame: in("Content-Type: text/plain; charset=utf-8\n\n", ""), Run: walk},
		complexity.Parser{Name: "utf-7", Frame: in("Content-Type: text/plain; charset=utf-7\n\n", ""), Run: walk},
		complexity.Parser{Name: "iso-2022-jp", Frame: in("Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B", ""), Run: walk},
		complexity.Parser{Name: "quoted-printable", Frame: in("Content-Transfer-Encoding: quoted-printable\n\n", ""), Run: walk},
		complexity.Parser{Name: "base64", Frame: in("Content-Transfer-Encoding: base64\n\n", ""), Run: walk},
		complexity.Parser{Name: "HTML in a part", Shapes: htmlShapes(), Frame: in("Content-Type: text/html; charset=utf-8\n\n", ""), Run: walk},
		complexity.Parser{Name: "HTML in base64", Shapes: htmlShapes(), Frame: func(text string) string {
			return "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(text))
		}, Run: walk},
	)
}

// deep is multiparts in multiparts, each with a boundary of its own.
func deep(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		n := base64.RawURLEncoding.EncodeToString([]byte{byte(i >> 16), byte(i >> 8), byte(i)})
		b.WriteString("Content-Type: multipart/mixed; boundary=" + n + "\n\n--" + n + "\n")
	}
	return b.String()
}

// continued is one name in numbered pieces (RFC 2231, section 3).
func continued(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(" name*" + string(rune('0'+i%10)) + "*=%41;")
	}
	return b.String()
}

func htmlShapes() map[string]complexity.Text {
	all := map[string]complexity.Text{
		"elements in elements": complexity.Nest("<div>", "</div>"), "styles in styles": complexity.Nest("<b style='color:red'>", "</b>"),
		"rules": complexity.After("<style>", ".a{display:none}"), "open rules": complexity.After("<style>", ".a{"), "at rules": complexity.After("<style>", "@media a{"), "rule comments": complexity.After("<style>", "/*"),
		"selectors": complexity.After("<style>", ".a,"), "one long style": complexity.After("<b style='", "color:red;"), "attributes": complexity.After("<a ", "b=c "), "quotes in a tag": complexity.After("<a b=", "\""),
		"many classes": complexity.After("<style>.a{color:red}</style><b class='", "a "), "classes against rules": classes, "tables": complexity.Repeat("<table><tr><td>"), "closing only": complexity.Repeat("</div>"), "lists": complexity.Repeat("<ul><li>"), "paragraphs": complexity.Repeat("<p>a"),
		"misnested": complexity.Repeat("<b><i></b></i>"), "scripts": complexity.Repeat("<script>"), "raw text": complexity.After("<textarea>", "</textare"), "titles": complexity.Repeat("<title>"), "plaintext": complexity.After("<plaintext>", "<"),
		"declarations": complexity.Repeat("<!"), "conditions": complexity.Repeat("<![if a]>"), "unknown elements": complexity.Repeat("<zz>"), "mixed never closed": complexity.Repeat("<div><span><b><i><u>"), "closes what is far away": far,
		"bases": complexity.Repeat("<base href=//a>"), "templates": complexity.Nest("<template>", "</template>"), "selects": complexity.Repeat("<select><option>"), "anchors": complexity.Repeat("<a href=http://a.test/>x</a>"), "open anchors": complexity.Repeat("<a href=//a.test>"), "images": complexity.Repeat("<img src=//a.test>"),
		"styles with urls": complexity.Repeat("<b style='background:url(//a.test)'>"), "forms": complexity.Nest("<form action=//a.test>", "</form>"), "references": complexity.Repeat("&#x41;"), "comments never ended": complexity.Repeat("<!--"), "comments ended late": complexity.Repeat("<!-- -"), "comments": complexity.Repeat("<!--a-->"),
	}
	return all
}

// classes are as many rules of a style sheet as elements that have a class of it.
func classes(size int) string {
	var b strings.Builder
	b.WriteString("<style>")
	for i := 0; b.Len() < size/2; i++ {
		b.WriteString(".c" + base64.RawURLEncoding.EncodeToString([]byte{byte(i >> 8), byte(i)}) + "{color:red}")
	}
	b.WriteString("</style>")
	for i := 0; b.Len() < size; i++ {
		b.WriteString("<b class=c" + base64.RawURLEncoding.EncodeToString([]byte{byte(i >> 8), byte(i)}) + ">x")
	}
	return b.String()
}

// far opens many elements, and then closes again and again one that was opened
// before all of them, or never.
func far(size int) string {
	return "<p>" + complexity.Repeat("<div>")(size/2) + complexity.Repeat("</p></q>")(size/2)
}

func TestHTML(t *testing.T) {
	complexity.Check(t,
		complexity.Parser{Name: "view", Shapes: htmlShapes(), Run: func(text string) {
			v, _ := mime.HTMLView(text)
			v.URLs(1 << 20)
		}},
		complexity.Parser{Name: "text", Shapes: htmlShapes(), Run: func(text string) { mime.HTMLText(text, noLimit) }},
	)
}

func TestURLs(t *testing.T) {
	urls := map[string]complexity.Text{
		"hosts": complexity.Repeat("http://a.b.c.test"), "ports": complexity.Repeat("http://a:1@"), "wide hosts": complexity.Repeat("ｅｖｉｌ。"), "escapes": complexity.Repeat("http://%61"), "numbers": complexity.Repeat("0x7f."),
		"labels": complexity.Repeat("a-b."), "schemes": complexity.Repeat("http:"), "schemes that are none": complexity.Repeat("hxxp://"), "addresses": complexity.Repeat("a@b.com "), "mailto": complexity.Repeat("mailto:a@b?"),
		"words of other scripts": complexity.Repeat("请访问example.com谢谢"), "dots upon dots": complexity.Repeat("a..b"), "bare hosts in a row": complexity.Repeat("a.com/"), "parentheses after": complexity.After("http://a.test/", "()"), "closing after": complexity.After("http://a.test/", ")."),
	}
	complexity.Check(t,
		complexity.Parser{Name: "in text", Shapes: urls, Run: func(text string) {
			for range mime.TextURLs(text) {
			}
		}},
		complexity.Parser{Name: "reference", Shapes: urls, Frame: func(text string) string { return "http://" + text }, Run: func(text string) { mime.ParseURL(text) }},
		complexity.Parser{Name: "any reference", Shapes: urls, Run: func(text string) { mime.ParseURL(text) }},
	)
}

func TestArchives(t *testing.T) {
	walk := func(name string) func(string) {
		return func(text string) {
			b := archive.NewBudget(archive.Limits{Depth: 100, Entries: 1 << 20, Ratio: 1 << 20, Bytes: 1 << 30})
			archive.Walk(context.Background(), []byte(text), name, b, func(*archive.Entry) {})
		}
	}
	after := func(begin string) func(string) string { return func(text string) string { return begin + text } }
	zips := map[string]complexity.Text{
		"entries": entries(t), "directories": complexity.Repeat("PK\x01\x02" + strings.Repeat("\x00", 42)), "ends": complexity.Repeat("PK\x05\x06" + strings.Repeat("\x00", 18)), "local headers": complexity.Repeat("PK\x03\x04" + strings.Repeat("\x00", 26)),
		"half an end": complexity.Repeat("PK\x05\x06"), "tar headers": complexity.Repeat(strings.Repeat("a", 100) + "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00"),
	}
	complexity.Check(t,
		complexity.Parser{Name: "zip", Shapes: zips, Frame: after("PK\x03\x04"), Run: walk("a.zip")},
		complexity.Parser{Name: "tar", Shapes: zips, Run: walk("a.tar")},
		complexity.Parser{Name: "gzip", Frame: after("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), Run: walk("a.gz")},
		complexity.Parser{Name: "7z", Shapes: zips, Frame: after("7z\xbc\xaf\x27\x1c\x00\x04"), Run: walk("a.7z")},
		complexity.Parser{Name: "rar", Frame: after("Rar!\x1a\x07\x01\x00"), Run: walk("a.rar")},
		complexity.Parser{Name: "old rar", Frame: after("Rar!\x1a\x07\x00"), Run: walk("a.rar")},
		complexity.Parser{Name: "xz", Frame: after("\xfd7zXZ\x00"), Run: walk("a.xz")},
	)
}

// TestOurs are the formats that others of our own write, and strangers could.
func TestOurs(t *testing.T) {
	noon := func() time.Time { return time.Unix(1_800_000_000, 0) }
	const head = `{"milterd":"store","version":1}` + "\n"
	complexity.Check(t,
		complexity.Parser{Name: "carry", Most: 1000, Shapes: map[string]complexity.Text{"items": complexity.Repeat("id=k7q2m9zt4w1c;")}, Frame: func(text string) string { return "v=1;" + text },
			Run: func(text string) { carry.Parse(text) }},
		complexity.Parser{Name: "dump", Frame: func(text string) string { return head + text },
			Shapes: map[string]complexity.Text{"records": complexity.Repeat(`{"space":"a","key":"YQ==","value":"Yg=="}` + "\n"), "open objects": complexity.Repeat(`{"space":`)},
			Run: func(text string) {
				store.Load(context.Background(), store.NewMemory(noon, 64<<20), strings.NewReader(text), noon)
			}},
		complexity.Parser{Name: "script call", Frame: func(text string) string { return "VERSION\tscript\t4\t0\n" + text },
			Shapes: map[string]complexity.Text{"environment": complexity.Repeat("env_a=b\n"), "escapes": complexity.Repeat("\x01n")},
			Run: func(text string) {
				if q, err := dovecot.ReadRequest(strings.NewReader(text)); err == nil {
					io.Copy(io.Discard, q.Message)
				}
			}},
		complexity.Parser{Name: "table", Shapes: map[string]complexity.Text{"networks": complexity.Repeat("10.0.0.0/8\n"), "addresses": complexity.Repeat("a@b.test\n")}, Run: func(text string) { table.Parse("t", []byte(text)) }},
	)
}

func TestRuleFiles(t *testing.T) {
	load := func(text string) { rules.Load([]rules.Source{{Name: "f.yaml", Text: []byte(text)}}, nil) }
	complexity.Check(t,
		complexity.Parser{Name: "yaml", Shapes: map[string]complexity.Text{
			"keys": lines("k%d: 1\n"), "flow": complexity.Repeat("{a: "), "lists": complexity.Repeat("- "), "anchors": lines("a%[1]d: &a%[1]d [*a%[1]d]\n"), "indents": complexity.Repeat(" -\n"), "questions": complexity.Repeat("? "),
		}, Run: func(text string) { strictyaml.Parse("f.yaml", []byte(text)) }},
		complexity.Parser{Name: "rules", Shapes: map[string]complexity.Text{"rules of one name": complexity.Repeat("- {name: A, body: {match: a}}\n"), "rules of many": lines("- {name: A%d, body: {match: a}}\n"), "composites": lines("- {name: A%[1]d, when: 'A%[1]d && B'}\n")},
			Frame: func(text string) string { return "rules:\n" + text }, Run: load},
		complexity.Parser{Name: "expression", Most: 4000, Shapes: map[string]complexity.Text{"sums": complexity.Repeat("A + "), "not": complexity.Repeat("!"), "minus": complexity.Repeat("-("), "comparisons": complexity.Repeat("A < ")},
			Frame: func(text string) string {
				return "rules: [{name: A, when: \"" + strings.NewReplacer("\\", "", "\"", "").Replace(text) + "\"}]"
			}, Run: load},
	)
}

// TestTexts are the views of a message that rules look at.
func TestTexts(t *testing.T) {
	complexity.Check(t,
		complexity.Parser{Name: "normalise", Shapes: map[string]complexity.Text{"spaced out": complexity.Repeat("v i a g r a "), "dotted": complexity.Repeat("a.b.c."), "marks": complexity.After("a", "\u0301")}, Run: func(text string) {
			match.Normalise(text, true)
			match.Normalise(text, false)
		}},
		complexity.Parser{Name: "words that are learned", Frame: func(text string) string {
			return "Subject: " + strings.ReplaceAll(text[:min(len(text), 5000)], "\n", " ") + "\n\n" + text
		}, Run: func(text string) {
			c := bayes.New(store.NewMemory(time.Now, 64<<20), bayes.Options{Random: strings.NewReader(strings.Repeat("secret", 100)), CacheTokens: -1})
			if _, err := c.Learn(context.Background(), "", bayes.Lesson{Message: bayes.Parse([]byte(text), mime.Limits{}), Class: bayes.Spam}); err != nil {
				t.Error(err)
			}
		}},
		complexity.Parser{Name: "mailbox", Frame: func(text string) string { return "From a@b Mon Jan  1 00:00:00 2001\n" + text }, Run: func(text string) {
			for range mailbox.Messages([]string{"-"}, strings.NewReader(text), nil) {
			}
		}},
		complexity.Parser{Name: "words as SpamAssassin learns them", Frame: func(text string) string {
			return "To: " + strings.ReplaceAll(text, "\n", " ") + "\nContent-Type: text/html\n\n" + text
		}, Shapes: map[string]complexity.Text{"domains": complexity.Repeat("a@a."), "sentences": complexity.Repeat("A. B ")}, Run: func(text string) {
			m := bayes.Parse([]byte(text), mime.Limits{})
			tokens.Of(m.Header, m.Tree)
		}},
		complexity.Parser{Name: "backup of SpamAssassin's Bayes", Frame: func(text string) string { return "v\t3\tdb_version\n" + text },
			Shapes: map[string]complexity.Text{"tokens": complexity.Repeat("t\t1\t2\t3\t0123456789\n")},
			Run:    func(text string) { tokens.ReadBackup(strings.NewReader(text)) }},
		complexity.Parser{Name: "SpamAssassin body", Frame: func(text string) string { return "Subject: x\nContent-Type: text/html\n\n" + text }, Run: look},
		complexity.Parser{Name: "SpamAssassin header", Frame: func(text string) string {
			return "Subject: x\nReceived: from " + text + " by a\nTo: " + text + "\n\nbody"
		},
			Shapes: map[string]complexity.Text{"relays": complexity.Repeat("a ([1.2.3.4]) by b\nReceived: from ")}, Run: look},
	)
}

// look makes every text that rules of SpamAssassin can ask for.
func look(text string) {
	m := milter.ParseMessage([]byte(text))
	fields := make([]view.Field, len(m.Fields))
	for i, f := range m.Fields {
		fields[i] = view.Field{Name: f.Name, Value: f.Value}
	}
	v := view.New(view.Source{Fields: fields, Body: m.Body, Tree: mime.WalkMessage([]byte(text), mime.Limits{})})
	v.Body()
	v.RawBody()
	v.URIs()
	for _, spec := range []string{"ALL", "ALL:raw", "To:addr", "To:name", "Received:revip", "X-Spam-Relays-External", "X-Spam-Relays-Untrusted", "ALL-EXTERNAL"} {
		v.Header(spec)
	}
}
