package keys

import (
	"strings"
)

// maxString is the length of one character-string of a TXT record (RFC 1035,
// section 3.3.14).
const maxString = 255

// Strings cuts the text of a TXT record into its character-strings. Whoever reads
// them joins them without anything between (RFC 6376, section 3.6.2.2).
func Strings(record string) []string {
	var parts []string
	for len(record) > maxString {
		parts = append(parts, record[:maxString])
		record = record[maxString:]
	}
	return append(parts, record)
}

// ZoneLine returns a TXT record as a zone file has it, in one line (RFC 1035,
// section 5.1). The record needs no escapes: it is of our own making.
func ZoneLine(name, record string) string {
	return name + `. IN TXT "` + strings.Join(Strings(record), `" "`) + `"`
}

// ZoneLines is ZoneLine for people: each character-string on a line of its own, in
// parentheses where there are several.
func ZoneLines(name, record string) string {
	parts := Strings(record)
	if len(parts) == 1 {
		return ZoneLine(name, record)
	}
	return name + ". IN TXT (\n\t\"" + strings.Join(parts, "\"\n\t\"") + "\" )"
}
