package rotation

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics shows the keys that were looked at last. Its labels are our own domains
// and selectors, so there are as many as there are keys. It is for one goroutine.
type Metrics struct {
	dnsOK, age *prometheus.GaugeVec
	shown      map[labels]bool // what has a value
}

type labels struct{ domain, selector string }

// A metric is what is shown of one key.
type metric struct {
	labels
	created time.Time
	// expected says that mail with signatures of this key may be on its way, so that
	// the DNS has to show it.
	expected bool
	status   Status
}

// NewMetrics registers metrics of no keys.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		dnsOK: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "milterd_dkim_key_dns_ok", Help: "1 if every name server shows the key, 0 if one does not, as seen within the last hour. Only of keys that sign or have signed lately."}, []string{"domain", "selector"}),
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "milterd_dkim_key_age_seconds", Help: "Age of the key, within the last hour. Not of retired keys."}, []string{"domain", "selector"}),
		shown: make(map[labels]bool),
	}
	r.MustRegister(m.dnsOK, m.age)
	return m
}

// set shows these keys and no others. Of a key about which nothing could be found
// out the last word stays.
func (m *Metrics) set(all []metric, now time.Time) {
	before := m.shown
	m.shown = make(map[labels]bool)
	for _, k := range all {
		m.shown[k.labels] = true
		m.age.WithLabelValues(k.domain, k.selector).Set(now.Sub(k.created).Seconds())
		switch {
		case !k.expected:
			m.dnsOK.DeleteLabelValues(k.domain, k.selector)
		case k.status == Shown:
			m.dnsOK.WithLabelValues(k.domain, k.selector).Set(1)
		case k.status == Missing:
			m.dnsOK.WithLabelValues(k.domain, k.selector).Set(0)
		}
	}
	for gone := range before {
		if !m.shown[gone] {
			m.dnsOK.DeleteLabelValues(gone.domain, gone.selector)
			m.age.DeleteLabelValues(gone.domain, gone.selector)
		}
	}
}
