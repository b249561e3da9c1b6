package learning

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"milterd/bayes"
	"milterd/internal/dovecot"
)

// trainTime bounds a lesson: the user's mail program waits.
const trainTime = 5 * time.Second

// Train answers the training socket. The arguments are those of
// deploy/dovecot/learn-spam.sieve:
//
//	spam|ham [user [cause [mailbox]]]
//
// Mailbox is where the message goes. What goes from Junk to the bin teaches nothing:
// it was spam and is thrown away.
func (d *Desk) Train(ctx context.Context, p dovecot.Peer, q *dovecot.Request) dovecot.Answer {
	if err := d.train(ctx, p, q); err != nil {
		d.Logger.Warn("training refused", "uid", p.UID, "pid", p.PID, "err", err)
		return dovecot.Answer{}
	}
	return dovecot.Answer{OK: true}
}

var errTraining = errors.New("learning: expected the arguments spam|ham, user, cause, mailbox")

func (d *Desk) train(ctx context.Context, p dovecot.Peer, q *dovecot.Request) error {
	ctx, cancel := context.WithTimeout(ctx, trainTime)
	defer cancel()
	args := append(append([]string{}, q.Args...), "", "", "", "")[:4]
	class := bayes.Class(args[0])
	if class != bayes.Spam && class != bayes.Ham || len(q.Args) > 4 {
		return errTraining
	}
	user, err := d.caller(p, args[1], q)
	if err != nil {
		return err
	}
	if class == bayes.Ham && isBin(args[3]) {
		return nil
	}
	raw, err := io.ReadAll(q.Message)
	if err != nil {
		return fmt.Errorf("learning: reading the message: %w", err)
	}
	_, err = d.Teach(ctx, Lesson{User: user, Class: class, By: d.Rights.Caller(p.UID), Source: FromIMAP}, raw)
	return err
}

// isBin reports whether a mailbox is one that is thrown away, by the names that mail
// programs give it (RFC 6154 has \Trash, which Sieve does not tell).
func isBin(mailbox string) bool {
	name := mailbox[strings.LastIndexAny(mailbox, "/.")+1:]
	for _, bin := range []string{"Trash", "Deleted", "Deleted Items", "Deleted Messages", "Bin", "Junk", "Spam"} {
		if strings.EqualFold(name, bin) {
			return true
		}
	}
	return false
}
