package integration

import (
	"context"
	"strings"
	"sync"

	mdns "github.com/miekg/dns"

	"milterd/internal/dns/zone"
)

// listeners are the smtpds of the tests beside those that every bed has. One with
// the name of a daemon uses that daemon; the others use "milterd", as main.cf says.
func listeners(s *suite) []Listener {
	noMacros := []string{
		"milter_connect_macros =", "milter_helo_macros =", "milter_mail_macros =", "milter_rcpt_macros =", "milter_data_macros =",
		"milter_end_of_header_macros =", "milter_end_of_data_macros =", "milter_unknown_command_macros =",
	}
	list := []Listener{
		{Name: "mx-inet", Milter: "inet:" + s.inet.Addr()},
		{Name: "footer", Options: []string{`smtpd_reject_footer = For help see https://example.test/help`}},
		{Name: "filtered", Options: []string{"content_filter = smtp:[127.0.0.1]:" + port(s.filter)}},
		{Name: "standin", Milter: "unix:milterd/standin.sock"},
		{Name: "nomacros", Options: noMacros},
		{Name: "nomacros-submission", Options: append([]string{"smtpd_sasl_auth_enable = yes"}, noMacros...)},
	}
	list = append(list, arcListeners()...)
	list = append(list, greyListeners()...)
	list = append(list, reputationListeners()...)
	list = append(list, scanListeners()...)
	list = append(list, rivalListeners(s)...)
	for name := range daemonConfigs {
		if name != "milterd" {
			l := Listener{Name: name, Milter: "unix:milterd/" + name + ".sock"}
			if name == "forged" { // strangers' mail passes through to the sink, which keeps every byte
				l.Options = []string{"smtpd_relay_restrictions = check_client_access static:OK, reject"}
			}
			list = append(list, l)
		}
	}
	return list
}

func port(p Port) string { return p.Addr()[strings.LastIndexByte(p.Addr(), ':')+1:] }

// daemonConfigs are the milterds of the tests, by name of socket and listener.
var daemonConfigs = map[string]DaemonConfig{
	// As it comes, but for a rule that makes a message worth a few points.
	"milterd": {Rules: testRules},
	// Nothing is refused by score; Sieve has it.
	"junk":    {YAML: "thresholds: {reject: off}\n"},
	"observe": {YAML: "mode: observe\n"},
	"tag":     {YAML: "mode: tag\n"},
	"trust": {YAML: `
networks:
  relays: [198.51.100.0/24]
  fetchers: [192.0.2.77]
`},
	// Every mail arrives, whatever stands in its header.
	"forged": {YAML: "thresholds: {junk: off, reject: off}\n"},
	// No name server answers.
	"nodns": {DNS: []string{"127.0.0.1:1"}, YAML: "dns: {timeout: 300ms}\n"},
	// A verdict is never reached in time.
	"late":  {YAML: "limits: {message_time: 200ms}\n"},
	"crash": {},
	// One process follows the other.
	"restart": {},
	// Its system calls are watched; the daemon is the test's own.
	"trace": {},
	// The spoof lab, in both modes of DMARC that refuse.
	"spoof":        {},
	"spoof-strict": {YAML: "checks: {dmarc: {mode: strict}}\n"},
	"reload":       {Rules: testRules},
	"lists":        {YAML: listsConfig},
}

const testRules = `
rules:
  - name: TEST_SEVEN
    describe: The subject says what it is worth
    header: Subject
    match: '\bworth seven\b'
    score: 7
    tests:
      hit:  ["Subject: worth seven points"]
      miss: ["Subject: worthless"]
`

// testZone is the Internet of the tests.
const testZone = `
sender.test        TXT v=spf1 ip4:203.0.113.0/24 ip6:2001:db8::/32 -all
mail.sender.test   A   203.0.113.7
strict.test        TXT v=spf1 -all
relay.test         TXT v=spf1 ip4:198.51.100.0/24 -all
example.test       TXT v=spf1 ip4:192.0.2.25 -all
`

// heldNames answers for held.test only when released, and for broken.test with
// SERVFAIL.
type heldNames struct {
	zone    *zone.Zone
	once    sync.Once
	free    chan struct{} // closed by release
	waiting chan struct{} // one value for each question that waits
}

func (h *heldNames) release() { h.once.Do(func() { close(h.free) }) }

func (h *heldNames) handle(ctx context.Context, q *mdns.Msg, tcp bool) zone.Reply {
	for _, question := range q.Question {
		name := strings.ToLower(question.Name)
		switch {
		case strings.HasSuffix(name, "held.test."):
			select {
			case h.waiting <- struct{}{}:
			default:
			}
			select {
			case <-h.free:
			case <-ctx.Done():
			}
		case strings.HasSuffix(name, "broken.test."):
			return zone.Pack(new(mdns.Msg).SetRcode(q, mdns.RcodeServerFailure), q, tcp)
		}
	}
	return h.zone.Handle(ctx, q, tcp)
}

// startNames serves testZone on loopback.
func startNames() (*zone.Server, *heldNames, error) {
	records, err := zone.Parse(testZone + spoofZone() + arcZone() + listsZone)
	if err != nil {
		return nil, nil, err
	}
	z, err := zone.New(records)
	if err != nil {
		return nil, nil, err
	}
	h := &heldNames{zone: z, free: make(chan struct{}), waiting: make(chan struct{}, 64)}
	server, err := zone.Serve(h.handle)
	return server, h, err
}
