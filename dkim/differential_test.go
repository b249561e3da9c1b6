package dkim

import (
	"cmp"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"milterd/message"

	msgauth "github.com/emersion/go-msgauth/dkim"
)

// The other implementation of these tests is github.com/emersion/go-msgauth,
// another program by another author with the same RFC in hand. Both judge the
// same messages, signed and then tampered with at random; where one lets pass
// what the other does not, one of the named differences below has to explain it,
// or the test fails.

// bout is one message with what both made of it.
type bout struct {
	tags    string // of the signature, as forged
	records []string
	ours    Result
	theirs  error
}

// has looks in tags for name=value, white space and letter case aside.
func (b *bout) has(parts ...string) bool {
	tags := ";" + strings.ToLower(strings.Join(strings.Fields(b.tags), "")) + ";"
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(tags, p) })
}

func (b *bout) reason(errs ...error) bool {
	return slices.ContainsFunc(errs, func(e error) bool { return b.ours.Reason == e.Error() })
}

// detail looks in our error.
func (b *bout) detail(text string) bool {
	return b.ours.Err != nil && strings.Contains(b.ours.Err.Error(), text)
}

// A difference is one way in which the two are known to differ, with the rule
// that makes us right, and an example: tags that are added to or replace those of
// exampleTags, and a key record where it is not the usual one.
type difference struct {
	reason string
	is     func(b *bout) bool
	tags   string
	record string
}

const exampleTags = "v=1; a=ed25519-sha256; d=example.org; s=s; h=From:Subject; bh=?; b=?"

// stricter are the ways in which we refuse what they let pass.
var stricter = []difference{
	{
		reason: "t=s forbids subdomains in i= (RFC 6376, section 3.6.1); they do not look at flags",
		is:     func(b *bout) bool { return b.reason(ErrKeySubdomains) },
		tags:   "i=@mail.example.org", record: "t=s; k=ed25519; p=?",
	}, {
		reason: "x= must be after t= (section 3.5); they compare nothing",
		is:     func(b *bout) bool { return b.reason(ErrTimes) },
		tags:   "t=99999999999; x=99999999999",
	}, {
		reason: "t= in the future (section 3.5: MAY ignore); they accept it",
		is:     func(b *bout) bool { return b.reason(ErrFuture) },
		tags:   "t=99999999999",
	}, {
		reason: "i= is an address (section 3.5); they accept it without @",
		is:     func(b *bout) bool { return b.detail(": i=") && b.has("i=.example") },
		tags:   "i=.example.org",
	}, {
		reason: "d= and s= are names (section 3.5); they remove whatever Unicode calls a space",
		is:     func(b *bout) bool { return b.reason(ErrDomain, ErrSelector) },
		tags:   "d=example\u00a0.org",
	}, {
		reason: "no white space inside c=, t=, a name in h= (section 3.5); they remove it",
		is: func(b *bout) bool {
			return b.reason(ErrCanonicalization) && b.has("c=relaxed/relaxed;") || b.detail(": t=") && b.has("t=12;") || b.detail(": h=") && b.has("x-y")
		},
		tags: "t=1 2",
	}, {
		reason: "a half of c= is not empty (section 3.5); to them it is simple",
		is:     func(b *bout) bool { return b.reason(ErrCanonicalization) && b.has("c=;", "c=/", "c=relaxed/;") },
		tags:   "c=",
	}, {
		reason: "an empty tag is a syntax error (section 3.2); they pass over it",
		is:     func(b *bout) bool { return b.detail("an empty tag") },
		tags:   "u=;",
	}, {
		reason: "the name of a tag has letters, digits and _ (section 3.2); they take anything",
		is:     func(b *bout) bool { return b.detail("without a proper name") },
		tags:   "u-v=1",
	}, {
		reason: "v= is the first tag of a record (section 3.6.1); they take it anywhere",
		is:     func(b *bout) bool { return b.detail("not the first tag") },
		tags:   "u=", record: "k=ed25519; p=?; v=DKIM1",
	}, {
		reason: "a field that is of no use is not worth a DNS query (section 6.1.1 comes before 6.1.2); they ask first",
		is: func(b *bout) bool {
			return msgauth.IsTempFail(b.theirs) && b.ours.KeyBits == 0 && b.ours.Status != TempError
		},
		tags: "c=x/y", record: "SERVFAIL",
	},
}

// milder are the ways in which we let pass what they refuse.
var milder = []difference{
	{
		reason: "l= that covers the whole body covers the body; they refuse any",
		is:     func(b *bout) bool { return b.has(";l=") },
		tags:   "l=52",
	}, {
		reason: "i= is in quoted-printable (section 3.5); they do not decode it",
		is:     func(b *bout) bool { return b.has("=40", "=2e") },
		tags:   "i=ann=40example=2Eorg",
	}, {
		reason: "domains have no case (section 3.5, i=); they compare bytes",
		is:     func(b *bout) bool { return b.has("i=") },
		tags:   "i=ann@EXAMPLE.org",
	}, {
		reason: "z= may contain b= (section 3.7 deletes the value of the b= tag); they delete every b=",
		is:     func(b *bout) bool { return b.has("z=", "zb=") },
		tags:   "z=From:b=3Dc",
	}, {
		reason: "literals of the grammar have no case (RFC 5234, section 2.3): a=, c=, q=, k=, h=; they compare bytes",
		is: func(b *bout) bool {
			literals := slowTag(b.tags, "a") + slowTag(b.tags, "c") + slowTag(b.tags, "q")
			return literals != strings.ToLower(literals) || strings.Contains(b.records[0], "SHA256") ||
				strings.Contains(b.records[0], "RSA") || strings.Contains(b.records[0], "ED25519")
		},
		tags: "c=Relaxed",
	}, {
		reason: "several records are tried one after the other (section 6.1.2); they refuse them",
		is:     func(b *bout) bool { return len(b.records) > 1 },
		tags:   "u=", record: "k=ed25519; p=?|v=spf1 -all",
	}, {
		reason: "padding of base64 may be missing (section 2.10); they want it",
		is: func(b *bout) bool {
			return strings.Contains(b.theirs.Error(), "base64") && !strings.Contains(b.records[0], "\t")
		},
		tags: "u=", record: "k=ed25519; p=!",
	}, {
		reason: "white space in p= may be tabs and folds (section 3.6.1); they know blanks",
		is:     func(b *bout) bool { return strings.Contains(b.records[0], "\t") },
		tags:   "u=", record: "k=ed25519; p=#",
	}, {
		reason: "h= with the signature's own field (section 3.5 excludes it); they take it",
		is:     func(b *bout) bool { return b.has("dkim-signature") },
		tags:   "h=From:DKIM-Signature",
	}, {
		reason: "clocks may differ by 300 s; they allow nothing",
		is:     func(b *bout) bool { return strings.Contains(b.theirs.Error(), "expired") },
		tags:   "x=NOW",
	},
}

// judge returns what both say, or why they differ, and fails when nothing
// explains it.
func (b *bout) judge(t *testing.T) string {
	t.Helper()
	switch pass := b.ours.Status == Pass; {
	case pass == (b.theirs == nil) && (b.ours.Status == TempError) == msgauth.IsTempFail(b.theirs):
		if pass {
			return "both pass"
		}
		return "none passes: " + b.ours.Reason
	case pass, b.ours.Status == TempError: // a temperror is a pass so far
		for _, d := range milder {
			if d.is(b) {
				return "milder: " + d.reason
			}
		}
	default:
		for _, d := range stricter {
			if d.is(b) {
				return "stricter: " + d.reason
			}
		}
	}
	t.Fatalf("unexplained difference: ours %s (%v), theirs %v\n%q\n%q", b.ours.Status, b.ours.Err, b.theirs, b.tags, b.records)
	return ""
}

// A source draws numbers from the bytes of a fuzz input, zeros at its end.
type source struct{ data []byte }

func (s *source) number(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	c := s.data[0]
	s.data = s.data[1:]
	return int(c) % n
}

// choose draws one of the strings. The first one is drawn most of the time, so
// that most of a message is in order.
func (s *source) choose(choices ...string) string {
	if n := s.number(256); n >= 256-4*len(choices) {
		return choices[n%len(choices)]
	}
	return choices[0]
}

// draw makes a bout of the bytes of a fuzz input.
func draw(t *testing.T, data []byte) *bout {
	src := &source{data}
	key := src.choose("ed25519", "rsa1024", "rsa2048")
	algorithm, kind := "rsa-sha256", "rsa"
	if key == "ed25519" {
		algorithm, kind = "ed25519-sha256", "ed25519"
	}
	tag := func(name string, choices ...string) string {
		value := src.choose(choices...)
		if value == "" {
			return ""
		}
		return src.choose("", " ", "\n\t", "\t") + name + src.choose("", " ") + "=" + src.choose("", " ", "\n ") + value + src.choose("", " ", "\n\t ") + ";"
	}
	tags := tag("v", "1", "2", "01") +
		tag("a", algorithm, "ed25519-sha256", strings.ToUpper(algorithm), "rsa-sha1", "x-sha256") +
		tag("d", "example.org", "Example.ORG", "example.org.", "exam ple.org", "\u00a0example.org", "org", "mail.example.org", "example.org'a.test") +
		tag("s", "s", "S", "s.", "a b", "a_b", "\u0085s") +
		tag("c", "", "relaxed", "relaxed/relaxed", "simple/relaxed", "simple/simple", "Relaxed", "relaxed/", "/relaxed", "relaxed / relaxed", "x/y", " ") +
		tag("q", "", "dns/txt", "http:dns/txt", "DNS/TXT", "http") +
		tag("i", "", "@example.org", "ann@mail.example.org", "@EXAMPLE.org", "@example.net", "@notexample.org", "example.org", ".example.org", "ann=40example.org") +
		tag("h", "From:Subject:To", "from : subject", "Received:from:Received:Received", "From:From:Subject:Cc:Cc", "Subject", "From::To", "From:DKIM-Signature",
			"From:Subject:X -Y", "From\n :\n\tTo") +
		tag("t", "", "1", "1999999", "9999999999", "1 2", "x") +
		tag("x", "", "9999999999", "1", "2", "99999999999") +
		tag("l", "", "0", "10", "52", "100", "99999999999999999999") +
		tag("z", "", "From:a|To:b", "From:b=3Dc", "b=x") +
		tag("u", "", "y", "\u00e4") + src.choose("", ";", "u-v=x;", "zb=1;", "d=example.org;", "D=x;") +
		tag("bh", "?", "?", "AAAA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	tags = strings.Replace(tags, "bh=?;", "bh=?; ", 1) + src.choose("b=?", "b=?;", "b=")

	record := func() string {
		return src.choose("v=DKIM1; ", "", "v=DKIM1 ;", "v=DKIM2; ", "v=dkim1; ") + src.choose("", "h=sha256; ", "h=sha1:SHA256; ", "h=sha1; ") +
			src.choose("k="+kind+"; ", "k="+strings.ToUpper(kind)+"; ", "k=x; ", "") +
			src.choose("", "s=email; ", "s=*; ", "s=x:email; ", "s=tlsrpt; ") + src.choose("", "t=y; ", "t=s; ", "t=y:s; ") +
			src.choose("p=?", "p=", "p=*", "p=? ", "p=#", "") + src.choose("", ";", "; n=x", "; v=DKIM1", "; p=x", " x")
	}
	public := publicRecord(t, testKey(t, key).Public())
	place := strings.NewReplacer("?", public, "#", public[:9]+"\t"+public[9:])
	records := []string{place.Replace(record())}
	if src.choose("", "two") != "" {
		records = append(records, place.Replace(record()))
	}
	z := zoneOf("")
	fields, _ := parseMessage(t, testHeader)
	body := src.choose(testBody, "", "\r\n", "no line end", " \r\n\t\r\n", "a\r\nb \t c\r\n \r\n")
	// The names are the same for all d= and s=, so publish under all of them.
	for _, d := range []string{"example.org", "mail.example.org", "Example.ORG", "example.org.", "org", "example.org'a.test"} {
		for _, s := range []string{"s", "S", "s.", "ab", "a_b"} {
			z.txt[s+"._domainkey."+d] = records
		}
	}
	switch src.choose("", "servfail", "nodata", "nxdomain") {
	case "servfail":
		for name := range z.txt {
			z.add(name, "SERVFAIL")
		}
	case "nodata":
		for name := range z.txt {
			z.txt[name] = []string{}
		}
	case "nxdomain":
		z = zoneOf("")
	}

	fields = forge(t, testKey(t, key), tags, fields, body)
	tags = fields[0].Value
	switch src.choose("", "subject", "from", "received", "white space", "body", "blank lines", "b", "padding", "folds") {
	case "subject":
		fields[4].Value += "!"
	case "from":
		fields = append(fields, message.Field{Name: "From", Value: " x"})
	case "received":
		fields = append([]message.Field{{Name: "Received", Value: " x"}}, fields...)
	case "white space":
		fields[4].Value += " \t"
	case "body":
		body += "x"
	case "blank lines":
		body += "\r\n\r\n"
	case "b":
		fields[0].Value = strings.Replace(fields[0].Value, "b=", "b=AAAA", 1)
	case "padding":
		fields[0].Value = strings.TrimRight(fields[0].Value, "=;")
	case "folds":
		if b := strings.LastIndex(fields[0].Value, "b="); b > 0 && len(fields[0].Value) > b+20 {
			fields[0].Value = fields[0].Value[:b+10] + "\n\t" + fields[0].Value[b+10:]
		}
	}
	return newBout(t, tags, records, z, fields, body)
}

// newBout lets both judge the message.
func newBout(t *testing.T, tags string, records []string, z *zone, fields []message.Field, body string) *bout {
	b := &bout{tags: tags, records: records}
	at := slices.IndexFunc(fields, func(f message.Field) bool { return f.Name == FieldName })
	b.ours = resultAt(t, &Verifier{Resolver: z}, fields, body, at)
	checkInvariants(t, &b.ours)
	b.theirs = theirVerdicts(t, z, fields, body)[0].Err
	return b
}

// resultAt returns the result of the signature at that place.
func resultAt(t testing.TB, v *Verifier, fields []message.Field, body string, index int) Result {
	t.Helper()
	run := v.Start(t.Context(), fields, message.Domain{})
	io.WriteString(run, body)
	for _, r := range run.Finish(t.Context()) {
		if r.Index == index {
			return r
		}
	}
	t.Fatalf("no result of the signature at %d in %q", index, fields)
	return Result{}
}

// Every difference has an example, so that none of them is a mere excuse.
func TestDifferences(t *testing.T) {
	key := testKey(t, "ed25519")
	public := publicRecord(t, key.Public())
	for i, d := range slices.Concat(stricter, milder) {
		name := "s._domainkey.example.org"
		z := zoneOf("")
		for record := range strings.SplitSeq(cmp.Or(d.record, "k=ed25519; p=?"), "|") {
			z.add(name, strings.NewReplacer("?", public, "!", strings.TrimRight(public, "="), "#", public[:9]+"\t"+public[9:]).Replace(record))
		}
		if strings.Contains(d.tags, "\u00a0") {
			z.txt["s._domainkey.example\u00a0.org"] = z.txt[name]
		}
		tags := exampleTags
		for add := range strings.SplitSeq(d.tags, "; ") {
			n, _, _ := strings.Cut(add, "=")
			if old := n + "=" + slowTag(tags, n); strings.Contains("; "+tags, "; "+old+";") {
				tags = strings.Replace(tags, old, add, 1)
			} else {
				tags = add + "; " + tags
			}
		}
		tags = strings.Replace(tags, "NOW", strconv.FormatInt(time.Now().Unix()-100, 10), 1)
		fields, _ := parseMessage(t, testHeader)
		fields = forge(t, key, tags, fields, testBody)
		records := z.txt[name]
		if len(records) == 0 {
			records = []string{""}
		}
		b := newBout(t, fields[0].Value, records, z, fields, testBody)
		want := "stricter: " + d.reason
		if i >= len(stricter) {
			want = "milder: " + d.reason
		}
		if got := b.judge(t); got != want {
			t.Errorf("%s (ours %s %v, theirs %v)\nfound %s\nwant  %s", tags, b.ours.Status, b.ours.Err, b.theirs, got, want)
		}
	}
}

func TestDifferential(t *testing.T) {
	random := rand.New(rand.NewPCG(6376, 1))
	found := map[string]int{}
	for range 1500 {
		data := make([]byte, 100)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		found[draw(t, data).judge(t)]++
	}
	for name, n := range found {
		t.Logf("%5d %s", n, name)
	}
}

func FuzzDifferential(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("the quick brown fox jumps over the lazy dog, and over all the tags of a signature, and over the key"))
	f.Add([]byte{0, 0, 0, 0, 0, 252, 0, 253, 0, 254, 0, 255, 0, 251, 0, 250})
	f.Fuzz(func(t *testing.T, data []byte) { draw(t, data).judge(t) })
}
