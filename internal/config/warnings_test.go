package config

import (
	"strings"
	"testing"
)

// TestWarnings: what works against itself is told with its place, the defaults and
// what is merely unusual are not.
func TestWarnings(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"", ""},
		{"limits: {message_time: 17s}", ""},
		{"limits: {message_time: 60s, dns_time: 29s}\ndns: {timeout: 5s}", ""},
		{"limits: {dns_time: 13s}", "m.yaml:1:20: limits.dns_time: dns_time is 13s and message_time 25s: "},
		{"limits: {message_time: 16s}", "m.yaml:1:24: limits.message_time: dns_time is 8s and message_time 16s: "},
		{"limits: {rules_time: 25s}", "m.yaml:1:22: limits.rules_time: rules_time is 25s and message_time 25s: "},
		{"limits: {message_time: 300s}", "m.yaml:1:24: limits.message_time: 300s is longer than Postfix waits (milter_content_timeout, 300s)"},
		{"limits: {reply_time: 1m}", "m.yaml:1:22: limits.reply_time: 60s is longer than Postfix waits (milter_command_timeout, 30s)"},
		{"limits: {idle: 5m}", "m.yaml:1:16: limits.idle: 300s is less than a client of Postfix may be silent"},
		{"limits: {memory_inflight: 512KiB}", "m.yaml:1:27: limits.memory_inflight: 512KiB has no room for one message"},
		{"limits: {spool_bytes: 5MiB}", "m.yaml:1:23: limits.spool_bytes: 5MiB is less than the largest message that Postfix takes"},
		{"dns: {timeout: 8s}", "m.yaml:1:16: dns.timeout: 8s for one question is no less than limits.dns_time (8s)"},
	} {
		cfg, err := Read("m.yaml", []byte(c.yaml+"\n"), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.yaml, err)
			continue
		}
		all := cfg.Warnings()
		switch {
		case c.want == "" && len(all) > 0:
			t.Errorf("%s: %v", c.yaml, all)
		case c.want != "" && (len(all) != 1 || !strings.HasPrefix(all[0].Error(), c.want) || !strings.Contains(all[0].Error(), "expected")):
			t.Errorf("%s: %v, expected %q", c.yaml, all, c.want)
		}
	}
}
