package bayes

import (
	"context"
	"time"

	"milterd/checks"
)

var _ checks.Background = (*check)(nil)

// watchEvery is how often the gauges are brought up to date.
const watchEvery = time.Minute

// Background keeps the gauges up to date, mail or no mail, and whoever teaches: another
// host that shares the store, for one.
func (c *check) Background(ctx context.Context) {
	if c.classifier == nil {
		return
	}
	for {
		c.measure(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchEvery):
		}
	}
}

// measure asks the store how much was learned. While that does not answer the gauges
// stay as they are.
func (c *check) measure(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	if taught, err := c.classifier.Totals(ctx, ""); err == nil {
		c.metrics.learned(taught)
	}
	if tokens, err := c.classifier.Tokens(ctx); err == nil {
		c.metrics.tokens.Set(float64(tokens))
	}
	if i, _, err := c.classifier.Imported(ctx, ""); err == nil {
		c.metrics.tookOver(i)
	}
}
