package milter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"

	wire "github.com/emersion/go-milter"
)

// ProtocolVersion is the version of the protocol spoken here (SMFI_VERSION).
const ProtocolVersion = 6

// What go-milter's constants lack.
const (
	CodeUnknown wire.Code = 'U' // SMFIC_UNKNOWN: an SMTP command the MTA does not know

	ActProgress wire.ActionCode = 'p' // SMFIR_PROGRESS: still at work, restart your timer
	ActShutdown wire.ActionCode = '4' // SMFIR_SHUTDOWN: 421, end this SMTP session
	ActConnFail wire.ActionCode = 'f' // SMFIR_CONN_FAIL: fail the connection

	ActAddRcptWithArgs wire.ModifyActCode = '2' // SMFIR_ADDRCPT_PAR: add recipient with ESMTP arguments
)

// AllActions is every SMFIF_* flag that this package can act upon: all of
// version 6 but SMFIF_CHGBODY.
const AllActions = wire.OptAddHeader | wire.OptAddRcpt | wire.OptRemoveRcpt | wire.OptChangeHeader |
	wire.OptQuarantine | wire.OptChangeFrom | wire.OptAddRcptWithArgs | wire.OptSetSymList

// AllProtocol is every SMFIP_* flag of version 6, as Postfix offers them.
const AllProtocol wire.OptProtocol = 0x1fffff

// maxReplyData bounds what the filter writes in one packet. Postfix refuses a
// packet of more than twice its chunk size.
const maxReplyData = wire.MaxBodyChunk

// knownCommand tells whether a filter may receive this letter.
func knownCommand(code wire.Code) bool {
	switch code {
	case wire.CodeOptNeg, wire.CodeMacro, wire.CodeConn, wire.CodeHelo, wire.CodeMail, wire.CodeRcpt,
		wire.CodeData, wire.CodeHeader, wire.CodeEOH, wire.CodeBody, wire.CodeEOB, wire.CodeAbort,
		wire.CodeQuit, wire.CodeQuitNewConn, CodeUnknown:
		return true
	}
	return false
}

// noReplyFlag is the SMFIP_NR_* flag under which a command is not answered;
// zero for commands that always are (BODYEOB) or never are.
func noReplyFlag(code wire.Code) wire.OptProtocol {
	switch code {
	case wire.CodeConn:
		return wire.OptNoConnReply
	case wire.CodeHelo:
		return wire.OptNoHeloReply
	case wire.CodeMail:
		return wire.OptNoMailReply
	case wire.CodeRcpt:
		return wire.OptNoRcptReply
	case wire.CodeData:
		return wire.OptNoDataReply
	case wire.CodeHeader:
		return wire.OptNoHeaderReply
	case wire.CodeEOH:
		return wire.OptNoEOHReply
	case wire.CodeBody:
		return wire.OptNoBodyReply
	case CodeUnknown:
		return wire.OptNoUnknownReply
	}
	return 0
}

// noSendFlag is the SMFIP_NO* flag under which the MTA does not send a command.
func noSendFlag(code wire.Code) wire.OptProtocol {
	switch code {
	case wire.CodeConn:
		return wire.OptNoConnect
	case wire.CodeHelo:
		return wire.OptNoHelo
	case wire.CodeMail:
		return wire.OptNoMailFrom
	case wire.CodeRcpt:
		return wire.OptNoRcptTo
	case wire.CodeData:
		return wire.OptNoData
	case wire.CodeHeader:
		return wire.OptNoHeaders
	case wire.CodeEOH:
		return wire.OptNoEOH
	case wire.CodeBody:
		return wire.OptNoBody
	case CodeUnknown:
		return wire.OptNoUnknown
	}
	return 0
}

// appendFrame appends a packet whose data are the parts one after the other.
func appendFrame(dst []byte, code byte, parts ...string) []byte {
	size := 1
	for _, p := range parts {
		size += len(p)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, code)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// negotiation is the data of SMFIC_OPTNEG, in either direction.
type negotiation struct {
	version  uint32
	actions  wire.OptAction
	protocol wire.OptProtocol
	macros   []macroRequest // from the filter only
}

// macroRequest is one list of SMFIF_SETSYMLIST: the macros a filter wants at a
// stage, by name, divided by spaces.
type macroRequest struct {
	stage wire.Stage
	names string
}

func appendNegotiation(dst []byte, n negotiation) []byte {
	size := 13
	for _, m := range n.macros {
		size += 4 + len(m.names) + 1
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(size))
	dst = append(dst, byte(wire.CodeOptNeg))
	dst = binary.BigEndian.AppendUint32(dst, n.version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n.actions))
	dst = binary.BigEndian.AppendUint32(dst, uint32(n.protocol))
	for _, m := range n.macros {
		dst = binary.BigEndian.AppendUint32(dst, uint32(m.stage))
		dst = append(append(dst, m.names...), 0)
	}
	return dst
}

// parseNegotiation reads the data of SMFIC_OPTNEG. An MTA sends three numbers
// and nothing else; whatever follows them is read as a filter's macro lists.
func parseNegotiation(data []byte) (n negotiation, ok bool) {
	if len(data) < 12 {
		return n, false
	}
	n.version = binary.BigEndian.Uint32(data)
	n.actions = wire.OptAction(binary.BigEndian.Uint32(data[4:]))
	n.protocol = wire.OptProtocol(binary.BigEndian.Uint32(data[8:]))
	for data = data[12:]; len(data) > 0; {
		if len(data) < 5 {
			return n, false
		}
		names, rest, ok := cutString(data[4:])
		if !ok {
			return n, false
		}
		n.macros = append(n.macros, macroRequest{wire.Stage(binary.BigEndian.Uint32(data)), string(names)})
		data = rest
	}
	return n, true
}

// cutString takes one NUL-terminated string off data.
func cutString(data []byte) (s, rest []byte, ok bool) {
	i := bytes.IndexByte(data, 0)
	if i < 0 {
		return nil, nil, false
	}
	return data[:i], data[i+1:], true
}

// parseString reads data that is one NUL-terminated string and nothing else.
func parseString(data []byte) ([]byte, bool) {
	s, rest, ok := cutString(data)
	return s, ok && len(rest) == 0
}

// parseField reads the data of SMFIC_HEADER: a name and a value.
func parseField(data []byte) (name, value []byte, ok bool) {
	name, rest, ok := cutString(data)
	if !ok {
		return nil, nil, false
	}
	value, ok = parseString(rest)
	return name, value, ok
}

// parseArgs reads the data of SMFIC_MAIL and SMFIC_RCPT: an address, then ESMTP
// arguments. The null sender of a local message is an empty string.
func parseArgs(data []byte) (address string, args []string, ok bool) {
	if len(data) == 0 || data[len(data)-1] != 0 {
		return "", nil, false
	}
	all := string(data[:len(data)-1])
	address, rest, more := strings.Cut(all, "\x00")
	if more {
		args = strings.Split(rest, "\x00")
	}
	return address, args, true
}

// parseConnect reads the data of SMFIC_CONNECT.
func parseConnect(data []byte) (c Connect, ok bool) {
	host, rest, ok := cutString(data)
	if !ok || len(rest) == 0 {
		return c, false
	}
	c.Host, c.Family, rest = string(host), rest[0], rest[1:]
	switch wire.ProtoFamily(c.Family) {
	case wire.FamilyUnknown:
		return c, len(rest) == 0 // port and address are left out
	case wire.FamilyUnix:
		// libmilter and Postfix send the port here too, zero; others leave it out.
		if len(rest) > 2 && rest[0] == 0 && rest[1] == 0 {
			rest = rest[2:]
		}
		path, ok := parseString(rest)
		c.Path = string(path)
		return c, ok
	case wire.FamilyInet, wire.FamilyInet6:
		if len(rest) < 3 {
			return c, false
		}
		c.Port, rest = binary.BigEndian.Uint16(rest), rest[2:]
		text, ok := parseString(rest)
		// Sendmail writes IPv6:2001:db8::1 here, Postfix does so in macros only.
		// An address nobody can read is an unknown address, no reason to hang up.
		if addr, err := netip.ParseAddr(strings.TrimPrefix(string(text), "IPv6:")); err == nil {
			c.Addr = addr.WithZone("").Unmap()
		}
		return c, ok
	}
	return c, false
}

// appendConnect is the other direction of parseConnect.
func appendConnect(dst []byte, c Connect) []byte {
	dst = append(append(dst, c.Host...), 0, c.Family)
	switch wire.ProtoFamily(c.Family) {
	case wire.FamilyUnix:
		dst = append(append(dst, 0, 0), c.Path...)
		dst = append(dst, 0)
	case wire.FamilyInet, wire.FamilyInet6:
		dst = binary.BigEndian.AppendUint16(dst, c.Port)
		if c.Addr.IsValid() {
			dst = c.Addr.AppendTo(dst)
		}
		dst = append(dst, 0)
	}
	return dst
}
