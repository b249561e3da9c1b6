package scan

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/internal/mailbox/mailboxtest"

	"milterd/internal/dns"
	"milterd/internal/dns/dnstest"
	"milterd/message"
)

// hamSample returns every nth message of the public corpus of honest mail, or skips
// the test. It is of 2002 and 2003, and not part of this project.
func hamSample(t *testing.T, nth int) (all [][]byte) {
	t.Helper()
	for i, m := range mailboxtest.Corpus(t, "ham") {
		if i%nth == nth-1 {
			all = append(all, m.Raw)
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d messages", len(all))
	}
	return all
}

// labLists are the lists of the lab, as they ship.
const labLists = `
checks:
  dnsbl:
    lists: {spamhaus-zen: {enabled: true}, spamcop: {enabled: true}, psbl: {enabled: true}, dnswl: {enabled: true}}
    reject: [spam, exploit, policy]
  uribl:
    lists: {spamhaus-dbl: {enabled: true}, spamhaus-sbl: {enabled: true}, surbl: {enabled: true}, uribl: {enabled: true}, msbl-ebl: {enabled: true}}
`

var labZones = []string{"zen.spamhaus.org.", "bl.spamcop.net.", "psbl.surriel.com.", "list.dnswl.org.", "dbl.spamhaus.org.",
	"sbl.spamhaus.org.", "multi.surbl.org.", "multi.uribl.com.", "ebl.msbl.org."}

// points are what honest lists always have.
func points() dnstest.Zone {
	return dnstest.Zone{
		"2.0.0.127.zen.spamhaus.org": {"A 127.0.0.2"}, "2.0.0.127.bl.spamcop.net": {"A 127.0.0.2"}, "2.0.0.127.psbl.surriel.com": {"A 127.0.0.2"},
		"2.0.0.127.list.dnswl.org": {"A 127.0.10.0"}, "dbltest.com.dbl.spamhaus.org": {"A 127.0.1.2"}, "2.0.0.127.sbl.spamhaus.org": {"A 127.0.0.2"},
		"test.surbl.org.multi.surbl.org": {"A 127.0.0.64"}, "test.uribl.com.multi.uribl.com": {"A 127.0.0.2"},
	}
}

// aboutLists tells a lie about names in the zones of lists, and the truth elsewhere.
func aboutLists(lie dnstest.Lie) dnstest.Lie {
	return func(ctx context.Context, q dnstest.Query, reply dnstest.Reply) dnstest.Reply {
		name := strings.ToLower(q.Msg.Question[0].Name)
		if slices.ContainsFunc(labZones, func(zone string) bool { return strings.HasSuffix(name, "."+zone) }) {
			return lie(ctx, q, reply)
		}
		return reply
	}
}

// listed is what lists said about a message, and what became of it.
type listed struct {
	action   message.Action
	findings []string
	score    float64
}

// scanAll scans messages one after the other.
func scanAll(t *testing.T, s *Scanner, server *dnstest.Server, mail [][]byte) (all []listed) {
	t.Helper()
	for i, raw := range mail {
		before := server.Total()
		out, err := s.Scan(t.Context(), raw, Envelope{IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})})
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if n := server.Total() - before; n > 100 {
			t.Errorf("message %d cost %d questions", i, n)
		}
		if out.Took > 10*time.Second {
			t.Errorf("message %d took %v", i, out.Took)
		}
		l := listed{action: out.Verdict.Action, score: out.Verdict.Score}
		for _, f := range out.Verdict.Findings {
			if strings.HasPrefix(f.Name, "DNSBL_") || strings.HasPrefix(f.Name, "URIBL_") {
				l.findings = append(l.findings, f.Name)
			}
		}
		for _, r := range out.Results {
			if (r.Check == "dnsbl" || r.Check == "uribl") && r.Err != nil {
				t.Errorf("message %d: %s: %v", i, r.Check, r.Err)
			}
		}
		all = append(all, l)
	}
	return all
}

// TestListsAndHostileResolvers: whatever a resolver does to the answers of lists, no
// honest message is treated worse than with lists that answer and list nobody; with
// dnsbl.reject on, which makes a wrong listing a wrong rejection.
func TestListsAndHostileResolvers(t *testing.T) {
	mail := hamSample(t, 16)
	server := dnstest.Start(t, points())
	want := scanAll(t, labScanner(t, server), server, mail)
	questions := server.Total()
	t.Logf("%d messages, %d questions to clean lists", len(mail), questions)
	if questions < 2*len(mail) {
		t.Fatalf("only %d questions about %d messages", questions, len(mail))
	}
	lies := map[string]dnstest.Lie{
		"NXDOMAIN rewritten": dnstest.Rewrite("203.0.113.1"),
		"refusing":           dnstest.Rewrite("127.255.255.254"),
		"all listed":         dnstest.Rewrite("127.0.0.2"),
		"all listed, bits":   dnstest.Rewrite("127.0.0.64"),
		"all listed, DBL":    dnstest.Rewrite("127.0.1.2"),
		"all allowed":        dnstest.Rewrite("127.0.5.3"),
		"an unknown code":    dnstest.Rewrite("127.9.9.9"),
		"silent":             dnstest.Drop,
		"slow":               dnstest.Delay(20 * time.Millisecond),
		"truncated":          dnstest.Truncate,
		"SERVFAIL":           dnstest.ServFail,
		"REFUSED":            dnstest.Refused,
	}
	for _, name := range slices.Sorted(maps.Keys(lies)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := dnstest.Start(t, points())
			patience, mail := answersInTime, mail
			switch name {
			case "silent":
				patience, mail = 500*time.Millisecond, mail[:60]
			case "slow":
				mail = mail[:60]
			}
			s := labScannerFor(t, server, patience)
			server.Lie("*", aboutLists(lies[name]))
			got := scanAll(t, s, server, mail)
			for i := range got {
				if got[i].action != want[i].action || got[i].score != want[i].score || len(got[i].findings) > 0 {
					t.Errorf("message %d: %s, %g, %v; with clean lists %s, %g", i, got[i].action, got[i].score, got[i].findings, want[i].action, want[i].score)
				}
			}
		})
	}
}

// answersInTime is how long an honest answer may take on a machine that is busy.
const answersInTime = 10 * time.Second

// labScanner is a scanner with lists on.
func labScanner(t *testing.T, server *dnstest.Server) *Scanner {
	t.Helper()
	return labScannerFor(t, server, answersInTime)
}

// labScannerFor is labScanner with a resolver that waits for so long.
func labScannerFor(t *testing.T, server *dnstest.Server, patience time.Duration) *Scanner {
	t.Helper()
	cfg := readConfig(t, server.Addr(), t.TempDir(), labLists)
	return newScannerAt(t, cfg, dns.Options{Servers: []string{server.Addr()}, Timeout: patience, MinTTL: time.Millisecond})
}

// TestListedMail: what is listed is found, and weighs; the client is refused.
func TestListedMail(t *testing.T) {
	zone := points()
	maps.Copy(zone, dnstest.Zone{
		"10.2.0.192.zen.spamhaus.org":    {"A 127.0.0.4"},
		"spam.example.dbl.spamhaus.org":  {"A 127.0.1.2"},
		"spam.example.multi.surbl.org":   {"A 127.0.0.64"},
		"66.100.51.198.sbl.spamhaus.org": {"A 127.0.0.2"},
		"sender.example":                 {"TXT v=spf1 ip4:192.0.2.10 -all"},
	})
	server := dnstest.Start(t, zone)
	const text = "From: a@sender.example\nTo: b@mx.test\nSubject: x\nMessage-ID: <1@sender.example>\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n\n"
	for _, c := range []struct {
		client, body string
		action       message.Action
		want         string
	}{
		{"192.0.2.10", "hello\n", message.RejectMail, "DNSBL_EXPLOIT"},
		{"192.0.2.11", "http://www.spam.example/\n", message.Junk, "URIBL_SPAM URIBL_SEVERAL"}, // 4.5 + 2
		{"192.0.2.11", "http://198.51.100.66/\n", "", "URIBL_SPAM"},                            // and what rules say about such a URL
		{"192.0.2.11", "hello\n", message.Accept, ""},
	} {
		s := labScanner(t, server)
		out, err := s.Scan(t.Context(), []byte(text+c.body), Envelope{IP: netip.MustParseAddr(c.client)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range out.Verdict.Findings {
			if strings.HasPrefix(f.Name, "DNSBL_") || strings.HasPrefix(f.Name, "URIBL_") {
				got = append(got, f.Name)
			}
		}
		if strings.Join(got, " ") != c.want || c.action != "" && out.Verdict.Action != c.action {
			t.Errorf("%s, %q: %s, %v; want %s, %s", c.client, c.body, out.Verdict.Action, got, c.action, c.want)
		}
		if text := fmt.Sprint(out.Edits, out.Verdict); strings.Contains(text, "spamhaus.org") {
			t.Errorf("a zone is told: %s", text)
		}
	}
}
