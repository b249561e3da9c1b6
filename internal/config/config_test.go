package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"milterd/internal/strictyaml"
	"milterd/internal/table"
)

// noPostfix is a host without /var/spool/postfix, whatever the host of the test has.
func noPostfix(path string) bool {
	if path == postfixQueue {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

func testOptions() Options {
	return Options{
		Checks: []string{"spf", "dkim", "dmarc", "author", "greylist"},
		CheckAddr: func(address string) error {
			if strings.Contains(address, "forbidden") {
				return fmt.Errorf("%q is forbidden here", address)
			}
			return nil
		},
		Exists:  noPostfix,
		Environ: []string{"LEVEL=debug", "SECRET=hunter2", "HOME=/root", "MILTERD_PORT=tcp://10.0.0.1:25", "MILTERD_CONFIG=/x"},
	}
}

var same = cmp.Options{
	// That what is printed has the same entries is seen in testdata.
	cmp.Comparer(func(a, b table.Entries) bool { return a.IsZero() == b.IsZero() }),
	cmpopts.IgnoreFields(Config{}, "Files"), cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}),
	cmp.Comparer(func(a, b strictyaml.Section) bool { return a.Node().Kind() == b.Node().Kind() }),
}

func TestEmptyIsTheDefault(t *testing.T) {
	for _, src := range []string{"", "# nothing\n", "---\n", "limits:\nlog: {}\nchecks:\nlisten:\nthresholds: {junk: }\n"} {
		c, err := Read("/nowhere/milterd.yaml", []byte(src), Options{Exists: func(string) bool { return false }})
		if err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		if diff := cmp.Diff(Default(), c, same); diff != "" {
			t.Errorf("%q: -default +got:\n%s", src, diff)
		}
	}
}

// TestDefaultsOfTheContract compares with the documented defaults, written down a second time.
func TestDefaultsOfTheContract(t *testing.T) {
	const contract = `
mode: enforce
listen: [unix:/run/milterd/milterd.sock]
control: unix:/run/milterd/control.sock
http: 127.0.0.1:9891
log: {format: text, level: info}
journal: {path: /var/lib/milterd/verdicts, max_size: 256MiB, max_age: 30d, subjects: true}
store: bolt:/var/lib/milterd/state.db
networks:
  mynetworks: [127.0.0.0/8, "::1/128"]
dns: {timeout: 3s}
thresholds: {greylist: 4, junk: 6, reject: 15}
headers: {compat: [spamassassin]}
spool: /var/tmp
own_fault: hold
limits: {milter_frame: 1MiB, idle: 600s, frame_time: 30s, reply_time: 5s, message_time: 25s, header_fields: 1000, header_bytes: 256KiB,
  from_bytes: 8KiB, recipients: 10000, scan_bytes: 64MiB, text_bytes: 1MiB, mime_depth: 20, mime_parts: 500, mime_parameters: 50, mime_time: 5s,
  urls: 1000, words: 20000, dkim_signatures: 8, dkim_header_names: 100, arc_sets: 50, dns_queries: 100, dns_time: 8s,
  archive_depth: 3, archive_entries: 1000, archive_ratio: 100, archive_bytes: 64MiB, rule_time: 50ms, rules_time: 2s,
  connections: 12000, memory_inflight: 512MiB, spool_bytes: 8GiB}
`
	var c Config // nothing in it
	if err := strictyaml.Decode("contract", []byte(contract), &c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&c, Default(), same); diff != "" {
		t.Errorf("-contract +default:\n%s", diff)
	}
	limits := reflect.ValueOf(c.Limits)
	for i := range limits.NumField() {
		if limits.Field(i).IsZero() {
			t.Errorf("%s has no default", limits.Type().Field(i).Name)
		}
	}
}

func TestSample(t *testing.T) {
	c, err := Read("/nowhere/milterd.yaml", []byte(Sample), Options{Exists: func(string) bool { return false }})
	if err != nil {
		t.Fatal(err)
	}
	if c.Mode != Observe {
		t.Errorf("mode %s, want the one to begin with", c.Mode)
	}
	c.Mode = Default().Mode
	if diff := cmp.Diff(Default(), c, same); diff != "" {
		t.Errorf("-default +sample:\n%s", diff)
	}
	root, err := strictyaml.Parse("sample.yaml", []byte(Sample))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range strictyaml.Keys(Config{}) {
		steps, at := strings.Split(key, "."), root
		for _, step := range steps[:len(steps)-1] {
			at = at.Key(step)
		}
		if !slices.ContainsFunc(strings.Split(Sample, "\n"), func(line string) bool {
			return strings.HasPrefix(line, strings.Repeat("  ", len(steps)-1)+steps[len(steps)-1]+":")
		}) || at.Kind() != strictyaml.Mapping {
			t.Errorf("%s is missing in sample.yaml", key)
		}
	}
	for i, line := range strings.Split(Sample, "\n") {
		if len(line) > 130 {
			t.Errorf("sample.yaml:%d: %d characters in a line", i+1, len(line))
		}
	}
}

func TestListenBesidePostfix(t *testing.T) {
	o := Options{Exists: func(path string) bool { return path == postfixQueue || path == "/etc/milterd/rules.d" }}
	c, err := Read(DefaultPath, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []Socket{{Address: defaultSocket, Mode: 0o660}, {Address: postfixSocket, Mode: 0o660}}
	if diff := cmp.Diff(want, c.Listen); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]strictyaml.Path{"/etc/milterd/rules.d"}, c.Rules); diff != "" {
		t.Errorf("rules: -want +got:\n%s", diff)
	}
	c, err = Read(DefaultPath, []byte("listen: [inet:8891@127.0.0.1]\n"), o)
	if err != nil || len(c.Listen) != 1 {
		t.Errorf("a list of one's own: %v, %v", c, err)
	}
}

func TestSpellingsOfSockets(t *testing.T) {
	long := "unix:/" + strings.Repeat("x", 106)
	for in, want := range map[string]string{
		"unix:/run/m.sock": "unix:/run/m.sock", "local:/run/m.sock": "local:/run/m.sock", "unix:m.sock": "unix:/etc/milterd/m.sock", "local:../m.sock": "local:/etc/m.sock", long: long,
		"inet:8891@localhost": "inet:8891@localhost", "inet:127.0.0.1:8891": "inet:127.0.0.1:8891", "inet:8891@[::1]": "inet:8891@[::1]", "tcp://127.0.0.1:8891": "tcp://127.0.0.1:8891",
		"tcp://[::1]:0": "tcp://[::1]:0",
	} {
		c, err := Read(DefaultPath, fmt.Appendf(nil, "listen: [%q]\n", in), testOptions())
		if err != nil || c.Listen[0].Address != want {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
	for _, in := range []string{"", "unix:", "unix", "/run/m.sock", "inet:", "inet:8891", "inet:x@host", "inet:8891@", "inet:127.0.0.1:65536", "tcp://8891@host", "tcp:127.0.0.1:1", "http://x:1", "unix:\x00x", long + "x", "inet:::1:25"} {
		if c, err := Read(DefaultPath, fmt.Appendf(nil, "listen: [%q]\n", in), testOptions()); err == nil {
			t.Errorf("%q was taken as %v", in, c.Listen)
		}
	}
}

func TestSpellingsOfOthers(t *testing.T) {
	c, err := Read(DefaultPath, []byte("dns:\n  servers: [127.0.0.1, '::1', '[::1]', '[::1]:5353', unbound, ns.example.org:54]\nthresholds: {greylist: off, junk: 5, reject: off}\nhttp: ':9891'\n"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := []Nameserver{"127.0.0.1:53", "[::1]:53", "[::1]:53", "[::1]:5353", "unbound:53", "ns.example.org:54"}
	if diff := cmp.Diff(want, c.DNS.Servers); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	th := c.Thresholds
	if !th.Greylist.IsOff() || th.Greylist.Reached(1e9) || th.Junk.Reached(4.9) || !th.Junk.Reached(5) || fmt.Sprint(th) != "{off 5 off}" {
		t.Errorf("thresholds %v", th)
	}
	if c.HTTP != ":9891" {
		t.Errorf("http %q", c.HTTP)
	}
	for level, want := range map[LogLevel]string{LogDebug: "DEBUG", LogInfo: "INFO", LogWarn: "WARN", LogError: "ERROR"} {
		if got := level.Level().String(); got != want {
			t.Errorf("%s is %s in log/slog", level, got)
		}
	}
}

// TestEveryKeyMistyped deletes, inserts and swaps letters in every key, at every place, and wants the right advice.
func TestEveryKeyMistyped(t *testing.T) {
	keys := strictyaml.Keys(Config{})
	// The pairs of keys that are so near that some slips may mean either; then both are named.
	near := regexp.MustCompile(`did you mean (rule_time or rules_time|listen or lists|limits or lists)\?$`)
	tries, ambiguous := 0, 0
	for _, key := range keys {
		steps := strings.Split(key, ".")
		last := steps[len(steps)-1]
		outer := strings.TrimSuffix(key, last)
		for _, wrong := range slips(last) {
			if slices.Contains(keys, outer+wrong) {
				continue
			}
			tries++
			var src strings.Builder
			for i, step := range steps[:len(steps)-1] {
				fmt.Fprintf(&src, "%s%s:\n", strings.Repeat("  ", i), step)
			}
			fmt.Fprintf(&src, "%s%q: 1\n", strings.Repeat("  ", len(steps)-1), wrong)
			_, err := Read("f", []byte(src.String()), testOptions())
			want := fmt.Sprintf("f:%d:%d: %s%s: unknown key, did you mean %s?", len(steps), 2*len(steps)-1, outer, wrong, last)
			got := fmt.Sprint(err)
			if near.MatchString(got) {
				got = near.ReplaceAllString(got, "did you mean "+last+"?")
				ambiguous++
			}
			if got != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
	}
	for _, name := range testOptions().Checks {
		for _, wrong := range slips(name) {
			tries++
			_, err := Read("f", fmt.Appendf(nil, "checks: {%s: {}}\n", wrong), testOptions())
			if want := fmt.Sprintf("f:1:10: checks.%s: unknown key, did you mean %s?", wrong, name); fmt.Sprint(err) != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		}
	}
	if tries < 1000 || ambiguous > 10 {
		t.Errorf("%d tries, %d of them ambiguous", tries, ambiguous)
	}
	t.Logf("%d keys, %d slips, %d of them ambiguous", len(keys), tries, ambiguous)
}

// slips gives what somebody may type instead of a word.
func slips(word string) []string {
	all := map[string]bool{}
	for i := range len(word) + 1 {
		all[word[:i]+"x"+word[i:]] = true
		if i < len(word) {
			all[word[:i]+word[i+1:]] = true
		}
		if i+1 < len(word) {
			all[word[:i]+word[i+1:i+2]+word[i:i+1]+word[i+2:]] = true
		}
	}
	delete(all, word)
	var list []string
	for w := range all {
		list = append(list, w)
	}
	return list
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "milterd.yaml")
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(path, testOptions()); !errors.Is(err, fs.ErrNotExist) || err.Error() != path+": is not there, expected a configuration file" {
		t.Errorf("missing main file: %v", err)
	}
	o := testOptions()
	o.MayBeAbsent = true
	if c, err := Load(path, o); err != nil || len(c.Files) != 0 || c.Mode != Enforce {
		t.Errorf("missing main file that may be absent: %v", err)
	}
	write("conf.d/20-b.yaml", "http: off\nlog: {level: warn}\n")
	write("conf.d/10-a.yaml", "log: {level: debug, format: json}\nnetworks: {relays: [192.0.2.1]}\n")
	write("conf.d/.hidden.yaml", "broken: [\n")
	write("conf.d/30.yaml~", "broken: [\n")
	write("conf.d/30.yaml.dpkg-old", "broken: [\n")
	c, err := Load(path, o)
	if err != nil || c.HTTP != "" || c.Log != (Log{LogJSON, LogWarn}) || len(c.Networks.Relays) != 1 {
		t.Fatalf("conf.d without a main file: %+v, %v", c, err)
	}
	want := []string{filepath.Join(dir, "conf.d/10-a.yaml"), filepath.Join(dir, "conf.d/20-b.yaml")}
	if diff := cmp.Diff(want, c.Files); diff != "" {
		t.Errorf("files: -want +got:\n%s", diff)
	}
	write("milterd.yaml", "rules: [mine, more.yaml]\nspool: tmp\n")
	write("mine/a.yaml", "")
	write("more.yaml", "")
	write("conf.d/20-b.yaml", "journal: {path: ../j}\n")
	c, err = Load(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%v %s %s", c.Rules, c.Spool, c.Journal.Path), fmt.Sprintf("[%s/mine %s/more.yaml] %s/tmp %s/j", dir, dir, dir, dir); got != want {
		t.Errorf("paths %s, want %s", got, want)
	}
	write("conf.d/40.yml", "")
	if err := os.Mkdir(filepath.Join(dir, "conf.d/50.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path, o)
	if got, want := strings.ReplaceAll(fmt.Sprint(err), dir+"/", ""), "conf.d/40.yml: is not read, expected a name that ends in .yaml\nconf.d/50.yaml: cannot be read: not a regular file"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	names := map[string]string{}
	for _, key := range strictyaml.Keys(Config{}) {
		if other, twice := names[EnvName(key)]; twice {
			t.Errorf("%s and %s are both %s", key, other, EnvName(key))
		}
		names[EnvName(key)] = key
	}
	o := testOptions()
	o.Environ = append(o.Environ, "MILTERD_MODE=observe", "MILTERD_LOG_LEVEL=", "MILTERD_LIMITS_IDLE=7s", "MILTERD_NETWORKS_FETCHERS=[192.0.2.1, '::2']", "MILTERD_CHECKS={spf: {a: 1}}", "MILTERD_SPOOL=${env:HOME}/x")
	c, err := Read("f", []byte("mode: tag\nlog: {level: warn}\nlimits: {urls: 5}\n"), o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Mode != Observe || c.Log.Level != LogWarn || c.Limits.Idle != 7*time.Second || c.Limits.URLs != 5 || len(c.Networks.Fetchers) != 2 || c.Check("spf").Node().Len() != 1 || c.Spool != "/root/x" {
		t.Errorf("got %+v", c)
	}
}

func TestCheckSections(t *testing.T) {
	c, err := Read("f", []byte("checks:\n  spf: {timeout: 3s}\n  dkim:\n"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	var spf struct {
		Timeout time.Duration `yaml:"timeout"`
	}
	for _, name := range []string{"spf", "dkim", "dmarc"} {
		if err := c.Check(name).Decode(&spf); err != nil || spf.Timeout != 3*time.Second {
			t.Errorf("%s: %v, %v", name, spf, err)
		}
	}
	var other struct {
		Timeouts int `yaml:"timeouts"`
	}
	if err := c.Check("spf").Decode(&other); err == nil || err.Error() != "f:2:9: checks.spf.timeout: unknown key, did you mean timeouts?" {
		t.Errorf("got %v", err)
	}
}
