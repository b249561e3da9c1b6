// Package daemon runs milterd: it opens the sockets, serves milter sessions,
// keeps the journal and the metrics, reloads the configuration and ends in
// order. Everything that does the work lives elsewhere; this is the wiring.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"milterd/checks"
	"milterd/internal/bridge"
	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/engine"
	"milterd/internal/journal"
	"milterd/internal/learning"
	"milterd/internal/pipeline"
	"milterd/internal/store"
	"milterd/message"
	"milterd/milter"
	"milterd/rules"
)

// Options is what a daemon needs to run.
type Options struct {
	// Load reads the configuration; called at start and for each reload.
	Load    func() (*config.Config, error)
	Version string
	// User is whom to become once the sockets are open; empty stays as it is.
	User string
	// Takeover takes over the sockets and the store of the daemon that answers on the
	// control socket; where none does, this is an ordinary start.
	Takeover bool
	// Listeners, when not empty, replace the sockets of the configuration.
	Listeners []net.Listener
	// Ephemeral keeps everything in memory: no journal, no key, no control
	// socket. For the demonstration.
	Ephemeral bool
	// Rules are rule files beside those of the configuration.
	Rules []rules.Source
	// Report, if set, is told of every decided message.
	Report func(*pipeline.Outcome)
	// Ready, if set, is called when the daemon serves, with the address of its
	// HTTP listener, empty when there is none.
	Ready  func(http string)
	Stderr io.Writer
}

// drainTime bounds the end: messages in flight have that long to finish.
const drainTime = 30 * time.Second

// daemon is a running milterd.
type daemon struct {
	o        Options
	log      *slog.Logger
	level    *slog.LevelVar
	metrics  *metrics
	resolver *dns.Resolver
	host     engine.Host
	bridge   *bridge.Bridge
	server   *milter.Server
	journal  *journal.Writer
	store    memory
	desk     *learning.Desk
	// clock is the one by which records of the store end, nil without a lasting store.
	clock *store.Clock
	// records is what d.store is; storeAt is where it lies.
	records *exchange
	storeAt config.StoreAddr
	// before is the daemon that this one takes over from, nil once that is done.
	before     *predecessor
	sockets    *sockets
	keepers    *keepers
	succession *succession
	// verdicts is where the journal lies, whatever a reload says.
	verdicts string
	serving  atomic.Bool
	engine   atomic.Pointer[engine.Engine]
	// retired are the pipelines of old configurations. Sessions keep one for as
	// long as they like; the end waits for the checks of those that are left.
	retired []weak.Pointer[pipeline.Pipeline]
}

// ConfigError is what is wrong with the configuration at the start;
// engine.Problems takes it apart.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string { return e.Err.Error() }
func (e *ConfigError) Unwrap() error { return e.Err }

// Run serves until ctx ends. reload asks for another look at the
// configuration; the answer goes into the log and the metrics. A configuration
// that cannot be used at the start is returned as its error.
func Run(ctx context.Context, o Options, reload <-chan struct{}) error {
	cfg, err := o.Load()
	if err != nil {
		return &ConfigError{err}
	}
	d := &daemon{o: o, level: new(slog.LevelVar)}
	d.level.Set(cfg.Log.Level.Level())
	d.log = newLogger(o.Stderr, cfg.Log.Format, d.level)
	d.metrics = newMetrics(o.Version)
	d.succession, d.storeAt = newSuccession(), cfg.Store
	if o.Takeover && !o.Ephemeral {
		if d.before, err = meetPredecessor(ctx, cfg.Control, o.User); errors.Is(err, errNoPredecessor) {
			d.log.Info("nothing to take over: " + err.Error())
		} else if err != nil {
			return err
		}
		defer func() {
			if d.before != nil { // which goes on without us
				d.before.close()
			}
		}()
	}
	// Sockets first, then the privileges go for good: everything else is opened
	// by the user that will use it.
	sockets, err := d.openSockets(ctx, cfg)
	if err != nil {
		return err
	}
	defer sockets.close()
	d.sockets = sockets
	if o.User != "" {
		if err := becomeUser(o.User, cfg); err != nil {
			return err
		}
	}
	if err := d.open(cfg); err != nil {
		return err
	}
	defer d.closeAll()
	if d.before != nil {
		if err := d.before.releaseStore(); err != nil {
			return err
		}
		d.fillStore(cfg)
	}
	return d.serve(ctx, cfg, sockets, reload)
}

// open makes everything that outlives a reload, and the first engine.
func (d *daemon) open(cfg *config.Config) (err error) {
	servers := make([]string, len(cfg.DNS.Servers))
	for i, s := range cfg.DNS.Servers {
		servers[i] = string(s)
	}
	d.resolver, err = dns.New(dns.Options{Servers: servers, Timeout: cfg.DNS.Timeout, Logger: d.log, Observe: d.metrics.dnsObserved})
	if err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	d.openStore(cfg)
	d.host = engine.Host{
		Resolver: d.resolver, Registerer: d.metrics.registry,
		Notes:    func(space string) checks.Notes { return store.Notes{Store: d.store, Space: space} },
		Store:    d.store,
		Metrics:  pipeline.NewMetrics(d.metrics.registry),
		Faults:   &pipeline.Faults{Tries: 3, Age: time.Hour},
		MarkKey:  d.markKey(cfg),
		Hostname: hostname, Version: d.o.Version,
		Logger: d.log, Now: time.Now, Random: rand.Reader,
		Rules: d.o.Rules,
	}
	d.openLearning(cfg)
	e, err := engine.New(cfg, d.host)
	if err != nil {
		d.resolver.Close()
		d.closeStore(context.Background())
		return &ConfigError{err}
	}
	d.engine.Store(e)
	d.metrics.reloaded(true)
	d.warn(e)

	if !d.o.Ephemeral {
		d.verdicts = string(cfg.Journal.Path)
		d.journal, err = journal.Open(journal.Options{
			Dir: d.verdicts, MaxSize: int64(cfg.Journal.MaxSize), MaxAge: cfg.Journal.MaxAge, Now: time.Now, Logger: d.log,
		})
		if err != nil { // mail is worth more than its record
			d.log.Error("no journal: verdicts will not be remembered", "err", err)
		}
	}
	d.metrics.journal(d.journal)
	l := &cfg.Limits
	plan := limitMemory(int64(l.MemoryInflight), d.log)
	memory, files := message.NewBudget(plan.inflight), message.NewBudget(int64(l.SpoolBytes))
	d.metrics.budgets(memory, files)
	d.bridge = bridge.New(bridge.Options{
		Pipeline:     func() *pipeline.Pipeline { return d.engine.Load().Pipeline },
		Report:       d.report,
		LimitHit:     d.metrics.limitHit,
		HeaderFields: l.HeaderFields, HeaderBytes: int(l.HeaderBytes), FromBytes: int(l.FromBytes), Recipients: l.Recipients,
		Memory: memory, Files: files, Buffers: message.NewBuffers(plan.buffers, bufferSize),
		Long: message.NewTurns(plan.long), SpoolDir: string(cfg.Spool), Logger: d.log,
	})
	d.server = &milter.Server{
		IdleTime: l.Idle, FrameTime: l.FrameTime, ReplyTime: l.ReplyTime, MessageTime: l.MessageTime,
		MaxFrame: int(l.MilterFrame), MaxConnections: d.connections(l.Connections),
		Logger: d.log, Hooks: d.metrics.hooks(),
	}
	d.bridge.Configure(d.server)
	return nil
}

func (d *daemon) serve(ctx context.Context, cfg *config.Config, sockets *sockets, reload <-chan struct{}) error {
	var services sync.WaitGroup
	stop := make(chan struct{})
	halt := sync.OnceFunc(func() { close(stop) })
	defer services.Wait()
	defer halt()
	d.keepers = &keepers{}
	if !d.o.Ephemeral {
		d.keepers.run = append(d.keepers.run, d.keyKeeper().Run, d.holdClock)
	}
	d.keepers.start()
	defer d.keepers.stop()
	defer d.succession.end()
	if sockets.http != nil {
		services.Go(func() { d.serveHTTP(sockets.http, d.public(), stop) })
	}
	if sockets.control != nil {
		services.Go(func() { d.serveHTTP(sockets.control, d.controlled(cfg), stop) })
	}
	calls, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	d.serveDovecot(calls, sockets, services.Go)
	accept, stopAccepting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAccepting()
	failed := make(chan error, len(sockets.milter))
	var accepting sync.WaitGroup
	for _, l := range sockets.milter {
		accepting.Go(func() { failed <- d.server.Serve(accept, l) })
	}
	d.engine.Load().Pipeline.Start()
	d.serving.Store(true)
	d.log.Info("milterd serves", "version", d.o.Version, "mode", cfg.Mode, "sockets", addresses(sockets.milter), "checks", len(d.engine.Load().Specs))
	d.notify("READY=1")
	if d.before != nil {
		if err := d.before.serving(cfg.Control.Address, sockets.all); err != nil {
			d.log.Warn("the daemon before this one did not say goodbye", "err", err)
		}
		d.before = nil
	}
	if d.o.Ready != nil {
		d.o.Ready(sockets.httpAddress())
	}

	var cause error
	succeeded := false
	for running := true; running; {
		select {
		case <-reload:
			d.reload()
		case err := <-failed:
			if err != nil {
				cause, running = err, false
			}
		case next := <-d.succession.to:
			d.serving.Store(false)
			sockets.leave()
			stopAccepting()
			hangUp()
			halt()
			services.Wait()
			d.lastSessions(ctx, next, cfg.Limits.Idle)
			succeeded, running = true, false
		case <-ctx.Done():
			running = false
		}
	}
	if !succeeded {
		d.notify("STOPPING=1")
	}
	d.serving.Store(false)
	d.log.Info("milterd ends, messages in flight are finished first")
	end, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := d.server.Shutdown(end); err != nil {
		d.log.Warn("not all sessions ended by themselves", "err", err)
	}
	accepting.Wait()
	d.bridge.Wait(end)
	return cause
}

// reload builds the whole new engine and then swaps one pointer. What is wrong
// with the new configuration is logged, and the old one stays.
func (d *daemon) reload() {
	d.notify("RELOADING=1")
	defer d.notify("READY=1")
	cfg, err := d.o.Load()
	var e *engine.Engine
	if err == nil {
		e, err = engine.New(cfg, d.host)
	}
	if err != nil {
		d.metrics.reloaded(false)
		for _, problem := range engine.Problems(err) {
			d.log.Error("reload refused, the running configuration stays", "problem", problem)
		}
		return
	}
	d.level.Set(cfg.Log.Level.Level())
	old := d.engine.Swap(e)
	old.Pipeline.Stop()
	e.Pipeline.Start()
	d.retired = append(d.retired, weak.Make(old.Pipeline))
	d.retired = slices.DeleteFunc(d.retired, func(p weak.Pointer[pipeline.Pipeline]) bool { return p.Value() == nil })
	d.metrics.reloaded(true)
	d.log.Info("configuration reloaded", "mode", cfg.Mode, "checks", len(e.Specs))
	d.warn(e)
	if note := needsRestart(old.Config, cfg); len(note) > 0 {
		d.log.Warn("some changes take effect at the next start only", "keys", note)
	}
}

// warn says what in a configuration works against itself.
func (d *daemon) warn(e *engine.Engine) {
	for _, w := range e.Warnings() {
		d.log.Warn("the configuration is hardly meant like this", "problem", w.Error())
	}
}

func (d *daemon) closeAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := d.engine.Load().Pipeline.Close(ctx)
	for _, old := range d.retired {
		if p := old.Value(); p != nil {
			err = errors.Join(err, p.Close(ctx))
		}
	}
	if d.journal != nil {
		err = errors.Join(err, d.journal.Close(ctx))
	}
	if err = errors.Join(err, d.closeStore(ctx), d.resolver.Close()); err != nil {
		d.log.Warn("not everything ended cleanly", "err", err)
	}
}

// report logs and stores a verdict.
func (d *daemon) report(o *pipeline.Outcome) {
	logVerdict(d.log, o)
	if d.journal != nil {
		d.journal.Add(journal.NewRecord(o, d.engine.Load().Config.Journal.Subjects))
	}
	if d.o.Report != nil {
		d.o.Report(o)
	}
}
