package tokens

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

const begins = "v\t3\tdb_version # this must be the first line!!!\nv\t12\tnum_spam\nv\t30\tnum_nonspam\n"

func TestReadBackup(t *testing.T) {
	b, err := ReadBackup(strings.NewReader(begins + "t\t3\t0\t1700000000\t0a1b2c3d4e\r\nt\t0\t0\t1700000000\t0a1b2c3d4f\nt\t1\t20\t0\tffffffffff\n\nv\t7\tsomething_new\ns\th\tabc@sa_generated"))
	if err != nil || b.Spam != 12 || b.Ham != 30 || b.Seen != 1 || b.Unread != 0 {
		t.Fatalf("%+v, %v", b, err)
	}
	if got := fmt.Sprint(b.Counts); got != "[{[10 27 44 61 78] 3 0} {[255 255 255 255 255] 1 20}]" {
		t.Error(got)
	}
	old, err := ReadBackup(strings.NewReader("v\t2\tdb_version\nv\t1\tnum_spam\nv\t1\tnum_nonspam\nt\t1\t0\t0\tH*F:N*Joe\n"))
	if err != nil || len(old.Counts) != 1 || old.Counts[0].Sum != sumOf("H*F:N*Joe") {
		t.Errorf("version 2: %+v, %v", old, err)
	}
}

// What makes no sense is left out and told of, with its line.
func TestReadBackupProblems(t *testing.T) {
	for line, want := range map[string]string{
		"t\t1\t0\t17":                             "line 5: expected t, two counts, a time and a token",
		"t\t-1\t0\t17\t0a1b2c3d4e":                "line 5: expected two counts of messages",
		"t\t1\tx\t17\t0a1b2c3d4e":                 "line 5: expected two counts of messages",
		"t\t1\t0\t17\t0a1b2c3d":                   "line 5: expected a token of ten hexadecimal digits",
		"t\t1\t0\t17\t0a1b2c3d4x":                 "line 5: expected a token of ten hexadecimal digits",
		"v\tmany\tnum_spam":                       "line 5: expected a number of messages",
		"v\t1":                                    "line 5: expected v, a number and a name",
		"Subject: hello":                          "line 5: expected a line that begins with v, t or s and a tab",
		"t\t1\t0\t1\t" + strings.Repeat("a", 1e5): "line 5: longer than 4096 bytes",
	} {
		b, err := ReadBackup(strings.NewReader(begins + "t\t3\t0\t1700000000\t0a1b2c3d4e\n" + line + "\nt\t1\t1\t1\t0000000000\n"))
		if err != nil || b.Unread != 1 || len(b.Counts) != 2 || b.Problems[0].String() != want {
			t.Errorf("%.30q: %+v, %v", line, b, err)
		}
	}
	b, err := ReadBackup(strings.NewReader(begins + "t\t3\t0\t1700000000\t0a1b2c3d4e\n" + strings.Repeat("x\n", 100)))
	if err != nil || b.Unread != 100 || len(b.Problems) != maxProblems {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestNoBackup(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "",
		"a message":    "From: a@b.example\n\nhello\n",
		"version 9":    strings.Replace(begins, "3", "9", 1) + "t\t3\t0\t1700000000\t0a1b2c3d4e\n",
		"no totals":    "v\t3\tdb_version\nt\t3\t0\t1700000000\t0a1b2c3d4e\n",
		"no ham":       strings.Replace(begins, "30", "0", 1) + "t\t3\t0\t1700000000\t0a1b2c3d4e\n",
		"no tokens":    begins,
		"half a line":  "v\t3",
		"a long first": "v\t3\tdb_version" + strings.Repeat(" ", 1e5),
	} {
		if b, err := ReadBackup(strings.NewReader(text)); !errors.Is(err, ErrBackup) {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	cut := errors.New("cut")
	if _, err := ReadBackup(iotest.ErrReader(cut)); !errors.Is(err, cut) || errors.Is(err, ErrBackup) {
		t.Error(err)
	}
	many := strings.NewReader(begins + strings.Repeat("t\t1\t0\t1\t0a1b2c3d4e\n", MaxCounts+1))
	if _, err := ReadBackup(many); !errors.Is(err, ErrBackup) || !strings.Contains(err.Error(), "more than 1000000 tokens") {
		t.Error(err)
	}
}

func FuzzReadBackup(f *testing.F) {
	f.Add(begins + "t\t3\t0\t1700000000\t0a1b2c3d4e\ns\th\tx\n")
	f.Add("v\t2\tdb_version\nv 1 num_spam\nt\t1\t2\t3\ttoken\ttoken")
	f.Add(begins + "t\t4294967295\t4294967296\t\t0a1b2c3d4e")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := ReadBackup(strings.NewReader(text))
		if err != nil {
			if !errors.Is(err, ErrBackup) {
				t.Fatal(err)
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		if b.Spam < 1 || b.Ham < 1 || len(b.Counts) == 0 || len(b.Counts)+b.Seen+b.Unread > lines || len(b.Problems) > min(b.Unread, maxProblems) {
			t.Fatalf("%+v", b)
		}
		var again strings.Builder
		fmt.Fprintf(&again, "v\t3\tdb_version\nv\t%d\tnum_spam\nv\t%d\tnum_nonspam\n", b.Spam, b.Ham)
		for _, c := range b.Counts {
			fmt.Fprintf(&again, "t\t%d\t%d\t0\t%s\n", c.Spam, c.Ham, hex.EncodeToString(c.Sum[:]))
		}
		same, err := ReadBackup(strings.NewReader(again.String()))
		if err != nil || same.Unread != 0 || fmt.Sprint(same.Counts) != fmt.Sprint(b.Counts) {
			t.Fatalf("written again it reads %+v, %v", same, err)
		}
	})
}
