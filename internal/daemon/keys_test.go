package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"milterd/internal/dns/dnstest"
	"milterd/internal/keys"
	"milterd/internal/rotation"
)

// TestKeys: the daemon finds the keys of its configuration, looks for them through
// the servers of the configuration, and moves them on.
func TestKeys(t *testing.T) {
	h := newHouse(t, "signing: {domains: {example.org: {directory: keys/example.org}}}\n")
	state, err := rotation.Generate(h.path("keys/example.org"), "example.org", []rotation.Wish{{Algorithm: keys.Ed25519}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := state.Keys[0]
	cfg, err := h.load()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{o: Options{Load: h.load, Stderr: h.log}, metrics: newMetrics("test"), log: slog.New(slog.NewTextHandler(h.log, nil))}
	if err := d.open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.closeAll)
	keeper := d.keeper(&rotation.Observer{Fresh: d.freshResolver, Port: netip.MustParseAddrPort(h.names.Addr()).Port()})

	zone := dnstest.Zone{"example.org": {"SOA ns.example.org. h.example.org. 1 2 3 4 60", "NS ns.example.org."}, "ns.example.org": {"A 127.0.0.1"}}
	h.names.SetZone(t, zone)
	keeper.Turn(t.Context())
	if !strings.Contains(h.log.String(), "a key waits to be published") {
		t.Errorf("an unpublished key:\n%s", h.log)
	}
	zone[key.Name] = []string{"TXT " + key.Record}
	h.names.SetZone(t, zone)
	keeper.Turn(t.Context())
	if s, err := keys.ReadState(h.path("keys/example.org")); err != nil || len(s.Active()) != 1 || !strings.Contains(h.log.String(), "the key signs from now on") {
		t.Errorf("a published key: %+v, %v\n%s", s, err, h.log)
	}
	families, err := d.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := ""
	for _, f := range families {
		if f.GetName() == "milterd_dkim_key_dns_ok" {
			shown = fmt.Sprint(f.Metric)
		}
	}
	if !strings.Contains(shown, key.Selector) || !strings.Contains(shown, "value:1") {
		t.Errorf("milterd_dkim_key_dns_ok: %s", shown)
	}
}

// TestKeysEnd: a daemon with keys to look after ends at once.
func TestKeysEnd(t *testing.T) {
	h := newHouse(t, "signing: {domains: {example.org: {directory: keys/example.org}}}\n")
	if _, err := rotation.Generate(h.path("keys/example.org"), "example.org", []rotation.Wish{{Algorithm: keys.Ed25519}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.run()
	h.stop()
}
