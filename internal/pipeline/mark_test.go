package pipeline

import (
	"net/netip"
	"strings"
	"testing"

	"milterd/message"
)

// marked returns the message as our content filter hands it back: with the mark
// that p gave it, from a host of ours.
func marked(t testing.TB, p *Pipeline, change func(*message.Message)) *message.Message {
	t.Helper()
	first := newMessage(t, plain, nil)
	mark := inserted(decide(t, p, first), MarkField)
	return newMessage(t, MarkField+": "+mark+"\n"+plain, func(m *message.Message) {
		m.Session.Client = netip.MustParseAddr(ourIP)
		m.Role = message.Outbound
		if change != nil {
			change(m)
		}
	})
}

// withFields gives the message other header fields.
func withFields(m *message.Message, f func(fields []message.Field) []message.Field) {
	m.Header = message.NewHeader(f(m.Header.Fields), 8192)
}

// replace gives the field of that name another value.
func replace(name, value string) func(*message.Message) {
	return func(m *message.Message) {
		withFields(m, func(fields []message.Field) []message.Field {
			fields = append([]message.Field(nil), fields...)
			for i := range fields {
				if fields[i].Name == name {
					fields[i].Value = value
				}
			}
			return fields
		})
	}
}

func TestSeen(t *testing.T) {
	p := newPipeline(t, nil, nil)
	other := newPipeline(t, nil, func(o *Options) { o.MarkKey = []byte("another") })
	for _, c := range []struct {
		name   string
		by     *Pipeline // who marked it
		change func(*message.Message)
		want   bool
	}{
		{"ours, from our network", p, nil, true},
		{"ours, from this host", p, func(m *message.Message) {
			m.Session = &message.Session{Host: "localhost", Client: netip.MustParseAddr("127.0.0.1")}
		}, true},
		{"the filter has added fields and folded others", p, func(m *message.Message) {
			withFields(m, func(f []message.Field) []message.Field {
				return append([]message.Field{{Name: "X-Virus-Scanned", Value: " yes"}, {Name: "Received", Value: " from a by b"}}, f...)
			})
			replace("Subject", " ***SPAM*** hi")(m)
			replace("From", "\n Ann <ann@x.test> ")(m)
		}, true},
		{"marked with another key", other, nil, false},
		{"from a stranger: who got a mail of ours replays its mark", p, func(m *message.Message) {
			m.Session.Client = netip.MustParseAddr(strangerIP)
		}, false},
		{"from one who shows port 0", p, func(m *message.Message) {
			m.Session = &message.Session{Host: "unknown", Client: netip.MustParseAddr(strangerIP)}
		}, false},
		{"from a relay of ours, which brings strangers' mail", p, func(m *message.Message) { m.Peer = message.Relay }, false},
		{"from one who logged in", p, func(m *message.Message) { m.Login = "ann" }, false},
		{"of another message: Message-ID", p, replace("Message-ID", " <2@x.test>"), false},
		{"of another message: From", p, replace("From", " Bob <bob@x.test>"), false},
		{"of another message: Date", p, replace("Date", " Sat, 21 Nov 2026 12:00:00 +0000"), false},
		{"of a mailing list of ours", p, func(m *message.Message) {
			withFields(m, func(f []message.Field) []message.Field {
				return append(f, message.Field{Name: "List-Id", Value: " <dev.x.test>"})
			})
		}, false},
		{"a second From", p, func(m *message.Message) {
			withFields(m, func(f []message.Field) []message.Field {
				return append(f, message.Field{Name: "From", Value: " b@x.test"})
			})
		}, false},
		{"no mark", p, func(m *message.Message) {
			withFields(m, func(f []message.Field) []message.Field { return f[1:] })
		}, false},
		{"another id", p, func(m *message.Message) {
			_, tag, _ := strings.Cut(strings.TrimSpace(m.Header.Fields[0].Value), " ")
			m.Header.Fields[0].Value = " k7q2m9zt4w1c " + tag
		}, false},
		{"no tag", p, replace(MarkField, " 000000000000"), false},
		{"empty tag", p, replace(MarkField, " 000000000000 "), false},
		{"no id", p, func(m *message.Message) { m.Header.Fields[0].Value = m.Header.Fields[0].Value[13:] }, false},
		{"behind marks of others", p, func(m *message.Message) {
			withFields(m, func(f []message.Field) []message.Field {
				return append([]message.Field{{Name: MarkField, Value: " k7q2m9zt4w1c 0123"}, {Name: MarkField, Value: " x"}}, f...)
			})
		}, true},
		{"behind more of them than anybody needs", p, func(m *message.Message) {
			withFields(m, func(f []message.Field) []message.Field {
				var junk []message.Field
				for range maxMarks {
					junk = append(junk, message.Field{Name: MarkField, Value: " k7q2m9zt4w1c 0123"})
				}
				return append(junk, f...)
			})
		}, false},
	} {
		if got := p.Seen(marked(t, c.by, c.change)); got != c.want {
			t.Errorf("%s: seen %v", c.name, got)
		}
	}
}

// The parts that the tag binds cannot flow into each other.
func TestMarkKeepsFieldsApart(t *testing.T) {
	p := newPipeline(t, nil, nil)
	header := func(fields ...message.Field) *message.Header { return message.NewHeader(fields, 0) }
	tags := map[string]string{}
	for name, h := range map[string]*message.Header{
		"one":            header(message.Field{Name: "From", Value: "a"}, message.Field{Name: "Date", Value: "b"}),
		"joined":         header(message.Field{Name: "From", Value: "ab"}),
		"two of a kind":  header(message.Field{Name: "From", Value: "a"}, message.Field{Name: "From", Value: "b"}),
		"moved":          header(message.Field{Name: "From", Value: "b"}, message.Field{Name: "Date", Value: "a"}),
		"nothing":        header(),
		"an empty field": header(message.Field{Name: "From"}),
		"name as value":  header(message.Field{Name: "Message-ID", Value: "Date"}, message.Field{Name: "From", Value: "a"}),
	} {
		tag := p.markTag("000000000000", h)
		if other, taken := tags[tag]; taken {
			t.Errorf("%s and %s have one tag", name, other)
		}
		if len(tag) != 24 || strings.Trim(tag, "0123456789abcdefghjkmnpqrstvwxyz") != "" {
			t.Errorf("tag %q", tag)
		}
		tags[tag] = name
	}
}
