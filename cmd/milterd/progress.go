package main

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work has come, on a terminal; elsewhere it is
// silent. Call Add with the bytes of each message and Close at the end.
type progress struct {
	bar   *progressbar.ProgressBar
	close func()
}

// newProgress begins work on so many bytes, 0 when nobody knows how many. Until
// Close the streams of g go above the bar, since they may be the same terminal.
func (g *globals) newProgress(what string, bytes int64) *progress {
	f, ok := g.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return g.drawProgress(what, bytes, f)
}

// drawProgress is newProgress on a terminal.
func (g *globals) drawProgress(what string, bytes int64, terminal io.Writer) *progress {
	if bytes == 0 {
		bytes = -1
	}
	bar := progressbar.NewOptions64(bytes, progressbar.OptionSetWriter(terminal), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100_000_000))
	stdout, stderr := g.stdout, g.stderr
	g.stdout, g.stderr = above{stdout, bar}, above{stderr, bar}
	return &progress{bar, func() { g.stdout, g.stderr = stdout, stderr }}
}

// above writes where the bar is, which is drawn again below.
type above struct {
	io.Writer
	bar *progressbar.ProgressBar
}

func (a above) Write(b []byte) (int, error) {
	_ = a.bar.Clear() // a bar that cannot be drawn stops nothing
	return a.Writer.Write(b)
}

// Add tells of work done, in bytes.
func (p *progress) Add(bytes int) {
	if p.bar != nil {
		_ = p.bar.Add(bytes)
	}
}

// Close takes the bar from the screen.
func (p *progress) Close() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.close()
		p.bar = nil
	}
}
