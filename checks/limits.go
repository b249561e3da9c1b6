package checks

import (
	"cmp"
	"time"

	"milterd/mime"
)

// Limits are the bounds that checks share (DESIGN.md, section 11).
type Limits struct {
	FromBytes    int
	ScanBytes    int64
	TextBytes    int
	MIMEDepth    int
	MIMEParts    int
	MIMEParams   int
	MIMETime     time.Duration
	URLs         int
	RuleTime     time.Duration
	RulesTime    time.Duration
	DKIMMaxSigs  int
	DKIMMaxNames int
	ARCSets      int
	// Archives, all of a message together.
	ArchiveDepth   int
	ArchiveEntries int
	ArchiveRatio   int
	ArchiveBytes   int64
}

// Scan is how many bytes of the body checks look at, 64 MiB where nothing is said.
func (l *Limits) Scan() int64 { return cmp.Or(l.ScanBytes, 64<<20) }

// MIME is what a walk over the body may take. All who look at a message walk with the
// same limits, so that they share one tree (see [mime.Shared]).
func (l *Limits) MIME() mime.Limits {
	return mime.Limits{Depth: l.MIMEDepth, Parts: l.MIMEParts, Parameters: l.MIMEParams, TextBytes: l.TextBytes, URLs: l.URLs, Time: l.MIMETime}
}
