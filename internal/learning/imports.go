package learning

import (
	"context"
	"fmt"
	"io"

	"milterd/bayes"
	"milterd/internal/spamassassin/tokens"
)

// Imported says what became of a backup of SpamAssassin's Bayes.
type Imported struct {
	// Import is what there is now, or what was forgotten.
	Import bayes.Import `json:"import"`
	// Unread is how many lines made no sense, Problems the first of them.
	Unread   int      `json:"unread,omitempty"`
	Problems []string `json:"problems,omitempty"`
}

// What becomes of imports: a closed set, the label of a metric.
const (
	importStored  = "stored"
	importDropped = "dropped"
	importFailed  = "failed"
)

// Import keeps what another filter has learned for a user, or with an empty name for
// the site, in place of what was imported before. An error that wraps
// [tokens.ErrBackup] is about the backup.
func (d *Desk) Import(ctx context.Context, user, by string, backup io.Reader) (i Imported, err error) {
	defer func() {
		if err != nil {
			d.Metrics.imports.WithLabelValues(importFailed).Inc()
			d.Logger.Warn("not imported", "user", user, "by", by, "err", err)
			return
		}
		d.Metrics.imports.WithLabelValues(importStored).Inc()
		d.Logger.Info("imported", "user", user, "by", by, "tokens", i.Import.Tokens, "spam", i.Import.Spam, "ham", i.Import.Ham, "unread", i.Unread)
	}()
	if user, err = User(user); err != nil {
		return i, err
	}
	if d.Unsafe != nil {
		if err := d.Unsafe(); err != nil {
			return i, fmt.Errorf("learning: %w", err)
		}
	}
	b, err := tokens.ReadBackup(backup)
	if err != nil {
		return i, fmt.Errorf("learning: %w", err)
	}
	i.Unread = b.Unread
	for _, p := range b.Problems {
		i.Problems = append(i.Problems, p.String())
	}
	if i.Import, err = d.Classifier.Import(ctx, user, by, b); err != nil {
		return i, fmt.Errorf("learning: %w", err)
	}
	return i, nil
}

// DropImport forgets what was imported. It returns what that was, without any
// message where there was nothing.
func (d *Desk) DropImport(ctx context.Context, user, by string) (i Imported, err error) {
	var ok bool
	if user, err = User(user); err == nil {
		i.Import, ok, err = d.Classifier.DropImport(ctx, user)
	}
	switch {
	case err != nil:
		d.Metrics.imports.WithLabelValues(importFailed).Inc()
		d.Logger.Warn("import not forgotten", "user", user, "by", by, "err", err)
		return i, fmt.Errorf("learning: %w", err)
	case ok:
		d.Metrics.imports.WithLabelValues(importDropped).Inc()
		d.Logger.Info("import forgotten", "user", user, "by", by, "tokens", i.Import.Tokens)
	}
	return i, nil
}
