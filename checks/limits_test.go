package checks_test

import (
	"testing"

	"milterd/checks"
	"milterd/mime"
)

func TestLimits(t *testing.T) {
	var none checks.Limits
	if got := none.Scan(); got != 64<<20 {
		t.Errorf("without a limit %d bytes are looked at, expected 64 MiB", got)
	}
	if got := none.MIME(); got != (mime.Limits{}) {
		t.Errorf("without limits got %+v, expected the defaults of the walk", got)
	}
	l := checks.Limits{ScanBytes: 1, TextBytes: 2, MIMEDepth: 3, MIMEParts: 4, MIMEParams: 5, URLs: 6, MIMETime: 7}
	if got := l.Scan(); got != 1 {
		t.Errorf("got %d bytes to look at, expected 1", got)
	}
	if got, want := l.MIME(), (mime.Limits{TextBytes: 2, Depth: 3, Parts: 4, Parameters: 5, URLs: 6, Time: 7}); got != want {
		t.Errorf("got %+v, expected %+v", got, want)
	}
}
