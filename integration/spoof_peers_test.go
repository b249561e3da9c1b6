package integration

import (
	"fmt"
	"strings"
	"testing"
)

// What every filter has to refuse, and what every one has to let in: mail that
// passes SPF alone, and mail that passes DKIM alone.
const (
	plainSpoof     = "plain spoof"
	legitHost      = "legit from its own host"
	legitForwarded = "an alumni forwarder, the author's signature intact"
)

// TestSpoofPeers plays the spoof lab, honest mail included, to milterd and to other
// filters, and prints who answered what. It asserts milterd's answers, and of the
// others that they are at work.
func TestSpoofPeers(t *testing.T) {
	t.Parallel()
	daemon(t, "spoof")
	c := newContest(t)
	bare, err := c.postAll(t.Context(), unfiltered, 8, c.spoofs)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range bare {
		check(t, f.what == accepted, "%s: %v without any filter: nobody can tell what one would have said", c.spoofs[i].name, f.reply)
	}
	rivals := c.play(t)
	for _, r := range rivals {
		wantAtWork(t, r)
	}

	ours := rivals[0]
	for i, a := range attacks {
		f := ours.spoofs[i]
		check(t, !f.passes() && f.String() == a.want, "%s: %v, want %s", a.name, f, a.want)
	}
	for i, h := range guards {
		want := map[string]string{"INBOX": accepted, "Junk": marked}[h.folder]
		check(t, ours.guards[i].what == want, "%s: %v, want %s", h.name, ours.guards[i].reply, want)
	}
	check(t, ours.beside[0].what == deferred, "%s: %v, want 451", c.beside[0].name, ours.beside[0])
	for i, f := range ours.beside[1:] {
		check(t, f.what == accepted && !f.forged(), "%s: %v with %q", c.beside[1+i].name, f, f.results)
	}
	fmt.Print(c.table(t, rivals))
}

// wantAtWork finds rivals that are not set up as they should be: whoever lets
// nothing in, or everything, or sees no DNS, is not one to compare with.
func wantAtWork(t *testing.T, r *rival) {
	t.Helper()
	for i, a := range attacks {
		check(t, a.name != plainSpoof || r.spoofs[i].what == refused, "%s is not at work: %s: %v", r.name, a.name, r.spoofs[i])
	}
	for i, h := range guards {
		f := r.guards[i]
		must := h.name == legitHost || h.name == legitForwarded
		check(t, !must || f.what == accepted && f.asVictim(), "%s is not at work: %s: %v", r.name, h.name, f)
	}
}

func spoofPostings() (letters []posting) {
	for _, a := range attacks {
		helo, from := a.envelope()
		letters = append(letters, posting{a.name, attackerIP, helo, from, a.message()})
	}
	return letters
}

func guardPostings() (letters []posting) {
	for _, h := range guards {
		_, helo, _ := strings.Cut(h.client, "NAME=")
		helo, _, _ = strings.Cut(helo, " ")
		raw := h.raw(fmt.Sprintf("guard %d", serial.Add(1)))
		letters = append(letters, posting{h.name, h.client, helo, strings.TrimPrefix(h.from, "-"), raw})
	}
	return letters
}

// forgedDomain stands in results that a stranger made, and in nothing else.
const forgedDomain = "bank.test"

// forged reports whether what a stranger says of that domain was delivered.
func (f fate) forged() bool {
	return strings.Contains(strings.Join(f.results, "\n"), forgedDomain)
}

// besidePostings are first a spoof of somebody whose policy cannot be looked up,
// then mail of a stranger in his own name with results that he made in the name of
// our host.
func besidePostings() []posting {
	stranger := func(name, author, extra string) posting {
		raw := letter(author, "beside", extra, fmt.Sprintf("Case %d.\r\n", serial.Add(1)))
		return posting{name, attackerIP, "mail.attack.test", "any@attack.test", raw}
	}
	letters := []posting{stranger("the victim's policy cannot be looked up", "<admin@broken.test>", "")}
	for _, forged := range []struct{ name, field string }{
		{"as we write them", "Authentication-Results: " + ourID + "; "},
		{"the same, with one of DKIM", "Authentication-Results: " + ourID + "; dkim=pass header.d=" + forgedDomain + "; "},
		{"capitals", "AUTHENTICATION-RESULTS: " + strings.ToUpper(ourID) + "; "},
		{"with a version", "Authentication-Results: " + ourID + " 1; "},
		{"with a comment", "Authentication-Results: (our own) " + ourID + "; "},
		{"folded", "Authentication-Results:\r\n\t" + ourID + ";\r\n\t"},
		{"in quotation marks", `Authentication-Results: "` + ourID + `"; `},
		{"blank before the colon", "Authentication-Results : " + ourID + "; "},
	} {
		letters = append(letters, stranger(forged.name, "<any@attack.test>", forged.field+"dmarc=pass header.from="+forgedDomain+"\r\n"))
	}
	return letters
}
