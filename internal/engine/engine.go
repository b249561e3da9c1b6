// Package engine makes a running filter out of a configuration: rules, checks,
// policy, pipeline. The daemon, the scan command and "milterd check" all build
// the same one, so what is checked offline is what will run.
package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"milterd/bayes"
	"milterd/checks"
	"milterd/checks/all"
	"milterd/dmarc"
	"milterd/internal/config"
	"milterd/internal/dns"
	"milterd/internal/pipeline"
	"milterd/internal/store"
	"milterd/internal/strictyaml"
	"milterd/message"
	"milterd/rules"
	"milterd/scoring"

	"github.com/prometheus/client_golang/prometheus"
)

// Host is what outlives a configuration: it stays when another one is loaded.
type Host struct {
	Resolver   checks.Resolver
	Registerer prometheus.Registerer
	// Notes gives a check its part of the store; may be nil.
	Notes func(space string) checks.Notes
	// Store is all of it; may be nil.
	Store store.Store
	// Bayes is what was learned; may be nil.
	Bayes    *bayes.Classifier
	Metrics  *pipeline.Metrics
	Faults   *pipeline.Faults
	MarkKey  []byte
	Hostname string
	Version  string
	Logger   *slog.Logger
	Now      func() time.Time
	Random   io.Reader
	// Carry makes the header field that takes a verdict to delivery; nil for none.
	Carry func(ctx context.Context, o *pipeline.Outcome) string
	// Rules are rule files beside the shipped ones and those of the
	// configuration: for a program that has no files.
	Rules []rules.Source
	// Forgetful keeps checks from remembering the messages they see: for
	// commands that look at mail beside a daemon.
	Forgetful bool
}

// Engine is a configuration in working order.
type Engine struct {
	Config   *config.Config
	Rules    *rules.Set
	Specs    []checks.Spec // enabled checks
	Pipeline *pipeline.Pipeline
	policy   *scoring.Policy
}

// Rules reads the shipped rules, those of the configuration, and more, and runs
// the tests of all of them. All errors are reported at once, with their places.
func Rules(cfg *config.Config, more ...rules.Source) (*rules.Set, error) {
	return loadRules(cfg, rules.Shipped(), more)
}

// loadRules reads the shipped rules as given, and the others.
func loadRules(cfg *config.Config, shipped, more []rules.Source) (*rules.Set, error) {
	paths := make([]string, len(cfg.Rules))
	for i, p := range cfg.Rules {
		paths[i] = string(p)
	}
	files, err := rules.Files(paths...)
	if err != nil {
		return nil, err
	}
	return rules.Load(slices.Concat(shipped, files, more), FindingNames())
}

// provenRules are the shipped rules. Their tests were run when the program was
// built; at every start that would take longer than all the rest.
func provenRules() []rules.Source {
	shipped := rules.Shipped()
	for i := range shipped {
		shipped[i].Proven = true
	}
	return shipped
}

// FindingNames returns every name that a rule or a score may mention beside
// those of rules.
func FindingNames() []string {
	var names []string
	for _, f := range Findings() {
		names = append(names, f.Name)
	}
	return names
}

// Findings returns what checks and milterd itself can report.
func Findings() []checks.FindingSpec {
	list := pipeline.Findings()
	for _, s := range all.Specs(nil) {
		list = append(list, s.Findings...)
	}
	return list
}

// Instead says what rules would bring beside its own points if a check had reported
// another finding of a family, of which it reports one: see [scoring.Policy.Instead].
func (e *Engine) Instead(o *pipeline.Outcome, check string, family []string) []scoring.Shift {
	return e.policy.Instead(scoring.Facts{Message: o.Message, Results: o.Results}, check, family)
}

// Off names the checks that the configuration leaves out, or does not turn on.
func (e *Engine) Off() []string {
	return slices.DeleteFunc(all.Names(), func(name string) bool {
		return slices.ContainsFunc(e.Specs, func(s checks.Spec) bool { return s.Name == name })
	})
}

// Warnings returns what may stand in the configuration and is hardly meant, each with
// its place. It works all the same, badly.
func (e *Engine) Warnings() []error {
	all := e.Config.Warnings()
	patience := e.Pipeline.Patience()
	for _, name := range slices.Sorted(maps.Keys(patience)) {
		key, most := patience[name].Patience()
		if whole := e.Config.Limits.MessageTime; most >= whole {
			all = append(all, e.Config.Check(name).Node().Key(key).Errorf(
				"%v is no less than limits.message_time (%v): where nobody answers, the message ends as a fault of our own, whatever else the section says, expected less", most, whole))
		}
	}
	return all
}

// reserves keep a sender whose own SPF or keys burn the budget from hiding the
// victim's policy: the policy walk of DMARC asks from a purse of its own, nine
// questions, each perhaps again over TCP.
//
// The checks that ask lists share a purse: a message full of URLs leaves enough for
// the others.
var reserves = map[string]dns.GroupLimits{"dmarc": {Reserve: 2 * dmarc.MaxPolicyQueries}, lists: {Queries: 50}}

// lists is the group of the checks that ask DNS lists.
const lists = "lists"

// scope names the group on whose account a check asks the DNS.
func scope(ctx context.Context, check string) context.Context {
	if check == "dnsbl" || check == "uribl" {
		check = lists
	}
	return dns.WithGroup(ctx, check)
}

// New builds an engine. It opens what the checks need and causes no traffic.
// Its error is everything that is wrong with rules and checks.
func New(cfg *config.Config, h Host) (*Engine, error) {
	set, err := loadRules(cfg, provenRules(), h.Rules)
	errs := []error{err}
	if err != nil {
		set = new(rules.Set) // the checks may be wrong as well
	}
	e := &Engine{Config: cfg, Rules: set}
	onError := map[string]checks.OnError{}
	for _, spec := range all.Specs(set) {
		common := checks.Common{Enabled: !spec.Off, OnError: spec.OnError}
		section := cfg.Check(spec.Name).Node()
		errs = append(errs, section.Key("enabled").Decode(&common.Enabled), section.Key("on_error").Decode(&common.OnError))
		if !common.Enabled || spec.TopLevel && section.Kind() == strictyaml.Null {
			if section.Kind() != strictyaml.Null {
				errs = append(errs, misread(cfg.Check(spec.Name), spec, h))
			}
			continue
		}
		if common.OnError != "" {
			onError[spec.Name] = common.OnError
		}
		e.Specs = append(e.Specs, spec)
	}
	exceptions, err := exceptions(cfg, h)
	errs = append(errs, err, exempted(cfg))
	limits := &cfg.Limits
	e.policy = scoring.New(scoring.Options{
		Mode: message.Mode(cfg.Mode),
		Thresholds: message.Thresholds{
			Greylist: threshold(cfg.Thresholds.Greylist), Junk: threshold(cfg.Thresholds.Junk), Reject: threshold(cfg.Thresholds.Reject),
		},
		OwnFault: scoring.OwnFault(cfg.OwnFault), Exceptions: exceptions,
		Rules: set, Findings: Findings(),
	})
	e.Pipeline, err = pipeline.New(pipeline.Options{
		Specs:   e.Specs,
		Section: func(name string) checks.Section { return cfg.Check(name) },
		OnError: onError,
		Env: checks.Env{
			Resolver: h.Resolver, Registerer: h.Registerer, Notes: h.Notes, Bayes: h.Bayes, Store: h.Store, Logger: h.Logger, Now: h.Now,
			AuthservID: string(cfg.AuthservID),
			Limits:     Limits(limits),
		},
		Policy: e.policy,
		Roles: pipeline.Roles{
			MyNetworks: cfg.Networks.MyNetworks, Relays: cfg.Networks.Relays, Fetchers: cfg.Networks.Fetchers,
		},
		AuthservID: string(cfg.AuthservID), Hostname: h.Hostname,
		MarkKey: h.MarkKey, Version: h.Version,
		SpamHeaders: slices.Contains(cfg.Headers.Compat, config.SpamAssassin),
		MessageTime: limits.MessageTime,
		Transaction: func(ctx context.Context) context.Context {
			return dns.WithBudget(ctx, dns.NewBudget(dns.Limits{Queries: limits.DNSQueries, Time: limits.DNSTime, Groups: reserves}))
		},
		Scope:  scope,
		Faults: h.Faults, Metrics: h.Metrics, Carry: h.Carry, Forgetful: h.Forgetful, Random: h.Random, Logger: h.Logger, Now: h.Now,
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return e, nil
}

// misread says what is wrong with the section of a check that is off: who switches it
// on one day shall not find out then.
func misread(section checks.Section, spec checks.Spec, h Host) error {
	_, err := spec.New(section, checks.Env{
		Resolver: h.Resolver, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Now: h.Now,
	})
	return err
}

func threshold(t config.Threshold) *float64 {
	if t.IsOff() {
		return nil
	}
	f := float64(t)
	return &f
}

// Problems flattens an error of [config.Load] or [New] into its single errors,
// each a line with its place, each once: a key may be read by two.
func Problems(err error) []string {
	var all []string
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case nil:
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				walk(one)
			}
		default:
			if inner := errors.Unwrap(err); inner != nil && inner.Error() == err.Error() {
				walk(inner)
				return
			}
			if line := err.Error(); !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	walk(err)
	return all
}
