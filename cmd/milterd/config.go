package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"time"

	"milterd/bayes"
	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/engine"
	"milterd/internal/pipeline"
	"milterd/internal/store"
	"milterd/internal/store/redis"
	"milterd/milter"

	"github.com/prometheus/client_golang/prometheus"
)

// loadConfig reads the configuration that the flags name. The one at the
// default place may be absent: an empty file is a valid one too.
func (g *globals) loadConfig() (*config.Config, error) {
	return config.Load(cmp.Or(g.Config, config.DefaultPath), config.Options{
		Checks:      all.Names(),
		CheckAddr:   func(address string) error { _, err := milter.ParseAddr(address); return err },
		CheckStore:  func(address string) error { _, err := redis.ParseURL(address); return err },
		Environ:     os.Environ(),
		MayBeAbsent: g.Config == "",
	})
}

// configFailed prints all that is wrong with a configuration.
func (g *globals) configFailed(err error) error {
	problems := engine.Problems(err)
	for _, p := range problems {
		fmt.Fprintln(g.stderr, p)
	}
	fmt.Fprintf(g.stderr, "milterd: %d problem(s) in the configuration\n", len(problems))
	return &exitError{code: exitConfig}
}

// newEngine builds an engine that stands beside a daemon and changes nothing
// of its state. learned and memory may be nil.
func newEngine(cfg *config.Config, log *slog.Logger, learned *bayes.Classifier, memory store.Store) (*engine.Engine, *dns.Resolver, error) {
	resolver, err := resolverOf(cfg)
	if err != nil {
		return nil, nil, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	registry := prometheus.NewRegistry()
	markKey := make([]byte, 32)
	rand.Read(markKey)
	e, err := engine.New(cfg, engine.Host{
		Resolver: resolver, Registerer: registry, Metrics: pipeline.NewMetrics(registry),
		Faults:  &pipeline.Faults{Tries: math.MaxInt, Age: math.MaxInt64}, // a message looked at is not one that comes back
		MarkKey: markKey, Hostname: hostname, Version: version, Logger: log, Now: time.Now, Random: rand.Reader,
		Forgetful: true, Bayes: learned, Store: memory,
	})
	if err != nil {
		resolver.Close()
		return nil, nil, err
	}
	return e, resolver, nil
}

// quiet is a logger for commands: warnings and worse, for people.
func quiet(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// newResolver makes a resolver of the configuration, for commands that need
// nothing else of it.
func (g *globals) newResolver() (*dns.Resolver, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, g.configFailed(err)
	}
	resolver, err := resolverOf(cfg)
	if err != nil {
		return nil, &exitError{exitUnavailable, err}
	}
	return resolver, nil
}

func resolverOf(cfg *config.Config) (*dns.Resolver, error) {
	servers := make([]string, len(cfg.DNS.Servers))
	for i, s := range cfg.DNS.Servers {
		servers[i] = string(s)
	}
	return dns.New(dns.Options{Servers: servers, Timeout: cfg.DNS.Timeout})
}
