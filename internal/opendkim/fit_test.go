package opendkim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"milterd/message"
)

// tables makes an importer's view of two tables, without files.
func tables(signing, keys string, refile, multiple bool) (*importer, *signers) {
	im := newImporter("/etc/opendkim.conf")
	kd := dataset{setting: setting{name: "KeyTable"}, kind: flat, entries: parseFlat("KeyTable", []byte(keys))}
	td := dataset{setting: setting{name: "SigningTable"}, kind: flat, entries: parseFlat("SigningTable", []byte(signing))}
	if refile {
		td.kind, td.entries = pattern, parsePatterns("SigningTable", []byte(signing))
	}
	s := im.signers(td, kd, multiple)
	s.index()
	return im, s
}

// TestFitIsTrue makes tables by chance and asks for every sender of a small world:
// where all lines that fit a sender were carried, milterd signs as OpenDKIM does;
// where none fits, it does not sign.
func TestFitIsTrue(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6376, 2026))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	users := []string{"a", "b", "ab", "y"}
	domains := []string{"x.test", "y.test", "a.x.test", "b.a.x.test", "ax.test", "other.test"}
	const keys = "k1 x.test:s1:/k/1\nk2 x.test:s2:/k/2\nk3 y.test:s3:/k/3\nk4 a.x.test:s4:/k/4\nkp %:sp:/k/p\nbad x.test\ninline x.test:s5:MIIB\ny.test y.test:s6:/k/6\n"
	carriedSenders, refusals, made := 0, 0, 0
	for round := range 6000 {
		refile, multiple := rnd.IntN(2) == 0, rnd.IntN(2) == 0
		var b strings.Builder
		for range 1 + rnd.IntN(4) {
			user := pick("", "", "a@", "b@", "*@")
			domain := pick("x.test", "x.test", "y.test", "a.x.test", "*", ".x.test", ".test", "b.a.x.test")
			if refile {
				user = pick("*@", "*@", "*@", "a@", "*", "a*@", "*b@", "", "*y@")
				domain = pick("x.test", "x.test", "y.test", "a.x.test", "*", "*.x.test", "*x.test", "*.test", "b*.test")
			}
			name := pick("k1", "k2", "k3", "k4", "kp", "bad", "nokey", "inline", "%")
			if rnd.IntN(8) > 0 { // most tables have no mistakes
				name = map[bool]string{true: "k3", false: pick("k1", "k2")}[domain == "y.test"]
			}
			fmt.Fprintf(&b, "%s%s %s\n", user, domain, name)
		}
		im, s := tables(b.String(), keys, refile, multiple)
		im.fit(s, &exemptions{})
		fates := map[int]fate{}
		for _, i := range im.items {
			if i.File == "SigningTable" {
				fates[i.Line] = max(fates[i.Line], i.fate)
			}
		}
		made += len(im.config.Domains)
		for _, user := range users {
			for _, domain := range domains {
				d, err := message.ParseDomain(domain)
				if err != nil {
					t.Fatal(err)
				}
				all := s.matches(user, domain)
				want, got := signaturesIn(inForce(all)), im.config.Signatures(d)
				whole := !slices.ContainsFunc(all, func(m match) bool { return fates[m.line.entry.Line] != carried })
				if !whole {
					refusals++
					continue
				}
				if len(all) > 0 {
					carriedSenders++
				}
				for _, sig := range got {
					if !slices.Contains(want, sig) {
						t.Fatalf("round %d, refile %v, multiple %v: milterd signs mail of %s@%s with %v, OpenDKIM with %v\n%s\n%s%s", round, refile, multiple, user, domain, got, want, b.String(), im.config.yaml("x"), im.report())
					}
				}
				if len(got) != len(want) {
					t.Fatalf("round %d, refile %v, multiple %v: milterd signs mail of %s@%s with %v, OpenDKIM with %v\n%s\n%s%s", round, refile, multiple, user, domain, got, want, b.String(), im.config.yaml("x"), im.report())
				}
			}
		}
	}
	t.Logf("%d senders carried, %d reported, %d domains made", carriedSenders, refusals, made)
	if carriedSenders < 5000 || refusals < 10_000 || made < 1000 {
		t.Errorf("%d senders carried, %d reported, %d domains made: the tables do not try enough", carriedSenders, refusals, made)
	}
}
