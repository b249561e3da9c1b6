package dmarc

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"milterd/dmarc"
	"milterd/message"
)

// recall is a memory for points in time that outlives the message. It is all that
// waiting asks of a store.
type recall interface {
	// Since returns when key was noted first. If it was not, it is noted at now and
	// forgotten after ttl.
	Since(ctx context.Context, key string, now time.Time, ttl time.Duration) time.Time
	// Forget forgets key.
	Forget(ctx context.Context, key string)
}

// waiting says how long mail may wait for the DNS: tempfail_max for each author's
// domain and network of a client. When the time is over, the next message of the
// two does not wait either, until a note expires.
type waiting struct {
	longest time.Duration
	notes   recall
	alarm   alarm
}

// How long it is remembered that mail has waited.
const (
	// keepPolicy is for a policy that does not resolve. It ends as soon as it does.
	keepPolicy = 30 * 24 * time.Hour
	// keepProof is for SPF or a key that does not resolve. Another message of the
	// domain may pass meanwhile and says nothing about this one.
	keepProof = 24 * time.Hour
)

func newWaiting(longest time.Duration, notes recall, logger *slog.Logger) *waiting {
	return &waiting{longest: longest, notes: notes, alarm: alarm{logger: logger, domains: map[message.Domain]time.Time{}}}
}

// wait reports whether the message shall come back later, and whether many domains
// fail at once, so that the fault is our resolver's.
func (w *waiting) wait(ctx context.Context, m *message.Message, p *dmarc.Policy, now time.Time) (wait, many bool) {
	many = w.alarm.failed(dmarc.OrganizationalByList(p.Author, nil), now)
	key, ttl := proofKey(m), keepProof
	if !p.Known() {
		key, ttl = policyKey(m), keepPolicy
	}
	since := w.notes.Since(ctx, key, now, ttl)
	return now.Sub(since) < w.longest, many
}

// resolved ends the wait for a policy: it is known.
func (w *waiting) resolved(ctx context.Context, m *message.Message) {
	w.notes.Forget(ctx, policyKey(m))
}

func policyKey(m *message.Message) string { return "policy " + senderKey(m) }
func proofKey(m *message.Message) string  { return "proof " + senderKey(m) }

// senderKey names the author's domain and the network of the client: a forger's
// tries start no clock for anybody else.
func senderKey(m *message.Message) string {
	return m.Author().Domain.String() + " " + message.Network(m.Session.Client)
}

// An alarm goes off when look-ups fail for many domains at once.
type alarm struct {
	logger *slog.Logger

	mu      sync.Mutex
	domains map[message.Domain]time.Time // when each failed last
	cleaned time.Time
	said    time.Time
}

const (
	alarmDomains = 20               // so many organizations
	alarmWindow  = 10 * time.Minute // in so much time
	maxAlarm     = 1000             // of them are enough to know
)

// failed notes a failure and reports whether many fail at once.
func (a *alarm) failed(d message.Domain, now time.Time) (many bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := now.Sub(a.cleaned); age > alarmWindow/10 || age < 0 {
		a.cleaned = now
		for other, at := range a.domains {
			if age := now.Sub(at); age > alarmWindow || age < 0 {
				delete(a.domains, other)
			}
		}
	}
	if _, known := a.domains[d]; known || len(a.domains) < maxAlarm {
		a.domains[d] = now
	}
	many = len(a.domains) >= alarmDomains
	if age := now.Sub(a.said); many && (age > alarmWindow || age < 0) {
		a.said = now
		a.logger.Error("DNS fails for many sender domains at once: is the resolver well?", "check", "dmarc",
			"domains", len(a.domains), "within", alarmWindow.String())
	}
	return many
}
