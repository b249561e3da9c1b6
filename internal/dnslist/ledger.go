package dnslist

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How long what is known about a list holds.
const (
	pauseAfter = 5               // questions in a row that nobody answered
	pause      = 3 * time.Second // until one is tried again
	confirmAge = 30 * time.Second
	retestAge  = 5 * time.Second  // to the first test of a list that is benched; twice that to the next, and so on
	benchAge   = 10 * time.Minute // the longest time between two tests of such a list
	testAge    = time.Hour        // and of one that is not
	undecided  = time.Minute      // after a test that ended in DNS trouble
	kickAge    = time.Minute      // between two tests that traffic asked for
)

// A Ledger has what is known about lists: how many questions they got today, and
// how they are. It is a metric, and being one it outlives the configuration, so
// that a reload gives nobody a fresh budget and believes no list that was benched.
type Ledger struct {
	spent, up *prometheus.GaugeVec

	mu    sync.Mutex
	lists map[string]*account
}

// account is what is known about one list.
type account struct {
	zone  string // what follows is true of this zone alone
	day   int64  // since 1970, in UTC
	spent int    // questions on that day
	told  int    // of these, what the store knows

	bench     Reason    // why the list is not asked; empty when it is
	tries     int       // times in a row that it failed a test, or was benched soon after it had passed one
	back      time.Time // when it was last let back in
	tested    time.Time // when the last test ended, or was asked for
	next      time.Time // when the next one is due
	confirmed time.Time // when a name that nobody can have listed was clear

	silent int // questions in a row that nobody answered
	paused time.Time
}

var _ prometheus.Collector = (*Ledger)(nil)

// NewLedger returns an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{lists: map[string]*account{},
		spent: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "milterd_dnslist_today_questions",
			Help: "Questions that a DNS list got since midnight UTC."}, []string{"list"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "milterd_dnslist_up",
			Help: "Whether a DNS list is asked: 0 after it failed its test or gave answers that are none."}, []string{"list"})}
}

// Describe implements [prometheus.Collector].
func (l *Ledger) Describe(to chan<- *prometheus.Desc) {
	l.spent.Describe(to)
	l.up.Describe(to)
}

// Collect implements [prometheus.Collector].
func (l *Ledger) Collect(to chan<- prometheus.Metric) {
	l.mu.Lock()
	for name, a := range l.lists {
		up := 1.0
		if a.bench != "" {
			up = 0
		}
		l.spent.WithLabelValues(name).Set(float64(a.spent))
		l.up.WithLabelValues(name).Set(up)
	}
	l.mu.Unlock()
	l.spent.Collect(to)
	l.up.Collect(to)
}

// with calls f with the account of a list, as it stands at now.
func (l *Ledger) with(list *List, now time.Time, f func(*account)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.lists[list.Name]
	if a == nil || a.zone != list.Zone {
		old := a
		a = &account{zone: list.Zone}
		if old != nil { // another key, the same operator: today's questions were asked
			a.day, a.spent, a.told = old.day, old.spent, old.told
		}
		l.lists[list.Name] = a
	}
	if day := now.Unix() / (24 * 60 * 60); day > a.day { // a clock set back gives nothing back
		a.day, a.spent, a.told = day, 0, 0
	}
	f(a)
}

// admit takes a question from the list's budget, or says why it is not to be asked.
func (l *Ledger) admit(list *List, now time.Time) (why Reason) {
	l.with(list, now, func(a *account) {
		switch {
		case a.bench != "":
			why = ReasonBenched
		case list.Daily > 0 && a.spent >= list.Daily:
			why = ReasonDaily
		case a.silent >= pauseAfter && now.Before(a.paused) && a.paused.Sub(now) <= pause:
			why = ReasonPaused
		default:
			if a.silent >= pauseAfter { // one goes ahead and sees
				a.paused = now.Add(pause)
			}
			a.spent++
		}
	})
	return why
}

// charge takes questions from the budget that are asked whatever is left: tests and
// controls.
func (l *Ledger) charge(list *List, now time.Time, n int) {
	l.with(list, now, func(a *account) { a.spent += n })
}

// heard notes whether the list's servers answered.
func (l *Ledger) heard(list *List, now time.Time, answered bool) {
	l.with(list, now, func(a *account) {
		if answered {
			a.silent = 0
			return
		}
		if a.silent++; a.silent == pauseAfter {
			a.paused = now.Add(pause)
		}
	})
}

// retest is how long after a test that failed the next one is due: soon, since most lies
// are a resolver's and over in a moment, and then seldom, since a list that refuses us
// shall not be asked the more for it.
func (a *account) retest() time.Duration {
	return min(retestAge<<min(a.tries, 10), benchAge)
}

// accuse benches a list. It is true when that is news.
func (l *Ledger) accuse(list *List, now time.Time, why Reason) (news bool) {
	l.with(list, now, func(a *account) {
		news = a.bench == ""
		a.bench = why
		if news {
			if up := now.Sub(a.back); 0 <= up && up <= benchAge {
				a.tries++ // its tests say little
			} else {
				a.tries = 0
			}
			a.next = now.Add(a.retest())
			if now.Sub(a.tested) >= kickAge || now.Before(a.tested) { // perhaps it was one odd answer
				a.next = now
			}
		}
	})
	return news
}

// believable reports whether a listing may count without another look.
func (l *Ledger) believable(list *List, now time.Time) (ok bool) {
	l.with(list, now, func(a *account) {
		ok = a.bench == "" && !a.confirmed.IsZero() && !now.Before(a.confirmed) && now.Sub(a.confirmed) < confirmAge
	})
	return ok
}

func (l *Ledger) confirm(list *List, now time.Time) {
	l.with(list, now, func(a *account) { a.confirmed = now })
}
