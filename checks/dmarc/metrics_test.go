package dmarc

import (
	"testing"

	"milterd/checks"
	"milterd/checks/checktest"

	"github.com/prometheus/client_golang/prometheus"
)

// counted returns the value of a counter with a label of that value.
func counted(t *testing.T, registry *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// TestMetrics: a second configuration goes on with the counters of the first.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := zone("_dmarc.victim.test", "v=DMARC1; p=reject", "_dmarc.lame.test", "FAIL")
	for range 2 {
		h := checktest.New(t, Spec(), "", checks.Env{Resolver: r, Registerer: registry})
		h.Run(checktest.Mail{Text: from("a@victim.test"), Prior: prior(t, "spf=none dkim=none")})
		h.Run(checktest.Mail{Text: from("a@victim.test"), Prior: prior(t, "spf=none dkim=body:victim.test")})
		h.Run(checktest.Mail{Text: from("a@lame.test"), Prior: prior(t, "spf=none dkim=none")})
	}
	for _, c := range []struct {
		name, label string
		want        float64
	}{
		{"milterd_dmarc_evaluations_total", "", 6},
		{"milterd_dmarc_evaluations_total", "reject", 4}, // label policy comes first
		{"milterd_dmarc_overrides_total", "local_policy", 2},
		{"milterd_dmarc_undecided_total", "sender", 2},
	} {
		if got := counted(t, registry, c.name, c.label); got != c.want {
			t.Errorf("%s{%s} is %v, want %v", c.name, c.label, got, c.want)
		}
	}
	other := prometheus.NewRegistry()
	other.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "milterd_dmarc_overrides_total"}))
	if _, err := checktest.TryNew(t, Spec(), "", checks.Env{Registerer: other}); err == nil {
		t.Error("a metric of another kind takes the name, and nobody says so")
	}
}
