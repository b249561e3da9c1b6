package learning

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"milterd/bayes"
	"milterd/internal/carry"
	"milterd/internal/dovecot"
)

// opinionTime bounds a second opinion: a delivery waits.
const opinionTime = 2 * time.Second

// Why there was no second opinion: a closed set, the label of a metric.
const (
	reasonScore     = "score"       // there was one
	reasonNoCarry   = "no_carry"    // mail of our own hosts, or from before
	reasonForged    = "bad_carry"   // for another message, by another key, or not written by us
	reasonAge       = "old_carry"   // has lain too long
	reasonPolicy    = "policy"      // something else than the score decided
	reasonUnlearned = "nothing"     // nothing was ever learned
	reasonRefused   = "refused"     // who asks may not
	reasonFailed    = "unavailable" // the store did not answer, the message could not be read
)

var reasons = []string{reasonScore, reasonNoCarry, reasonForged, reasonAge, reasonPolicy, reasonUnlearned, reasonRefused, reasonFailed}

// Opinion is what is thought of a message at delivery.
type Opinion struct {
	// Carried is what SMTP time found; zero when Reason is no_carry or worse.
	Carried carry.Verdict
	// Verdict is the user's, with what it rests on.
	Verdict bayes.Verdict
	Finding string
	Points  float64 // of the user's opinion
	Rules   float64 // what rules bring more or less that combine it with something else
	Score   float64 // the carried one with the site's points replaced by them
	Spam    bool
	// Reason is score when there is an opinion, else why there is none: the message
	// goes where it would have gone.
	Reason string
}

// Deliver answers the delivery socket. The message has exactly one recipient by now.
// The answer is a line for the Sieve script, SPAM or HAM with the reason behind it in
// parentheses, or nothing: then the message goes where Postfix's verdict puts it. The
// call always succeeds, because a failure would make Dovecot defer the mail.
func (d *Desk) Deliver(ctx context.Context, p dovecot.Peer, q *dovecot.Request) dovecot.Answer {
	began := d.Now()
	ctx, cancel := context.WithTimeout(ctx, opinionTime)
	defer cancel()
	user, err := d.caller(p, "", q)
	if err != nil {
		d.Metrics.delivered("none", reasonRefused)
		d.Logger.Warn("delivery refused", "uid", p.UID, "pid", p.PID, "err", err)
		return dovecot.Answer{OK: true}
	}
	var m bayes.Message
	o := Opinion{Reason: reasonFailed}
	raw, err := io.ReadAll(q.Message)
	if err == nil {
		m = bayes.Parse(raw, d.Limits)
		o, err = d.opinion(ctx, user, m)
	}
	verdict := o.word()
	d.Metrics.delivered(verdict, o.Reason)
	log := d.Logger.With("id", o.Carried.ID, "user", user, "verdict", verdict, "reason", o.Reason)
	took := d.Now().Sub(began).Round(10 * time.Microsecond)
	if o.Reason != reasonScore {
		log.Info("delivery", "took", took, "err", err)
		return dovecot.Answer{OK: true}
	}
	log.Info("delivery", "score", o.Score, "bayes", o.Verdict.Probability, "points", o.Points, "site_points", o.Carried.Bayes, "took", took)
	if d.Report != nil {
		d.Report(user, m, &o)
	}
	if !o.Spam && d.LearnDelivered() {
		d.learnDelivered(ctx, user, m, o)
	}
	return dovecot.Answer{Text: o.text(), OK: true}
}

func (o *Opinion) word() string {
	switch {
	case o.Reason != reasonScore:
		return "none"
	case o.Spam:
		return "spam"
	}
	return "ham"
}

// text is for the script: a word to look for, and a reason for a header field.
func (o *Opinion) text() string {
	word := "HAM"
	if o.Spam {
		word = "SPAM"
	}
	rules := ""
	if o.Rules != 0 {
		rules = fmt.Sprintf(", rules %+.1f", o.Rules)
	}
	return fmt.Sprintf("%s (score=%.1f required=%.1f, %s=%.1f in place of %.1f%s, learned spam=%d ham=%d, id %s)",
		word, o.Score, o.Carried.Junk, o.Finding, o.Points, o.Carried.Bayes, rules, o.Verdict.User.Spam, o.Verdict.User.Ham, o.Carried.ID)
}

// opinion forms one. The error goes with a Reason that is not score.
func (d *Desk) opinion(ctx context.Context, user string, m bayes.Message) (o Opinion, err error) {
	if _, carried := m.Header.Get(carry.Field); !carried { // most mail of our own hosts: no need to hash it
		return Opinion{Reason: reasonNoCarry}, nil
	}
	key, err := d.Keys.Key(ctx)
	if err != nil {
		return Opinion{Reason: reasonFailed}, err
	}
	o.Carried, err = carry.Verify(key, m.Header, carry.Digest(m.Header, m.Tree), d.Now())
	switch {
	case errors.Is(err, carry.ErrAge):
		return Opinion{Reason: reasonAge}, err
	case err != nil:
		return Opinion{Reason: reasonForged}, err
	case o.Carried.Forced || math.IsInf(o.Carried.Junk, 1):
		o.Reason = reasonPolicy
		return o, nil
	}
	if o.Verdict, err = d.Classifier.Classify(ctx, user, m); err != nil {
		o.Reason = reasonFailed
		return o, err
	}
	if o.Verdict.Unlearned() {
		o.Reason = reasonUnlearned
		return o, nil
	}
	o.Finding, o.Points = d.Points(o.Verdict.Probability)
	// Rules that combine the opinion with something else follow it: what they bring for
	// each stands in the field.
	o.Rules = o.Carried.Shifted(o.Finding)
	o.Score = math.Round((o.Carried.Score-o.Carried.Bayes+o.Points+o.Rules)*1000) / 1000
	o.Spam, o.Reason = o.Score >= o.Carried.Junk, reasonScore
	return o, nil
}

// What is learned without anybody having said so is kept small, so that who fills an
// inbox does not fill the memory: per day of each user so many messages, and of each
// sender's domain among them so many.
const (
	quotaUser   = 20
	quotaDomain = 2
)

// learnDelivered teaches what stays in the inbox as ham, as long as the quota lasts
// and nobody has said anything else of it. It is a lesson like others, so moving the
// message to Junk takes it back.
func (d *Desk) learnDelivered(ctx context.Context, user string, m bayes.Message, o Opinion) {
	if o.Score >= o.Carried.Junk/2 || o.Verdict.Probability > 0.5 {
		return // what is only just no spam is nobody's example of ham
	}
	if _, taught, err := d.Classifier.Taught(ctx, user, m); taught || err != nil {
		return
	}
	if left, err := d.Classifier.Take(ctx, bayes.Share{Name: "delivered " + user, Most: quotaUser},
		bayes.Share{Name: "delivered " + user + "\x00" + bayes.AuthorDomain(m.Header), Most: quotaDomain}); !left || err != nil {
		return
	}
	_, _ = d.teach(ctx, Lesson{User: user, Class: bayes.Ham, By: "delivery", Source: FromDelivered}, m) // what fails is in log and metric
}
