package scan

import (
	"context"
	"os"
	"testing"

	"milterd/internal/dns/dnstest"
	"milterd/internal/mailbox"
)

func TestProf(t *testing.T) {
	var raws [][]byte
	for m := range mailbox.Messages([]string{os.Getenv("SET")}, nil, func(string, string) {}) {
		raws = append(raws, m.Raw)
	}
	s := newScanner(t, readConfig(t, dnstest.Start(t, testZone()).Addr(), t.TempDir(), os.Getenv("CFG")))
	for range 8 {
		for i := range raws {
			if _, err := s.Scan(context.Background(), raws[i], Envelope{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
