package milter

import (
	"encoding/binary"
	"fmt"
	"strings"

	wire "github.com/emersion/go-milter"
)

// check refuses whatever would become another field, another packet or another
// address on its way.
func (e Edit) check() error {
	switch e.Op {
	case OpInsertHeader, OpAddHeader, OpChangeHeader, OpDeleteHeader:
		return e.checkField()
	case OpAddRcpt, OpChangeFrom, OpDeleteRcpt:
		if err := checkAddress(e.Value); err != nil {
			return err
		}
		for _, arg := range e.Args {
			if arg == "" || strings.IndexFunc(arg, func(r rune) bool { return r <= ' ' || r >= 0x7f }) >= 0 {
				return fmt.Errorf("milter: ESMTP argument %s", quote([]byte(arg)))
			}
		}
		return nil
	case OpQuarantine:
		if e.Value == "" || len(e.Value) > maxReplyLine || strings.IndexFunc(e.Value, notPrintable) >= 0 {
			return fmt.Errorf("milter: quarantine reason %s", quote([]byte(e.Value)))
		}
		return nil
	}
	return fmt.Errorf("milter: unknown edit %s", quote([]byte(e.Op)))
}

// checkField wants a name of RFC 5322, section 3.6.8 (printable ASCII but the
// colon) and a value whose every line after the first begins with white space
// and holds more than that.
func (e Edit) checkField() error {
	if e.Name == "" || len(e.Name) > 255 ||
		strings.IndexFunc(e.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) >= 0 {
		return fmt.Errorf("milter: header field name %s", quote([]byte(e.Name)))
	}
	lowest := 1
	switch e.Op {
	case OpInsertHeader:
		lowest = 0
	case OpAddHeader:
		lowest = e.Index
	case OpChangeHeader:
		if e.Value == "" {
			return fmt.Errorf("milter: an empty value deletes the field: say so with DeleteHeader: %s", e.brief())
		}
	}
	if e.Index < lowest || e.Index > 1<<30 {
		return fmt.Errorf("milter: header field index %d", e.Index)
	}
	if strings.ContainsAny(e.Value, "\x00\r") {
		return fmt.Errorf("milter: NUL or CR in a header field: %s", e.brief())
	}
	for rest := e.Value; ; {
		_, next, more := strings.Cut(rest, "\n")
		if !more {
			return nil
		}
		line, _, _ := strings.Cut(next, "\n")
		if line == "" || (line[0] != ' ' && line[0] != '\t') || strings.Trim(line, " \t") == "" {
			return fmt.Errorf("milter: line break that is no fold in a header field: %s", e.brief())
		}
		rest = next
	}
}

// checkAddress accepts an address with or without angle brackets and refuses
// controls, white space outside quotes and any bracket inside.
func checkAddress(s string) error {
	inner, opened := strings.CutPrefix(s, "<")
	if opened {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, ">"); !closed {
			return fmt.Errorf("milter: unbalanced brackets in address %s", quote([]byte(s)))
		}
	}
	quoted := false
	for i := 0; i < len(inner); i++ {
		c := inner[i]
		switch {
		case c < ' ' || c == 0x7f:
			return fmt.Errorf("milter: control character in address %s", quote([]byte(s)))
		case quoted && c == '\\' && i+1 < len(inner) && inner[i+1] >= ' ':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '<' || c == '>' || c == ','):
			return fmt.Errorf("milter: %q in address %s", c, quote([]byte(s)))
		}
	}
	if quoted || len(s) > 1024 {
		return fmt.Errorf("milter: address %s", quote([]byte(s)))
	}
	return nil
}

func malformedEdit(act wire.ModifyActCode) error {
	return fmt.Errorf("milter: malformed edit %q", byte(act))
}

// decodeEdit reads an edit that a filter wrote; ok is false when the letter is
// none of an edit.
func decodeEdit(act wire.ModifyActCode, data []byte, leadingSpace bool) (e Edit, ok bool, err error) {
	switch act {
	case wire.ActInsertHeader, wire.ActChangeHeader:
		if len(data) < 4 {
			return e, true, malformedEdit(act)
		}
		index := binary.BigEndian.Uint32(data)
		if index > 1<<30 { // Postfix: bad change header index
			return e, true, malformedEdit(act)
		}
		e.Op, e.Index, data = OpInsertHeader, int(index), data[4:]
		if act == wire.ActChangeHeader {
			e.Op, e.Index = OpChangeHeader, max(e.Index, 1) // 0 is 1, as in Sendmail
		}
	case wire.ActAddHeader:
		e.Op = OpAddHeader
	case wire.ActAddRcpt:
		e.Op = OpAddRcpt
	case ActAddRcptWithArgs:
		e.Op = OpAddRcpt
	case wire.ActDelRcpt:
		e.Op = OpDeleteRcpt
	case wire.ActChangeFrom:
		e.Op = OpChangeFrom
	case wire.ActQuarantine:
		e.Op = OpQuarantine
	default:
		return e, false, nil
	}
	first, rest, complete := cutString(data)
	if !complete {
		return e, true, malformedEdit(act)
	}
	switch e.Op {
	case OpInsertHeader, OpAddHeader, OpChangeHeader:
		value, complete := parseString(rest)
		if !complete || len(first) == 0 {
			return e, true, malformedEdit(act)
		}
		e.Name, e.Value = string(first), string(value)
		if e.Op == OpChangeHeader && e.Value == "" {
			e.Op = OpDeleteHeader
			return e, true, nil
		}
		if leadingSpace {
			var spaced bool
			e.Value, spaced = strings.CutPrefix(e.Value, " ")
			e.Tight = !spaced
		}
		return e, true, nil
	}
	e.Value = string(first)
	takesArgs := act == ActAddRcptWithArgs || act == wire.ActChangeFrom
	if takesArgs && len(rest) > 0 {
		// libmilter and Postfix know one string of arguments, others send several.
		if rest[len(rest)-1] != 0 {
			return e, true, malformedEdit(act)
		}
		if args := strings.Fields(strings.ReplaceAll(string(rest), "\x00", " ")); len(args) > 0 {
			e.Args = args
		}
	} else if len(rest) > 0 {
		return e, true, malformedEdit(act)
	}
	return e, true, nil
}
