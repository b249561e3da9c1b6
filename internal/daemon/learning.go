package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"milterd/authres"
	"milterd/bayes"
	bayescheck "milterd/checks/bayes"
	"milterd/internal/carry"
	"milterd/internal/config"
	"milterd/internal/dovecot"
	"milterd/internal/engine"
	"milterd/internal/journal"
	"milterd/internal/learning"
	"milterd/internal/pipeline"
	"milterd/message"
	"milterd/mime"
)

// openLearning makes the desk for lessons and second opinions, and where there is
// a delivery socket the header field that it needs.
func (d *daemon) openLearning(cfg *config.Config) {
	rights, unknown := learning.NewRights(os.Geteuid(), slices.Concat(cfg.Delivery.Users, cfg.Training.Users))
	for _, name := range unknown {
		if name != config.DefaultMailUser { // not every host has it
			d.log.Warn("a user who may speak for every mailbox is not known on this host", "user", name)
		}
	}
	limits := engine.Limits(&cfg.Limits)
	keys := &carry.Keys{Store: d.store, Now: time.Now, Random: rand.Reader}
	_, file := cfg.Store.Bolt()
	d.host.Bayes = bayes.New(d.store, bayes.Options{Words: cfg.Limits.Words, Alone: file}) // one: its cache must hear of each lesson
	d.desk = &learning.Desk{
		Classifier: d.host.Bayes, Points: d.bayesPoints, LearnDelivered: d.learnDelivered,
		Keys: keys, Limits: limits.MIME(), Rights: rights,
		Report: d.reportDelivery, Unsafe: d.unsafe,
		Metrics: learning.NewMetrics(d.metrics.registry), Logger: d.log, Now: time.Now,
	}
	if !cfg.Delivery.Off() {
		d.host.Carry = func(ctx context.Context, o *pipeline.Outcome) string { return d.carry(ctx, keys, o) }
	}
}

var errUnsafe = errors.New("the store could not be opened at the start, see the log: what is learned now would be forgotten")

// unsafe says why lessons would not last.
func (d *daemon) unsafe() error {
	if s := d.records.behind.Load(); s != nil {
		if m, ok := (*s).(shortMemory); ok && m.failing {
			return errUnsafe
		}
	}
	return nil
}

// keyTime bounds the wait for the key, which is asked of the store once.
const keyTime = time.Second

// carry makes the field. Mail without it is delivered by its first verdict, so
// nothing that goes wrong here stops it.
func (d *daemon) carry(ctx context.Context, keys *carry.Keys, o *pipeline.Outcome) string {
	ctx, cancel := context.WithTimeout(ctx, keyTime)
	defer cancel()
	key, err := keys.Key(ctx)
	if err != nil {
		d.log.Debug("no carry field", "id", o.Message.ID, "err", err)
		return ""
	}
	limits := engine.Limits(&d.engine.Load().Config.Limits) // those of the checks: their walk is shared
	tree, more, err := mime.Shared(o.Message, limits.Scan(), limits.MIME())
	if err != nil || more { // what is not looked at as a whole cannot be known again
		d.log.Debug("no carry field", "id", o.Message.ID, "more", more, "err", err)
		return ""
	}
	demanded := false
	for i := range o.Results {
		if dem := o.Results[i].Demand; dem != nil {
			switch dem.Action {
			case message.Junk, message.Quarantine, message.RejectMail, message.Discard:
				demanded = true
			}
		}
	}
	v := carry.Of(o.Message.ID, time.Now(), &o.Verdict, bayesCheck, demanded)
	if !v.Forced {
		for _, s := range d.engine.Load().Instead(o, bayesCheck, bayescheck.Opinions()) {
			v.Shift(s.Finding, s.Points)
		}
	}
	digest := carry.Digest(o.Message.Header, tree)
	if tree.Late() { // another time more of it would be read
		d.log.Debug("no carry field", "id", o.Message.ID, "err", "limits.mime_time is used up")
		return ""
	}
	return carry.Sign(key, digest, v)
}

// atDelivery stands for the role of a message in the record of a second opinion.
const atDelivery message.Role = "delivery"

// reportDelivery keeps a second opinion beside the first, under the same id.
func (d *daemon) reportDelivery(user string, m bayes.Message, o *learning.Opinion) {
	if d.journal == nil {
		return
	}
	action := message.Accept
	if o.Spam {
		action = message.Junk
	}
	d.journal.Add(&journal.Record{
		Time: time.Now(), ID: o.Carried.ID, MessageID: message.SafeText(m.Header.Text("Message-ID"), maxLogValue), Role: atDelivery,
		Rcpt: []string{user}, Action: action, Score: o.Score, Objective: o.Carried.Objective,
		Thresholds: message.Thresholds{Junk: &o.Carried.Junk}, DecidedBy: "score",
		Findings: []message.Finding{
			{Name: "CARRIED", Check: "delivery", Score: o.Carried.Score - o.Carried.Bayes + o.Rules, Detail: "the verdict before the queue, without the site's opinion"},
			{Name: o.Finding, Check: bayesCheck, Score: o.Points, Value: o.Verdict.Probability, Subjective: true, Detail: bayescheck.Explain(o.Verdict)},
		},
		Auth: []authres.Method{}, Headers: []message.Edit{}, Checks: []journal.Check{},
	})
}

// bayesCheck is the name of the check that asks the site's opinion.
const bayesCheck = "bayes"

// bayesPoints weighs a probability as the rules of now do.
func (d *daemon) bayesPoints(probability float64) (finding string, points float64) {
	finding = bayescheck.Finding(probability)
	return finding, d.engine.Load().Rules.Scores[finding].Points
}

// learnDelivered says what checks.bayes.learn_delivered of now says.
func (d *daemon) learnDelivered() bool {
	var choice string
	section := d.engine.Load().Config.Check(bayesCheck)
	_ = section.Node().Key("learn_delivered").Decode(&choice) // the check has read it before us
	return choice == "ham"
}

// What callers of the sockets for Dovecot may take: a call needs a millisecond, and the
// message is held in memory meanwhile.
const (
	callers  = 16
	callTime = 10 * time.Second
)

// serveDovecot answers on the sockets for Dovecot until ctx ends.
func (d *daemon) serveDovecot(ctx context.Context, s *sockets, run func(func())) {
	limits := &d.engine.Load().Config.Limits
	for _, service := range []struct {
		l      net.Listener
		handle dovecot.Handler
	}{{s.delivery, d.desk.Deliver}, {s.training, d.desk.Train}} {
		if service.l == nil {
			continue
		}
		server := &dovecot.Server{Handler: service.handle, MaxMessage: int64(limits.ScanBytes), Connections: callers, Timeout: callTime, Logger: d.log}
		run(func() {
			if err := server.Serve(ctx, service.l); err != nil {
				d.log.Error("a socket for Dovecot ended", "socket", service.l.Addr().String(), "err", err)
			}
		})
	}
}
