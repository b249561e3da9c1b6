package dmarc

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"milterd/message"
)

// The grammar of RFC 9989, section 4.8, as regular expressions: a second opinion
// that shares nothing with the parser.
var (
	abnfBlank   = `[ \t\r\n]*`
	abnfVersion = regexp.MustCompile(`^` + abnfBlank + `[vV]` + abnfBlank + `=` + abnfBlank + `DMARC1` + abnfBlank + `(?:;|$)`)
	abnfRequest = regexp.MustCompile(`^(?i:none|quarantine|reject)$`)
	abnfValue   = regexp.MustCompile(`^[ -~]*$`)
	abnfTag     = regexp.MustCompile(`^` + abnfBlank + `([A-Za-z]+)` + abnfBlank + `=((?s:.*))$`)
)

// abnfTags returns the tags of a record, the first of each name, in small letters.
func abnfTags(txt string) map[string]string {
	tags := map[string]string{}
	for _, piece := range strings.Split(txt, ";")[1:] {
		m := abnfTag.FindStringSubmatch(piece)
		if m == nil {
			continue
		}
		name, value := strings.ToLower(m[1]), strings.Trim(m[2], blanks)
		if _, twice := tags[name]; twice {
			continue
		}
		if !abnfValue.MatchString(value) {
			value = ""
		}
		tags[name] = value
	}
	return tags
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		"v=DMARC1", "v=DMARC1;", "V = DMARC1 ; P = REJECT", "v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=r; psd=n; t=y",
		"v=DMARC1; p=none; rua=mailto:a@b.test,mailto:c%2cd@e.test!10m; ruf=https://x.test/; fo=1:d:s",
		"v=DMARC1; p=x", "v=DMARC1; p=x; rua=mailto:a@b.test", "v=DMARC1; p=reject; sp=; rua=:", "v=DMARC1;p=none;p=reject;v=DMARC1",
		"v=DMARC1; pct=0; rf=afrfruf=mailto:a@b.test; ri=x", "v=DMARC1; p=reject; rua=mailto:a rua=mailto:b",
		"v=DMARC1; p=reject\x00; sp=none", "v=DMARC1;\xff\xfe=\xfd; p=reject", "v=DMARC1; ad\u212aim=s; aspf=\u017f; p=reject",
		"v=DMARC1 p=reject", "v=DMARC10", "v=dmarc1", "p=reject; v=DMARC1", "", ";", "=", "v", "v=",
		"v=DMARC1;" + strings.Repeat("p=none;", 2000), "v=DMARC1; rua=" + strings.Repeat("mailto:a@b.test,", 2000),
		"v=DMARC1;" + strings.Repeat(";", 5000), "v=DMARC1; p=" + strings.Repeat("reject", 1000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := Parse(txt)
		if is := abnfVersion.MatchString(txt); is != (err != ErrVersion) {
			t.Fatalf("Parse(%q): %v, the grammar says %t", txt, err, is)
		}
		problems := Lint(txt)
		for _, p := range problems {
			if s := p.String(); len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("Lint(%q): %q", txt, s)
			}
		}
		if err == ErrVersion {
			return
		}

		// Every tag says what the grammar reads there.
		tags := abnfTags(txt)
		bad := false
		for _, name := range []string{"p", "sp", "np"} {
			value, there := tags[name]
			bad = bad || there && !abnfRequest.MatchString(value)
		}
		want := Record{Policy: DispositionNone, DKIM: Relaxed, SPF: Relaxed, PSD: PSDUnknown,
			Aggregate: URIs(tags["rua"]), Failure: URIs(tags["ruf"]), FailureOptions: r.FailureOptions}
		if !bad {
			want.Subdomains, want.NonExistent = Disposition(strings.ToLower(tags["sp"])), Disposition(strings.ToLower(tags["np"]))
			if p := tags["p"]; p != "" {
				want.Policy = Disposition(strings.ToLower(p))
			}
		}
		if strings.EqualFold(tags["adkim"], "s") {
			want.DKIM = Strict
		}
		if strings.EqualFold(tags["aspf"], "s") {
			want.SPF = Strict
		}
		if v := strings.ToLower(tags["psd"]); v == "y" || v == "n" {
			want.PSD = PSD(v)
		}
		want.Testing = strings.EqualFold(tags["t"], "y")
		if r != want {
			t.Errorf("Parse(%q):\ngot  %+v\nwant %+v", txt, r, want)
		}
		if wantErr := bad && !r.Aggregate.any(); wantErr != (err == ErrRequest) {
			t.Errorf("Parse(%q): %v, want an error: %t", txt, err, wantErr)
		}
		if len(problems) == 0 && err != nil {
			t.Errorf("Parse(%q): %v, and nothing to repair", txt, err)
		}

		// What is printed is read back.
		printed := r.String()
		again, err := Parse(printed)
		if err != nil || again != r || again.String() != printed {
			t.Errorf("%q printed as %q: %v\ngot  %+v\nwant %+v", txt, printed, err, again, r)
		}
		for u := range r.Aggregate.All() {
			if strings.ContainsFunc(u.Text, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' || r == '!' }) {
				t.Errorf("%q: URI %q", txt, u.Text)
			}
			if !u.Mailbox.IsZero() {
				if a, err := message.ParseAddress(u.Mailbox.String()); err != nil || a != u.Mailbox {
					t.Errorf("%q: mailbox %q", txt, u.Mailbox)
				}
			}
		}
	})
}

// literal is the DNS Tree Walk in the words of RFC 9989, sections 4.10, 4.10.1 and
// 4.10.2, one question after the other, on a DNS that always answers. It returns
// the Organizational Domain and the domain of the record that applies to start.
func literal(start string, records map[string]Record) (org, policy string, questions int) {
	labels := strings.Split(start, ".")
	type finding struct {
		name string
		psd  PSD
	}
	var found []finding
	ask := func(name string) (stop bool) {
		questions++
		r, ok := records[name]
		if ok {
			found = append(found, finding{name, r.PSD})
		}
		return ok && r.PSD != PSDUnknown
	}
	// Steps 1 to 7.
	if !ask(start) {
		if len(labels) < 8 {
			labels = labels[1:]
		} else {
			labels = labels[len(labels)-7:]
		}
		for len(labels) > 0 && !ask(strings.Join(labels, ".")) {
			labels = labels[1:]
		}
	}
	// Section 4.10.2: from the longest to the shortest.
	psd := ""
	org = start
	func() {
		for _, f := range found {
			if f.psd == PSDNo {
				org = f.name
				return
			}
			if f.psd == PSDYes && f.name != start {
				all := strings.Split(start, ".")
				org, psd = strings.Join(all[len(all)-strings.Count(f.name, ".")-2:], "."), f.name
				return
			}
		}
		if len(found) > 0 {
			org = found[len(found)-1].name
		}
	}()
	// Section 4.10.1: in the order of preference.
	for _, name := range []string{start, org, psd} {
		if slices.ContainsFunc(found, func(f finding) bool { return f.name == name }) {
			return org, name, questions
		}
	}
	return org, "", questions
}

// FuzzWalk: over any zone the walk ends after eight questions at most, at a domain
// at or above the one it began at, and where the words of the RFC lead.
func FuzzWalk(f *testing.F) {
	f.Add("a.mail.example.com", "com", []byte{0, 1, 0, 1})
	f.Add("a.b.c.d.e.f.g.h.i.j.mail.example.com", "x.example.com", []byte{1, 2, 3, 4, 0, 1, 2, 3, 1, 0, 9, 0, 1})
	f.Add("giant.bank.example", "mega.bank.example", []byte{1, 2, 0})
	f.Add("a.b.c.d.e.f.g.h", "h", []byte{0, 0, 0, 0, 0, 0, 0, 2})
	f.Add("a.a.a.a.a.a.a.a.a", "a", []byte{5, 5, 5, 5, 5, 5, 5, 5, 5})
	f.Add(strings.Repeat("x.", 126)+"x", "y.x", []byte{4})
	f.Fuzz(func(t *testing.T, author, identifier string, kinds []byte) {
		start, err := message.ParseDomain(author)
		other, err2 := message.ParseDomain(identifier)
		if err != nil || err2 != nil {
			return
		}
		// kinds says what is at each name of the author's chain, then the other's.
		z, records, failing := zoneOf(""), map[string]Record{}, false
		put := func(d message.Domain) {
			name := prefix + d.String()
			if len(kinds) == 0 || len(name) > maxName || z.txt[name] != nil || z.fail[name] != nil {
				return
			}
			var kind byte
			kind, kinds = kinds[0], kinds[1:]
			txt := []string{"", "v=DMARC1; p=reject", "v=DMARC1; p=none; psd=y", "v=DMARC1; p=quarantine; psd=n", "v=DMARC1; p=x; t=y"}
			switch {
			case kind == 9:
				z.txt[name] = []string{txt[2], txt[3]} // which are no records
			case kind == 10:
				z.fail[name], failing = errBudget, true
			case kind == 11:
				z.fail[name], failing = fmt.Errorf("SERVFAIL"), true
			case kind%5 > 0:
				z.txt[name] = []string{"hello", txt[kind%5]}
				records[d.String()], _ = Parse(txt[kind%5])
			}
		}
		for _, d := range []message.Domain{start, other} {
			for ok := true; ok; d, ok = d.Parent() {
				put(d)
			}
		}

		p := Discover(t.Context(), z, start, Options{Method: Both})
		if len(z.asked) > MaxWalkQueries || len(p.Steps) > MaxWalkQueries {
			t.Errorf("%d questions, %d steps", len(z.asked), len(p.Steps))
		}
		if !start.HasSuffix(p.Organizational) || !p.Organizational.HasSuffix(p.widest) || !start.HasSuffix(p.Other.Organizational) {
			t.Errorf("%s: Organizational Domain %s, or up to %s; by list %s", start, p.Organizational, p.widest, p.Other.Organizational)
		}
		if !p.Domain.IsZero() && !start.HasSuffix(p.Domain) {
			t.Errorf("%s: policy of %s", start, p.Domain)
		}
		org, policy, questions := literal(start.String(), records)
		if questions > MaxWalkQueries {
			t.Fatalf("the words of the RFC: %d questions", questions)
		}
		if !failing && (p.Organizational.String() != org || p.Domain.String() != policy || p.Status == TempError) {
			t.Errorf("%s: got %s, policy of %q, %q, want %s, policy of %q", start, p.Organizational, p.Domain, p.Status, org, policy)
		}

		// The other is aligned if it has the same Organizational Domain.
		res := p.Evaluate(t.Context(), Identifiers{DKIM: []Identifier{{Domain: other}}})
		if res.Queries != len(z.asked) || res.Queries > MaxPolicyQueries+MaxWalkQueries {
			t.Errorf("%d questions, counted %d", len(z.asked), res.Queries)
		}
		otherOrg, _, _ := literal(other.String(), records)
		switch {
		case failing && res.Status != Pass:
		case failing: // a pass needs a record, and the same organization
			if p.Text == "" || other != start && !other.HasSuffix(p.Organizational) {
				t.Errorf("%s passes for %s", other, start)
			}
		case res.Aligned() != (policy != "" && records[policy].Policy != "" && p.Status == "" && (other == start || otherOrg == org)):
			t.Errorf("%s (%s) and %s (%s): %s", start, org, other, otherOrg, show(res))
		}
	})
}
