package integration

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Log collects what a program of the bed writes, line by line, and lets tests
// wait for a line instead of sleeping. It is an io.Writer, safe for any number of
// writers and readers.
type Log struct {
	name string

	mu      sync.Mutex
	lines   []string
	partial []byte
	grown   chan struct{} // closed and replaced whenever lines grow
}

func newLog(name string) *Log { return &Log{name: name, grown: make(chan struct{})} }

// Write takes any piece of output; a line counts once its line feed has come.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			break
		}
		l.lines = append(l.lines, string(line))
		l.partial = rest
		close(l.grown)
		l.grown = make(chan struct{})
	}
	return len(p), nil
}

// Mark is the number of lines so far: hand it to Wait or Since to look at later
// lines only.
func (l *Log) Mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// Since returns the lines that came after the mark.
func (l *Log) Since(mark int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines[min(mark, len(l.lines)):])
}

// Wait returns the first line after the mark that holds every one of the words.
// The error, when ctx ends first, names the log and the words.
func (l *Log) Wait(ctx context.Context, mark int, words ...string) (string, error) {
	return l.WaitFunc(ctx, mark, strings.Join(words, " … "), func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// WaitFunc returns the first line after the mark for which match is true; what
// says in an error which line was looked for.
func (l *Log) WaitFunc(ctx context.Context, mark int, what string, match func(line string) bool) (string, error) {
	for {
		l.mu.Lock()
		fresh, grown := l.lines[min(mark, len(l.lines)):], l.grown
		l.mu.Unlock()
		for _, line := range fresh {
			if match(line) {
				return line, nil
			}
		}
		mark += len(fresh)
		select {
		case <-grown:
		case <-ctx.Done():
			return "", fmt.Errorf("log of %s: no line with %q: %w", l.name, what, ctx.Err())
		}
	}
}

// Tail returns the last n lines as one text, for the end of an error.
func (l *Log) Tail(n int) string {
	lines := l.Since(0)
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
