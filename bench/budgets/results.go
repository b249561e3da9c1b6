package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measurement is what the harness saw of one row at one number of sessions: the
// medians over its repetitions. Times are milliseconds.
type measurement struct {
	row      string
	sessions int
	perSec   float64
	p50, p99 float64
	cpu      float64 // of the whole process tree, a message
	pss      float64 // MiB, the peak of the whole process tree
	errors   int     // messages without an answer, of all repetitions
}

// results is one run: every row of it, in the order of its names.
type results struct {
	rows    []measurement
	startup map[string]float64 // row name to milliseconds until the first answer
	machine string             // CPU, number of cores, kernel, Go
	peers   string             // packages and their versions
	day     time.Time
}

// find returns the row at that number of sessions.
func (r *results) find(row string, sessions int) (measurement, bool) {
	i := slices.IndexFunc(r.rows, func(m measurement) bool { return m.row == row && m.sessions == sessions })
	if i < 0 {
		return measurement{}, false
	}
	return r.rows[i], true
}

// file is one report of the load generator, as far as it is read here.
type file struct {
	PerSec   float64   `json:"messages_per_s"`
	P50      float64   `json:"p50_ms"`
	P99      float64   `json:"p99_ms"`
	Errors   int       `json:"errors"`
	Time     time.Time `json:"time"`
	WatchSum struct {
		CPU float64 `json:"cpu_ms_per_msg"`
		PSS float64 `json:"pss_peak_mib"`
	} `json:"watch_sum"`
}

// NAME.cSESSIONS.rREPETITION.json
var reportName = regexp.MustCompile(`^(.+)\.c(\d+)\.r\d+\.json$`)

func readResults(folder string) (*results, error) {
	names, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	r := &results{startup: map[string]float64{}}
	type key struct {
		row      string
		sessions int
	}
	reports := map[key][]file{}
	for _, entry := range names {
		m := reportName.FindStringSubmatch(entry.Name())
		if m == nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		var f file
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Name(), err)
		}
		sessions, _ := strconv.Atoi(m[2])
		reports[key{m[1], sessions}] = append(reports[key{m[1], sessions}], f)
		r.day = f.Time
	}
	if len(reports) == 0 {
		return nil, fmt.Errorf("%s: no reports (NAME.cSESSIONS.rREPETITION.json) in there", folder)
	}
	for k, files := range reports {
		m := measurement{row: k.row, sessions: k.sessions}
		m.perSec = median(files, func(f file) float64 { return f.PerSec })
		m.p50 = median(files, func(f file) float64 { return f.P50 })
		m.p99 = median(files, func(f file) float64 { return f.P99 })
		m.cpu = median(files, func(f file) float64 { return f.WatchSum.CPU })
		m.pss = median(files, func(f file) float64 { return f.WatchSum.PSS })
		for _, f := range files {
			m.errors += f.Errors
		}
		r.rows = append(r.rows, m)
	}
	slices.SortFunc(r.rows, func(a, b measurement) int {
		if a.sessions != b.sessions {
			return a.sessions - b.sessions
		}
		return strings.Compare(a.row, b.row)
	})
	r.readStartup(filepath.Join(folder, "startup.txt"))
	r.readVersions(filepath.Join(folder, "versions.txt"))
	return r, nil
}

func median(files []file, of func(file) float64) float64 {
	var values []float64
	for _, f := range files {
		values = append(values, of(f))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

var startupLine = regexp.MustCompile(`^(.+) (\d+) ms$`)

// readStartup takes what is there: a run without the file has no such row.
func (r *results) readStartup(path string) {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if m := startupLine.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			r.startup[m[1]], _ = strconv.ParseFloat(m[2], 64)
		}
	}
}

// readVersions takes the machine and the packages (a name, a blank, a version that
// begins with a digit) out of a list for people.
func (r *results) readVersions(path string) {
	text, _ := os.ReadFile(path)
	var machine, peers []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch name, value, isPair := strings.Cut(line, ":"); {
		case isPair && strings.TrimSpace(name) == "model name":
			machine = append(machine, strings.TrimSpace(value))
		case len(words) == 2 && words[0] == "cpus":
			machine = append(machine, words[1]+" cores")
		case len(words) == 2 && words[0] == "Linux":
			machine = append(machine, line)
		case strings.HasPrefix(line, "go version ") && len(words) > 2:
			machine = append(machine, words[2])
		case len(words) == 2 && words[1][0] >= '0' && words[1][0] <= '9':
			peers = append(peers, line)
		}
	}
	r.machine, r.peers = strings.Join(machine, ", "), strings.Join(peers, ", ")
}
