// Package learning is where users' opinions come in and where they count: lessons
// from the command "milterd learn" and from Dovecot's imapsieve, and the second look
// at a message when it is delivered to one user.
//
// A [Desk] stands between those who ask and the classifier of package bayes. It asks
// who is there ([Rights]), reads the message, lets the classifier work and writes
// down what happened: a line in the log, a metric, and with the classifier's record
// of the lesson who taught it, when and by which way.
//
// Whatever goes wrong at delivery means that the message goes where it would have
// gone without us. Whatever goes wrong with a lesson is told to the one who taught
// it, so that he can do it again: a lesson can be repeated any number of times.
package learning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"milterd/bayes"
	"milterd/internal/carry"
	"milterd/internal/dovecot"
	"milterd/internal/spamassassin/tokens"
	"milterd/mime"
)

// Classifier is what a desk needs of [bayes.Classifier].
type Classifier interface {
	Classify(ctx context.Context, user string, m bayes.Message) (bayes.Verdict, error)
	LearnAll(ctx context.Context, user string, lessons ...bayes.Lesson) ([]bayes.Result, error)
	Taught(ctx context.Context, user string, m bayes.Message) (bayes.Record, bool, error)
	Take(ctx context.Context, shares ...bayes.Share) (bool, error)
	Import(ctx context.Context, user, by string, b *tokens.Backup) (bayes.Import, error)
	DropImport(ctx context.Context, user string) (bayes.Import, bool, error)
	Refresh()
}

// The ways by which a lesson comes: a closed set, for metrics and records.
const (
	FromCommand   = "learn"     // milterd learn
	FromIMAP      = "imap"      // moved to Junk or out of it
	FromDelivered = "delivered" // stayed in the inbox
)

// Sources lists the ways.
var sources = []string{FromCommand, FromIMAP, FromDelivered}

// Desk takes lessons and gives second opinions. Its methods may be called from many
// goroutines at once.
type Desk struct {
	Classifier Classifier
	// Points weighs a probability: what it is called and what it brings to the score.
	Points func(probability float64) (finding string, points float64)
	// Keys open carry fields.
	Keys *carry.Keys
	// LearnDelivered says whether what stays in the inbox is learned as ham.
	LearnDelivered func() bool
	// Unsafe, if set, says why nothing that is learned now would last, or nil: such
	// lessons are refused.
	Unsafe func() error
	// Report, if set, is told of every second opinion.
	Report  func(user string, m bayes.Message, o *Opinion)
	Limits  mime.Limits
	Rights  *Rights
	Metrics *Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// maxUser bounds a user's name. The longest address has 254 bytes.
const maxUser = 320

// ErrUser is a name that cannot be a user's.
var ErrUser = errors.New("learning: no name of a user")

// User returns the name under which a user's lessons are kept. Names are compared
// without regard to case, as Dovecot does by default (auth_username_format = %Lu).
func User(name string) (string, error) {
	if len(name) > maxUser || strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		return "", ErrUser
	}
	return strings.ToLower(strings.TrimSpace(name)), nil
}

// Lesson is somebody's word on messages.
type Lesson struct {
	User   string // whose opinion it is; empty is the site's
	Class  bayes.Class
	By     string // who says so: a login, or uid 1000
	Source string // one of From…
}

// Teach takes in what is said of messages, each as it is stored, and returns when it
// is safe, with one result for each. On error the results are those of the first
// messages, which are safe; the others can be taught again.
func (d *Desk) Teach(ctx context.Context, l Lesson, raw ...[]byte) ([]bayes.Result, error) {
	messages := make([]bayes.Message, len(raw))
	for i := range raw {
		messages[i] = bayes.Parse(raw[i], d.Limits)
	}
	return d.teach(ctx, l, messages...)
}

// Taught returns what was said of messages, each as it is stored: nil of those of
// which nothing was said.
func (d *Desk) Taught(ctx context.Context, user string, raw ...[]byte) ([]*bayes.Record, error) {
	user, err := User(user)
	if err != nil {
		return nil, err
	}
	all := make([]*bayes.Record, len(raw))
	for i := range raw {
		r, ok, err := d.Classifier.Taught(ctx, user, bayes.Parse(raw[i], d.Limits))
		if err != nil {
			return nil, fmt.Errorf("learning: %w", err)
		}
		if ok {
			all[i] = &r
		}
	}
	return all, nil
}

func (d *Desk) teach(ctx context.Context, l Lesson, messages ...bayes.Message) ([]bayes.Result, error) {
	began := d.Now()
	user, err := User(l.User)
	var results []bayes.Result
	if err == nil && d.Unsafe != nil {
		err = d.Unsafe()
	}
	if err == nil {
		lessons := make([]bayes.Lesson, len(messages))
		for i, m := range messages {
			lessons[i] = bayes.Lesson{Class: l.Class, Message: m, By: l.By, Source: l.Source}
		}
		results, err = d.Classifier.LearnAll(ctx, user, lessons...)
	}
	for _, r := range results {
		d.Metrics.lesson(l.Source, l.Class, r)
	}
	for range len(messages) - len(results) {
		d.Metrics.lesson(l.Source, l.Class, failed)
	}
	if err != nil {
		d.Logger.Warn("not learned", "class", string(l.Class), "user", user, "by", l.By, "source", l.Source, "messages", len(messages)-len(results), "err", err)
		return results, fmt.Errorf("learning: %w", err)
	}
	level := slog.LevelInfo
	if l.Source == FromCommand { // thousands at a time; the command counts them
		level = slog.LevelDebug
	}
	took := d.Now().Sub(began).Round(10 * time.Microsecond)
	for i, r := range results {
		d.Logger.Log(ctx, level, "learned", "result", string(r), "class", string(l.Class), "user", user, "by", l.By, "source", l.Source,
			"message_id", messages[i].Header.Text("Message-ID"), "took", took)
	}
	return results, nil
}

// caller is who calls through a socket of Dovecot's, and for whom.
func (d *Desk) caller(p dovecot.Peer, named string, q *dovecot.Request) (user string, err error) {
	env := q.Env["USER"]
	if named != "" && env != "" && !strings.EqualFold(named, env) {
		return "", fmt.Errorf("learning: the script says %.80q, Dovecot %.80q", named, env)
	}
	if named == "" {
		named = env
	}
	if user, err = User(named); err != nil || user == "" {
		return "", ErrUser
	}
	if !d.Rights.MaySpeak(p.UID, user) {
		return "", fmt.Errorf("learning: uid %d may not speak for %.80q (training.users, delivery.users)", p.UID, user)
	}
	return user, nil
}
