package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"milterd/checks"
	"milterd/checks/all"
	"milterd/integration"
)

// Settle waits until Postfix has nothing left to deliver, collects what is known about
// the postman's letters since the marks, and balances the account. Held mail stays held.
func (l *Lab) Settle(ctx context.Context, p *Postman, since Marks, journalWhole bool) (Balance, error) {
	held, err := l.settled(ctx)
	if err != nil {
		return Balance{}, err
	}
	a := Account{Letters: p.Letters(), Postfix: l.Bed.Log.Since(since.postfix), JournalWhole: journalWhole, Required: required(), Copies: held}
	for i, b := range l.Benches {
		for _, line := range b.Daemon.Log.Since(since.daemons[i]) {
			if v := integration.ParseLine(line); v["id"] != "" {
				a.Milterd = append(a.Milterd, v)
			}
		}
	}
	delivered, err := l.mailboxes()
	if err != nil {
		return Balance{}, err
	}
	a.Copies = append(a.Copies, delivered...)
	if a.Journal, err = l.journals(); err != nil {
		return Balance{}, err
	}
	if journalWhole {
		// The journal is written beside the mail; the last verdicts may be on their way.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for balance := a.Settle(); balance.Unwritten > 0 && wait(ctx, moment) == nil; balance = a.Settle() {
			if a.Journal, err = l.journals(); err != nil {
				return Balance{}, err
			}
		}
	}
	return a.Settle(), nil
}

// Marks are places in the logs of a lab.
type Marks struct {
	postfix int
	daemons []int
}

// Mark is where the logs stand now.
func (l *Lab) Mark() Marks {
	m := Marks{postfix: l.Bed.Log.Mark()}
	for _, b := range l.Benches {
		m.daemons = append(m.daemons, b.Daemon.Log.Mark())
	}
	return m
}

// required names the checks without which mail is not checked.
func required() []string {
	names := []string{faultyCheck}
	for _, s := range all.Specs(nil) {
		if s.OnError != checks.OnErrorIgnore {
			names = append(names, s.Name)
		}
	}
	return names
}

// settled waits until nothing is on its way, in milterd or in Postfix, and returns what
// Postfix holds.
func (l *Lab) settled(ctx context.Context) (held []Copy, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	// A sender who left before the answer may have a message with milterd still.
	for _, b := range l.Benches {
		for open := 1.0; open > 0; {
			if open, err = b.Daemon.Metric(ctx, "milterd_milter_connections"); err != nil {
				return nil, err
			}
			if err := wait(ctx, moment); err != nil {
				return nil, fmt.Errorf("%s has %v sessions still: %w", b.Name, open, err)
			}
		}
	}
	for {
		queue, err := l.Bed.Queue(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(queue, func(q integration.Queued) bool { return q.Queue != "hold" }) {
			return l.held(ctx, queue)
		}
		if err := wait(ctx, moment); err != nil {
			return nil, fmt.Errorf("mail is still on its way: %w: %+v", err, queue[:min(3, len(queue))])
		}
	}
}

// held reads what lies in the hold queue.
func (l *Lab) held(ctx context.Context, queue []integration.Queued) ([]Copy, error) {
	var held []Copy
	for _, q := range queue {
		message, err := l.Bed.QueuedMessage(ctx, q.ID)
		if err != nil {
			return nil, err
		}
		held = append(held, Copy{Where: "hold", QueueID: q.ID, Serial: serialOf(message.Get("Subject")), Delivered: message})
	}
	return held, nil
}

// received finds the transaction in the field that Postfix adds.
var received = regexp.MustCompile(`\(Postfix\) with E?SMTPS? id (\w+)`)

// mailboxes reads every message that was delivered.
func (l *Lab) mailboxes() ([]Copy, error) {
	var copies []Copy
	for folder, pattern := range map[string]string{"INBOX": "Maildir", "Junk": "Maildir/.Junk"} {
		files, err := filepath.Glob(filepath.Join(l.Bed.Dir(), "mail/*/*", pattern, "[nc][eu][wr]/*"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			message := integration.ParseDelivered(raw)
			c := Copy{Where: folder, Serial: serialOf(message.Get("Subject")), Delivered: message}
			for _, field := range message.All("Received") {
				if m := received.FindStringSubmatch(field); m != nil {
					c.QueueID = m[1]
					break
				}
			}
			copies = append(copies, c)
		}
	}
	return copies, nil
}

// Clear empties the mailboxes and the hold queue, when Postfix is at rest.
func (l *Lab) Clear(ctx context.Context) error {
	if _, err := l.Bed.Postfix(ctx, "postsuper", "-d", "ALL", "hold"); err != nil {
		return err
	}
	boxes, err := filepath.Glob(filepath.Join(l.Bed.Dir(), "mail/*/*/Maildir"))
	for _, box := range boxes {
		if err := os.RemoveAll(box); err != nil {
			return err
		}
	}
	return err
}

// journals reads those of all daemons.
func (l *Lab) journals() ([]Record, error) {
	var all []Record
	for _, b := range l.Benches {
		records, err := b.journal()
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	return all, nil
}

// journal reads all that the daemon has kept. A last line that was cut short by a kill
// is none.
func (b *Bench) journal() ([]Record, error) {
	files, err := filepath.Glob(filepath.Join(b.Daemon.State(), "verdicts/*"))
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(raw))
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			var r Record
			if strings.HasPrefix(lines.Text(), "{") && json.Unmarshal(lines.Bytes(), &r) == nil {
				records = append(records, r)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	return records, nil
}
