package strictyaml

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
	}{
		{"0s", 0}, {"50ms", 50 * time.Millisecond}, {"3s", 3 * time.Second}, {"600s", 10 * time.Minute}, {"1h30m", 90 * time.Minute}, {"30d", 720 * time.Hour},
		{"2w", 336 * time.Hour}, {"1.5s", 1500 * time.Millisecond}, {"0.1s", 100 * time.Millisecond}, {"1m30s", 90 * time.Second}, {"106751d", 106751 * 24 * time.Hour},
	} {
		if got, err := ParseDuration(c.in); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v, want %v", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "0", "5", "s", "-5s", "+5s", "5 s", "5S", "5y", "1h30", "h1", ".5s", "5.s", "1.2.3s", "1e3s", "106752d", "9223372036854775808s", "1h 30m", "５s", "106751d24h", "9999999999999999999d"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Bytes
		out  string
	}{
		{"0B", 0, "0B"}, {"512B", 512, "512B"}, {"1024B", 1024, "1KiB"}, {"256MiB", 256 << 20, "256MiB"}, {"1.5GiB", 3 << 29, "1536MiB"}, {"1024TiB", 1 << 50, "1024TiB"}, {"1025B", 1025, "1025B"}, {"0.5KiB", 512, "512B"},
	} {
		if got, err := ParseBytes(c.in); err != nil || got != c.want || got.String() != c.out {
			t.Errorf("%s: got %d, %v, printed %v; want %d, printed %s", c.in, got, err, got, c.want, c.out)
		}
	}
	for _, in := range []string{"", "0", "5", "B", "5b", "5K", "5KB", "5MB", "-5B", "5 MiB", "5mib", "1.5B", ".5MiB", "5.MiB", "8388608TiB", "1e3B", "5iB", "5XiB", "5MiBB"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		b := Bytes(random.Int64N(math.MaxInt64) >> random.IntN(63))
		if got, err := ParseBytes(b.String()); err != nil || got != b {
			t.Fatalf("%d is printed %v and read as %d, %v", b, b, got, err)
		}
	}
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.0/24": "192.0.2.0/24", "::1": "::1/128", "[::1]": "::1/128", "[::1]/128": "::1/128", "[2001:db8::]/32": "2001:db8::/32",
		"::ffff:192.0.2.1": "192.0.2.1/32", "[::ffff:127.0.0.0]/104": "127.0.0.0/8", "0.0.0.0/0": "0.0.0.0/0", "10.1.2.3/8": "10.1.2.3/8", "::ffff:0:0/95": "::ffff:0.0.0.0/95",
	} {
		if got, err := ParsePrefix(in); err != nil || got != netip.MustParsePrefix(want) && got.String() != want {
			t.Errorf("%s: got %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0/8", "::/129", "[10.0.0.1]", "[::1", "::1]", "fe80::1%eth0/64", "10.0.0.0/8/8", "010.0.0.1", "localhost", " 10.0.0.1"} {
		if got, err := ParsePrefix(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"spf", "dkim", "dmarc", "max_size", "max_age", "authserv_id", "a"}
	for in, want := range map[string]string{
		"sfp": "spf", "sp": "spf", "spff": "spf", "xpf": "spf", "s": "", "dkmi": "dkim", "dkin": "dkim", "dmrac": "dmarc", "DKIM": "dkim", "maxSize": "max_size", "max-age": "max_age",
		"authserver_id": "authserv_id", "authservid": "authserv_id", "mxa_sise": "max_size", "b": "", "": "", "ab": "", "clamav": "", "spam": "",
	} {
		if got := Nearest(in, words); strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
	if got := Nearest("a", nil); got != nil {
		t.Errorf("among no words: %q", got)
	}
	if got := Nearest("ruls_time", []string{"rule_time", "rules_time"}); len(got) != 2 {
		t.Errorf("equally near: %q", got)
	}
	if got := Nearest("rules_ime", []string{"rule_time", "rules_time"}); len(got) != 1 || got[0] != "rules_time" {
		t.Errorf("equally near but for an underscore: %q", got)
	}
}
