package dmarc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDiscover: which record applies, and which tag of it (RFC 9989, section 4.10.1).
func TestDiscover(t *testing.T) {
	for _, c := range []struct {
		name, zone, author string
		status             Status
		domain             string // where the record is
		tag                string
		want               Disposition
		asked              string // if not just the walk
	}{
		// From the Author Domain itself it is p, whatever sp and np say.
		{name: "own record", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=reject; sp=none; np=none",
			domain: "example.com", tag: "p", want: Reject},
		{name: "own record below the Organizational Domain", author: "a.example.com",
			zone:   "_dmarc.a.example.com v=DMARC1; p=quarantine; sp=reject\n_dmarc.example.com v=DMARC1; p=reject; sp=reject",
			domain: "a.example.com", tag: "p", want: Quarantine},

		// From the Organizational Domain it is sp, or p.
		{name: "sp", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=reject; sp=quarantine",
			domain: "example.com", tag: "sp", want: Quarantine},
		{name: "p for want of sp", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=reject",
			domain: "example.com", tag: "p", want: Reject},
		{name: "the Organizational Domain goes before what lies between", author: "a.b.example.com",
			zone:   "_dmarc.b.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC1; p=reject",
			domain: "example.com", tag: "p", want: Reject},
		{name: "psd=n between", author: "a.b.example.com",
			zone:   "_dmarc.b.example.com v=DMARC1; p=none; sp=quarantine; psd=n\n_dmarc.example.com v=DMARC1; p=reject",
			domain: "b.example.com", tag: "sp", want: Quarantine},

		// From the Public Suffix Domain, when the other two have none.
		{name: "PSD", author: "a.b.x.example", zone: "_dmarc.x.example v=DMARC1; p=none; sp=reject; psd=y\na.b.x.example hello",
			domain: "x.example", tag: "sp", want: Reject},
		{name: "not the PSD's when the Organizational Domain has one", author: "a.b.x.example",
			zone:   "_dmarc.b.x.example v=DMARC1; p=none\n_dmarc.x.example v=DMARC1; p=none; sp=reject; psd=y",
			domain: "b.x.example", tag: "p", want: DispositionNone},
		{name: "the Organizational Domain below the PSD has none, something else has", author: "a.b.x.example",
			zone:   "_dmarc.b.x.example v=DMARC1; p=none\n_dmarc.example v=DMARC1; p=reject; psd=y",
			domain: "example", tag: "p", want: Reject},
		{name: "the PSD as author", author: "x.example", zone: "_dmarc.x.example v=DMARC1; p=reject; sp=none; psd=y",
			domain: "x.example", tag: "p", want: Reject},

		// np, for subdomains that do not exist (sections 3.2.13 and 4.7).
		{name: "np", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=none; sp=quarantine; np=reject",
			domain: "example.com", tag: "np", want: Reject, asked: "a.example.com a.example.com com example.com"},
		{name: "np milder", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=reject; np=none",
			domain: "example.com", tag: "np", want: DispositionNone, asked: "a.example.com a.example.com com example.com"},
		{name: "np, but the domain has a record", author: "a.example.com",
			zone:   "_dmarc.example.com v=DMARC1; p=none; sp=quarantine; np=reject\na.example.com hello",
			domain: "example.com", tag: "sp", want: Quarantine, asked: "a.example.com a.example.com com example.com"},
		{name: "np, but there is something below the domain", author: "a.example.com",
			zone:   "_dmarc.example.com v=DMARC1; p=none; np=reject\nb.a.example.com hello",
			domain: "example.com", tag: "p", want: DispositionNone, asked: "a.example.com a.example.com com example.com"},
		{name: "np, but even _dmarc exists", author: "a.example.com",
			zone:   "_dmarc.example.com v=DMARC1; p=none; np=reject\n_dmarc.a.example.com hello",
			domain: "example.com", tag: "p", want: DispositionNone},
		{name: "np is no other than sp", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=none; sp=reject; np=reject",
			domain: "example.com", tag: "sp", want: Reject},
		{name: "np of the PSD", author: "nobody.x.example", zone: "_dmarc.x.example v=DMARC1; p=none; np=reject; psd=y",
			domain: "x.example", tag: "np", want: Reject, asked: "nobody.x.example nobody.x.example x.example example"},
		{name: "np is not for the domain itself", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=none; np=reject",
			domain: "example.com", tag: "p", want: DispositionNone},

		// t, one level lower (section 4.7).
		{name: "t with reject", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=reject; t=y", domain: "example.com", tag: "p", want: Quarantine},
		{name: "t with quarantine", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=none; sp=quarantine; t=y",
			domain: "example.com", tag: "sp", want: DispositionNone},
		{name: "t with none", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=none; t=y", domain: "example.com", tag: "p", want: DispositionNone},

		// No policy.
		{name: "no author", author: "", zone: "", status: None, want: DispositionNone},
		{name: "no record", author: "example.com", zone: "example.com hello", status: None, want: DispositionNone},
		{name: "two records", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=reject\n_dmarc.example.com v=DMARC1; p=reject",
			status: None, want: DispositionNone},
		{name: "two records, and one above", author: "a.example.com",
			zone:   "_dmarc.a.example.com v=DMARC1; p=none\n_dmarc.a.example.com v=DMARC1; p=none\n_dmarc.example.com v=DMARC1; p=reject",
			domain: "example.com", tag: "p", want: Reject},
		{name: "the name of the record is too long", author: strings.Repeat("a.", 124) + "com", zone: "", status: None, want: DispositionNone,
			asked: "com a.com a.a.com a.a.a.com a.a.a.a.com a.a.a.a.a.com a.a.a.a.a.a.com"},

		// A policy that says nothing.
		{name: "unusable", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=rejct", status: PermError, domain: "example.com", want: DispositionNone},
		{name: "unusable for a subdomain", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=reject; sp=x",
			status: PermError, domain: "example.com", want: DispositionNone},
		{name: "unusable, but wants reports", author: "example.com", zone: "_dmarc.example.com v=DMARC1; p=rejct; rua=mailto:a@b.test",
			domain: "example.com", tag: "p", want: DispositionNone},

		// DNS that does not answer.
		{name: "own record unknown", author: "example.com", zone: "_dmarc.example.com FAIL", status: TempError, want: DispositionNone},
		{name: "own record unknown, another above", author: "a.example.com", zone: "_dmarc.a.example.com TIMEOUT\n_dmarc.example.com v=DMARC1; p=reject",
			status: TempError, domain: "example.com", tag: "p", want: Reject},
		{name: "own record unknown, an unusable one above", author: "a.example.com", zone: "_dmarc.a.example.com FAIL\n_dmarc.example.com v=DMARC1; p=x",
			status: TempError, domain: "example.com", want: DispositionNone},
		{name: "no own record, above unknown", author: "a.example.com", zone: "_dmarc.example.com FAIL", status: TempError, want: DispositionNone},
		{name: "no own record, PSD unknown", author: "foo.bank", zone: "_dmarc.bank FAIL", status: TempError, want: DispositionNone},
		{name: "own record, above unknown", author: "a.example.com", zone: "_dmarc.a.example.com v=DMARC1; p=reject\n_dmarc.example.com FAIL",
			domain: "a.example.com", tag: "p", want: Reject},
		{name: "a budget used up hides no policy", author: "example.com", zone: "_dmarc.example.com BUDGET", status: TempError, want: DispositionNone},
		{name: "existence unknown", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=none; np=reject\na.example.com FAIL",
			domain: "example.com", tag: "np", want: Reject, asked: "a.example.com a.example.com com example.com"},
		{name: "existence unknown, np milder", author: "a.example.com", zone: "_dmarc.example.com v=DMARC1; p=reject; np=none\na.example.com FAIL",
			domain: "example.com", tag: "p", want: Reject, asked: "a.example.com a.example.com com example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			z := zoneOf(c.zone)
			p := Discover(t.Context(), z, domain(t, c.author), Options{})
			if p.Status != c.status || p.Domain.String() != c.domain || p.Tag != c.tag || p.Disposition != c.want {
				t.Errorf("got %q domain=%s tag=%s %s, want %q domain=%s tag=%s %s",
					p.Status, p.Domain, p.Tag, p.Disposition, c.status, c.domain, c.tag, c.want)
			}
			if (p.Status == "") != (p.Reason == "") || (p.Status == TempError || p.Status == PermError) != (p.Err != nil) {
				t.Errorf("status %q, reason %q, error %v", p.Status, p.Reason, p.Err)
			}
			if p.Known() != (c.status != TempError) {
				t.Errorf("known: %t", p.Known())
			}
			if len(z.asked) > MaxPolicyQueries {
				t.Errorf("%d questions", len(z.asked))
			}
			asked := strings.Fields(z.questions())
			if c.asked == "" && !p.Author.IsZero() {
				for _, d := range targets(p.Author) {
					c.asked += " " + d.String()
				}
			}
			if want := strings.Fields(c.asked); !sameWords(asked, want) {
				t.Errorf("asked for %v, want %v", asked, want)
			}
		})
	}
}

func sameWords(a, b []string) bool {
	count := map[string]int{}
	for _, w := range a {
		count[w]++
	}
	for _, w := range b {
		count[w]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// late is a Resolver that needs 20 ms for each answer.
type late struct{ Resolver }

func (l late) LookupTXT(ctx context.Context, name string) ([]string, error) {
	time.Sleep(20 * time.Millisecond)
	return l.Resolver.LookupTXT(ctx, name)
}

// TestDiscoverTime: the questions of a walk wait side by side, that for existence
// afterwards.
func TestDiscoverTime(t *testing.T) {
	for zone, want := range map[string]time.Duration{
		"_dmarc.a.b.c.d.e.f.example.com v=DMARC1; p=reject": 20 * time.Millisecond,
		"_dmarc.example.com v=DMARC1; p=reject":             20 * time.Millisecond,
		"":                                                  20 * time.Millisecond,
		"_dmarc.example.com v=DMARC1; p=reject; sp=none; np=reject": 40 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			p := Discover(t.Context(), late{zoneOf(zone)}, domain(t, "a.b.c.d.e.f.example.com"), Options{})
			if took := time.Since(begin); took != want {
				t.Errorf("%q: %s took %s, want %s", zone, p.Tag, took, want)
			}
		})
	}
}

// remembering knows every answer beforehand.
type remembering struct{ *zone }

func (remembering) KnowsTXT(string) bool { return true }

// TestDiscoverKnown: what is known is asked for one after the other, from the name of
// the author on.
func TestDiscoverKnown(t *testing.T) {
	z := zoneOf("_dmarc.example.com v=DMARC1; p=reject")
	p := Discover(t.Context(), remembering{z}, domain(t, "a.b.example.com"), Options{})
	if want := []string{"_dmarc.a.b.example.com", "_dmarc.b.example.com", "_dmarc.example.com", "_dmarc.com"}; !slices.Equal(z.asked, want) || p.Domain.String() != "example.com" {
		t.Errorf("asked for %q, policy of %s", z.asked, p.Domain)
	}
}

// TestDiscoverEnds: a policy that nobody waits for any more is unknown.
func TestDiscoverEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := Discover(ctx, zoneOf("_dmarc.example.com v=DMARC1; p=reject"), domain(t, "example.com"), Options{})
	if p.Status != TempError || p.Err == nil {
		t.Errorf("%q, %v", p.Status, p.Err)
	}
}

// broken is a Resolver with a bug.
type broken string

func (b broken) LookupTXT(_ context.Context, name string) ([]string, error) {
	if name == string(b) {
		panic("bug")
	}
	return nil, nil
}

// TestPanic: a bug in the Resolver reaches the caller, whichever question meets it.
func TestPanic(t *testing.T) {
	for _, name := range []string{"_dmarc.a.example.com", "_dmarc.example.com", "_dmarc.com"} {
		func() {
			defer func() {
				if v := recover(); v != "bug" {
					t.Errorf("%s: recovered %v", name, v)
				}
			}()
			Discover(t.Context(), broken(name), domain(t, "a.example.com"), Options{})
		}()
	}
}

// TestSteps: what "milterd dmarc check" can show.
func TestSteps(t *testing.T) {
	z := zoneOf("_dmarc.a.example.com v=DMARC1; p=x\n_dmarc.a.example.com v=DMARC1\n_dmarc.example.com v=DMARC1; p=x\n_dmarc.com hello")
	p := Discover(t.Context(), z, domain(t, "b.a.example.com"), Options{Method: Both})
	type step struct {
		records  int
		text     string
		notFound bool
	}
	for i, want := range []step{
		{notFound: true},
		{records: 2},
		{records: 1, text: "v=DMARC1; p=x"},
		{},
	} {
		s := p.Steps[i]
		if (step{s.Records, s.Text, s.NotFound}) != want || s.Found() != (want.records == 1) || (s.Unusable != nil) != s.Found() {
			t.Errorf("step %d: %+v, want %+v", i, s, want)
		}
	}
	if p.Rule != RuleFewest || p.Other.Rule != RuleSuffix || p.Other.Organizational != p.Organizational || len(p.Other.Steps) != 2 {
		t.Errorf("%+v\n%+v", p, p.Other)
	}
}
