package clamav

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// hello is a message with nothing in it.
const hello = "From: a@b.test\nSubject: hello\n\nhello there, this is a text\n"

// infected is a message with the test file attached.
func infected() string {
	return "From: a@b.test\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=BB\n\n--BB\n\nsee attached\n" +
		"--BB\nContent-Type: application/octet-stream; name=x.com\nContent-Transfer-Encoding: base64\n\n" +
		base64.StdEncoding.EncodeToString(eicar) + "\n--BB--\n"
}

// section is a section with these sockets.
func section(required bool, timeout string, sockets ...string) string {
	return fmt.Sprintf("enabled: true\nrequired: %v\ntimeout: %s\nstream_max: 1MiB\nsockets: [%s]\n", required, timeout, strings.Join(sockets, ", "))
}

func names(res *checks.Result) string {
	var all []string
	for _, f := range res.Findings {
		all = append(all, f.Name)
	}
	return strings.Join(all, " ")
}

// TestReal: a real clamd finds what is there and nothing else.
func TestReal(t *testing.T) {
	t.Parallel()
	clamd := realClamd(t)
	h := checktest.New(t, Spec(), section(true, "20s", clamd), checks.Env{})
	if res := h.Run(checktest.Mail{Text: hello}); len(res.Findings) != 0 || res.Demand != nil {
		t.Errorf("nothing: %+v", res)
	}
	for _, role := range []message.Role{message.Inbound, message.Outbound} {
		res := h.Run(checktest.Mail{Text: infected(), Role: role})
		d := res.Demand
		if names(&res) != findFound || !strings.HasPrefix(res.Findings[0].Detail, "Test.Eicar.UNOFFICIAL in ") || d == nil ||
			d.Action != message.RejectMail || d.Reply != message.ReplyMalware || !d.Always || !d.Outbound {
			t.Errorf("%s: %+v, %+v", role, res, d)
		}
	}
	// Longer than clamd takes, with the test file where it is seen.
	long := "From: a@b.test\n\n" + strings.Repeat("a line of text to fill the space\n", 50_000)
	if res := h.Run(checktest.Mail{Text: long}); names(&res) != findPartial {
		t.Errorf("long: %+v", res)
	}
	if res := h.Run(checktest.Mail{Text: "From: a@b.test\n\n" + string(eicar) + "\n" + long}); names(&res) != findFound {
		t.Errorf("long, infected: %+v", res)
	}
	// More than clamd takes is an error.
	h = checktest.New(t, Spec(), strings.ReplaceAll(section(true, "20s", clamd), "1MiB", "20MiB"), checks.Env{})
	if _, err := h.Try(t.Context(), checktest.Mail{Text: long}); !errors.Is(err, errSize) {
		t.Errorf("over StreamMaxLength: %v", err)
	}
}

// TestImpostor: whatever a clamd does, only one of its two sentences is a verdict.
func TestImpostor(t *testing.T) {
	for name, reply := range map[string]string{
		"silence":              hang,
		"end in the middle":    drop,
		"endless answer":       flood,
		"no answer":            "",
		"zeros":                garbage,
		"half an answer":       "stream: OK",
		"another half":         "stream: O\x00",
		"another stream's":     "2: stream: OK\x00",
		"twice":                "stream: OK\x00stream: OK\x00",
		"more behind":          "stream: OK\x00 ",
		"an error":             "stream: Can't allocate memory ERROR\x00",
		"size":                 "INSTREAM size limit exceeded. ERROR\x00",
		"size as a stream":     "stream: INSTREAM size limit exceeded. ERROR\x00",
		"unknown":              "UNKNOWN COMMAND\x00",
		"a web server":         "HTTP/1.0 400 Bad Request\r\n\r\n",
		"nothing found":        "stream:  FOUND\x00",
		"found and cut":        "stream: Test FOUND",
		"another session's":    "1: stream: Test FOUND\x00",
		"control characters":   "stream: a\nb FOUND\x00",
		"another file is fine": "/etc/passwd: OK\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newImpostor(t, reply)
			began := time.Now()
			_, err := checktest.New(t, Spec(), section(true, "300ms", i.socket), checks.Env{}).Try(t.Context(), checktest.Mail{Text: hello})
			if err == nil {
				t.Error("passes for clean")
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			res := checktest.New(t, Spec(), section(false, "300ms", i.socket), checks.Env{}).Run(checktest.Mail{Text: hello})
			if names(&res) != findUnscanned || !res.Unscanned || res.Demand != nil {
				t.Errorf("not required: %+v", res)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		if _, err := checktest.New(t, Spec(), section(true, "300ms", "unix:/nowhere/at/all"), checks.Env{}).Try(t.Context(), checktest.Mail{Text: hello}); err == nil {
			t.Error("passes for clean")
		}
	})
}

// TestFailover: one that works is enough, wherever it stands in the list, and one that
// comes back in time is enough as well.
func TestFailover(t *testing.T) {
	good := newImpostor(t, infect)
	for name, sockets := range map[string][]string{
		"the second":          {"unix:/nowhere/at/all", good.socket},
		"behind a silent one": {newImpostor(t, hang).socket, good.socket},
		"behind a liar":       {newImpostor(t, "stream: OK").socket, good.socket},
		"the third":           {newImpostor(t, drop).socket, "inet:127.0.0.1:1", good.socket},
		"reloading":           {newImpostor(t, hang, hang, infect).socket},
		"restarted":           {newImpostor(t, drop, drop, drop, infect).socket},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := checktest.New(t, Spec(), section(true, "4s", sockets...), checks.Env{})
			for text, want := range map[string]string{hello: "", infected(): findFound} {
				if res, err := h.Try(t.Context(), checktest.Mail{Text: text}); err != nil || names(&res) != want {
					t.Errorf("%v, %v, want %s", res, err, want)
				}
			}
		})
	}
}

// TestFoundOutweighs: malware in one piece is malware, though clamd failed on others.
func TestFoundOutweighs(t *testing.T) {
	t.Parallel()
	const found = "stream: Test FOUND\x00"
	i := newImpostor(t, "stream: broken ERROR\x00", "stream: broken ERROR\x00", found)
	res, err := checktest.New(t, Spec(), section(true, "4s", i.socket), checks.Env{}).Try(t.Context(), checktest.Mail{Text: infected()})
	if err != nil || names(&res) != findFound {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestPieces: clamd is given the raw message as it came, and each part decoded.
func TestPieces(t *testing.T) {
	t.Parallel()
	i := newImpostor(t, clean)
	h := checktest.New(t, Spec(), section(true, "5s", i.socket), checks.Env{})
	h.Run(checktest.Mail{Text: infected()})
	raw := []byte(strings.ReplaceAll(infected(), "\n", "\r\n"))
	want := [][]byte{raw, []byte("see attached"), eicar}
	got := i.given()
	for _, w := range want[:1] {
		if len(got) == 0 || !bytes.Equal(got[0], w) && !containsPiece(got, w) {
			t.Errorf("no stream is %q: %q", w, got)
		}
	}
	if !containsPiece(got, eicar) {
		t.Errorf("the attachment was not given by itself: %q", got)
	}
}

func containsPiece(all [][]byte, one []byte) bool {
	for _, p := range all {
		if bytes.Equal(p, one) {
			return true
		}
	}
	return false
}

// TestCache: the same bytes are given once, as long as their verdict is fresh; a failure
// is never remembered.
func TestCache(t *testing.T) {
	t.Parallel()
	reg, now := prometheus.NewRegistry(), time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	i := newImpostor(t, infect)
	h := checktest.New(t, Spec(), section(true, "5s", i.socket), checks.Env{Registerer: reg, Now: func() time.Time { return now }})
	parts := func() int {
		n := 0
		for _, s := range i.given() {
			if bytes.Equal(s, eicar) {
				n++
			}
		}
		return n
	}
	mail := strings.Replace(infected(), "see attached", "one", 1)
	for range 3 {
		if res := h.Run(checktest.Mail{Text: mail}); names(&res) != findFound {
			t.Fatalf("%+v", res)
		}
	}
	if n := parts(); n > 1 {
		t.Errorf("given %d times", n)
	}
	now = now.Add(time.Hour)
	h.Run(checktest.Mail{Text: mail})
	c := newCache(time.Minute, 2)
	for k := range 10 {
		c.put([32]byte{byte(k)}, "", now)
	}
	if len(c.young)+len(c.older) > 4 {
		t.Errorf("%d entries", len(c.young)+len(c.older))
	}
	c.put([32]byte{1}, "x", now)
	for age, want := range map[time.Duration]bool{0: true, 59 * time.Second: true, time.Minute: false, -time.Second: false} {
		if virus, ok := c.get([32]byte{1}, now.Add(age)); ok != want || ok && virus != "x" {
			t.Errorf("after %v: %q, %v", age, virus, ok)
		}
	}
	off := newCache(0, 2)
	off.put([32]byte{1}, "x", now)
	if _, ok := off.get([32]byte{1}, now); ok {
		t.Error("remembers though it is off")
	}
	broken := newImpostor(t, drop, drop, drop, infect)
	h = checktest.New(t, Spec(), section(true, "3s", broken.socket), checks.Env{})
	if res := h.Run(checktest.Mail{Text: mail}); names(&res) != findFound {
		t.Errorf("after failures: %+v", res)
	}
}

// TestMetrics counts what clamd was given and what it failed.
func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	good := newImpostor(t, infect)
	h := checktest.New(t, Spec(), section(true, "5s", "unix:/nowhere/at/all", good.socket), checks.Env{Registerer: reg})
	h.Run(checktest.Mail{Text: hello})
	m, err := newMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	if n := testutil.ToFloat64(m.failures.WithLabelValues("unix:/nowhere/at/all")); n < 1 {
		t.Errorf("%v failures", n)
	}
	if n := testutil.ToFloat64(m.scans.WithLabelValues("clean")); n < 1 {
		t.Errorf("%v clean", n)
	}
}

// TestLimitsExceeded: clamd's word that it met a limit of its own is no malware.
func TestLimitsExceeded(t *testing.T) {
	t.Parallel()
	i := newImpostor(t, "stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\x00")
	res := checktest.New(t, Spec(), section(true, "5s", i.socket), checks.Env{}).Run(checktest.Mail{Text: hello})
	if names(&res) != findPartial || res.Demand != nil {
		t.Errorf("%+v", res)
	}
}

// TestTimeIsUp: a part that was not decoded to its end is not called clean without a word.
func TestTimeIsUp(t *testing.T) {
	t.Parallel()
	text := "From: a@b.test\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("QUFB", 100_000) + "\n"
	for limit, want := range map[time.Duration]string{0: "", 1: findPartial} { // a nanosecond is soon over
		res := checktest.New(t, Spec(), section(true, "5s", newImpostor(t, clean).socket), checks.Env{Limits: checks.Limits{MIMETime: limit}}).Run(checktest.Mail{Text: text})
		if names(&res) != want {
			t.Errorf("in %v: %+v", limit, res)
		}
	}
}

// TestTime: a check that has to stop says so.
func TestTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := checktest.New(t, Spec(), section(false, "5s", newImpostor(t, clean).socket), checks.Env{}).Try(ctx, checktest.Mail{Text: hello}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestConfig(t *testing.T) {
	var got config
	if err := checktest.Section(sample).Decode(&got); err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
	if spec := Spec(); !spec.Off || got.Enabled || !spec.Outbound {
		t.Errorf("%+v", spec)
	}
	for bad, want := range map[string]string{
		"sockets: []":                    "at least one",
		"sockets: [/run/clamav]":         "unix:/path",
		"sockets: [inet:3310]":           "inet:host:port",
		"timeout: 0s":                    "more than 0",
		"stream_max: 1KiB":               "64KiB",
		"connections: 0":                 "more than 0",
		"socket: unix:/run/x":            "sockets",
		"sockets: [\"unix:relative/s\"]": "unix:/path",
	} {
		if _, err := checktest.TryNew(t, Spec(), bad, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "milterd.yaml:1:") {
			t.Errorf("%s: %v, want %q in it", bad, err, want)
		}
	}
	for text, want := range map[string]socket{
		"unix:/a/b":          {"unix:/a/b", "unix", "/a/b"},
		"local:/a/b":         {"local:/a/b", "unix", "/a/b"},
		"inet:127.0.0.1:33":  {"inet:127.0.0.1:33", "tcp", "127.0.0.1:33"},
		"tcp://[::1]:3310":   {"tcp://[::1]:3310", "tcp", "[::1]:3310"},
		"inet:clam.test:331": {"inet:clam.test:331", "tcp", "clam.test:331"},
	} {
		var s socket
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
}

// FuzzReply: nothing but the two sentences, word for word, is a verdict.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"stream: OK\x00", "stream: Test.Eicar FOUND\x00", "stream: a FOUND FOUND\x00", "INSTREAM size limit exceeded. ERROR\x00", "stream: OK", "\x00", "1: stream: OK\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		virus, err := parseReply(reply)
		switch {
		case err != nil && virus != "":
			t.Errorf("%q: %q and %v", reply, virus, err)
		case err == nil && virus == "" && string(reply) != clean:
			t.Errorf("%q passes for clean", reply)
		case err == nil && virus != "" && string(reply) != "stream: "+virus+" FOUND\x00":
			t.Errorf("%q is %q", reply, virus)
		case err != nil && message.SafeText(err.Error(), 1000) != err.Error():
			t.Errorf("%q: error %q", reply, err)
		}
	})
}

func BenchmarkRun(b *testing.B) {
	i := newImpostor(b, clean)
	h := checktest.New(b, Spec(), section(true, "5s", i.socket), checks.Env{})
	m := checktest.Mail{Text: infected()}.Message(b)
	defer m.Body.Release()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Check().Run(b.Context(), &checks.Input{Message: m, Body: m.Body.Reader()}); err != nil {
			b.Fatal(err)
		}
	}
}
