package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"milterd/internal/config"
	"milterd/internal/store"
	"milterd/internal/store/bolt"
	"milterd/internal/store/redis"
)

// memoryBytes is what the store may take when it has no file.
const memoryBytes = 32 << 20

// Store is a store that outlives the process.
type Store interface {
	store.Store
	Stats() store.Stats
	Close(ctx context.Context) error
}

// OpenStore opens the store of a configuration: the file, which one process at a
// time may have open, or the server.
func OpenStore(at config.StoreAddr, log *slog.Logger) (Store, error) {
	path, ok := at.Bolt()
	if !ok {
		return redis.Open(string(at), redis.Options{Logger: log})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	return bolt.Open(path, bolt.Options{Logger: log})
}

// openStore opens the store of the configuration. Without a usable file milterd
// remembers as long as it runs: mail is worth more than its record.
func (d *daemon) openStore(cfg *config.Config) {
	if !d.o.Ephemeral {
		s, err := OpenStore(cfg.Store, d.log)
		if err == nil {
			d.store = s
			d.metrics.store(s.Stats)
			return
		}
		d.log.Error("the store cannot be opened: what would be in it is forgotten at the next start", "store", cfg.Store.String(), "err", err)
	}
	d.store = store.NewMemory(time.Now, memoryBytes)
	d.metrics.store(func() store.Stats { return store.Stats{Failing: !d.o.Ephemeral} })
}

// closeStore writes what waits.
func (d *daemon) closeStore(ctx context.Context) error {
	if s, ok := d.store.(Store); ok {
		return s.Close(ctx)
	}
	return nil
}
