package integration

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A posting is a message of the spoof lab, ready to be sent: each filter gets the
// same bytes.
type posting struct {
	name               string
	client, helo, from string
	raw                string
}

// What can become of a message.
const (
	refused  = "refused"
	deferred = "deferred" // however often the sender comes back
	held     = "held"
	marked   = "as spam" // delivered, with a field that says so
	accepted = "accepted"
)

// A fate is what became of one message.
type fate struct {
	what    string
	reply   Reply
	results []string // the Authentication-Results of the delivered message, from the top
	dmarc   string   // what the topmost of them says of DMARC, "" for nothing
	author  string   // and about whom
}

// passes reports whether the reader has the message without a warning, or with the
// filter's word that it is the victim's.
func (f fate) passes() bool { return f.what == accepted || f.asVictim() }

func (f fate) asVictim() bool {
	return f.dmarc == "pass" && (f.author == "legit.test" || strings.HasSuffix(f.author, ".legit.test"))
}

// String is the fate as tables show it: what does not arrive by its reply.
func (f fate) String() string {
	switch text := f.what; {
	case f.what == refused || f.what == deferred:
		enhanced, _, _ := strings.Cut(f.reply.Text(), " ")
		return fmt.Sprint(f.reply.Code, " ", enhanced)
	case f.dmarc == "pass":
		return text + ", dmarc=pass for " + f.author
	case f.dmarc != "":
		return text + ", dmarc=" + f.dmarc
	default:
		return text
	}
}

// A postman sends messages through the bed and sees where they end.
type postman struct {
	bed  *Bed
	sink *Sink // behind the listeners
}

// tries is how often a sender comes back who is asked to, and pause for how long he
// waits: longer than any filter here wants him to.
const (
	tries = 4
	pause = 1100 * time.Millisecond
)

// postAll sends messages to a listener, some at a time.
func (p postman) postAll(ctx context.Context, listener string, sessions int, letters []posting) ([]fate, error) {
	fates := make([]fate, len(letters))
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(sessions)
	for i, letter := range letters {
		work.Go(func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			if fates[i], err = p.post(ctx, listener, letter); err != nil {
				err = fmt.Errorf("%s: %s: %w", listener, letter.name, err)
			}
			return err
		})
	}
	return fates, work.Wait()
}

func (p postman) post(ctx context.Context, listener string, letter posting) (f fate, err error) {
	for try := range tries {
		if try > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return f, ctx.Err()
			}
		}
		if f.reply, err = p.once(ctx, listener, letter); err != nil {
			return f, err
		}
		switch f.reply.Code / 100 {
		case 2:
			return p.follow(ctx, f)
		case 5:
			f.what = refused
			return f, nil
		}
	}
	f.what = deferred
	return f, nil
}

// once is one session.
func (p postman) once(ctx context.Context, listener string, letter posting) (Reply, error) {
	c, err := p.bed.Client(ctx, listener, letter.client)
	if err != nil {
		return Reply{}, err
	}
	defer c.Close()
	if r, err := c.Cmd("EHLO %s", letter.helo); err != nil || r.Code != 250 {
		return r, err
	}
	return c.Send(letter.from, []string{alice}, []byte(letter.raw))
}

var dmarcResult = regexp.MustCompile(`\bdmarc=(\w+)(?:.*?\bheader\.from="?([^\s;"]+))?`)

// follow waits for a message that was taken: in the hold queue, of which only
// Postfix's log tells, or behind the listener.
func (p postman) follow(ctx context.Context, f fate) (fate, error) {
	id := f.reply.QueueID()
	ctx, found := context.WithCancel(ctx)
	defer found()
	var looking sync.WaitGroup
	looking.Go(func() {
		if _, err := p.bed.Log.Wait(ctx, 0, id+": milter-hold:"); err == nil {
			f.what = held
			found()
		}
	})
	got, err := p.sink.WaitFunc(ctx, "queue id "+id, func(m Received) bool { return strings.Contains(m.Get("Received"), " id "+id) })
	found()
	looking.Wait()
	if f.what == held {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.what = accepted
	for _, mark := range []string{"X-Spam", "X-Spam-Flag"} {
		if strings.EqualFold(got.Get(mark), "yes") {
			f.what = marked
		}
	}
	f.results = got.All("Authentication-Results")
	for _, results := range f.results {
		if said := dmarcResult.FindStringSubmatch(results); said != nil {
			f.dmarc, f.author = said[1], said[2]
			break
		}
	}
	return f, nil
}
