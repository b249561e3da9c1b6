package daemon

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"milterd/internal/config"
	"milterd/internal/store"
	"milterd/internal/store/bolt"
)

// memoryBytes is what the store may take when it has no file.
const memoryBytes = 32 << 20

// openStore opens the store of the configuration. Without a usable file milterd
// remembers as long as it runs: mail is worth more than its record.
func (d *daemon) openStore(cfg *config.Config) {
	if !d.o.Ephemeral {
		path := cfg.Store.Path()
		s, err := (*bolt.Store)(nil), os.MkdirAll(filepath.Dir(path), 0o750)
		if err == nil {
			s, err = bolt.Open(path, bolt.Options{Logger: d.log})
		}
		if err == nil {
			d.store = s
			d.metrics.store(s.Stats)
			return
		}
		d.log.Error("the store cannot be opened: what would be in it is forgotten at the next start", "store", string(cfg.Store), "err", err)
	}
	d.store = store.NewMemory(time.Now, memoryBytes)
	d.metrics.store(func() bolt.Stats { return bolt.Stats{Failing: !d.o.Ephemeral} })
}

// closeStore writes what waits.
func (d *daemon) closeStore(ctx context.Context) error {
	if s, ok := d.store.(*bolt.Store); ok {
		return s.Close(ctx)
	}
	return nil
}
