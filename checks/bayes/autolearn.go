package bayes

import (
	"context"

	"milterd/bayes"
	"milterd/message"
)

const (
	// agreeing is how many findings must speak for spam.
	agreeing = 3
	// contrary is the probability from which learned opinion contradicts a lesson.
	// Then it takes a person to teach it.
	contrary = 0.8
	// perDay bounds what is learned in a day, of all domains together.
	perDay = 1000
)

// autolearn teaches the site a message that is beyond doubt without what was learned
// before, so that an error cannot confirm itself.
func (c *check) autolearn(ctx context.Context, m *message.Message, learnt bayes.Message, opinion bayes.Verdict, v *message.Verdict) error {
	if !c.cfg.Autolearn.Enabled || m.Role != message.Inbound {
		return nil
	}
	class := c.cfg.Autolearn.class(v, opinion.Probability)
	if class == "" {
		return nil
	}
	left, err := c.classifier.Take(ctx, bayes.Share{Name: "autolearn", Most: perDay},
		bayes.Share{Name: "autolearn " + bayes.AuthorDomain(m.Header), Most: int64(c.cfg.Autolearn.PerDomain)})
	if err != nil || !left {
		return err
	}
	result, err := c.classifier.Learn(ctx, "", bayes.Lesson{Class: class, Message: learnt, Source: "autolearn"})
	if err == nil && result == bayes.Learned {
		c.metrics.autolearned.WithLabelValues(string(class)).Inc()
	}
	return err
}

// class returns what a verdict teaches, or nothing.
func (a *autolearn) class(v *message.Verdict, opinion float64) bayes.Class {
	var score float64
	var spam, ham int // findings that speak for it
	for _, f := range v.Findings {
		switch {
		case f.Subjective || f.Shadow:
			continue
		case f.Score > 0:
			spam++
		case f.Score < 0:
			ham++
		}
		score += f.Score
	}
	switch {
	case score >= a.SpamAbove && spam >= agreeing && opinion > 1-contrary:
		return bayes.Spam
	case score <= a.HamBelow && ham > 0 && spam == 0 && opinion < contrary:
		return bayes.Ham
	}
	return ""
}
