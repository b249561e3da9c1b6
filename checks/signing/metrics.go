package signing

import (
	"errors"

	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
)

// result is the label of the metric: what became of a message of a signing domain.
type result string

const (
	signed    result = "signed"    // it leaves with our signatures
	already   result = "already"   // it leaves with those that it had
	unsigned  result = "unsigned"  // it leaves without
	waiting   result = "waiting"   // 451 4.7.5, there is no key
	refused   result = "refused"   // for whatever reason
	untouched result = "untouched" // it would be signed, but for mode observe
)

// results is the closed set.
func results() []result { return []result{signed, already, unsigned, waiting, refused, untouched} }

// metrics count what becomes of mail of our domains. They stay when the
// configuration is reloaded.
type metrics struct{ signs *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer, domains map[message.Domain]*domain) (*metrics, error) {
	signs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "milterd_dkim_sign_total",
		Help: "Outbound mail of signing domains, by what became of it: signed, already, unsigned, waiting, refused, untouched.",
	}, []string{"domain", "result"})
	err := reg.Register(signs)
	if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		signs, err = known.ExistingCollector.(*prometheus.CounterVec), nil
	}
	for d := range domains {
		for _, r := range results() {
			signs.WithLabelValues(d.String(), string(r)) // there from the start, so that a rate has a beginning
		}
	}
	return &metrics{signs}, err
}

func (m *metrics) count(d message.Domain, r result) {
	m.signs.WithLabelValues(d.String(), string(r)).Inc()
}
