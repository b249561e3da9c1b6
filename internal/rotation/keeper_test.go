package rotation

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"milterd/internal/strictyaml"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// keeper is a Keeper with a log, and a DNS that shows what is in shown.
type keeper struct {
	Keeper
	log      bytes.Buffer
	registry *prometheus.Registry
	now      time.Time
	status   Status
	looks    atomic.Int64
}

func newKeeper(targets ...Target) *keeper {
	k := &keeper{registry: prometheus.NewRegistry(), now: noon, status: Shown}
	dns := fakeDNS(func(string, string) Sight {
		k.looks.Add(1)
		return Sight{Status: k.status, TTL: time.Hour, Views: []View{{Server: "ns1", Said: SaysAbsent}}}
	})
	k.Keeper = Keeper{Targets: func() []Target { return targets }, DNS: dns, Now: func() time.Time { return k.now },
		Random: rand.Reader, Logger: slog.New(slog.NewTextHandler(&k.log, nil)), Metrics: NewMetrics(k.registry)}
	return k
}

// turn takes a turn and fails unless those words are in what was logged. Without
// words nothing may be logged.
func (k *keeper) turn(t *testing.T, words ...string) {
	t.Helper()
	k.log.Reset()
	k.Turn(t.Context())
	for _, word := range words {
		if !strings.Contains(k.log.String(), word) {
			t.Errorf("%q is not in\n%s", word, k.log.String())
		}
	}
	if len(words) == 0 && k.log.Len() > 0 {
		t.Errorf("logged\n%s", k.log.String())
	}
}

// shows compares the metrics, without their help.
func (k *keeper) shows(t *testing.T, want string) {
	t.Helper()
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.Metric {
			got = append(got, strings.TrimPrefix(f.GetName(), "milterd_dkim_key_")+" "+m.Label[0].GetValue()+"/"+m.Label[1].GetValue()+" "+
				time.Duration(m.Gauge.GetValue()*float64(time.Second)).String())
		}
	}
	if text := strings.Join(got, "; "); text != want {
		t.Errorf("%s\nwant %s", text, want)
	}
}

func TestKeeper(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(Target{Domain: "example.org", Directory: dir, Overlap: DefaultOverlap})
	later := func(d time.Duration) { k.now = k.now.Add(d) }

	k.status = Missing
	k.turn(t, "a key waits to be published", "txt=\"v=DKIM1; k=ed25519; p=", "ns1 absent")
	k.shows(t, "age_seconds example.org/202611e 0s")
	k.status = Shown
	later(time.Hour)
	k.turn(t, "every name server shows the key", "the key signs from now on", "selector=202611e")
	k.shows(t, "age_seconds example.org/202611e 1h0m0s; dns_ok example.org/202611e 1s")
	later(time.Hour)
	k.turn(t)
	k.status = Missing
	later(time.Hour)
	k.turn(t, "level=WARN", "the DNS does not show a key", "name=202611e._domainkey.example.org")
	k.shows(t, "age_seconds example.org/202611e 3h0m0s; dns_ok example.org/202611e 0s")
	k.status = Unknown
	later(time.Hour)
	k.turn(t, "level=INFO", "whether the DNS shows a key cannot be found out now")
	k.shows(t, "age_seconds example.org/202611e 4h0m0s; dns_ok example.org/202611e 0s")
	k.status = Shown
	later(DefaultAge)
	k.turn(t, "level=WARN", "it is time for another key", "name=202704e._domainkey.example.org")
	later(time.Hour)
	k.turn(t, "every name server shows the key")
	later(time.Hour)
	k.turn(t, "the key signs from now on", "the key signs no more")
	later(DefaultOverlap)
	k.turn(t, "publish its record with an empty p=", "txt=\"v=DKIM1; k=ed25519; p=\"")
	k.shows(t, "age_seconds example.org/202704e 194h0m0s; dns_ok example.org/202704e 1s")
	if problems, err := testutil.GatherAndLint(k.registry); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestKeeperWithoutRights: a daemon that may not write still looks.
func TestKeeperCannotWrite(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	k := newKeeper(Target{Domain: "example.org", Directory: dir})
	os.Remove(filepath.Join(dir, lockFile))
	if err := os.Mkdir(filepath.Join(dir, lockFile), 0o700); err != nil { // even root cannot open that for writing
		t.Fatal(err)
	}
	k.turn(t, "level=ERROR", "the keys cannot be moved on; run milterd dkim rotate")
	k.shows(t, "age_seconds example.org/202611e 0s")
	os.Remove(filepath.Join(dir, lockFile))
	unlock, err := disk{}.lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	k.turn(t, "level=INFO", "another milterd is changing the keys just now")
	unlock()
	k.turn(t, "the key signs from now on")
}

// TestKeeperSingle: keys that are named in the configuration are looked at, and
// never touched.
func TestKeeperSingle(t *testing.T) {
	dir := keyDirectory(t)
	s, err := Generate(dir, "example.org", ed, noon)
	if err != nil {
		t.Fatal(err)
	}
	path := s.Keys[0].Path
	if err := os.Chtimes(path, time.Time{}, noon.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	targets := []Target{{Domain: "example.org", Keys: []File{{"s1", path}}}}
	k := newKeeper()
	k.Targets = func() []Target { return targets }
	k.turn(t)
	k.shows(t, "age_seconds example.org/s1 1h0m0s; dns_ok example.org/s1 1s")
	k.status = Missing
	k.turn(t, "the DNS does not show a key", "name=s1._domainkey.example.org")
	k.shows(t, "age_seconds example.org/s1 1h0m0s; dns_ok example.org/s1 0s")
	// The same selector twice is one metric, whatever the configuration says.
	targets = append(targets, targets[0])
	k.turn(t, "the DNS does not show a key")
	k.shows(t, "age_seconds example.org/s1 1h0m0s; dns_ok example.org/s1 0s")
	os.Remove(path)
	k.turn(t, "a key cannot be looked after", "is not there")
	k.shows(t, "")
	targets = []Target{{Domain: "example.com", Directory: filepath.Join(dir, "nowhere")}}
	k.turn(t, "no keys to look after yet")
	targets = nil
	k.turn(t)
}

// TestKeeperRun: a turn soon after the start, then one an hour, until the end.
func TestKeeperRun(t *testing.T) {
	dir := keyDirectory(t)
	if _, err := Generate(dir, "example.org", ed, noon); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(Target{Domain: "example.org", Directory: dir, Overlap: DefaultOverlap})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { k.Run(ctx) })
		time.Sleep(firstTurn)
		synctest.Wait()
		if n := k.looks.Load(); n != 1 {
			t.Errorf("%d turns in the first minute", n)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := k.looks.Load(); n < 22 || n > 28 {
			t.Errorf("%d turns in a day", n)
		}
		cancel()
		running.Wait()
		k.status = Missing
		before := k.log.Len()
		k.Turn(ctx)
		if k.log.Len() != before {
			t.Errorf("a turn after the end said: %s", k.log.String()[before:])
		}
	})
}

func TestUpTo(t *testing.T) {
	k := newKeeper()
	for _, test := range []struct {
		random string
		want   time.Duration
	}{{"", 30 * time.Second}, {"\x00\x00\x00\x00\x00\x00\x00\x05", 5}, {"\xff\xff\xff\xff\xff\xff\xff\xff", 33709551615}} {
		k.Random = strings.NewReader(test.random)
		if got := k.upTo(time.Minute); got != test.want {
			t.Errorf("%q: %v, want %v", test.random, got, test.want)
		}
	}
}

func TestTargets(t *testing.T) {
	var cfg struct {
		Signing strictyaml.Section `yaml:"signing"`
	}
	const text = `signing:
  expire: 14d
  sender_binding: off
  domains:
    b.example: {directory: keys/b.example, subdomains: true}
    a.example: {expire: 2d, keys: [{selector: s1, file: /k/s1.pem}, {selector: s2, file: s2.pem}]}
    c.example: {expire: off, directory: /c}
`
	if err := strictyaml.Decode("/etc/milterd/milterd.yaml", []byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	got, err := Targets(cfg.Signing)
	if err != nil {
		t.Fatal(err)
	}
	const d = 24 * time.Hour
	want := []Target{
		{Domain: "a.example", Keys: []File{{"s1", "/k/s1.pem"}, {"s2", "/etc/milterd/s2.pem"}}, Overlap: 3 * d},
		{Domain: "b.example", Directory: "/etc/milterd/keys/b.example", Overlap: 15 * d},
		{Domain: "c.example", Directory: "/c", Overlap: 30 * d},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if a, b := got[i], want[i]; a.Domain != b.Domain || a.Directory != b.Directory || a.Overlap != b.Overlap || len(a.Keys) != len(b.Keys) ||
			len(a.Keys) > 0 && (a.Keys[0] != b.Keys[0] || a.Keys[1] != b.Keys[1]) {
			t.Errorf("%+v\nwant %+v", a, b)
		}
	}
	if all, err := Targets(strictyaml.Section{}); err != nil || len(all) > 0 {
		t.Errorf("without a section: %v, %v", all, err)
	}
	if got := overlapOf(""); got != DefaultOverlap {
		t.Errorf("by default %v", got)
	}
}
