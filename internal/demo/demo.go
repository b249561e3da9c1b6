// Package demo shows milterd at work on one machine, without root, DNS, Postfix
// or files: it starts the real daemon on loopback with a small DNS zone and a
// few rules of its own, and plays messages to it as Postfix would.
package demo

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/daemon"
	"milterd/internal/dns/zone"
	"milterd/internal/pipeline"
	"milterd/rules"

	mdns "github.com/miekg/dns"
)

// Options says how to run the demonstration.
type Options struct {
	Stdout, Stderr io.Writer
	Version        string
	// Play plays the messages, prints the table and ends; else the daemon serves
	// until the context ends.
	Play bool
}

//go:embed zone.txt
var zoneText string

//go:embed demo.yaml
var configText []byte

//go:embed rules.yaml
var rulesText []byte

// Run starts the daemon and, with Play, the player.
func Run(ctx context.Context, o Options) error {
	server, err := startDNS()
	if err != nil {
		return fmt.Errorf("demo: DNS zone: %w", err)
	}
	defer server.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var outcomes outcomes
	ready := make(chan string, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log := io.Discard
	if !o.Play {
		log = o.Stderr
	}
	var served error
	var serving sync.WaitGroup
	serving.Go(func() {
		served = daemon.Run(ctx, daemon.Options{
			Load:    func() (*config.Config, error) { return load(server.Addr()) },
			Version: o.Version, Ephemeral: true, Rules: []rules.Source{{Name: "demo-rules.yaml", Text: rulesText}}, Stderr: log,
			Listeners: []net.Listener{listener},
			Report:    outcomes.add,
			Ready:     func(http string) { ready <- http },
		}, nil)
		stop()
	})
	defer serving.Wait()
	select {
	case http := <-ready:
		fmt.Fprintf(o.Stdout, "milterd %s, demonstration: milter %s, metrics http://%s/metrics\n\n", o.Version, listener.Addr(), http)
		if !o.Play {
			fmt.Fprintf(o.Stdout, "send it a message:\n\n  milterd send --socket inet:%s --from joe@sender.example --ip 192.0.2.10 FILE\n\nend with ^C\n", listener.Addr())
			break
		}
		err = play(ctx, script(), listener.Addr().String(), &outcomes, o.Stdout)
		if err == nil {
			err = showMetrics(ctx, o.Stdout, http)
		}
		stop()
	case <-ctx.Done():
	}
	serving.Wait()
	if err == nil {
		err = served
	}
	return err
}

// silentDomain is one whose name server never answers.
const silentDomain = "slow.example."

// startDNS serves the zone of the demonstration on loopback.
func startDNS() (*zone.Server, error) {
	records, err := zone.Parse(zoneText)
	if err != nil {
		return nil, err
	}
	z, err := zone.New(records)
	if err != nil {
		return nil, err
	}
	return zone.Serve(func(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
		if len(q.Question) > 0 && strings.HasSuffix(strings.ToLower(q.Question[0].Name), silentDomain) {
			return zone.Reply{}
		}
		return z.Handle(ctx, q, tcp)
	})
}

// load reads the built-in configuration with the address of the built-in DNS.
func load(dns string) (*config.Config, error) {
	return config.Read("demo.yaml", configText, config.Options{
		Checks: all.Names(), Environ: []string{"MILTERD_DNS_SERVERS=[\"" + dns + "\"]"},
	})
}

// outcomes remembers what the daemon decided, by queue id.
type outcomes struct {
	mu  sync.Mutex
	all map[string]*pipeline.Outcome
}

func (o *outcomes) add(out *pipeline.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil {
		o.all = map[string]*pipeline.Outcome{}
	}
	o.all[out.Message.QueueID] = out
}

func (o *outcomes) of(queueID string) *pipeline.Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all[queueID]
}
