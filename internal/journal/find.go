package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// maxLine bounds a line of the journal; ours are far shorter.
const maxLine = 1 << 20

// Find returns the records whose transaction id, queue id or Message-ID is
// key, newest first, at most limit. Angle brackets around a Message-ID may be
// left out. A journal that does not exist is empty.
func Find(dir, key string, limit int) ([]*Record, error) {
	files, err := list(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("journal %s: %w", dir, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("journal: %w", err)
	}
	var found []*Record
	for _, f := range slices.Backward(files) {
		records, err := findIn(f.path, strings.Trim(key, "<> "))
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

func findIn(path, key string) ([]*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	quoted, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	part := quoted[1 : len(quoted)-1]
	var found []*Record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), part) {
			continue
		}
		var r Record
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // the last line of a file may be cut by a crash
		}
		if r.ID == key || r.QueueID == key || strings.Trim(r.MessageID, "<> ") == key {
			found = append(found, &r)
		}
	}
	return found, lines.Err()
}
