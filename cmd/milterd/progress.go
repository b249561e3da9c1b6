package main

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work has come, on a terminal; elsewhere it is
// silent. Call Add with the bytes of each message and Close at the end.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress begins work on so many bytes, 0 when nobody knows how many.
func (g *globals) newProgress(what string, bytes int64) progress {
	f, ok := g.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return progress{}
	}
	if bytes == 0 {
		bytes = -1
	}
	return progress{progressbar.NewOptions64(bytes, progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100_000_000))}
}

// Add tells of work done, in bytes.
func (p progress) Add(bytes int) {
	if p.bar != nil {
		_ = p.bar.Add(bytes) // a bar that cannot be drawn stops nothing
	}
}

// Close takes the bar from the screen.
func (p progress) Close() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
