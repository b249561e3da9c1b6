package mailbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// separator is what begins a message of an mbox: "From ", a sender, a date as
// asctime(3) writes it, perhaps with a zone (RFC 4155, appendix A). Behind a
// blank line a sentence may begin with "From " as well, where the program that
// wrote the mbox did not quote it; it has no time of day with a year.
var separator = regexp.MustCompile(`^From .*\d:\d\d.*\d{4}`)

var from = []byte("From ")

// messages yields what a file holds: one message, or those of an mbox, which is
// told by its first five bytes. A message of more than limit bytes is an error,
// after which the next one follows.
func messages(r io.Reader, limit int64, yield func(raw []byte, err error) bool) {
	b := bufio.NewReaderSize(r, 64<<10)
	if first, _ := b.Peek(len(from)); !bytes.Equal(first, from) {
		raw, err := readAll(b, limit)
		yield(raw, err)
		return
	}
	var (
		raw     []byte
		tooBig  bool
		blank   = true // the line before was empty
		partial = false
		found   = false
	)
	finish := func() bool {
		if tooBig {
			return yield(nil, fmt.Errorf("larger than %d bytes", limit))
		}
		return yield(raw, nil)
	}
	for {
		line, err := b.ReadSlice('\n')
		switch {
		case !partial && blank && isSeparator(line, found):
			if found {
				raw = trimNewline(raw)
				if !finish() {
					return
				}
			}
			found, raw, tooBig = true, nil, false
		case int64(len(raw)+len(line)) > limit:
			tooBig, raw = true, nil
		case !tooBig:
			if !partial {
				line = unquoted(line)
			}
			raw = append(raw, line...)
		}
		if !partial && len(line) > 0 {
			blank = len(trimNewline(line)) == 0
		}
		partial = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !partial {
			if !errors.Is(err, io.EOF) {
				yield(nil, err)
				return
			}
			if blank { // each message has one behind it
				raw = trimNewline(raw)
			}
			finish()
			return
		}
	}
}

// isSeparator reports whether a line behind a blank one begins a message. The
// first line of a file need not have a date.
func isSeparator(line []byte, found bool) bool {
	return bytes.HasPrefix(line, from) && (!found || separator.Match(line))
}

// unquoted takes one > from a line that would be a separator without them.
func unquoted(line []byte) []byte {
	if len(line) > 0 && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), from) {
		return line[1:]
	}
	return line
}

// trimNewline takes one line end from the end.
func trimNewline(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}
