package milter

import (
	"bytes"
	"iter"
	"strings"

	wire "github.com/emersion/go-milter"
)

const (
	stages = 7 // wire.StageConnect to wire.StageEOH

	// maxMacroBytes bounds what a peer can make us keep in macros. What Postfix
	// sends for all stages together is below 2 KiB.
	maxMacroBytes = 32 << 10

	// A packet this small keeps its memory for the next message.
	reuseMacroBytes = 1 << 10
)

// macroStage is the stage whose macros a command carries. A header field has
// those of end of header, a body chunk those of end of message.
func macroStage(code wire.Code) (wire.Stage, bool) {
	switch code {
	case wire.CodeConn:
		return wire.StageConnect, true
	case wire.CodeHelo:
		return wire.StageHelo, true
	case wire.CodeMail:
		return wire.StageMailFrom, true
	case wire.CodeRcpt:
		return wire.StageRcptTo, true
	case wire.CodeData:
		return wire.StageData, true
	case wire.CodeHeader, wire.CodeEOH:
		return wire.StageEOH, true
	case wire.CodeBody, wire.CodeEOB:
		return wire.StageEOM, true
	}
	return 0, false
}

// macros keeps the last macro packet of each stage as it came. Postfix sends
// one before every command, for every header field again, and nearly always the
// same: comparing bytes is all that costs. Names are looked for when asked.
type macros struct {
	packets [stages][]byte // nameval[][], NUL-terminated strings in pairs
	fresh   [stages]bool   // came since the last command of its stage
	size    int
}

// put stores the data of an SMFIC_MACRO packet. Macros for a command without a
// stage (SMFIC_UNKNOWN, or one not invented yet) are let pass.
func (m *macros) put(data []byte) *protocolError {
	if len(data) == 0 {
		return &protocolError{ReasonMalformed, "macro packet without a command"}
	}
	stage, ok := macroStage(wire.Code(data[0]))
	pairs := data[1:]
	if ok && len(pairs) > 0 && bytes.Equal(m.packets[stage], pairs) {
		m.fresh[stage] = true
		return nil
	}
	if len(pairs) > 0 && (pairs[len(pairs)-1] != 0 || bytes.Count(pairs, []byte{0})%2 != 0) {
		return &protocolError{ReasonMalformed, "macros are not pairs of strings: " + quote(data)}
	}
	if !ok {
		return nil
	}
	size := m.size - len(m.packets[stage]) + len(pairs)
	if size > maxMacroBytes {
		return &protocolError{ReasonMacros, "too many bytes in macros"}
	}
	m.size = size
	m.packets[stage] = append(m.packets[stage][:0], pairs...)
	m.fresh[stage] = true
	return nil
}

// use marks the stage's macros as used up by a command. A recipient without
// macros of its own must not inherit {rcpt_mailer}=error from the one before, nor
// a message the {auth_authen} of another.
func (m *macros) use(stage wire.Stage) {
	if !m.fresh[stage] && (stage == wire.StageMailFrom || stage == wire.StageRcptTo) {
		m.clear(stage)
	}
	m.fresh[stage] = false
}

func (m *macros) clear(stage wire.Stage) {
	m.size -= len(m.packets[stage])
	m.fresh[stage] = false
	if cap(m.packets[stage]) > reuseMacroBytes {
		m.packets[stage] = nil
	}
	m.packets[stage] = m.packets[stage][:0]
}

// clearFrom forgets what belongs to a stage and all later ones.
func (m *macros) clearFrom(stage wire.Stage) {
	for ; stage < stages; stage++ {
		m.clear(stage)
	}
}

// newestFirst is the order in which a name is looked for: the latest stage of
// the message knows best.
func newestFirst(yield func(wire.Stage) bool) {
	for _, stage := range [...]wire.Stage{wire.StageEOM, wire.StageEOH, wire.StageData, wire.StageRcptTo,
		wire.StageMailFrom, wire.StageHelo, wire.StageConnect} {
		if !yield(stage) {
			return
		}
	}
}

func (m *macros) lookup(stage wire.Stage, name string) (string, bool) {
	if stage >= stages {
		return "", false
	}
	name = bareName(name)
	for pairs := m.packets[stage]; len(pairs) > 0; {
		n, rest, _ := cutString(pairs)
		v, rest, _ := cutString(rest)
		if len(n) >= 2 && n[0] == '{' && n[len(n)-1] == '}' {
			n = n[1 : len(n)-1]
		}
		if string(n) == name {
			return string(v), true
		}
		pairs = rest
	}
	return "", false
}

func (m *macros) all(stage wire.Stage) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if stage >= stages {
			return
		}
		for pairs := m.packets[stage]; len(pairs) > 0; {
			n, rest, _ := cutString(pairs)
			v, rest, _ := cutString(rest)
			if !yield(string(n), string(v)) {
				return
			}
			pairs = rest
		}
	}
}

// bareName takes the braces off a macro name: {auth_authen} and auth_authen are
// the same macro.
func bareName(name string) string {
	if strings.HasPrefix(name, "{") && strings.HasSuffix(name, "}") {
		return name[1 : len(name)-1]
	}
	return name
}
