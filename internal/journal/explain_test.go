package journal

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/message"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/explain/*.txt")

// TestExplain: testdata/explain holds records as they are stored, each with what
// people are told about it.
func TestExplain(t *testing.T) {
	cases, err := filepath.Glob("testdata/explain/*.json")
	if err != nil || len(cases) < 10 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			stored, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var r Record
			if err := json.Unmarshal(stored, &r); err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			r.Explain(&b)
			got := b.String()
			if !r.Time.IsZero() { // people read their own clock
				got = strings.ReplaceAll(got, r.Time.Local().Format(time.RFC3339), "LOCAL TIME")
			}
			golden := strings.TrimSuffix(path, ".json") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestTurningPoint: what the last line promises is true of the record itself.
func TestTurningPoint(t *testing.T) {
	for _, thresholds := range []message.Thresholds{
		{Greylist: number(4), Junk: number(6), Reject: number(15)},
		{Junk: number(6)}, {Reject: number(15)}, {},
	} {
		for tenth := range 400 {
			for _, opinion := range []float64{-5, 0, 0.3, 8} {
				score := float64(tenth-100) / 10
				r := Record{DecidedBy: "score", Score: score, Objective: score - opinion, Thresholds: thresholds}
				said := r.turningPoint()
				now := r.byScore(r.Score, r.Objective)
				for part := range strings.SplitSeq(said, "; ") {
					amount, rest, _ := strings.Cut(part, " ")
					var points float64
					if err := json.Unmarshal([]byte(amount), &points); err != nil {
						if part != "no threshold is near" {
							t.Fatalf("%q", said)
						}
						continue
					}
					var after message.Action
					if target, more := strings.CutPrefix(rest, "more "); more {
						after = r.byScore(r.Score+points, r.Objective+points)
						if !strings.HasSuffix(target, string(after)) {
							t.Errorf("score %.1f, objective %.1f: %q, but then it is %s", r.Score, r.Objective, part, after)
						}
						if closer := r.byScore(r.Score+points-0.11, r.Objective+points-0.11); closer == after {
							t.Errorf("score %.1f, objective %.1f: %q, but less is enough", r.Score, r.Objective, part)
						}
						continue
					}
					after = r.byScore(r.Score-points, r.Objective-points)
					if after == now || !strings.HasSuffix(rest, "no longer "+string(now)) {
						t.Errorf("score %.1f, objective %.1f: %q, but then it is %s", r.Score, r.Objective, part, after)
					}
				}
			}
		}
	}
}
