package rotation

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAdvice(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	views := func(ns1, ns2, resolver Said) []View {
		return []View{{Server: "ns1", Addr: addr, Said: ns1}, {Server: "ns2", Addr: addr, Said: ns2}, {Server: "resolver", Said: resolver}}
	}
	nowhere, empty := views(SaysAbsent, SaysAbsent, SaysAbsent), Sight{Status: Missing, TTL: time.Hour}
	for _, test := range []struct {
		name string
		keys []string // the first is the one in question
		seen Sight
		want string
	}{
		{"not published", []string{"e1 next 1h"}, Sight{Status: Missing, Views: nowhere}, "publish its record (milterd dkim dns example.org)"},
		{"half published", []string{"e1 next 1h"}, Sight{Status: Missing, Views: views(SaysShown, SaysAbsent, SaysShown)}, "not every name server has it yet"},
		{"another is published", []string{"e1 next 1h"}, Sight{Status: Missing, Views: views(SaysDiffers, SaysDiffers, SaysDiffers)}, "publish its record"},
		{"remembered", []string{"e1 next 1h"}, Sight{Status: Missing, TTL: time.Hour, Views: views(SaysShown, SaysShown, SaysAbsent)}, "still remembers that it was not there, for 1h0m0s at most"},
		{"silence", []string{"e1 next 1h"}, Sight{Status: Unknown}, "not every name server could be asked"},
		{"published, not noted yet", []string{"e1 next 1h"}, Sight{Status: Shown}, "milterd dkim rotate example.org goes on"},
		{"must wait", []string{"e1 next 1h -1h", "e2 active 1h"}, Sight{Status: Shown}, "signs from 2026-11-01 13:00 UTC on"},
		{"may sign", []string{"e1 next 2h 1h", "e2 active 1h"}, Sight{Status: Shown}, "ready to sign: milterd dkim rotate example.org lets it"},
		{"signs", []string{"e1 active 24h"}, Sight{Status: Shown}, "the next key is made on 2027-04-29"},
		{"signs, the next is there", []string{"e1 active 24h", "e2 next 1h"}, Sight{Status: Shown}, ""},
		{"signs, and is gone", []string{"e1 active 24h"}, empty, "publish its record again"},
		{"retiring", []string{"e1 retiring 24h"}, Sight{Status: Shown}, "leave its record in the DNS until 2026-11-08"},
		{"retiring, and is gone", []string{"e1 retiring 24h"}, empty, "may be on its way until 2026-11-08: publish its record again"},
		{"retired", []string{"e1 retired 24h"}, Sight{Status: Missing, Views: views(SaysDiffers, SaysShown, SaysDiffers)}, "publish its record with an empty p= now"},
		{"retired, and gone altogether", []string{"e1 retired 24h"}, Sight{Status: Missing, Views: nowhere}, ""},
		{"retired, and emptied", []string{"e1 retired 24h"}, Sight{Status: Shown}, ""},
		{"its file is wrong", []string{"e1 next 1h"}, Sight{Status: Unknown, Err: errors.New("x.pem: is not there")}, "x.pem: is not there"},
	} {
		s := state(t, test.keys...)
		got := Advice(s, &s.Keys[0], test.seen, noon, Policy{Age: DefaultAge, Overlap: DefaultOverlap})
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	s := state(t, "e1 active 24h")
	if got := Advice(s, &s.Keys[0], Sight{Status: Shown}, noon, Policy{}); got != "" {
		t.Errorf("a key that nobody replaces: %q", got)
	}
}
