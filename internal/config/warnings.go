package config

import (
	"strconv"
	"time"

	"milterd/internal/strictyaml"
)

// What Postfix does when main.cf says nothing else (postconf(5)).
const (
	postfixCommandTime = 30 * time.Second  // milter_command_timeout
	postfixContentTime = 300 * time.Second // milter_content_timeout
	postfixClientTime  = 300 * time.Second // smtpd_timeout
	postfixMessageSize = 10_240_000        // message_size_limit, bytes
)

// oneMessage is about what a message in flight takes of memory_inflight.
const oneMessage = 1 * mib

// Warnings returns what may stand in a configuration and is hardly meant: limits that work against each other or
// against Postfix. Each looks like an error of [Load], and the configuration works all the same, badly.
func (c *Config) Warnings() []error {
	var all []error
	l, at := &c.Limits, c.limits()
	warn := func(when bool, key, format string, args ...any) {
		if when {
			all = append(all, at.Key(key).Errorf(format, args...))
		}
	}
	// Who waits for the DNS may wait for somebody who has waited: a key, then what DMARC makes of it.
	warn(2*l.DNSTime >= l.MessageTime, at.either("dns_time", "message_time"),
		"dns_time is %s and message_time %s: mail of a domain whose name servers are silent ends as a fault of our own (451, later held), expected dns_time of less than half",
		seconds(l.DNSTime), seconds(l.MessageTime))
	warn(l.RulesTime >= l.MessageTime, at.either("rules_time", "message_time"),
		"rules_time is %s and message_time %s: a message on which rules are slow ends as a fault of our own, expected less", seconds(l.RulesTime), seconds(l.MessageTime))
	warn(l.MIMETime >= l.MessageTime, at.either("mime_time", "message_time"),
		"mime_time is %s and message_time %s: a message that is slow to read ends as a fault of our own, expected less", seconds(l.MIMETime), seconds(l.MessageTime))
	warn(l.MessageTime >= postfixContentTime, "message_time",
		"%s is longer than Postfix waits (milter_content_timeout, %s), expected less", seconds(l.MessageTime), seconds(postfixContentTime))
	warn(l.ReplyTime >= postfixCommandTime, "reply_time",
		"%s is longer than Postfix waits (milter_command_timeout, %s), expected less", seconds(l.ReplyTime), seconds(postfixCommandTime))
	warn(l.Idle <= postfixClientTime, "idle",
		"%s is less than a client of Postfix may be silent (smtpd_timeout, %s), and its next message would get a 451, expected more", seconds(l.Idle), seconds(postfixClientTime))
	warn(l.MemoryInflight < oneMessage, "memory_inflight",
		"%s has no room for one message, each would get a 451, expected %s at the very least", l.MemoryInflight, 16*oneMessage)
	warn(l.SpoolBytes < postfixMessageSize, "spool_bytes",
		"%s is less than the largest message that Postfix takes (message_size_limit, %d bytes): it would wait for ever, expected more", l.SpoolBytes, postfixMessageSize)
	if c.DNS.Timeout >= l.DNSTime {
		all = append(all, c.root.Key("dns").Key("timeout").Errorf(
			"%s for one question is no less than limits.dns_time (%s) for a whole message: after a server that is silent no other is asked, expected less than half",
			seconds(c.DNS.Timeout), seconds(l.DNSTime)))
	}
	return all
}

// limitsNode is the section limits, wherever it comes from.
type limitsNode struct{ *strictyaml.Node }

func (c *Config) limits() limitsNode { return limitsNode{c.root.Key("limits")} }

// either returns the first of two keys that the files give; the first when they give none.
func (n limitsNode) either(key, other string) string {
	if n.Key(key).Kind() == strictyaml.Null && n.Key(other).Kind() != strictyaml.Null {
		return other
	}
	return key
}

// seconds writes a duration as people write it here: 300s, not 5m0s.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }
