package daemon

import (
	"crypto/rand"
	"time"

	"milterd/internal/dns"
	"milterd/internal/rotation"
)

// keyKeeper looks after the keys that mail is signed with: an hour after the other it
// sees whether the DNS shows them, and moves those on that are managed.
func (d *daemon) keyKeeper() *rotation.Keeper {
	return d.keeper(&rotation.Observer{Fresh: d.freshResolver})
}

func (d *daemon) keeper(dns rotation.Looker) *rotation.Keeper {
	return &rotation.Keeper{
		Targets: d.keyTargets, DNS: dns, Now: time.Now, Random: rand.Reader,
		Logger: d.log, Metrics: rotation.NewMetrics(d.metrics.registry),
	}
}

// keyTargets are the signing domains of the configuration in use.
func (d *daemon) keyTargets() []rotation.Target {
	targets, err := rotation.Targets(d.engine.Load().Config.Signing)
	if err != nil {
		d.log.Error("the keys cannot be looked after", "err", err) // the engine would have refused it
	}
	return targets
}

// freshResolver makes a resolver that remembers nothing.
func (d *daemon) freshResolver() (*dns.Resolver, error) {
	cfg := d.engine.Load().Config
	servers := make([]string, len(cfg.DNS.Servers))
	for i, s := range cfg.DNS.Servers {
		servers[i] = string(s)
	}
	return dns.New(dns.Options{Servers: servers, Timeout: cfg.DNS.Timeout})
}
