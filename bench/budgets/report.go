package main

import (
	"fmt"
	"strings"
)

// budget is one promise: a figure of one row that must not be larger.
type budget struct {
	what     string
	row      string // of milterd
	sessions int
	unit     string
	most     float64
	figure   func(measurement) float64
	peers    []string // whose figure stands beside it
	late     bool     // every DNS answer 20 ms late
}

func cpu(m measurement) float64 { return m.cpu }
func p50(m measurement) float64 { return m.p50 }
func p99(m measurement) float64 { return m.p99 }
func pss(m measurement) float64 { return m.pss }

// budgets are those of the project, in the order in which people ask for them.
// With every answer 20 ms late a message may take the longest chain of look-ups that
// need each other, and 5 ms. In the median that is two of them: whether the lists of
// domains (uribl) are asked at all is decided when those of addresses (dnsbl) have
// answered.
var budgets = []budget{
	{"everything on, CPU a message", "milterd-full", 8, "ms", 1.0, cpu, []string{"rspamd", "classic"}, false},
	{"checks on by default, CPU a message", "milterd-all", 8, "ms", 1.0, cpu, []string{"rspamd", "classic"}, false},
	{"authentication and rules, CPU a message", "milterd-rules", 8, "ms", 1.0, cpu, []string{"rspamd", "classic"}, false},
	{"authentication, rules and trained Bayes, CPU a message", "milterd-bayes", 8, "ms", 1.0, cpu, []string{"rspamd", "classic"}, false},
	{"everything on, one session, p50", "milterd-full", 1, "ms", 2, p50, []string{"rspamd", "classic"}, false},
	{"everything on, one session, p99", "milterd-full", 1, "ms", 15, p99, []string{"rspamd", "classic"}, false},
	{"authentication only, CPU a message", "milterd-auth", 8, "ms", 0.5, cpu, []string{"opendkim-verify", "opendmarc"}, false},
	{"signing RSA-2048, CPU a message", "milterd-sign-rsa", 8, "ms", 1.3, cpu, []string{"opendkim-sign"}, false},
	{"signing Ed25519, CPU a message", "milterd-sign-ed25519", 8, "ms", 0.5, cpu, []string{"opendkim-sign"}, false},
	{"no check at all, CPU a message", "milterd-off", 8, "ms", 0.4, cpu, []string{"null"}, false},
	{"every DNS answer 20 ms late, one session, p50", "milterd-full", 1, "ms", 2*20 + 5, p50, []string{"rspamd"}, true},
	{"peak PSS", "milterd-full", 8, "MiB", 150, pss, []string{"rspamd", "classic"}, false},
}

// The start, from the process to its first answer: milterd-full trains before it
// starts, so its time would be that of another thing.
const (
	startRow    = "milterd-all"
	startBudget = 300 // ms
)

// report is the part of the document between its two marks.
func report(prompt, late *results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s", prompt.day.Format("2 January 2006"), prompt.machine)
	if prompt.peers != "" {
		fmt.Fprintf(&b, "; %s", prompt.peers)
	}
	b.WriteString(".\n\n| what | milterd | budget | | peers in the same run, and how many times milterd's figure |\n|---|---:|---:|---|---|\n")
	for _, g := range budgets {
		from := prompt
		if g.late {
			from = late
		}
		m, found := from.find(g.row, g.sessions)
		if !found {
			continue
		}
		line(&b, g.what, g.figure(m), g.most, g.unit, beside(from, g, g.figure(m)))
	}
	if ms, found := prompt.startup[startRow]; found {
		line(&b, "start to the first answer", ms, startBudget, "ms", startOfPeers(prompt, ms))
	}
	b.WriteString("\nAll rows of the run:\n\n")
	table(&b, prompt)
	if len(late.rows) > 0 {
		b.WriteString("\nWith every DNS answer 20 ms late, warm after the first pass:\n\n")
		table(&b, late)
	}
	return b.String()
}

func line(b *strings.Builder, what string, is, most float64, unit, peers string) {
	verdict := "kept"
	if is > most {
		verdict = "**missed**"
	}
	fmt.Fprintf(b, "| %s | %s %s | %g %s | %s | %s |\n", what, short(is), unit, most, unit, verdict, peers)
}

func beside(from *results, g budget, ours float64) string {
	var peers []string
	for _, name := range g.peers {
		if m, found := from.find(name, g.sessions); found && ours > 0 {
			peers = append(peers, fmt.Sprintf("%s %s (%s)", name, short(g.figure(m)), times(g.figure(m)/ours)))
		}
	}
	return strings.Join(peers, ", ")
}

func startOfPeers(r *results, ours float64) string {
	var peers []string
	for _, name := range []string{"rspamd (first start, no hyperscan cache)", "rspamd (second start, hyperscan cache)"} {
		if ms, found := r.startup[name]; found && ours > 0 {
			peers = append(peers, fmt.Sprintf("%s %s (%s)", name, short(ms), times(ms/ours)))
		}
	}
	return strings.Join(peers, ", ")
}

func table(b *strings.Builder, r *results) {
	b.WriteString("| row | sessions | messages/s | p50 ms | p99 ms | CPU ms a message | PSS MiB | without an answer |\n|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, m := range r.rows {
		fmt.Fprintf(b, "| %s | %d | %.0f | %s | %s | %s | %.0f | %d |\n", m.row, m.sessions, m.perSec, short(m.p50), short(m.p99), short(m.cpu), m.pss, m.errors)
	}
}

// short keeps what a reader compares: two places below ten, one below a hundred.
func short(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func times(x float64) string { return fmt.Sprintf("%.1f times", x) }
