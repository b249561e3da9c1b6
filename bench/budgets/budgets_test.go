package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder writes reports as the harness does: name to CPU ms a message.
func folder(t *testing.T, reports map[string]float64) string {
	t.Helper()
	dir := t.TempDir()
	for name, cpu := range reports {
		text := fmt.Sprintf(`{"messages_per_s":100,"p50_ms":1,"p99_ms":2,"errors":0,"time":"2026-11-21T08:17:57Z","watch_sum":{"cpu_ms_per_msg":%g,"pss_peak_mib":60}}`, cpu)
		write(t, dir, name+".json", text)
	}
	write(t, dir, "startup.txt", "rspamd (second start, hyperscan cache) 664 ms\nmilterd-all 128 ms\n")
	write(t, dir, "versions.txt", "Rspamd daemon version 3.4\nrspamd 3.4-1\ngo version go1.26.8 linux/amd64\nLinux 6.1\nmodel name\t: AMD EPYC\ncpus 2\nMemTotal: 1 kB\n")
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestReport(t *testing.T) {
	dir := folder(t, map[string]float64{
		"rspamd.c8.r1": 9, "rspamd.c8.r2": 12, "rspamd.c8.r3": 10, // the median: 10
		"milterd-full.c8.r1": 0.8, "milterd-all.c8.r1": 1.25, "milterd-full.c1.r1": 1,
	})
	late := folder(t, map[string]float64{"milterd-full.c1.r1": 1})
	var out strings.Builder
	if err := run(&out, "", []string{dir, late}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"21 November 2026; go1.26.8, Linux 6.1, AMD EPYC, 2 cores; rspamd 3.4-1.",
		"| everything on, CPU a message | 0.80 ms | 1 ms | kept | rspamd 10.0 (12.5 times) |",
		"| checks on by default, CPU a message | 1.25 ms | 1 ms | **missed** | rspamd 10.0 (8.0 times) |",
		"| every DNS answer 20 ms late, one session, p50 | 1.00 ms | 45 ms | kept |  |",
		"| start to the first answer | 128 ms | 300 ms | kept | rspamd (second start, hyperscan cache) 664 (5.2 times) |",
		"| rspamd | 8 | 100 | 1.00 | 2.00 | 10.0 | 60 | 0 |",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("missing: %s\nin:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "authentication only") {
		t.Error("a budget that nobody measured is in the table")
	}
}

func TestReplaceMeasured(t *testing.T) {
	document := "# A\n\n<!-- measured by make bench -->\n\nold\n\n<!-- end -->\n\nafter\n"
	want := "# A\n\n<!-- measured by make bench -->\n\nnew\n\n<!-- end -->\n\nafter\n"
	got, err := replaceMeasured(document, "new\n")
	if err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if again, err := replaceMeasured(got, "new"); err != nil || again != want {
		t.Errorf("a second time: %q, %v", again, err)
	}
	for _, bad := range []string{"# A\n", "# A\n<!-- measured -->\nold\n"} {
		if got, err := replaceMeasured(bad, "new"); err == nil {
			t.Errorf("%q gives %q", bad, got)
		}
	}
}

func TestUnreadableResults(t *testing.T) {
	broken := folder(t, nil)
	write(t, broken, "rspamd.c8.r1.json", "{")
	for what, dir := range map[string]string{"no reports": folder(t, nil), "no folder": "/nonexistent", "broken": broken} {
		if err := run(&strings.Builder{}, "", []string{dir}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
