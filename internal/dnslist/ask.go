package dnslist

import (
	"context"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"milterd/checks"
	"milterd/internal/lazy"
	"milterd/internal/store"
)

// A Resolver answers questions for addresses; see [checks.Resolver].
type Resolver interface {
	LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Recaller is a resolver with a memory. RecallIP answers as LookupIP does for network
// "ip4", at once, when the answer is known. Lists are asked about the same things again
// and again, and nobody needs a goroutine to wait then.
type Recaller interface {
	RecallIP(host string) (addrs []netip.Addr, known bool, err error)
}

// A Book holds the lists that one check asks. It is safe for concurrent use.
type Book struct {
	lists    []*List
	about    map[Subject][]*List // those that are asked about each subject
	ledger   *Ledger
	metrics  *metrics
	resolver Resolver
	store    store.Store // may be nil
	log      *slog.Logger
	now      func() time.Time
	made     atomic.Uint64 // names that were made up
	kick     chan struct{} // a test is due before its time
}

// New returns a book of lists as [Lists.For] gives them. It asks nobody.
func New(lists []*List, env checks.Env) (*Book, error) {
	b := &Book{lists: lists, about: map[Subject][]*List{}, ledger: NewLedger(), resolver: env.Resolver, store: env.Store, log: env.Logger, now: env.Now, kick: make(chan struct{}, 1)}
	for _, s := range subjects {
		for _, l := range lists {
			if l.Asks(s) {
				b.about[s] = append(b.about[s], l)
			}
		}
	}
	var err error
	b.metrics, err = newMetrics(env.Registerer)
	return b, errors.Join(err, checks.Register(env.Registerer, &b.ledger))
}

// Lists returns the lists that are asked about a subject, by name.
func (b *Book) Lists(s Subject) []*List { return b.about[s] }

// Len returns how many lists there are.
func (b *Book) Len() int { return len(b.lists) }

// patience is how long a message waits for lists at one point of its way.
const patience = 4 * time.Second

// Ask asks all questions at once and returns the answers in their order. It takes
// [patience] at most.
func (b *Book) Ask(ctx context.Context, questions []Question) []Answer {
	return b.Begin(ctx, questions).Answers()
}

// Asking is a row of questions that were asked.
type Asking struct {
	book      *Book
	questions []Question
	answers   []Answer
	waiting   sync.WaitGroup // until the answers stand
}

// Begin asks all questions at once, and waits for nobody. Which questions are asked is
// decided before the first goes out, in their order, so the most worthwhile come first.
// What is known and believable already needs no goroutine. The answers stand after
// [patience] at most, whenever they are called for.
func (b *Book) Begin(ctx context.Context, questions []Question) *Asking {
	a := &Asking{book: b, questions: questions, answers: make([]Answer, len(questions))}
	limited := lazy.WithTimeout(ctx, patience)
	recaller, _ := b.resolver.(Recaller)
	now, atOnce := b.now(), true
	var asking sync.WaitGroup
	for i := range questions {
		q := &questions[i]
		if why := b.ledger.admit(q.List, now); why != "" {
			a.answers[i] = Answer{Status: Failed, Reason: why}
			continue
		}
		if name, ok := q.full(); ok && recaller != nil {
			if addrs, known, err := recaller.RecallIP(name); known {
				a.answers[i] = b.conclude(limited, q.List, q.List.read(addrs, err))
				continue
			}
		}
		atOnce = false
		asking.Go(func() { a.answers[i] = b.ask(limited, q) })
	}
	if atOnce && len(b.doubted(questions, a.answers)) == 0 {
		limited.Cancel()
		return a
	}
	a.waiting.Go(func() {
		defer limited.Cancel()
		asking.Wait()
		b.confirm(limited, questions, a.answers)
	})
	return a
}

// Answers waits for the answers and returns them in the order of the questions. It is
// called once.
func (a *Asking) Answers() []Answer {
	a.waiting.Wait()
	for i := range a.answers {
		a.book.metrics.count(a.questions[i].List, a.answers[i])
	}
	return a.answers
}

// ask asks one question and draws the conclusions for its list.
func (b *Book) ask(ctx context.Context, q *Question) (a Answer) {
	defer func() {
		if recover() != nil { // this goroutine is nobody else's: a bug here must not end the daemon
			a = Answer{Status: Failed, Reason: ReasonTrouble}
		}
	}()
	return b.conclude(ctx, q.List, b.lookup(ctx, q))
}

// lookup asks the DNS and reads the answer.
func (b *Book) lookup(ctx context.Context, q *Question) Answer {
	name, ok := q.full()
	if !ok {
		return Answer{Status: Failed, Reason: ReasonName}
	}
	return q.List.read(b.resolver.LookupIP(ctx, "ip4", name))
}

// conclude draws the conclusions of an answer for its list.
func (b *Book) conclude(ctx context.Context, l *List, a Answer) Answer {
	switch {
	case a.Reason == ReasonTimeout || a.Reason == ReasonTrouble:
		if !errors.Is(context.Cause(ctx), context.Canceled) { // else it is the client who has gone
			b.ledger.heard(l, b.now(), false)
		}
	case a.Reason != ReasonBudget && a.Reason != ReasonName:
		b.ledger.heard(l, b.now(), true)
	}
	if a.Reason.benches() {
		b.bench(l, a.Reason)
	}
	return a
}

// read makes an answer of what the DNS has said.
func (l *List) read(addrs []netip.Addr, err error) Answer {
	if err == nil {
		return l.Classify(addrs)
	}
	var budget interface{ BudgetExceeded() bool }
	dnsErr, isDNS := errors.AsType[*net.DNSError](err)
	switch {
	case isDNS && dnsErr.IsNotFound:
		return Answer{Status: Clear}
	case errors.As(err, &budget) && budget.BudgetExceeded():
		return Answer{Status: Failed, Reason: ReasonBudget}
	case isDNS && dnsErr.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return Answer{Status: Failed, Reason: ReasonTimeout}
	}
	return Answer{Status: Failed, Reason: ReasonTrouble}
}

// bench takes a list out of use, says so once, and asks for a test.
func (b *Book) bench(l *List, why Reason) {
	if !b.ledger.accuse(l, b.now(), why) {
		return
	}
	b.log.Warn("a DNS list is not asked any more until it passes its test", "list", l.Name, "why", explained[why])
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// explained is what an operator needs to know about a benched list.
var explained = map[Reason]string{
	ReasonRefused:   "refused: it does not answer this resolver; use one of your own, or the list's registration",
	ReasonRewritten: "rewritten: an answer outside of 127.0.0.0/8; the resolver invents records, or the zone has another owner",
	ReasonUnmapped:  "unmapped: a code that its description does not know",
	ReasonWildcard:  "wildcard: it lists what nobody can have listed",
	ReasonDead:      "dead: it does not list its own test point",
}

// doubted returns the lists that list something and might list everything: nobody has
// looked lately.
func (b *Book) doubted(questions []Question, answers []Answer) (lists []*List) {
	for i := range answers {
		l := questions[i].List
		if answers[i].Counts() && !slices.Contains(lists, l) && !b.ledger.believable(l, b.now()) {
			lists = append(lists, l)
		}
	}
	return lists
}

// confirm makes sure that lists which list something do not list everything. What
// cannot be confirmed does not count.
func (b *Book) confirm(ctx context.Context, questions []Question, answers []Answer) {
	doubted := b.doubted(questions, answers)
	verdicts := make([]Answer, len(doubted))
	var asking sync.WaitGroup
	for i, l := range doubted {
		asking.Go(func() { verdicts[i] = b.control(ctx, l) })
	}
	asking.Wait()
	for i := range answers {
		if at := slices.Index(doubted, questions[i].List); at >= 0 && answers[i].Counts() && verdicts[at].Status != Clear {
			answers[i] = Answer{Status: Failed, Reason: verdicts[at].Reason}
		}
	}
}

// control asks a list for what it can never have listed. It is Clear when the list
// behaves.
func (b *Book) control(ctx context.Context, l *List) Answer {
	never := []Question{b.invented(l)}
	if q, ok := l.clearPoint(); ok {
		never = append(never, q)
	}
	b.ledger.charge(l, b.now(), len(never))
	answers := make([]Answer, len(never))
	var asking sync.WaitGroup
	for i := range never {
		asking.Go(func() { answers[i] = b.ask(ctx, &never[i]) })
	}
	asking.Wait()
	for _, a := range answers {
		switch a.Status {
		case Clear:
		case Listed:
			b.bench(l, ReasonWildcard)
			return Answer{Status: Failed, Reason: ReasonWildcard}
		default:
			return a
		}
	}
	b.ledger.confirm(l, b.now())
	return Answer{Status: Clear}
}

// invented is a question for a name that nobody has ever asked for.
func (b *Book) invented(l *List) Question {
	h := fnv.New128a()
	h.Write(strconv.AppendInt(strconv.AppendUint([]byte(l.Zone), b.made.Add(1), 10), b.now().UnixNano(), 10))
	return Question{List: l, name: "x" + hex.EncodeToString(h.Sum(nil)), Item: "a name made up"}
}

// Points that RFC 5782, section 5, gives every list.
const (
	listedAddr, clearAddr     = "2.0.0.127", "1.0.0.127"
	listedDomain, clearDomain = "test", "invalid"
	noPoint                   = "none"
)

func (l *List) point(own, addr, domain string) (Question, bool) {
	if own == "" {
		own = domain
		switch {
		case l.OfAddresses():
			own = addr
		case len(l.Ask) == 1 && l.Ask[0] == Email: // there is no agreement about hashes
			own = noPoint
		}
	}
	return Question{List: l, Item: own, name: own}, own != noPoint
}

func (l *List) listedPoint() (Question, bool) {
	return l.point(l.Test.Listed, listedAddr, listedDomain)
}
func (l *List) clearPoint() (Question, bool) { return l.point(l.Test.Clear, clearAddr, clearDomain) }
