package dnslist

import (
	"net/netip"
	"strings"
	"testing"

	"milterd/message"
)

// FuzzClassify: whatever addresses an answer has, it lists only by a code that the
// description knows, all of it inside 127.0.0.0/8, and never beside a refusal; the
// order of the addresses does not matter.
func FuzzClassify(f *testing.F) {
	f.Add([]byte{127, 0, 0, 2})
	f.Add([]byte{127, 0, 0, 2, 127, 255, 255, 254})
	f.Add([]byte{127, 0, 0, 2, 203, 0, 113, 1})
	f.Add([]byte{127, 0, 5, 3, 127, 0, 0, 99})
	lists := shipped(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var addrs, back []netip.Addr
		foreign, refusing := false, false
		for len(data) >= 4 {
			a := netip.AddrFrom4([4]byte(data))
			foreign = foreign || data[0] != 127
			refusing = refusing || data[0] == 127 && data[1] == 255 && data[2] == 255
			addrs, data = append(addrs, a), data[4:]
		}
		for i := range addrs {
			back = append(back, addrs[len(addrs)-1-i])
		}
		for name, l := range lists {
			a := l.Classify(addrs)
			switch b := l.Classify(back); {
			case a.Status != b.Status || a.Class != b.Class:
				t.Errorf("%s: %v is %s, and %s the other way round", name, addrs, a, b)
			case len(addrs) == 0 && a.Status != Clear, len(addrs) > 0 && a.Status == Clear:
				t.Errorf("%s: %v is %s", name, addrs, a)
			case (foreign || refusing) && a.Status == Listed:
				t.Errorf("%s: %v is %s", name, addrs, a)
			}
			if a.Status != Listed {
				continue
			}
			class, byCode := l.Codes.find(a.Code.As4())
			if !byCode {
				class, byCode = l.Bits.find(a.Code.As4())
			}
			if !byCode || class != a.Class || class == NotWelcome {
				t.Errorf("%s: %v is %s, the code means %s", name, addrs, a, class)
			}
		}
	})
}

// FuzzFile: a file of lists is read or refused, and a list that may be asked can be:
// each question about it is a name in its zone.
func FuzzFile(f *testing.F) {
	f.Add("lists: {x: {enabled: true, zone: x.test, ask: [client], codes: {127.0.0.2: spam}}}")
	f.Add("lists: {surbl: {enabled: true, bits: {2: spam}}}\nnever: [a.test]")
	f.Add("lists: {x: {enabled: true, zone: x.test, ask: [url, email], codes: {127.*.0-3.1: phish}, test: {listed: a.b, clear: none}}}")
	mail, err := message.ParseAddress("a@b.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read := file{}
		if err := read.read("dnslists.yaml", Shipped); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "${") { // not to read files of this host
			return
		}
		if read.read("fuzz.yaml", []byte(text)) != nil {
			return
		}
		lists, err := read.Lists.For("checks.x", subjects...)
		if err != nil {
			return
		}
		for _, l := range lists {
			if !listName.MatchString(l.Name) || l.Zone == "" || len(l.Ask) == 0 {
				t.Fatalf("%+v may be asked", l)
			}
			var questions []Question
			add := func(q Question, ok bool) {
				if ok {
					questions = append(questions, q)
				}
			}
			add(l.AboutAddr(Client, netip.MustParseAddr("2001:db8::1")))
			add(l.AboutAddr(Client, netip.MustParseAddr("192.0.2.1")))
			add(l.AboutDomain(URL, "evil.test"))
			add(l.AboutEmail(mail))
			add(l.listedPoint())
			add(l.clearPoint())
			for i := range questions {
				if name, ok := questions[i].full(); ok && (!askable(name) || !strings.HasSuffix(name, "."+l.Zone)) {
					t.Errorf("%s is asked for %q", l.Name, name)
				}
			}
		}
	})
}

// FuzzSuffixes: whatever the files say, a registrable domain is the end of its host,
// cut at a label, and the same when it is asked for again.
func FuzzSuffixes(f *testing.F) {
	f.Add("co.uk\n*.ck\n!www.ck\n", "a.b.co.uk")
	f.Add("test", "a.test")
	f.Fuzz(func(t *testing.T, text, host string) {
		s := Suffixes{rules: map[string]suffixRule{}}
		if s.parse("fuzz", []byte(text)) != nil || !askable(host) {
			return
		}
		got := s.Registrable(host)
		if got != host && !strings.HasSuffix(host, "."+got) || got == "" {
			t.Errorf("%q of %q", got, host)
		}
		if again := s.Registrable(got); again != got {
			t.Errorf("%q of %q, and %q of that", got, host, again)
		}
	})
}
