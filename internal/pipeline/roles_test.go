package pipeline

import (
	"net/netip"
	"strings"
	"testing"

	"milterd/checks"
	"milterd/message"
)

// usualRoles are those of options.
func usualRoles(t testing.TB) *Roles { return newPipeline(t, nil, nil).Roles() }

func session(host, addr string, port uint16) *message.Session {
	s := &message.Session{Host: host, Port: port}
	if addr != "" {
		s.Client = netip.MustParseAddr(addr)
	}
	return s
}

// One row for each sentence of DESIGN.md, section 4, about roles.
func TestRoleAndPeer(t *testing.T) {
	roles := usualRoles(t)
	for _, c := range []struct {
		name    string
		session *message.Session
		login   string
		role    message.Role
		peer    message.Peer
	}{
		{"stranger", session("mail.test", "192.0.2.1", 40000), "", message.Inbound, message.Stranger},
		{"stranger with a login", session("mail.test", "192.0.2.1", 40000), "ann", message.Outbound, message.Stranger},
		{"mynetworks", session("app.test", "10.1.0.5", 40000), "", message.Outbound, message.Stranger},
		{"mynetworks, IPv6", session("app.test", "::1", 40000), "", message.Outbound, message.Stranger},
		{"mynetworks, IPv4 in IPv6", session("app.test", "::ffff:10.1.0.5", 40000), "", message.Outbound, message.Stranger},
		{"beside mynetworks", session("app.test", "10.2.0.5", 40000), "", message.Inbound, message.Stranger},
		{"sendmail(1): localhost, 127.0.0.1 and port 0", session("localhost", "127.0.0.1", 0), "", message.Outbound, message.Stranger},
		{"port 0 alone proves nothing", session("unknown", "192.0.2.1", 0), "", message.Inbound, message.Stranger},
		{"the name localhost alone proves nothing", session("localhost", "192.0.2.1", 40000), "", message.Inbound, message.Stranger},
		{"localhost and port 0 prove nothing", session("localhost", "192.0.2.1", 0), "", message.Inbound, message.Stranger},
		{"no address at all", session("unknown", "", 0), "", message.Inbound, message.Stranger},
		{"localhost without an address", session("localhost", "", 0), "", message.Inbound, message.Stranger},
		{"relay", session("mx2.test", "198.51.100.3", 40000), "", message.Inbound, message.Relay},
		{"relay that logs in", session("mx2.test", "198.51.100.3", 40000), "relay", message.Outbound, message.Relay},
		{"fetcher wins over mynetworks", session("fetch.test", "10.1.0.9", 40000), "", message.Inbound, message.Fetcher},
		{"link-local with a zone", session("unknown", "fe80::1%eth0", 40000), "", message.Inbound, message.Stranger},
	} {
		peer := roles.Peer(c.session)
		if role := roles.Role(c.session, c.login, peer); role != c.role || peer != c.peer {
			t.Errorf("%s: %s %q, want %s %q", c.name, role, peer, c.role, c.peer)
		}
	}

	fetching := &Roles{ // and no mynetworks at all
		Fetchers: prefixes("127.0.0.1/32"), Relays: prefixes("127.0.0.1/32", "fe80::/10"),
	}
	for _, c := range []struct {
		name    string
		session *message.Session
		role    message.Role
		peer    message.Peer
	}{
		{"fetchmail on this host", session("localhost", "127.0.0.1", 40000), message.Inbound, message.Fetcher},
		{"cron on that host", session("localhost", "127.0.0.1", 0), message.Outbound, message.Stranger},
		{"its zone does not hide a link-local address", session("unknown", "fe80::1%eth0", 40000), message.Inbound, message.Relay},
	} {
		peer := fetching.Peer(c.session)
		if role := fetching.Role(c.session, "", peer); role != c.role || peer != c.peer {
			t.Errorf("%s: %s %q, want %s %q", c.name, role, peer, c.role, c.peer)
		}
	}
}

// A private address that no key names is a hint, not a crime.
func TestPrivate(t *testing.T) {
	p := newPipeline(t, nil, nil)
	for addr, want := range map[string]bool{
		"192.0.2.1": false, "10.2.0.5": true, "172.16.0.1": true, "192.168.7.7": true, "169.254.1.1": true, "fe80::1": true, "fd00::1": true,
		"::ffff:192.168.7.7": true, "2001:db8::1": false,
		"10.1.0.5": false, "127.0.0.1": false, // named
	} {
		m := newMessage(t, plain, func(m *message.Message) { m.Session.Client = netip.MustParseAddr(addr) })
		out := decide(t, p, m)
		if got := len(out.Verdict.Findings) == 1 && out.Verdict.Findings[0].Name == "CLIENT_PRIVATE"; got != want {
			t.Errorf("%s: findings %+v", addr, out.Verdict.Findings)
		}
	}
	for name, change := range map[string]func(*message.Message){
		"outbound": func(m *message.Message) { m.Role = message.Outbound },
		"relay":    func(m *message.Message) { m.Peer = message.Relay },
		"unknown":  func(m *message.Message) { m.Session.Client = netip.Addr{} },
	} {
		m := newMessage(t, plain, func(m *message.Message) {
			m.Session.Client = netip.MustParseAddr("192.168.7.7")
			change(m)
		})
		if out := decide(t, p, m); len(out.Verdict.Findings) != 0 {
			t.Errorf("%s: findings %+v", name, out.Verdict.Findings)
		}
	}
}

// Behind relays and fetchers stands the first client that is not ours, as far as
// hosts of ours say so.
func TestBehind(t *testing.T) {
	const (
		byRelay   = " from mail.stranger.test (mail.stranger.test [203.0.113.7])\n\tby mx2.test (Postfix) with ESMTPS id 4abc; Fri, 20 Nov 2026 12:00:00 +0000"
		inside    = " from mx2.test (mx2.test [198.51.100.3]) by hub.test (Postfix)"
		deeper    = " from hub.test (hub.test [10.1.0.7]) by mail.test (Postfix)"
		forged    = " from bank.test (bank.test [192.0.2.99]) by mail.stranger.test (Postfix)"
		localOnly = " by mx2.test (Postfix, from userid 0)\n\tid 4abc; Fri, 20 Nov 2026 12:00:00 +0000"
		literal   = " from [192.0.2.99] (unknown [203.0.113.7]) by mx2.test (Postfix)"
		odd       = " from a(b (unknown [203.0.113.7]) by mx2.test"
	)
	for _, c := range []struct {
		name     string
		received []string
		client   string
		helo     string
		host     string
	}{
		{"one relay", []string{byRelay}, "203.0.113.7", "mail.stranger.test", "mail.stranger.test"},
		{"a stranger's own fields are never believed", []string{byRelay, forged}, "203.0.113.7", "mail.stranger.test", "mail.stranger.test"},
		{"several hosts of ours", []string{deeper, inside, byRelay, forged}, "203.0.113.7", "mail.stranger.test", "mail.stranger.test"},
		{"HELO with somebody else's address", []string{literal}, "203.0.113.7", "[192.0.2.99]", ""},
		{"nothing", nil, "", "", ""},
		{"the relay's own mail", []string{localOnly}, "", "", ""},
		{"only our own hosts", []string{inside, deeper}, "", "", ""},
		{"a field that cannot be read is the end: what is below may be the stranger's", []string{odd, byRelay}, "", "", ""},
		{"the relay's own mail, with a stranger's field below", []string{localOnly, forged}, "", "", ""},
	} {
		var fields []message.Field
		for _, r := range c.received {
			fields = append(fields, message.Field{Name: "Subject", Value: " hi"}, message.Field{Name: "RECEIVED", Value: r})
		}
		s, ok := usualRoles(t).Behind(message.NewHeader(fields, 0), "mx.test")
		got := ""
		if s.Client.IsValid() {
			got = s.Client.String()
		}
		if got != c.client || s.Helo != c.helo || s.Host != c.host || s.PTR != c.host || s.MTA != "mx.test" || ok != (c.client != "") || s.Local() {
			t.Errorf("%s: %+v, %v", c.name, *s, ok)
		}
	}
}

// A header over its limits is refused whoever sends it; where nobody can be
// refused it is held, because nobody has read all of it.
func TestHeaderLimits(t *testing.T) {
	relay := func(m *message.Message) { m.Peer = message.Relay }
	outbound := func(m *message.Message) { m.Role = message.Outbound }
	private := func(m *message.Message) { m.Session.Client = netip.MustParseAddr("192.168.7.7") }
	postmaster := func(m *message.Message) {
		m.Recipients = append(m.Recipients, message.Recipient{Path: message.ParsePath("<postmaster@mx.test>")})
	}
	reinject := func(m *message.Message) { m.Role = message.Reinject }
	for _, c := range []struct {
		name  string
		over  string
		long  int
		who   func(*message.Message)
		want  message.Action
		finds string
	}{
		{"within", "", longField, nil, message.Accept, ""},
		{"long field", "", longField + 1, nil, message.Accept, "HEADER_FIELD_LONG"},
		{"what Postfix lets through", "", 59524, nil, message.Accept, "HEADER_FIELD_LONG"},
		{"too many fields", "header_fields", 0, nil, message.RejectMail, "HEADER_TOO_LARGE"},
		{"too many bytes", "header_bytes", 0, nil, message.RejectMail, "HEADER_TOO_LARGE"},
		{"both", "header_bytes", longField + 1, nil, message.RejectMail, "HEADER_TOO_LARGE HEADER_FIELD_LONG"},
		{"our own users", "header_fields", 0, outbound, message.RejectMail, "HEADER_TOO_LARGE"},
		{"a forgotten host of ours", "header_fields", 0, private, message.RejectMail, "HEADER_TOO_LARGE CLIENT_PRIVATE"},
		{"a relay", "header_fields", 0, relay, message.Quarantine, "HEADER_TOO_LARGE"},
		{"postmaster", "header_fields", 0, postmaster, message.Quarantine, "HEADER_TOO_LARGE"},
		{"seen before", "header_fields", longField + 1, reinject, message.Accept, ""},
	} {
		m := newMessage(t, "X-Long: "+strings.Repeat("x", max(c.long-1, 0))+"\n"+plain, c.who)
		m.Header.OverLimit = c.over
		out := decide(t, newPipeline(t, nil, nil), m)
		var finds []string
		for _, f := range out.Verdict.Findings {
			finds = append(finds, f.Name)
			if f.Name == "HEADER_TOO_LARGE" && f.Detail != "over limits."+c.over {
				t.Errorf("%s: nothing says which limit: %+v", c.name, f)
			}
		}
		if got := strings.Join(finds, " "); out.Verdict.Action != c.want || got != c.finds {
			t.Errorf("%s: %s with %s, want %s with %s", c.name, out.Verdict.Action, got, c.want, c.finds)
		}
		// Whoever gets it all the same, from the hold queue for one, sees that nobody has read it.
		if got, held := inserted(out, "X-Milterd-Unscanned"), c.want == message.Quarantine; (got == "limits") != held || !held && got != "" {
			t.Errorf("%s: X-Milterd-Unscanned %q", c.name, got)
		}
		if c.want == message.RejectMail && out.Verdict.Reply != message.ReplyHeaderSize.WithID(m.ID) {
			t.Errorf("%s: told %s", c.name, out.Verdict.Reply)
		}
	}
}

// In mode tag it is delivered, as junk, and bears the mark.
func TestHeaderLimitsTagged(t *testing.T) {
	m := newMessage(t, plain, nil)
	m.Header.OverLimit = "header_fields"
	out := decide(t, newPipeline(t, nil, func(o *Options) { o.Policy = newPolicy(t, message.Tag, "") }), m)
	if v := &out.Verdict; v.Action != message.Junk || v.Would != message.RejectMail || !out.Apply || inserted(out, "X-Milterd-Unscanned") != "limits" || inserted(out, "X-Spam-Flag") != "YES" {
		t.Errorf("%s, would %s, X-Milterd-Unscanned %q, X-Spam-Flag %q", v.Action, v.Would, inserted(out, "X-Milterd-Unscanned"), inserted(out, "X-Spam-Flag"))
	}
}

// Every finding that the pipeline and scoring make can be named in rules.
func TestFindings(t *testing.T) {
	known := map[string]checks.FindingSpec{}
	for _, f := range Findings() {
		known[f.Name] = f
		if f.Describe == "" || f.Subjective {
			t.Errorf("%+v", f)
		}
	}
	for _, name := range []string{"CLIENT_PRIVATE", "HEADER_TOO_LARGE", "HEADER_FIELD_LONG"} {
		if known[name].Name == "" {
			t.Errorf("%s is not listed", name)
		}
	}
}
