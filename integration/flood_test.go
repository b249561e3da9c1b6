package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"milterd/internal/dns/zone"
	"milterd/milter"
)

// What a flood may cost, whatever its length.
const (
	floodKinds  = 8 // messages that differ in every byte of their bodies
	floodMemory = 1 << 30
)

// TestFlood sends large signed messages all at once: each begins before the first one
// may end. All are answered, each with what its own body is worth; memory stays bounded, and
// the next message is answered as if nothing had been. MILTERD_FLOOD says how many of 25 MB.
func TestFlood(t *testing.T) {
	testBed(t)
	messages, size := 40, 2<<20
	if n, err := strconv.Atoi(os.Getenv("MILTERD_FLOOD")); err == nil {
		messages, size = n, 25<<20
	}
	key := newSigner("flood.test")
	server := serveNames(t, "flood.test TXT v=spf1 ip4:203.0.113.0/24 -all\n"+selector+"._domainkey.flood.test TXT "+key.record()+"\n", nil)
	// Time is not what is tested: a slow machine may take as long as Postfix waits.
	d, err := startDaemon("flood", DaemonConfig{DNS: []string{server.Addr()}, YAML: "limits: {message_time: 4m}\n"})
	if err != nil {
		t.Fatal(err)
	}
	for metric, want := range map[string]float64{"go_gc_gogc_percent": 300, "go_gc_gomemlimit_bytes": 768 << 20} {
		n, err := d.Metric(within(t), metric)
		check(t, err == nil && 0 < n && n <= want, "%s: %v, %v, want %v", metric, n, err, want)
	}
	before := restOf(t, d)
	raw := make([][]byte, floodKinds)
	var making sync.WaitGroup
	for i := range raw {
		making.Go(func() { raw[i] = floodMessage(key, uint64(i), size) })
	}
	making.Wait()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var ready, done sync.WaitGroup
	ready.Add(messages)
	results := make([]string, messages)
	for i := range messages {
		done.Go(func() { results[i] = floodOne(ctx, d, raw[i%floodKinds], &ready) })
	}
	ready.Wait()
	complete := time.Now()
	done.Wait()
	took := time.Since(complete)
	for i, got := range results {
		want := "dkim=pass"
		if i%floodKinds == 0 {
			want = "dkim=fail" // see floodMessage
		}
		check(t, got == want, "message %d: %s, want %s", i, got, want)
	}
	peak := status(t, d, "VmHWM")
	check(t, peak < floodMemory, "%d MiB resident", peak>>20)
	after := quiet(t, d)
	backToBase(t, d, before)
	for _, metric := range []string{"milterd_inflight_memory_bytes", "milterd_spool_bytes"} {
		givenBack(t, d, metric)
	}
	fmt.Printf("%d messages of %d MB at once, all answered %v after the last byte: %d MiB resident before, %d at most; a plain message afterwards took %v\n",
		messages, size>>20, took.Round(time.Millisecond), before.resident>>20, peak>>20, after.Round(time.Millisecond))
}

// recovery is the time after a flood within which things are as they were.
const recovery = 5 * time.Second

// quiet is for the time after a flood: within recovery a plain message is answered in less
// than a second. It returns how long that one took.
func quiet(t *testing.T, d *Daemon) time.Duration {
	t.Helper()
	deadline := time.Now().Add(recovery)
	for {
		c, err := greeted(t.Context(), milter.Addr{Network: "unix", Address: d.Socket()})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		one, err := playOne(t.Context(), c, joe, newMail(t, "and now?").Bytes(), nil)
		took := time.Since(began)
		c.Close()
		if err == nil && one.out.Reply.IsContinue() && took < time.Second {
			shared.assertions.Add(1)
			return took
		}
		if time.Now().After(deadline) {
			t.Errorf("%v after the flood: %v, %v, took %v", recovery, one.out.Reply, err, took)
			return took
		}
	}
}

// floodMessage is a signed message of about that size with an attachment. The one with
// the number 0 was changed after it was signed, by one byte in the middle.
func floodMessage(key signer, number uint64, size int) []byte {
	random := rand.NewChaCha8([32]byte{byte(number)})
	content := make([]byte, size/78*57)
	random.Read(content)
	encoded := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	fmt.Fprintf(&b, "From: joe@flood.test\r\nTo: %s\r\nSubject: the pictures, part %d\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@flood.test>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n--=_b\r\nContent-Type: text/plain\r\n\r\nHello,\r\nhere they are.\r\n\r\n"+
		"--=_b\r\nContent-Type: image/jpeg; name=\"p.jpg\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", alice, number, number)
	for len(encoded) > 0 {
		n := min(76, len(encoded))
		b.WriteString(encoded[:n] + "\r\n")
		encoded = encoded[n:]
	}
	b.WriteString("\r\n--=_b--\r\n")
	raw := []byte(key.sign(b.String(), "flood.test", selector, "From", "To", "Subject", "Date", "Message-ID"))
	if number == 0 {
		at := len(raw) / 2
		at += bytes.IndexByte(raw[at:], '\n') + 10
		raw[at] ^= 1
	}
	return raw
}

// floodOne sends all of a message but its end, waits until all others have come as
// far, and tells what the answer says of the signature.
func floodOne(ctx context.Context, d *Daemon, raw []byte, ready *sync.WaitGroup) string {
	arrived := sync.OnceFunc(ready.Done)
	defer arrived()
	c, err := greeted(ctx, milter.Addr{Network: "unix", Address: d.Socket()})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	one, err := playOne(ctx, c, "joe@flood.test", raw, func() {
		arrived()
		ready.Wait()
	})
	if err != nil {
		return err.Error()
	}
	if !one.out.Reply.IsContinue() {
		return one.out.Reply.String()
	}
	return "dkim=" + one.result("dkim")
}

// serveNames serves records of a test's own on loopback. around, unless it is nil, may do
// something else than answer from them.
func serveNames(t *testing.T, records string, around func(answer zone.Handler) zone.Handler) *zone.Server {
	t.Helper()
	parsed, err := zone.Parse(records)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zone.New(parsed)
	if err != nil {
		t.Fatal(err)
	}
	handle := zone.Handler(z.Handle)
	if around != nil {
		handle = around(handle)
	}
	server, err := zone.Serve(handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// status reads a size of the daemon's from the kernel: VmRSS, VmHWM.
func status(t *testing.T, d *Daemon, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.proc.pid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == name+":" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no " + name + " in /proc")
	return 0
}
