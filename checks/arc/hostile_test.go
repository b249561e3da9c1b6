package arc_test

import (
	"strings"
	"testing"

	"milterd/arc"
	"milterd/checks"
	check "milterd/checks/arc"
	"milterd/checks/checktest"
	"milterd/message"
)

// What enemies make of chains. Only what a trusted sealer sealed as it is counts.
func TestHostileChains(t *testing.T) {
	l := newLab(t)
	const config = "trusted_sealers: [list.test, forwarder.test]"
	const lie = "dmarc=pass header.from=author.test"
	const truth = "arc=pass; dmarc=fail header.from=author.test"
	honest := l.through(t, text, "list.test", lie)
	for _, c := range []struct {
		name, text      string
		status          arc.Status
		sealer, vouched bool
	}{
		{"the control", honest, arc.Pass, true, true},
		{"his own chain", l.through(t, text, "evil.test", lie), arc.Pass, false, false},
		{"his own on top of an honest one", l.through(t, honest, "evil.test", lie), arc.Pass, false, false},
		{"his own, sealed by a trusted host that knows better", l.through(t, l.through(t, text, "evil.test", lie), "list.test", truth), arc.Pass, true, false},
		{"an honest one that went through his hands", l.through(t, l.through(t, honest, "evil.test", lie), "forwarder.test", truth), arc.Pass, true, false},
		{"an honest one, through two trusted hosts", l.through(t, honest, "forwarder.test", truth), arc.Pass, true, true},
		{"replayed on another body", strings.Replace(honest, "Hello Alice.", "Pay here.", 1), arc.Fail, false, false},
		{"replayed with another author", strings.Replace(honest, "joe@author.test", "boss@author.test", 1), arc.Fail, false, false},
		{"replayed with an author on top", "From: boss@author.test\n" + honest, arc.Fail, false, false},
		{"its results changed", strings.Replace(l.through(t, text, "list.test", "dmarc=fail header.from=author.test"), "dmarc=fail", "dmarc=pass", 1), arc.Fail, false, false},
		{"results of his own in a trusted name", strings.Replace(honest, "ARC-Authentication-Results:", "ARC-Authentication-Results: i=1; list.test; "+lie+"\nARC-Authentication-Results:", 1), arc.Fail, false, false},
		{"a broken chain, closed by a trusted host", l.through(t, honest+"footer\n", "forwarder.test", lie), arc.Fail, false, false},
		{"a trusted name without its key", strings.Replace(l.through(t, text, "evil.test", lie), "evil.test", "list.test", -1), arc.Fail, false, false},
		{"sealed without its From", l.throughBlind(t, text, "list.test", lie), arc.Pass, false, false},
		{"50 sets", l.chain(t, honest, "forwarder.test", truth, 50), arc.Pass, true, true},
		{"50 sets, the first his own", l.chain(t, l.through(t, text, "evil.test", lie), "forwarder.test", truth, 50), arc.Pass, true, false},
		{"a set numbered 50 alone", strings.ReplaceAll(honest, "i=1;", "i=50;"), arc.Fail, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := checktest.New(t, check.Spec(), config, checks.Env{Resolver: l.resolver, Now: now})
			out := h.Run(checktest.Mail{Text: c.text}).Detail.(check.Outcome)
			_, sealer := out.TrustedSealer()
			_, vouched := out.Vouched(domain(t, "author.test"), func(_, _ []message.Domain) bool { return true })
			if out.Result.Status != c.status || sealer != c.sealer || vouched != c.vouched || out.Undecided() {
				t.Errorf("arc=%s (%v), trusted %t, vouched %t, undecided %t", out.Result.Status, out.Result.Err, sealer, vouched, out.Undecided())
			}
		})
	}
}

// A forger cannot make a chain undecided: what is wrong for good counts more than a
// key that is not to be had, and his own name on top is nobody's.
func TestForgedDoubt(t *testing.T) {
	l := newLab(t)
	lame := l.through(t, text, "broken.test", passed)
	forged := strings.Replace(l.through(t, lame, "evil.test", passed), "d=evil.test", "d=list.test", -1)
	own := l.through(t, lame, "evil.test", passed)
	l.sever(t)
	h := checktest.New(t, check.Spec(), "trusted_sealers: [list.test]", checks.Env{Resolver: l.resolver, Now: now})
	for name, text := range map[string]string{"a trusted name without its key": forged, "his own name": own} {
		if out := h.Run(checktest.Mail{Text: text}).Detail.(check.Outcome); out.Undecided() {
			t.Errorf("%s: undecided, %v", name, out.Result.Err)
		}
	}
}
