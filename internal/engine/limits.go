package engine

import (
	"milterd/checks"
	"milterd/internal/config"
)

// Limits are those of the configuration that checks share.
func Limits(l *config.Limits) checks.Limits {
	return checks.Limits{
		FromBytes: int(l.FromBytes), ScanBytes: int64(l.ScanBytes), TextBytes: int(l.TextBytes),
		MIMEDepth: l.MIMEDepth, MIMEParts: l.MIMEParts, MIMEParams: l.MIMEParameters, MIMETime: l.MIMETime, URLs: l.URLs,
		RuleTime: l.RuleTime, RulesTime: l.RulesTime,
		DKIMMaxSigs: l.DKIMSignatures, DKIMMaxNames: l.DKIMHeaderNames, ARCSets: l.ARCSets,
		ArchiveDepth: l.ArchiveDepth, ArchiveEntries: l.ArchiveEntries, ArchiveRatio: l.ArchiveRatio, ArchiveBytes: int64(l.ArchiveBytes),
	}
}
