package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"milterd/integration"
)

// Play runs a scenario on a bench and balances its account. The error names the step, as
// file:line:column, that did not go as the file says.
func (s *Scenario) Play(ctx context.Context, b *Bench) (Balance, error) {
	p := &play{scenario: s, bench: b, postman: b.Lab.Postman(), start: b.Lab.Mark()}
	p.look(ctx)
	p.log = 0 // what it said at its start counts
	defer p.stopLoad()
	for i := range s.Steps {
		step := &s.Steps[i]
		if err := p.step(ctx, step); err != nil {
			return Balance{}, fmt.Errorf("%v: %w\nmilterd:\n%s", step.Pos, err, b.Daemon.Log.Tail(12))
		}
	}
	return b.Lab.Settle(ctx, p.postman, p.start, !s.Spoils)
}

// play is a scenario that runs.
type play struct {
	scenario *Scenario
	bench    *Bench
	postman  *Postman
	start    Marks

	log     int    // the daemon's log as of the last break, mend or do
	metrics string // and its metrics

	mu      sync.Mutex
	cancel  context.CancelFunc
	senders sync.WaitGroup
	loaded  []*Letter
}

func (p *play) step(ctx context.Context, s *Step) error {
	switch {
	case s.Break != "":
		p.look(ctx)
		return wrap("break "+s.Break, Faults()[s.Break].Break(ctx, p.bench))
	case s.Mend != "":
		p.look(ctx)
		return wrap("mend "+s.Mend, Faults()[s.Mend].Mend(ctx, p.bench))
	case s.Do != "":
		p.look(ctx)
		return wrap(s.Do, Deeds()[s.Do](ctx, p.bench))
	case s.Send != nil:
		for range max(1, s.Send.Times) {
			if err := p.send(ctx, s.Send); err != nil {
				return err
			}
		}
	case s.Load != nil:
		p.startLoad(ctx, s.Load)
	case s.Rest != nil:
		return p.rest(ctx, s.Rest)
	case s.Log != "":
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_, err := p.bench.Daemon.Log.Wait(ctx, p.log, strings.Fields(s.Log)...)
		return err
	case s.Metric != nil:
		return p.metric(ctx, s.Metric)
	case s.Kills != nil:
		return p.kills(s.Kills)
	}
	return nil
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// look notes where log and metrics stand. A daemon that does not run has no metrics.
func (p *play) look(ctx context.Context) {
	p.log = p.bench.Daemon.Log.Mark()
	p.metrics, _ = p.bench.Daemon.Get(ctx, "/metrics")
}

// send hands one letter in and compares what becomes of it.
func (p *play) send(ctx context.Context, want *Send) error {
	letter := p.postman.Write(want.Kind)
	var got Try
	for try := range max(1, want.Tries) {
		if try > 0 && got.Reply.Code/100 != 4 {
			return fmt.Errorf("try %d of %s: %v %s, expected 4xx", try, letter.Subject(), got.Reply, got.Why)
		}
		got = p.postman.Hand(ctx, p.bench.Name, letter, false)
	}
	right := func(reply string) bool { return strings.HasPrefix(got.Reply.String(), reply) }
	if got.Unheard || !slices.ContainsFunc(strings.Split(want.Reply, ", or "), right) {
		return fmt.Errorf("%s: %v %s, expected %s", letter.Subject(), got.Reply, got.Why, want.Reply)
	}
	if want.Verdict != "" {
		if err := p.verdict(ctx, letter, want.Verdict); err != nil {
			return err
		}
	}
	if want.In == "" {
		return nil
	}
	message, err := p.find(ctx, letter, want.In)
	if err != nil {
		return err
	}
	for name, value := range want.Header {
		all := message.All(name)
		held := strings.Contains(strings.Join(all, "\n"), value)
		if value == "" && len(all) > 0 || value != "" && !held {
			return fmt.Errorf("%s: %s is %q, expected %q", letter.Subject(), name, all, value)
		}
	}
	return nil
}

// verdict wants a line of milterd's about the letter with all the words.
func (p *play) verdict(ctx context.Context, letter *Letter, words string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	line, err := p.bench.Daemon.Log.Wait(ctx, p.start.daemons[slices.Index(p.bench.Lab.Benches, p.bench)], "msg=verdict", "from=<"+letter.From()+">")
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(words) {
		if !strings.Contains(line, word) {
			return fmt.Errorf("%s: the verdict lacks %s: %s", letter.Subject(), word, line)
		}
	}
	return nil
}

// find waits for a letter that was taken.
func (p *play) find(ctx context.Context, letter *Letter, where string) (integration.Delivered, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if where == "hold" {
		return p.bench.Lab.Bed.QueuedMessage(ctx, letter.last().Reply.QueueID())
	}
	return p.bench.Lab.Bed.Find(ctx, letter.To, where, letter.Subject())
}

// metric waits until a metric is as it should be.
func (p *play) metric(ctx context.Context, want *Metric) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before := integration.SumMetric(p.metrics, want.Name, want.Labels...)
	for {
		now, err := p.bench.Daemon.Metric(ctx, want.Name, want.Labels...)
		if err == nil && want.holds(before, now) {
			return nil
		}
		if late := wait(ctx, moment); late != nil {
			return errors.Join(fmt.Errorf("%s%v is %v, was %v, expected %+v", want.Name, want.Labels, now, before, *want), err)
		}
	}
}

// kills compares how often the kernel had to kill.
func (p *play) kills(want *Kills) error {
	if p.bench.group == nil {
		return errNoGroup
	}
	n, err := p.bench.group.kills()
	if err == nil && (n < want.AtLeast || want.AtLeast == 0 && n != want.Is) {
		err = fmt.Errorf("the kernel has killed %d times, expected %+v", n, *want)
	}
	return err
}

// startLoad lets senders send until the rest.
func (p *play) startLoad(ctx context.Context, l *Load) {
	ctx, p.cancel = context.WithCancel(ctx)
	for sender := range l.Senders {
		random := rand.New(rand.NewPCG(uint64(sender), 1))
		p.senders.Go(func() {
			for n := sender; ctx.Err() == nil; n++ {
				letter := p.postman.Write(l.Kinds[n%len(l.Kinds)])
				p.mu.Lock()
				p.loaded = append(p.loaded, letter)
				p.mu.Unlock()
				// A letter that has been begun is brought to its end.
				p.postman.Deliver(context.WithoutCancel(ctx), p.bench.Name, letter, l.Tries, random)
			}
		})
	}
}

// sent is how many letters of the load were begun.
func (p *play) sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.loaded)
}

func (p *play) stopLoad() {
	if p.cancel != nil {
		p.cancel()
		p.senders.Wait()
		p.cancel = nil
	}
}

// rest waits until enough was sent and ends the load.
func (p *play) rest(ctx context.Context, want *Rest) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for p.sent() < want.Letters && wait(ctx, moment) == nil {
	}
	p.stopLoad()
	deferred, refusals, first := 0, 0, ""
	for _, l := range p.loaded {
		if !l.Final() {
			deferred++
		}
		for _, t := range l.Tries {
			if t.Reply.Code/100 == 4 || t.Unheard && t.Why != unheard {
				if refusals++; first == "" {
					first = fmt.Sprintf("%s: %v %s", l.Subject(), t.Reply, t.Why)
				}
			}
		}
	}
	if len(p.loaded) < want.Letters || deferred > want.Deferred || refusals > want.Refusals {
		return fmt.Errorf("%d letters, %d deferred, %d refusals on the way (the first %s); expected %d, at most %d and %d",
			len(p.loaded), deferred, refusals, first, want.Letters, want.Deferred, want.Refusals)
	}
	p.loaded = nil
	return nil
}
