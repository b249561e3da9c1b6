package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	stream := strings.Join([]string{
		`{"Action":"run","Package":"a","Test":"TestOne"}`,
		`{"Action":"output","Package":"a","Test":"TestOne","Output":"    one_test.go:3: noise\n"}`,
		`{"Action":"pass","Package":"a","Test":"TestOne"}`,
		`{"Action":"run","Package":"a","Test":"TestParent"}`,
		`{"Action":"run","Package":"a","Test":"TestParent/good"}`,
		`{"Action":"run","Package":"a","Test":"TestParent/bad"}`,
		`{"Action":"output","Package":"a","Test":"TestParent/bad","Output":"    one_test.go:9: got 1, want 2\n"}`,
		`{"Action":"pass","Package":"a","Test":"TestParent/good"}`,
		`{"Action":"fail","Package":"a","Test":"TestParent/bad"}`,
		`{"Action":"fail","Package":"a","Test":"TestParent"}`,
		`{"Action":"run","Package":"a","Test":"TestSelf"}`,
		`{"Action":"run","Package":"a","Test":"TestSelf/good"}`,
		`{"Action":"pass","Package":"a","Test":"TestSelf/good"}`,
		`{"Action":"fail","Package":"a","Test":"TestSelf"}`,
		`{"Action":"output","Package":"a","Test":"TestAbsent","Output":"    one_test.go:5: the suite is not here\n"}`,
		`{"Action":"output","Package":"a","Test":"TestAbsent","Output":"--- SKIP: TestAbsent (0.00s)\n"}`,
		`{"Action":"skip","Package":"a","Test":"TestAbsent"}`,
		`{"Action":"output","Package":"a","Output":"FAIL\n"}`,
		`{"Action":"fail","Package":"a","Elapsed":0.1}`,
		`{"Action":"build-output","ImportPath":"b [b.test]","Output":"b.go:1: undefined: x\n"}`,
		`{"Action":"build-fail","ImportPath":"b [b.test]"}`,
		`{"Action":"fail","Package":"b","FailedBuild":"b [b.test]"}`,
		`{"Action":"run","Package":"c","Test":"TestGone"}`,
		`{"Action":"output","Package":"c","Output":"panic: at once\n"}`,
		`{"Action":"fail","Package":"c"}`,
		`{"Action":"output","Package":"d","Output":"41 assertions\n"}`,
		`{"Action":"output","Package":"d","Output":"PASS\n"}`,
		`{"Action":"pass","Package":"d","Elapsed":1.5}`,
		`no JSON at all`,
	}, "\n")
	var out bytes.Buffer
	all := read(&out, strings.NewReader(stream))
	want := map[status]int{passed: 3, failed: 4, skipped: 1}
	for s, n := range want {
		if got := count(all)[s]; got != n {
			t.Errorf("%s: got %d, want %d", s, got, n)
		}
	}
	for _, shown := range []string{
		"got 1, want 2", "FAIL  a.TestParent/bad", "FAIL  a.TestSelf", "SKIP  a.TestAbsent: one_test.go:5: the suite is not here",
		"undefined: x", "panic: at once", "41 assertions", "no JSON at all",
	} {
		if !strings.Contains(out.String(), shown) {
			t.Errorf("%q is not shown:\n%s", shown, out.String())
		}
	}
	if strings.Contains(out.String(), "noise") {
		t.Errorf("what a passing test says is shown:\n%s", out.String())
	}
}

func TestCountOnce(t *testing.T) {
	all := []result{
		{"both", passed}, {"both", passed},
		{"unlucky", passed}, {"unlucky", failed},
		{"late", skipped}, {"late", passed},
		{"never", skipped}, {"never", skipped},
	}
	if got, want := closing(count(all)), "2 passed, 1 failed, 1 skipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := closing(count(all[:2])), "1 passed, 0 failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := run([]string{"sum"}, new(bytes.Buffer)); err == nil {
		t.Error("a sum of nothing is no success")
	}
	if err := run([]string{"step", "alone"}, new(bytes.Buffer)); err != errUsage {
		t.Errorf("got %v, want %v", err, errUsage)
	}
	for _, c := range []struct {
		argv  []string
		shows string
		want  status
	}{
		{[]string{"true"}, "ok    x", passed},
		{[]string{"sh", "-c", "echo told you; exit 3"}, "told you", failed},
		{[]string{"/no/such/program"}, "FAIL  x", failed},
	} {
		var out bytes.Buffer
		if got := step(&out, "x", c.argv); got.Status != c.want || !strings.Contains(out.String(), c.shows) {
			t.Errorf("%v: got %v, %s", c.argv, got, out.String())
		}
	}
	for _, c := range []struct {
		script string
		want   status
	}{
		{`echo '{"Action":"pass","Package":"a","Test":"T"}'`, passed},
		{`echo '{"Action":"pass","Package":"a","Test":"T"}'; exit 1`, failed},
		{`true`, failed}, // no test at all
	} {
		if got := tests(new(bytes.Buffer), "x", []string{"sh", "-c", c.script}); got[len(got)-1].Status != c.want {
			t.Errorf("%s: got %v, want %s", c.script, got, c.want)
		}
	}
}
