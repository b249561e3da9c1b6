// Package replies is the check of answers: does a message answer one that a user of
// ours has written?
//
// A mail program puts the Message-ID of what it answers into In-Reply-To and
// References (RFC 5322, section 3.6.4). Nobody guesses one of ours, so who names it has
// read the message. It counts only where the answer goes to whoever wrote it: a
// Message-ID out of the archive of a mailing list is worth nothing to somebody who
// writes to everybody.
package replies

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"strings"
	"time"

	"milterd/checks"
	"milterd/internal/lazy"
	"milterd/internal/store"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
)

//go:embed sample.yaml
var sample string

// Spec describes the check.
func Spec() checks.Spec {
	return checks.Spec{
		Name:     "replies",
		Phase:    checks.Header,
		Outbound: true, // what our users write is remembered
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

const findKnown = "REPLY_KNOWN"

var findings = []checks.FindingSpec{
	{Name: findKnown, Describe: "Answers a message that one of its recipients has sent"},
}

const (
	space = "replies"
	// storeWait bounds what one message waits for the store.
	storeWait = 500 * time.Millisecond
	// maxIDs is how many messages one may answer: the last of a long thread.
	maxIDs = 20
	// maxRecipients of one message are asked about.
	maxRecipients = 20
	// maxID is the longest Message-ID that is remembered. Longer ones than a line
	// (RFC 5322, section 2.1.1) are no honest program's.
	maxID = 998
)

type check struct {
	store  store.Store // nil: none
	keep   time.Duration
	errors prometheus.Counter
}

var (
	_ checks.Check    = (*check)(nil)
	_ checks.Recorder = (*check)(nil)
)

func newCheck(section checks.Section, env checks.Env) (checks.Check, error) {
	cfg := defaults()
	if err := section.Decode(&cfg); err != nil {
		return nil, err
	}
	errors, err := newMetrics(env.Registerer)
	return &check{store: env.Store, keep: cfg.Keep, errors: errors}, err
}

// Run looks for a message of ours that is answered.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	m := in.Message
	if c.store == nil || m.Role != message.Inbound {
		return checks.Result{Outcome: checks.None}, nil
	}
	ids := answered(m.Header)
	if len(ids) == 0 {
		return checks.Result{Outcome: checks.None}, nil
	}
	var keys [][]byte
	var names []string
	for _, r := range m.Recipients[:min(len(m.Recipients), maxRecipients)] {
		for _, id := range ids {
			keys, names = append(keys, key(id, r.Path.Address)), append(names, id)
		}
	}
	asking := lazy.WithTimeout(ctx, storeWait)
	defer asking.Cancel()
	values, err := c.store.Get(asking, space, keys...)
	if err != nil {
		c.errors.Inc()
		return checks.Result{Outcome: checks.TempError}, ctx.Err()
	}
	for i, v := range values {
		if v != nil {
			return checks.Result{Findings: []checks.Finding{{Name: findKnown, Detail: message.SafeText("answers "+names[i], 200)}}, Outcome: checks.Clean}, nil
		}
	}
	return checks.Result{}, nil
}

// Record remembers the Message-ID of outbound mail that has left, for whom the answer
// goes to: the author and the envelope sender.
func (c *check) Record(_ context.Context, in *checks.Input, v *message.Verdict) error {
	m := in.Message
	if c.store == nil || m.Role != message.Outbound || v.Action != message.Accept {
		return nil
	}
	value, _ := m.Header.Get("Message-ID")
	ids := messageIDs(value)
	if len(ids) == 0 {
		return nil
	}
	to := []message.Address{m.MailFrom.Address}
	for _, a := range m.Author().Addresses[:min(len(m.Author().Addresses), maxRecipients)] {
		if a != m.MailFrom.Address {
			to = append(to, a)
		}
	}
	var ops []store.Op
	for _, a := range to {
		if !a.IsZero() {
			ops = append(ops, store.Put(key(ids[0], a), nil, c.keep))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return c.store.Post(space, ops...)
}

// answered returns the messages that a message answers, the nearest first.
func answered(h *message.Header) []string {
	var all []string
	for _, name := range []string{"In-Reply-To", "References"} {
		value, _ := h.Get(name)
		ids := messageIDs(value)
		for i := len(ids) - 1; i >= 0 && len(all) < maxIDs; i-- {
			all = append(all, ids[i])
		}
	}
	return all
}

// messageIDs returns what stands in angle brackets, without them. What is in no
// brackets are words of old mail programs (RFC 5322, section 4.5.4).
func messageIDs(value string) []string {
	var all []string
	for {
		_, rest, ok := strings.Cut(value, "<")
		if !ok {
			return all
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			return all
		}
		if i := strings.LastIndexByte(id, '<'); i >= 0 { // one that was never closed
			id = id[i+1:]
		}
		// A fold inside is none of the id's (RFC 5322, section 2.2.3).
		if id = strings.Join(strings.Fields(id), ""); id != "" && len(id) <= maxID {
			all = append(all, id)
		}
		value = after
	}
}

// key is that of a message and somebody who may be answered. It is a hash, so that
// nobody reads from the store who writes.
func key(id string, to message.Address) []byte {
	h := sha256.Sum256([]byte(id + "\x00" + strings.ToLower(to.String())))
	return h[:16]
}
