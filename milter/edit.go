package milter

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	wire "github.com/emersion/go-milter"
)

// EditOp says what an Edit does.
type EditOp string

const (
	OpInsertHeader EditOp = "insert" // SMFIR_INSHEADER
	OpAddHeader    EditOp = "add"    // SMFIR_ADDHEADER
	OpChangeHeader EditOp = "change" // SMFIR_CHGHEADER
	OpDeleteHeader EditOp = "delete" // SMFIR_CHGHEADER with an empty value
	OpAddRcpt      EditOp = "add-recipient"
	OpDeleteRcpt   EditOp = "delete-recipient"
	OpChangeFrom   EditOp = "change-sender"
	OpQuarantine   EditOp = "quarantine"
)

// Edit is one change to a message, asked for at end of message. Make it with
// the functions below. Nothing is checked before the Server writes it: there a
// set of edits is taken whole or not at all.
type Edit struct {
	Op    EditOp
	Index int      // of OpInsertHeader, OpChangeHeader, OpDeleteHeader
	Name  string   // of a header field
	Value string   // of a header field; or the address; or the reason
	Args  []string // ESMTP arguments of OpAddRcpt and OpChangeFrom

	// Tight is set by the Client where a filter that negotiated LEADSPC sent a
	// value without leading space: the field is then "Name:value".
	Tight bool
}

// InsertHeader puts a field at a place: 0 is above everything, n below the
// first n fields as the MTA then counts (Postfix counts its own Received, which
// it never shows). Fields inserted at one place stand in the order in which they
// are given.
//
// Value is what follows "Name: "; folds are LF and then space or tab.
func InsertHeader(index int, name, value string) Edit {
	return Edit{Op: OpInsertHeader, Index: index, Name: name, Value: value}
}

// AddHeader puts a field below all others.
func AddHeader(name, value string) Edit {
	return Edit{Op: OpAddHeader, Name: name, Value: value}
}

// ChangeHeader gives the index-th field of that name (the first is 1, counted
// in the message as it came) another value.
func ChangeHeader(index int, name, value string) Edit {
	return Edit{Op: OpChangeHeader, Index: index, Name: name, Value: value}
}

// DeleteHeader removes the index-th field of that name (the first is 1, counted
// in the message as it came).
func DeleteHeader(index int, name string) Edit {
	return Edit{Op: OpDeleteHeader, Index: index, Name: name}
}

// AddRcpt adds a recipient, with or without angle brackets; args are ESMTP
// arguments (NOTIFY=NEVER), which need SMFIF_ADDRCPT_PAR.
func AddRcpt(address string, args ...string) Edit {
	return Edit{Op: OpAddRcpt, Value: address, Args: args}
}

// DeleteRcpt removes a recipient, given exactly as Session.Rcpt got it.
func DeleteRcpt(address string) Edit { return Edit{Op: OpDeleteRcpt, Value: address} }

// ChangeFrom changes the envelope sender, with or without angle brackets.
func ChangeFrom(address string, args ...string) Edit {
	return Edit{Op: OpChangeFrom, Value: address, Args: args}
}

// Quarantine puts the message on hold. Postfix before 3.10 does not log the
// reason: log it yourself.
func Quarantine(reason string) Edit { return Edit{Op: OpQuarantine, Value: reason} }

// String shows the edit on one line, quoted.
func (e Edit) String() string {
	switch e.Op {
	case OpInsertHeader, OpChangeHeader:
		return fmt.Sprintf("%s %d %s: %q", e.Op, e.Index, e.Name, e.Value)
	case OpDeleteHeader:
		return fmt.Sprintf("%s %d %s", e.Op, e.Index, e.Name)
	case OpAddHeader:
		return fmt.Sprintf("%s %s: %q", e.Op, e.Name, e.Value)
	}
	if len(e.Args) > 0 {
		return fmt.Sprintf("%s %q %q", e.Op, e.Value, e.Args)
	}
	return fmt.Sprintf("%s %q", e.Op, e.Value)
}

// brief is String for an error: cut, and ASCII whatever the name holds.
func (e Edit) brief() string { return quote([]byte(e.String())) }

// rank is the place of an edit among the others. Changes and deletions count
// fields by name in the message as it came, so they go first, the highest index
// first: deleting upwards lets every second forged field survive
// (CVE-2022-48521 of OpenDKIM). Quarantine goes last: some versions of Postfix
// stop reading edits there.
func (e Edit) rank() int {
	switch e.Op {
	case OpChangeHeader, OpDeleteHeader:
		return 0
	case OpInsertHeader:
		return 1
	case OpAddHeader:
		return 2
	case OpQuarantine:
		return 4
	}
	return 3
}

// writeOrder gives the edits in the order in which they must be written.
func writeOrder(edits []Edit) []Edit {
	if len(edits) < 2 {
		return edits
	}
	order := make([]int, len(edits))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := edits[i], edits[j]
		if c := cmp.Compare(a.rank(), b.rank()); c != 0 {
			return c
		}
		switch a.Op {
		case OpChangeHeader, OpDeleteHeader:
			return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(i, j))
		case OpInsertHeader:
			// Each insertion pushes down what was inserted before at the same place:
			// to stand in the given order they are written backwards.
			return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(j, i))
		}
		return cmp.Compare(i, j)
	})
	ordered := make([]Edit, len(edits))
	for to, from := range order {
		ordered[to] = edits[from]
	}
	return ordered
}

// appendEdits appends the packets of all edits, or returns dst as it was and
// the reason why the set cannot be asked for.
func appendEdits(dst []byte, edits []Edit, actions wire.OptAction, protocol wire.OptProtocol) ([]byte, error) {
	leadingSpace := protocol&wire.OptHeaderLeadingSpace != 0
	ordered := writeOrder(edits)
	out := dst
	for i, e := range ordered {
		if e.rank() == 0 && sameFieldIn(ordered[:i], e) {
			return dst, fmt.Errorf("milter: two edits of one field: %s", e.brief())
		}
		var err error
		if out, err = e.appendPacket(out, actions, leadingSpace); err != nil {
			return dst, err
		}
	}
	return out, nil
}

// sameFieldIn looks among the edits of the same index, which stand last.
func sameFieldIn(before []Edit, e Edit) bool {
	for i := len(before) - 1; i >= 0 && before[i].Index == e.Index; i-- {
		if strings.EqualFold(before[i].Name, e.Name) {
			return true
		}
	}
	return false
}

func (e Edit) appendPacket(dst []byte, actions wire.OptAction, leadingSpace bool) ([]byte, error) {
	if err := e.check(); err != nil {
		return dst, err
	}
	granted := func(a wire.OptAction) error {
		if actions&a == 0 {
			return fmt.Errorf("milter: the MTA did not grant this edit: %s", e.brief())
		}
		return nil
	}
	space := ""
	if leadingSpace && !e.Tight {
		space = " "
	}
	start := len(dst)
	var err error
	switch e.Op {
	case OpInsertHeader:
		err = granted(wire.OptAddHeader)
		dst = appendFrame(dst, byte(wire.ActInsertHeader), index32(e.Index), e.Name, "\x00", space, e.Value, "\x00")
	case OpAddHeader:
		err = granted(wire.OptAddHeader)
		dst = appendFrame(dst, byte(wire.ActAddHeader), e.Name, "\x00", space, e.Value, "\x00")
	case OpChangeHeader:
		err = granted(wire.OptChangeHeader)
		dst = appendFrame(dst, byte(wire.ActChangeHeader), index32(e.Index), e.Name, "\x00", space, e.Value, "\x00")
	case OpDeleteHeader:
		err = granted(wire.OptChangeHeader)
		dst = appendFrame(dst, byte(wire.ActChangeHeader), index32(e.Index), e.Name, "\x00\x00")
	case OpAddRcpt:
		if len(e.Args) > 0 || actions&wire.OptAddRcpt == 0 {
			err = granted(wire.OptAddRcptWithArgs)
			dst = appendFrame(dst, byte(ActAddRcptWithArgs), bracketed(e.Value), "\x00", strings.Join(e.Args, " "), "\x00")
			break
		}
		dst = appendFrame(dst, byte(wire.ActAddRcpt), bracketed(e.Value), "\x00")
	case OpDeleteRcpt:
		err = granted(wire.OptRemoveRcpt)
		dst = appendFrame(dst, byte(wire.ActDelRcpt), e.Value, "\x00")
	case OpChangeFrom:
		err = granted(wire.OptChangeFrom)
		if len(e.Args) > 0 {
			dst = appendFrame(dst, byte(wire.ActChangeFrom), bracketed(e.Value), "\x00", strings.Join(e.Args, " "), "\x00")
			break
		}
		dst = appendFrame(dst, byte(wire.ActChangeFrom), bracketed(e.Value), "\x00")
	case OpQuarantine:
		err = granted(wire.OptQuarantine)
		dst = appendFrame(dst, byte(wire.ActQuarantine), e.Value, "\x00")
	}
	if err == nil && len(dst)-start > maxReplyData {
		err = fmt.Errorf("milter: an edit of %d bytes is more than an MTA takes", len(dst)-start)
	}
	return dst, err
}

func index32(i int) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(i)))
}

func bracketed(address string) string {
	if strings.HasPrefix(address, "<") {
		return address
	}
	return "<" + address + ">"
}
