package rotation

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"milterd/internal/keys"
	"milterd/message"
)

// A Keeper looks after the keys of a daemon, once an hour: it takes a turn with
// those that are managed, and looks whether the DNS shows the others.
type Keeper struct {
	// Targets are the domains of the configuration in use.
	Targets func() []Target
	DNS     Looker
	Now     func() time.Time
	Random  io.Reader // spreads the turns of many hosts
	Logger  *slog.Logger
	Metrics *Metrics
}

const (
	firstTurn = time.Minute // after the start at most
	everyTurn = time.Hour   // more or less
)

// Run takes turns until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	for pause := k.upTo(firstTurn); ; pause = everyTurn*9/10 + k.upTo(everyTurn/5) {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
			k.Turn(ctx)
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// upTo returns a random time below d. Where there is no randomness it is the
// middle.
func (k *Keeper) upTo(d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(k.Random, b[:]); err != nil {
		return d / 2
	}
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(d))
}

// Turn looks after every key once.
func (k *Keeper) Turn(ctx context.Context) {
	var all []metric
	for _, t := range k.Targets() {
		if t.Directory != "" {
			all = append(all, k.managed(ctx, t)...)
		}
		for _, f := range t.Keys {
			if m, ok := k.single(ctx, t.Domain, f); ok {
				all = append(all, m)
			}
		}
	}
	if ctx.Err() == nil {
		k.Metrics.set(all, k.Now())
	}
}

// managed takes a turn with the keys of a directory.
func (k *Keeper) managed(ctx context.Context, t Target) (all []metric) {
	log := k.Logger.With("domain", t.Domain)
	turn, err := Rotate(ctx, t.Directory, k.DNS, k.Now(), Policy{Age: DefaultAge, Overlap: t.Overlap}, false)
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, ErrBusy):
		log.Info("another milterd is changing the keys just now, the next turn is in an hour")
	case errors.Is(err, keys.ErrMissing):
		log.Warn("no keys to look after yet", "err", err)
	case err != nil:
		log.Error("the keys cannot be moved on; run milterd dkim rotate as a user who may", "err", err)
	}
	if turn == nil {
		return nil
	}
	for _, e := range turn.Events {
		k.tell(log, turn.State, e)
	}
	for i := range turn.State.Keys {
		key := &turn.State.Keys[i]
		seen, looked := turn.Seen[key.Selector]
		if !looked {
			seen.Status = Unknown // it was made just now
		}
		k.warn(log, key, seen)
		if key.Stage != keys.Retired {
			all = append(all, metric{labels: labels{t.Domain, key.Selector}, created: key.Created,
				expected: key.Stage != keys.Next, status: seen.Status})
		}
	}
	return all
}

// tell logs what happened to a key.
func (k *Keeper) tell(log *slog.Logger, s *keys.State, e Event) {
	log = log.With("selector", e.Selector)
	var key keys.Key
	for _, each := range s.Keys {
		if each.Selector == e.Selector {
			key = each
		}
	}
	switch e.Change {
	case Made:
		log.Warn("it is time for another key: publish its record, and it will sign when the DNS shows it", "name", key.Name, "txt", key.Record)
	case Visible:
		log.Info("every name server shows the key")
	case Activated:
		log.Info("the key signs from now on")
	case Replaced:
		log.Info("the key signs no more; leave its record in the DNS for the mail that it has signed")
	case Retired:
		log.Warn("the key is over: publish its record with an empty p=", "name", key.Name, "txt", key.Record)
	}
}

// warn logs a key that the DNS ought to show and does not, and one that waits.
func (k *Keeper) warn(log *slog.Logger, key *keys.Key, seen Sight) {
	log = log.With("selector", key.Selector, "name", key.Name)
	switch {
	case seen.Err != nil:
		log.Warn("a key cannot be looked after", "err", seen.Err)
	case seen.Status == Shown || key.Stage == keys.Retired:
	case seen.Status == Unknown:
		log.Info("whether the DNS shows a key cannot be found out now", "seen", Summary(seen))
	case key.Stage == keys.Next:
		log.Info("a key waits to be published", "txt", key.Record, "seen", Summary(seen))
	default:
		log.Warn("the DNS does not show a key: signatures with it do not verify", "txt", key.Record, "seen", Summary(seen))
	}
}

// single looks whether the DNS shows a key with a file of its own.
func (k *Keeper) single(ctx context.Context, domain string, f File) (metric, bool) {
	log := k.Logger.With("domain", domain)
	d, err := message.ParseDomain(domain)
	var key keys.Key
	if err == nil {
		key, err = Own(d, f)
	}
	if err != nil {
		log.Warn("a key cannot be looked after", "selector", f.Selector, "err", err)
		return metric{}, false
	}
	seen := k.DNS.Look(ctx, key.Name, key.Record)
	if ctx.Err() == nil {
		k.warn(log, &key, seen)
	}
	return metric{labels: labels{domain, f.Selector}, created: key.Created, expected: true, status: seen.Status}, true
}

// Summary says in a line what servers say that do not show a key.
func Summary(s Sight) string {
	var all []string
	for _, v := range s.Views {
		if v.Said == SaysShown {
			continue
		}
		text := v.Server
		if v.Addr.IsValid() {
			text += "/" + v.Addr.String()
		}
		text += " " + string(v.Said)
		if v.Detail != "" {
			text += " (" + v.Detail + ")"
		}
		all = append(all, text)
	}
	if s.Err != nil {
		all = append(all, s.Err.Error())
	}
	return strings.Join(all, ", ")
}
