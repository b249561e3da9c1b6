package clamav

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/mime"
)

// A variant is a message that has the test file in it, as some program reads it.
type variant struct{ name, text string }

// wrap divides a text into lines of n characters.
func wrap(text string, n int) string {
	var lines []string
	for len(text) > n {
		lines, text = append(lines, text[:n]), text[n:]
	}
	return strings.Join(append(lines, text), "\n")
}

// quoted is quoted-printable in which every character is written by its number.
func quoted(format string) string {
	var b strings.Builder
	for i, c := range eicar {
		fmt.Fprintf(&b, format, c)
		if i%20 == 19 {
			b.WriteString("=\n")
		}
	}
	return b.String()
}

// bodies are ways to write the file: the fields of the part, and its body.
func bodies() []variant {
	b64 := base64.StdEncoding.EncodeToString(eicar)
	parts := base64.StdEncoding.EncodeToString(eicar[:20]) + base64.StdEncoding.EncodeToString(eicar[20:])
	name := "Content-Type: application/octet-stream; name=x.com\n"
	encoded := func(value, body string) string { return name + "Content-Transfer-Encoding:" + value + "\n\n" + body }
	return []variant{
		{"base64", encoded(" base64", b64)},
		{"lines of 4", encoded(" base64", wrap(b64, 4))},
		{"lines of 5", encoded(" base64", wrap(b64, 5))},
		{"lines of 76", encoded(" base64", wrap(b64, 76))},
		{"blanks in it", encoded(" base64", strings.ReplaceAll(wrap(b64, 8), "\n", "  \n \t"))},
		{"blank lines in it", encoded(" base64", strings.ReplaceAll(wrap(b64, 12), "\n", "\n\n\n"))},
		{"junk in it", encoded(" base64", strings.ReplaceAll(wrap(b64, 9), "\n", "!*\n"))},
		{"padding in the middle", encoded(" base64", parts)},
		{"padding on a line of its own", encoded(" base64", strings.ReplaceAll(parts, "==", "==\n"))},
		{"padding in front", encoded(" base64", "====\n"+b64)},
		{"no padding", encoded(" base64", strings.TrimRight(b64, "="))},
		{"too much padding", encoded(" base64", b64+"========")},
		{"data after the padding", encoded(" base64", b64+"\nQUJDRA==")},
		{"capitals", encoded(" BASE64", b64)},
		{"no blank", encoded("base64", b64)},
		{"folded", encoded("\n base64", b64)},
		{"with a parameter", encoded(" base64; x=y", b64)},
		{"with a comment", encoded(" (what) base64", b64)},
		{"with a comment behind", encoded(" base64 (7bit)", b64)},
		{"in quotes", encoded(` "base64"`, b64)},
		{"x-base64", encoded(" x-base64", b64)},
		{"base64 and a dot", encoded(" base64.", b64)},
		{"unknown encoding", encoded(" magic", b64)},
		{"no encoding", name + "\n" + b64},
		{"empty encoding", encoded("", b64)},
		{"7bit and base64", encoded(" 7bit\nContent-Transfer-Encoding: base64", b64)},
		{"base64 and 7bit", encoded(" base64\nContent-Transfer-Encoding: 7bit", b64)},
		{"base64 and quoted-printable", encoded(" base64\nContent-Transfer-Encoding: quoted-printable", b64)},
		{"quoted-printable and base64", encoded(" quoted-printable\nContent-Transfer-Encoding: base64", b64)},
		{"blank before the colon", name + "Content-Transfer-Encoding : base64\n\n" + b64},
		{"a line that is no field", "no field here\n" + encoded(" base64", b64)},
		{"quoted-printable", encoded(" quoted-printable", quoted("=%02X"))},
		{"quoted-printable in small letters", encoded(" quoted-printable", quoted("=%02x"))},
		{"quoted-printable, unknown", encoded(" quoted-printables", quoted("=%02X"))},
		{"as it is", name + "\n" + string(eicar)},
		{"8bit", encoded(" 8bit", string(eicar))},
		{"binary as text", "Content-Type: text/plain\n\n" + string(eicar)},
		{"page", "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n" + b64},
		{"bad type", "Content-Type: octets\nContent-Transfer-Encoding: base64\n\n" + b64},
		{"two types", "Content-Type: text/plain\nContent-Type: application/octet-stream; name=x.com\nContent-Transfer-Encoding: base64\n\n" + b64},
		{"two names", "Content-Type: application/octet-stream; name=x.txt\nContent-Disposition: attachment; filename=x.com\nContent-Transfer-Encoding: base64\n\n" + b64},
		{"continued name", "Content-Type: application/octet-stream; name*0=x.; name*1=com\nContent-Transfer-Encoding: base64\n\n" + b64},
		{"attached mail", "Content-Type: message/rfc822\n\nSubject: x\n" + encoded(" base64", b64)},
		{"attached mail in base64", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("Subject: x\n"+encoded(" base64", b64)))},
		{"multipart in it", "Content-Type: multipart/mixed; boundary=in\n\n--in\n" + encoded(" base64", b64) + "\n--in--"},
		{"multipart in base64", "Content-Type: multipart/mixed; boundary=in\nContent-Transfer-Encoding: base64\n\n" +
			wrap(base64.StdEncoding.EncodeToString([]byte("--in\n"+encoded(" base64", b64)+"\n--in--\n")), 76)},
		{"multipart with the same boundary", "Content-Type: multipart/mixed; boundary=BB\n\n--BB\n" + encoded(" base64", b64)},
		{"multipart without parts", "Content-Type: multipart/mixed; boundary=none\nContent-Transfer-Encoding: base64\n\n" + b64},
	}
}

// frames are ways to put a part into a message.
func frames(part string) []variant {
	message := func(fields, body string) string {
		return "From: a@b.test\nMIME-Version: 1.0\n" + fields + "\n\n" + body
	}
	mixed := "Content-Type: multipart/mixed; boundary="
	usual := "--BB\n\ntext\n--BB\n" + part + "\n--BB--\n"
	return []variant{
		{"usual", message(mixed+"BB", usual)},
		{"quotes", message(mixed+`"BB"`, usual)},
		{"open quote", message(mixed+`"BB`, usual)},
		{"blank in front", message(mixed+` " BB"`, usual)},
		{"comment", message("Content-Type: multipart/mixed (x); boundary=BB (y)", usual)},
		{"parameter in two pieces", message("Content-Type: multipart/mixed; boundary*0=B; boundary*1=B", usual)},
		{"encoded parameter", message("Content-Type: multipart/mixed; boundary*=us-ascii''B%42", usual)},
		{"two boundaries", message(mixed+"XX; boundary=BB", usual)},
		{"two boundaries, the other way", message(mixed+"BB; boundary=XX", usual)},
		{"no boundary", message("Content-Type: multipart/mixed", usual)},
		{"empty boundary", message(mixed+`""`, usual)},
		{"another boundary", message(mixed+"XX", usual)},
		{"long boundary", message(mixed+strings.Repeat("B", 80), strings.ReplaceAll(usual, "BB", strings.Repeat("B", 80)))},
		{"longer delimiter", message(mixed+"BB", strings.ReplaceAll(usual, "--BB\nContent", "--BBB\nContent"))},
		{"text behind the delimiter", message(mixed+"BB", strings.ReplaceAll(usual, "--BB\nContent", "--BB text\nContent"))},
		{"blanks behind the delimiter", message(mixed+"BB", strings.ReplaceAll(usual, "--BB\n", "--BB \t\n"))},
		{"blanks before the delimiter", message(mixed+"BB", strings.ReplaceAll(usual, "--BB\nContent", " --BB\nContent"))},
		{"no end", message(mixed+"BB", strings.TrimSuffix(usual, "--BB--\n"))},
		{"half an end", message(mixed+"BB", strings.TrimSuffix(usual, "B--\n"))},
		{"no line break at the end", message(mixed+"BB", strings.TrimSuffix(usual, "\n--BB--\n"))},
		{"in the preamble", message(mixed+"BB", part+"\n--BB\n\ntext\n--BB--\n")},
		{"behind the end", message(mixed+"BB", "--BB\n\ntext\n--BB--\n--BB\n"+part+"\n--BB--\n")},
		{"behind the end, without delimiter", message(mixed+"BB", "--BB\n\ntext\n--BB--\n"+part+"\n")},
		{"carriage returns alone", message(mixed+"BB", strings.ReplaceAll(usual, "\n--BB\nContent", "\r--BB\rContent"))},
		{"first part", message(mixed+"BB", "--BB\n"+part+"\n--BB\n\ntext\n--BB--\n")},
		{"alternative", message("Content-Type: multipart/alternative; boundary=BB", usual)},
		{"unknown multipart", message("Content-Type: multipart/x-unknown; boundary=BB", usual)},
		{"multi part", message("Content-Type: multipart; boundary=BB", usual)},
		{"two types", message("Content-Type: text/plain\n"+mixed+"BB", usual)},
		{"two types, the other way", message(mixed+"BB\nContent-Type: text/plain", usual)},
		{"two multiparts", message(mixed+"BB\n"+mixed+"XX", usual)},
		{"two multiparts, the other way", message(mixed+"XX\n"+mixed+"BB", usual)},
		{"blank before the colon", message("Content-Type : multipart/mixed; boundary=BB", usual)},
		{"folded", message("Content-Type:\n multipart/mixed;\n\tboundary=BB", usual)},
		{"no MIME-Version", strings.Replace(message(mixed+"BB", usual), "MIME-Version: 1.0\n", "", 1)},
		{"base64 for all", message(mixed+"BB\nContent-Transfer-Encoding: base64", usual)},
		{"base64 for all, and it is", message(mixed+"BB\nContent-Transfer-Encoding: base64", wrap(base64.StdEncoding.EncodeToString([]byte(usual)), 76))},
		{"text type", message("Content-Type: text/plain; boundary=BB", usual)},
		{"NUL in it", message(mixed+"BB", strings.Replace(usual, "text", "te\x00xt", 1))},
	}
}

// variants are every way to write the file in the usual frame, the usual way in every
// frame, and a third of all that is both unusual.
func variants() []variant {
	var all []variant
	for i, b := range bodies() {
		for j, f := range frames(b.text) {
			if i == 0 || j == 0 || (i+j)%3 == 0 {
				all = append(all, variant{f.name + "; " + b.name, f.text})
			}
		}
	}
	return all
}

// TestVariants: in each variant the test file is found, or the message is flagged as
// one that programs read differently; none is called clean.
func TestVariants(t *testing.T) {
	t.Parallel()
	h := checktest.New(t, Spec(), section(true, "20s", realClamd(t)), checks.Env{})
	all := variants()
	seen := map[string]bool{}
	found, flagged := 0, 0
	for _, v := range all {
		seen[v.text] = true
		res := h.Run(checktest.Mail{Text: v.text})
		switch {
		case res.Demand != nil:
			found++
		case slices.ContainsFunc(res.Findings, func(f checks.Finding) bool { return f.Name == findAmbiguous }):
			flagged++
			t.Logf("flagged: %s", v.name)
		default:
			t.Errorf("called clean: %s", v.name)
		}
	}
	t.Logf("%d variants, %d different: %d found, %d flagged", len(all), len(seen), found, flagged)
	if len(seen) < 300 || found < len(all)*95/100 {
		t.Errorf("%d different variants, %d found", len(seen), found)
	}
}

// TestHostilePieces: a body that is made of nothing but beginnings costs a bounded
// number of pieces, and says that there was more.
func TestHostilePieces(t *testing.T) {
	field := []mime.Field{{Name: "Content-Type", Value: " multipart/mixed; boundary=none"}}
	for name, body := range map[string]string{
		"padding": strings.Repeat("A=", 200_000),
		"runs":    strings.Repeat(strings.Repeat("A", 60)+"\n.\n", 20_000),
		"both":    strings.Repeat(strings.Repeat("AAAA====", 10)+"\n.\n", 20_000),
	} {
		cut, count, size := false, 0, 0
		for p := range pieces(mime.Walk(field, []byte(body), mime.Limits{}), []byte(body), mime.Limits{}, &cut) {
			count++
			size += len(p.content)
		}
		if !cut || count > maxPieces || size > 8*len(body) {
			t.Errorf("%s: %d pieces of %d bytes, cut %v", name, count, size, cut)
		}
	}
}

// FuzzPieces: what is decoded is bounded by what there is, whatever there is.
func FuzzPieces(f *testing.F) {
	for _, v := range variants()[:60] {
		f.Add([]byte(v.text))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		cut, count := false, 0
		tree := mime.WalkMessage(message, mime.Limits{})
		for p := range pieces(tree, message, mime.Limits{}, &cut) {
			if count++; p.where == "" || len(p.content) > len(message) {
				t.Fatalf("%s: %d bytes of %d", p.where, len(p.content), len(message))
			}
		}
		if count > maxPieces {
			t.Errorf("%d pieces", count)
		}
	})
}
