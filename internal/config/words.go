package config

import (
	"log/slog"

	"milterd/internal/strictyaml"
)

// The keys that take one of a few words.

// Mode says how far milterd goes with its verdicts.
type Mode string

// The modes. Each does what the one before it does, and more.
const (
	Observe Mode = "observe" // decide and log, change nothing
	Tag     Mode = "tag"     // add headers, refuse nothing
	Enforce Mode = "enforce" // refuse as well
)

// DecodeYAML implements [strictyaml.Decoder].
func (m *Mode) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, m, Observe, Tag, Enforce)
}

// OwnFault is what becomes of a message on which milterd itself keeps failing.
type OwnFault string

// What may become of it. The sender has been told to retry before (451 4.3.0).
const (
	Hold     OwnFault = "hold"     // Postfix's HOLD queue, for a person to look at
	Junk     OwnFault = "junk"     // delivered, marked as spam
	Tempfail OwnFault = "tempfail" // 451 until the sender gives up
)

// DecodeYAML implements [strictyaml.Decoder].
func (f *OwnFault) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, f, Hold, Junk, Tempfail)
}

// LogFormat is the form of a log line.
type LogFormat string

// The forms of [log/slog].
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

// DecodeYAML implements [strictyaml.Decoder].
func (f *LogFormat) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, f, LogText, LogJSON)
}

// LogLevel is the least important line that is logged.
type LogLevel string

// The levels of [log/slog].
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// DecodeYAML implements [strictyaml.Decoder].
func (l *LogLevel) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, l, LogDebug, LogInfo, LogWarn, LogError)
}

// Level implements [slog.Leveler].
func (l LogLevel) Level() slog.Level {
	switch l {
	case LogDebug:
		return slog.LevelDebug
	case LogWarn:
		return slog.LevelWarn
	case LogError:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// Compat is a family of header fields that other software expects.
type Compat string

// SpamAssassin is X-Spam-Flag, X-Spam, X-Spam-Status, X-Spam-Score and X-Spam-Level.
const SpamAssassin Compat = "spamassassin"

// DecodeYAML implements [strictyaml.Decoder].
func (c *Compat) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, c, SpamAssassin)
}
