package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/checks"
	"milterd/checks/all"
	"milterd/internal/config"
	"milterd/internal/pipeline"
	"milterd/internal/strictyaml"
	"milterd/message"
	"milterd/rules"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// host is where an engine lives in these tests: with a resolver that breaks, so
// that every check that asks it fails.
func host() Host {
	registry := prometheus.NewRegistry()
	return Host{
		Resolver: broken{}, Registerer: registry, Metrics: pipeline.NewMetrics(registry), Faults: &pipeline.Faults{Tries: 3, Age: time.Hour},
		MarkKey: []byte("key"), Hostname: "mx.example", Version: "test", Logger: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
	}
}

type broken struct{}

func (broken) LookupTXT(context.Context, string) ([]string, error) { panic("broken") }
func (broken) LookupIP(context.Context, string, string) ([]netip.Addr, error) {
	panic("broken")
}
func (broken) LookupMX(context.Context, string) ([]*net.MX, error)      { panic("broken") }
func (broken) LookupAddr(context.Context, netip.Addr) ([]string, error) { panic("broken") }

func read(t *testing.T, yaml string) *config.Config {
	t.Helper()
	cfg, err := config.Read("milterd.yaml", []byte(yaml), config.Options{Checks: all.Names()})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func build(t *testing.T, yaml string) *Engine {
	t.Helper()
	e, err := New(read(t, yaml), host())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// names of the enabled checks.
func names(e *Engine) (list []string) {
	for _, s := range e.Specs {
		list = append(list, s.Name)
	}
	return list
}

// decide takes a message through an engine.
func decide(t *testing.T, e *Engine) *pipeline.Outcome {
	t.Helper()
	spool := message.NewSpool(message.SpoolOptions{Memory: 1 << 10})
	defer spool.Release()
	spool.Finish()
	m := &message.Message{
		ID: "k7q2m9zt4w1c", Role: message.Inbound, Session: &message.Session{Client: netip.MustParseAddr("192.0.2.7"), Helo: "mail.b.test"},
		MailFrom: message.ParsePath("<a@b.test>"), Recipients: []message.Recipient{{Path: message.ParsePath("<x@y.test>")}},
		Header: message.NewHeader([]message.Field{{Name: "From", Value: " a@b.test"}}, 0), Body: spool,
	}
	run := e.Pipeline.Begin(t.Context())
	defer run.Close()
	return run.Finish(t.Context(), m)
}

// onByDefault are the checks that run without a configuration.
func onByDefault() (names []string) {
	for _, s := range all.Specs(nil) {
		if !s.Off && !s.TopLevel {
			names = append(names, s.Name)
		}
	}
	return names
}

// TestEnabled: each check can be left out or switched on, and by default those
// are on that need nothing of the operator.
func TestEnabled(t *testing.T) {
	if diff := cmp.Diff(onByDefault(), names(build(t, ""))); diff != "" {
		t.Errorf("by default: -all +enabled:\n%s", diff)
	}
	for _, name := range all.Names() {
		e, err := New(read(t, fmt.Sprintf("checks: {%s: {enabled: false}}", name)), host())
		if err != nil {
			t.Logf("%s cannot be left out alone: %v", name, err)
			continue
		}
		want := slices.DeleteFunc(onByDefault(), func(n string) bool { return n == name })
		if diff := cmp.Diff(want, names(e)); diff != "" {
			t.Errorf("without %s: -want +got:\n%s", name, diff)
		}
		if got := names(build(t, fmt.Sprintf("checks: {%s: {enabled: true}}", name))); !slices.Contains(got, name) || len(got) != len(want)+1 {
			t.Errorf("with %s: %s", name, got)
		}
	}
}

// TestOnError: the operator says what a failed check means for the mail.
func TestOnError(t *testing.T) {
	const only = "checks:\n  spf: {on_error: %s}\n"
	if o := decide(t, build(t, fmt.Sprintf(only, "tempfail"))); o.Verdict.Action != message.TempFail || o.Verdict.Reply.Code != 451 {
		t.Errorf("tempfail: %s by %s", o.Verdict.Action, o.Verdict.DecidedBy)
	}
	o := decide(t, build(t, "checks: {spf: {on_error: ignore}}"))
	if o.Verdict.DecidedBy == "own_fault:spf" {
		t.Errorf("ignore: %s by %s", o.Verdict.Action, o.Verdict.DecidedBy)
	}
	if !slices.ContainsFunc(o.Results, func(r checks.Result) bool { return r.Check == "spf" && r.Err != nil }) {
		t.Error("ignored, but also hidden")
	}
	if o := decide(t, build(t, "checks: {spf: {on_error: }}")); o.Verdict.Action != message.TempFail {
		t.Errorf("nothing said: %s", o.Verdict.Action)
	}
}

// TestWrongKeys: in every check, on or off, the keys that all have are as strict as
// its own, and said once although two read them.
func TestWrongKeys(t *testing.T) {
	for value, want := range map[string]string{
		"enabled: perhaps":   "enabled: ",
		"enabled: 'true'":    "enabled: ",
		"enabled: [true]":    "enabled: ",
		"on_error: panic":    "on_error: ",
		"on_error: {a: b}":   "on_error: ",
		"on_error: Tempfail": "on_error: ",
		"onerror: ignore":    "onerror: unknown key, did you mean on_error?",
		"enable: true":       "enable: unknown key, did you mean enabled?",
	} {
		key, _, _ := strings.Cut(value, ":")
		var text strings.Builder
		var places []string
		text.WriteString("checks:\n")
		for i, name := range all.Names() {
			fmt.Fprintf(&text, "  %s: {%s}\n", name, value)
			column := len("  : {") + len(name) + 1
			if !strings.Contains(want, "unknown") {
				column += len(key) + 2
			}
			places = append(places, fmt.Sprintf("milterd.yaml:%d:%d: checks.%s.%s", i+2, column, name, want))
		}
		_, err := New(read(t, text.String()), host())
		problems := Problems(err)
		if len(problems) != len(places) {
			t.Errorf("%s: %d problems, want %d", value, len(problems), len(places))
		}
		for _, place := range places {
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, place) }) {
				t.Errorf("%s: want %s in\n%s", value, place, strings.Join(problems, "\n"))
			}
		}
	}
}

// TestAllAtOnce: rules, keys that all checks have, and keys of one check are
// reported together, so that one look mends a file.
func TestAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(site, []byte("rules:\n  - name: BAD\n    header: Subject\n    match: '('\n    tests: {hit: [x], miss: [y]}\n  - nam: WORSE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := read(t, "rules: ["+site+"]\nchecks:\n  spf: {enabled: no, on_error: no, mod: x}\n  author:\n    mode: loud\n    on_error: 7\n")
	_, err := New(cfg, host())
	problems := Problems(err)
	for _, want := range []string{site + ":4:", site + ":6:", "milterd.yaml:3:18: checks.spf.enabled", "milterd.yaml:3:32: checks.spf.on_error", "milterd.yaml:3:36: checks.spf.mod",
		"milterd.yaml:5:11: checks.author.mode", "milterd.yaml:6:15: checks.author.on_error"} {
		if n := len(slices.DeleteFunc(slices.Clone(problems), func(p string) bool { return !strings.HasPrefix(p, want) })); n != 1 {
			t.Errorf("%q stands %d times in\n%s", want, n, strings.Join(problems, "\n"))
		}
	}
	if len(problems) > 9 {
		t.Errorf("%d problems:\n%s", len(problems), strings.Join(problems, "\n"))
	}
}

// TestProblems: one line each, whatever they are wrapped in.
func TestProblems(t *testing.T) {
	at := func(line int, what string) *strictyaml.Error {
		return &strictyaml.Error{Pos: strictyaml.Pos{File: "f", Line: line, Col: 1}, Path: "key", What: what}
	}
	plain := errors.New("plain")
	for name, c := range map[string]struct {
		err  error
		want []string
	}{
		"none":      {nil, nil},
		"plain":     {plain, []string{"plain"}},
		"one":       {at(1, "bad"), []string{"f:1:1: key: bad"}},
		"several":   {strictyaml.Errors{at(1, "bad"), at(2, "worse")}, []string{"f:1:1: key: bad", "f:2:1: key: worse"}},
		"joined":    {errors.Join(plain, nil, strictyaml.Errors{at(1, "bad")}), []string{"plain", "f:1:1: key: bad"}},
		"twice":     {errors.Join(at(1, "bad"), strictyaml.Errors{at(1, "bad"), at(2, "bad")}), []string{"f:1:1: key: bad", "f:2:1: key: bad"}},
		"wrapped":   {fmt.Errorf("context: %w", plain), []string{"context: plain"}},
		"deep":      {errors.Join(errors.Join(errors.Join(plain), at(1, "bad"))), []string{"plain", "f:1:1: key: bad"}},
		"two fault": {fmt.Errorf("%w and %w", plain, fs.ErrNotExist), []string{"plain", "file does not exist"}},
	} {
		if diff := cmp.Diff(c.want, Problems(c.err)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	_, err := config.Read("f", []byte("mode: x\nnonsense: 1\nlimits: {idle: 1}\n"), config.Options{})
	if got := Problems(err); len(got) != 3 || !strings.HasPrefix(got[0], "f:1:7: mode: ") {
		t.Errorf("of a configuration: %q", got)
	}
}

// TestAgain: a reload builds a second engine beside the first, on the same host.
func TestAgain(t *testing.T) {
	h := host()
	for range 3 {
		e, err := New(read(t, ""), h)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Pipeline.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestRules: the shipped ones, those of the configuration, and those of a program
// that has no files, each over the one before.
func TestRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte("scores: {SPF_FAIL: 9}\nrules:\n  - {name: GTUBE, score: 7}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := read(t, "rules: ["+file+"]")
	set, err := Rules(cfg, rules.Source{Name: "more.yaml", Text: []byte("rules:\n  - {name: GTUBE, describe: other words}\n")})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(set.Texts, func(r rules.TextRule) bool { return r.Name == "GTUBE" })
	if r := set.Texts[i]; r.Score != 7 || r.Describe != "other words" || set.Scores["SPF_FAIL"].Points != 9 {
		t.Errorf("%+v, SPF_FAIL %v", r, set.Scores["SPF_FAIL"])
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := Rules(cfg); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestFindingNames: no name twice, and those that rules may count on are there.
func TestFindingNames(t *testing.T) {
	all := FindingNames()
	for i, name := range all {
		if slices.Contains(all[:i], name) {
			t.Errorf("%s is there twice", name)
		}
	}
	for _, want := range []string{"SPF_FAIL", "HEADER_TOO_LARGE", "CLIENT_PRIVATE", "AUTHOR_TWO_DOMAINS", "MIME_AMBIGUOUS"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// TestThresholdsOff: off is none, and not a very high one.
func TestThresholdsOff(t *testing.T) {
	o := decide(t, build(t, "thresholds: {greylist: off, junk: 5, reject: off}\nchecks: {spf: {on_error: ignore}}"))
	if th := o.Verdict.Thresholds; th.Greylist != nil || th.Reject != nil || th.Junk == nil || *th.Junk != 5 {
		t.Errorf("%+v", th)
	}
}
