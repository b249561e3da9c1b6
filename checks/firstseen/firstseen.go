// Package firstseen is the check that notices authors who have never written to the
// site before.
//
// Most first letters are honest, so this is no evidence of itself. It is a fact for
// rules: a first letter that asks for money is another thing than the fiftieth. An
// author is an address together with the domain that proves it: who forges the
// address of an old friend is seen for the first time.
package firstseen

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"strings"
	"time"

	"milterd/checks"
	"milterd/internal/evidence"
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
		Name:     "firstseen",
		Phase:    checks.Message, // DKIM ends with the body
		After:    []string{"spf", "dkim", "dmarc"},
		OnError:  checks.OnErrorIgnore,
		Sample:   sample,
		Findings: findings,
		New:      newCheck,
	}
}

// The findings of the check.
const (
	findFirst    = "FIRST_SEEN"
	findUnproven = "FIRST_SEEN_UNPROVEN"
)

var findings = []checks.FindingSpec{
	{Name: findFirst, Describe: "The author, whose domain is proven, has never written to this site"},
	{Name: findUnproven, Describe: "The author has never written to this site, and nothing proves who it is"},
}

const (
	space = "firstseen"
	// storeWait bounds what one message waits for the store.
	storeWait = 500 * time.Millisecond
	// refresh is how old a note must be to be made anew.
	refresh = 7 * 24 * time.Hour
)

type check struct {
	store  store.Store // nil: none
	now    func() time.Time
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
	return &check{store: env.Store, now: env.Now, keep: cfg.Keep, errors: errors}, err
}

// A sight is what one message has shown of its author, for [check.Record].
type sight struct {
	key  []byte
	note []byte // what the store held, nil of somebody new
}

// Run looks whether the author is known.
func (c *check) Run(ctx context.Context, in *checks.Input) (checks.Result, error) {
	author := in.Message.Author()
	if c.store == nil || in.Message.Role != message.Inbound || author.Domain.IsZero() || len(author.Addresses) != 1 {
		return checks.Result{Outcome: checks.None}, nil
	}
	address, isProven := author.Addresses[0].String(), evidence.Proves(author.Domain, in.Prior)
	s := &sight{key: key(address, isProven)}
	asking := lazy.WithTimeout(ctx, storeWait)
	defer asking.Cancel()
	values, err := c.store.Get(asking, space, s.key)
	if err != nil {
		c.errors.Inc()
		return checks.Result{Outcome: checks.TempError}, ctx.Err()
	}
	s.note = values[0]
	res := checks.Result{Detail: s}
	if s.note == nil {
		name := findUnproven
		if isProven {
			name = findFirst
		}
		res.Findings = []checks.Finding{{Name: name, Detail: message.SafeText(address, 200)}}
	}
	return res, nil
}

// Record remembers the author of a message that was let in and is no spam.
func (c *check) Record(_ context.Context, in *checks.Input, v *message.Verdict) error {
	s, ok := checks.Detail[*sight](in.Prior, "firstseen")
	if !ok || v.Action != message.Accept || v.Would != "" {
		return nil
	}
	now := c.now()
	if len(s.note) == 8 {
		if age := now.Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(s.note)))); 0 <= age && age < min(refresh, c.keep/2) {
			return nil
		}
	}
	return c.store.Post(space, store.Put(s.key, binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())), c.keep))
}

// key is that of an author, with proof or without. It is a hash, so that nobody reads
// from the store who writes.
func key(address string, proven bool) []byte {
	h := sha256.Sum256([]byte(strings.ToLower(address)))
	kind := byte('u')
	if proven {
		kind = 'p'
	}
	return append([]byte{kind}, h[:16]...)
}
