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
	memory
	Stats() store.Stats
	Close(ctx context.Context) error
}

// memory is any store that can be dumped.
type memory interface {
	store.Store
	store.Walker
}

// OpenStore opens the store of a configuration: the file, which one process at a
// time may have open, or the server.
func OpenStore(at config.StoreAddr, log *slog.Logger) (Store, error) {
	return openStoreBy(store.NewClock(nil, nil), at, log)
}

// openStoreBy opens a store whose records end by a clock. The clock of the process
// before is carried on at once where that causes no traffic.
func openStoreBy(clock *store.Clock, at config.StoreAddr, log *slog.Logger) (Store, error) {
	path, ok := at.Bolt()
	if !ok {
		return redis.Open(string(at), redis.Options{Logger: log, Now: clock.Now})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	s, err := bolt.Open(path, bolt.Options{Logger: log, Now: clock.Now})
	if err != nil {
		return nil, err
	}
	if err := clock.Keep(context.Background(), s); err != nil { // a file waits for nobody
		log.Error("the store cannot be read", "store", at.String(), "err", err)
	}
	return s, nil
}

// openStore makes the store, with the one of the configuration behind it unless a
// predecessor has that still.
func (d *daemon) openStore(cfg *config.Config) {
	d.records = new(exchange)
	d.store = d.records
	d.metrics.store(d.records.Stats)
	if !d.o.Ephemeral {
		d.clock = store.NewClock(nil, nil)
		d.clock.OnJump = func(by time.Duration) {
			d.log.Warn("the host's clock was set: what is remembered keeps its time, dates of signatures are judged by the new one", "by", by.Round(time.Second))
		}
	}
	if d.before == nil {
		d.fillStore(cfg)
	}
}

// fillStore opens the store of the configuration. Without a usable file milterd
// remembers as long as it runs: mail is worth more than its record.
func (d *daemon) fillStore(cfg *config.Config) {
	if !d.o.Ephemeral {
		s, err := openStoreBy(d.clock, cfg.Store, d.log)
		if err == nil {
			d.records.use(s)
			return
		}
		d.log.Error("the store cannot be opened: what would be in it is forgotten at the next start", "store", cfg.Store.String(), "err", err)
		d.clock = nil
	}
	d.records.use(shortMemory{store.NewMemory(time.Now, memoryBytes), !d.o.Ephemeral})
}

// closeStore writes what waits.
func (d *daemon) closeStore(ctx context.Context) error { return d.records.Close(ctx) }
