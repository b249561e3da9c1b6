package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLine bounds a line of the journal; ours are far shorter.
const maxLine = 1 << 20

// Find returns the records whose transaction id, queue id or Message-ID is
// key, newest first, at most limit. Angle brackets around a Message-ID may be
// left out. A journal that is not there is [fs.ErrNotExist]; lines that are no
// records are passed over: the last one of a file may be cut by a crash.
func Find(dir, key string, limit int) ([]*Record, error) {
	files, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	wanted := newQuestion(key)
	if wanted.key == "" {
		return nil, nil // every record without a queue id would answer to it
	}
	var found []*Record
	for _, f := range slices.Backward(files) {
		records, err := findIn(f.path, wanted)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		slices.Reverse(records)
		if found = append(found, records...); len(found) >= limit {
			return found[:limit], nil
		}
	}
	return found, nil
}

// findIn returns the records of one file, oldest first.
func findIn(path string, wanted question) ([]*Record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // its time has come meanwhile
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []*Record
	err = eachLine(f, func(line []byte) {
		if !bytes.Contains(line, wanted.part) {
			return
		}
		var r Record
		if json.Unmarshal(line, &r) == nil && wanted.answeredBy(&r) {
			found = append(found, &r)
		}
	})
	return found, err
}

// question is what somebody asks the journal.
type question struct {
	key string
	// part stands in every line that may answer; most lines need no decoding.
	part []byte
}

func newQuestion(key string) question {
	q := question{key: text(trimID(key))}
	end := min(len(q.key), maxText/2) // a cut Message-ID is to be found as well
	for end < len(q.key) && !utf8.RuneStart(q.key[end]) {
		end--
	}
	quoted, err := json.Marshal(q.key[:end])
	if err != nil { // there is no text that is no JSON
		panic("journal: " + err.Error())
	}
	q.part = quoted[1 : len(quoted)-1]
	return q
}

func (q question) answeredBy(r *Record) bool {
	if r.ID == q.key || r.QueueID == q.key {
		return true
	}
	id := trimID(r.MessageID)
	return id == q.key || len(r.MessageID) >= maxText && strings.HasPrefix(q.key, id)
}

// trimID takes the angle brackets from a Message-ID.
func trimID(id string) string { return strings.Trim(id, "<> ") }

// eachLine calls f for every line of r that is not longer than maxLine. The line
// is f's for the time of the call.
func eachLine(r io.Reader, f func(line []byte)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	tooLong := false
	for {
		part, err := in.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxLine; tooLong {
			line = line[:0]
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case !tooLong:
			f(line)
		}
		if err != nil {
			return nil
		}
		line, tooLong = line[:0], false
	}
}
