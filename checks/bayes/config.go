package bayes

import (
	"errors"

	"milterd/checks"
	"milterd/internal/strictyaml"
)

// config is the section checks.bayes; sample.yaml explains each key.
type config struct {
	checks.Common
	BeforeQueue beforeQueue `yaml:"before_queue"`
	// LearnDelivered is acted upon where mail is delivered (package internal/learning).
	LearnDelivered learnDelivered `yaml:"learn_delivered"`
	Autolearn      autolearn      `yaml:"autolearn"`
}

// learnDelivered says what a message teaches that stays in its inbox.
type learnDelivered string

const (
	learnDeliveredOff learnDelivered = "off"
	learnDeliveredHam learnDelivered = "ham"
)

// UnmarshalText accepts the two words that there are.
func (l *learnDelivered) UnmarshalText(text []byte) error {
	switch v := learnDelivered(text); v {
	case learnDeliveredOff, learnDeliveredHam:
		*l = v
		return nil
	}
	return errors.New("expected off or ham")
}

// beforeQueue is what the site's opinion may do before the message is queued.
type beforeQueue string

const (
	beforeQueueOff  beforeQueue = "off"
	beforeQueueJunk beforeQueue = "junk"
)

// UnmarshalText accepts the two words that there are.
func (b *beforeQueue) UnmarshalText(text []byte) error {
	switch v := beforeQueue(text); v {
	case beforeQueueOff, beforeQueueJunk:
		*b = v
		return nil
	}
	return errors.New("expected off or junk")
}

// autolearn says when the site learns from verdicts that nobody has looked at.
type autolearn struct {
	Enabled   bool    `yaml:"enabled"`
	HamBelow  float64 `yaml:"ham_below"`
	SpamAbove float64 `yaml:"spam_above"`
	PerDomain int     `yaml:"per_domain"`
}

func defaults() config {
	return config{
		Common:      checks.Common{Enabled: true, OnError: checks.OnErrorIgnore},
		BeforeQueue: beforeQueueJunk, LearnDelivered: learnDeliveredOff,
		Autolearn: autolearn{HamBelow: -1, SpamAbove: 12, PerDomain: 10},
	}
}

// ValidateYAML implements [strictyaml.Validator].
func (a *autolearn) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	if a.PerDomain < 1 || a.PerDomain > 1000 {
		errs.Add(n.Key("per_domain").Errorf("%d, expected 1 to 1000", a.PerDomain))
	}
	if a.HamBelow > 0 {
		errs.Add(n.Key("ham_below").Errorf("%g, expected 0 or less: mail without any finding is not proven to be ham", a.HamBelow))
	}
	if a.SpamAbove < 8 {
		errs.Add(n.Key("spam_above").Errorf("%g, expected 8 or more: what may be ham must not be learned as spam", a.SpamAbove))
	}
	return errs.Err()
}
