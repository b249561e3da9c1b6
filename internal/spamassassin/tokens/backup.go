package tokens

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Backup is what "sa-learn --backup" writes: how often SpamAssassin's Bayes has seen
// each token.
type Backup struct {
	Spam, Ham int64 // messages that were learned
	Counts    []Count
	// Seen is how many messages it remembers to have learned. Their names are
	// SpamAssassin's own and of no use elsewhere.
	Seen int
	// Unread is how many lines make no sense, Problems are the first of them.
	Unread   int
	Problems []Problem
}

// Count is how many messages of each class have had a token.
type Count struct {
	Sum       [5]byte
	Spam, Ham uint32
}

// Problem is a line that makes no sense.
type Problem struct {
	Line int
	Why  string
}

func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Why) }

// ErrBackup is a text that is no backup, or one of which nothing can be used.
var ErrBackup = errors.New("not a backup of SpamAssassin's Bayes")

// Bounds of a backup. SpamAssassin keeps 150,000 tokens unless it is told otherwise.
const (
	MaxCounts   = 1_000_000
	maxLine     = 4 << 10
	maxProblems = 10
)

// ReadBackup reads a backup. Lines that make no sense are counted and left out. The
// error wraps [ErrBackup], or is the reader's.
//
// The lines, with tabs between their columns, are:
//
//	v  3  db_version               the first one; 3, or 2
//	v  494  num_spam               messages learned, num_nonspam likewise
//	t  12  0  1700000000  0a1b…    a token: in spam, in ham, when last met, its sum in
//	                               hexadecimal; with version 2 the token itself
//	s  h  0123…@sa_generated       a message that was learned, h or s
func ReadBackup(r io.Reader) (*Backup, error) {
	b := &Backup{Spam: -1, Ham: -1}
	lines := bufio.NewReaderSize(r, maxLine)
	version := 0
	for number := 1; ; number++ {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return nil, err
		}
		if number == 1 {
			if version = versionOf(line); version == 0 || long {
				return nil, fmt.Errorf("%w: the first line is not \"v 3 db_version\" or \"v 2 db_version\"", ErrBackup)
			}
		} else if line = bytes.TrimRight(line, "\r\n"); long {
			b.problem(number, fmt.Sprintf("longer than %d bytes", maxLine))
		} else if why := b.line(line, version); why != "" {
			b.problem(number, why)
		}
		if len(b.Counts) > MaxCounts {
			return nil, fmt.Errorf("%w: more than %d tokens", ErrBackup, MaxCounts)
		}
		if ended {
			break
		}
	}
	switch {
	case b.Spam < 0 || b.Ham < 0:
		return nil, fmt.Errorf("%w: it does not say how many messages were learned (num_spam, num_nonspam)", ErrBackup)
	case b.Spam == 0 || b.Ham == 0:
		return nil, fmt.Errorf("%w that says something: it has learned %d spam and %d ham, and without one of them nothing tells them apart", ErrBackup, b.Spam, b.Ham)
	case len(b.Counts) == 0:
		return nil, fmt.Errorf("%w that says something: there is no token in it", ErrBackup)
	}
	return b, nil
}

func (b *Backup) problem(line int, why string) {
	if b.Unread++; len(b.Problems) < maxProblems {
		b.Problems = append(b.Problems, Problem{line, why})
	}
}

func versionOf(line []byte) int {
	f := bytes.Fields(line)
	if len(f) < 3 || string(f[0]) != "v" || string(f[2]) != "db_version" {
		return 0
	}
	switch string(f[1]) {
	case "2":
		return 2
	case "3":
		return 3
	}
	return 0
}

// line takes a line up, or says why not.
func (b *Backup) line(line []byte, version int) (why string) {
	if len(line) == 0 {
		return ""
	}
	columns := bytes.SplitN(line, []byte{'\t'}, 5)
	switch string(columns[0]) {
	case "v":
		return b.variable(columns)
	case "s":
		b.Seen++
		return ""
	case "t":
		return b.count(columns, version)
	}
	return "expected a line that begins with v, t or s and a tab"
}

func (b *Backup) variable(columns [][]byte) (why string) {
	if len(columns) != 3 {
		return "expected v, a number and a name"
	}
	var into *int64
	switch string(columns[2]) {
	case "num_spam":
		into = &b.Spam
	case "num_nonspam":
		into = &b.Ham
	default:
		return "" // of no use here
	}
	n, err := strconv.ParseInt(string(columns[1]), 10, 64)
	if err != nil || n < 0 || n > math.MaxUint32 {
		return "expected a number of messages"
	}
	*into = n
	return ""
}

func (b *Backup) count(columns [][]byte, version int) (why string) {
	if len(columns) != 5 {
		return "expected t, two counts, a time and a token"
	}
	spam, err1 := strconv.ParseUint(string(columns[1]), 10, 32)
	ham, err2 := strconv.ParseUint(string(columns[2]), 10, 32)
	if err1 != nil || err2 != nil {
		return "expected two counts of messages"
	}
	c := Count{Spam: uint32(spam), Ham: uint32(ham)}
	if version == 2 {
		sum := sha1.Sum(columns[4])
		c.Sum = [5]byte(sum[len(sum)-5:])
	} else if sum, err := hex.AppendDecode(nil, columns[4]); err != nil || len(sum) != len(c.Sum) {
		return "expected a token of ten hexadecimal digits"
	} else {
		c.Sum = [5]byte(sum)
	}
	if spam+ham > 0 {
		b.Counts = append(b.Counts, c)
	}
	return ""
}
