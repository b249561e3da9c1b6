package daemon

import "testing"

func TestConnectionsFor(t *testing.T) {
	for _, test := range []struct {
		files  uint64
		wanted int
		want   int
	}{
		{65536, 12000, 12000}, // the unit's LimitNOFILE
		{20000, 12000, 12000},
		{1 << 63, 12000, 12000}, // no limit
		{4096, 12000, 2621},
		{1024, 12000, 573},
		{256, 12000, 64}, // few, but a quarter
		{256, 20, 20},
		{64, 12000, 16},
		{1, 12000, 1},
	} {
		got := connectionsFor(test.files, test.wanted)
		if got != test.want {
			t.Errorf("%d files, %d wanted: %d, want %d", test.files, test.wanted, got, test.want)
		}
	}
}
