package lab

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A Postman hands letters in, as the mail servers of their senders would, and keeps a
// book of what he was told.
type Postman struct {
	lab   *Lab
	kinds map[string]*Kind

	mu      sync.Mutex
	letters []*Letter
	first   int // serial of letters[0]
}

// unheard is why a sender who leaves does not know.
const unheard = "left before the answer"

// recipients have mailboxes in the bed.
var recipients = []string{"alice@example.test", "bob@example.test", "carol@second.test"}

// Postman returns one with an empty book.
func (l *Lab) Postman() *Postman { return &Postman{lab: l, kinds: Kinds()} }

// Write begins a letter, whose recipients take turns.
func (p *Postman) Write(kind string) *Letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.first + len(p.letters)
	letter := &Letter{Serial: n, Kind: p.kinds[kind], To: recipients[n%len(recipients)]}
	p.letters = append(p.letters, letter)
	return letter
}

// Letters is the book.
func (p *Postman) Letters() []*Letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.letters
}

// Turn begins a new page of the book: letters that were written before are gone, numbers
// go on.
func (p *Postman) Turn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first += len(p.letters)
	p.letters = nil
}

// Hand tries once to hand a letter in. leave makes the sender go away before the answer.
func (p *Postman) Hand(ctx context.Context, listener string, letter *Letter, leave bool) Try {
	t := p.hand(ctx, listener, letter, leave)
	p.mu.Lock()
	defer p.mu.Unlock()
	letter.Tries = append(letter.Tries, t)
	return t
}

func (p *Postman) hand(ctx context.Context, listener string, letter *Letter, leave bool) Try {
	c, err := p.lab.Bed.Client(ctx, listener, letter.Kind.Client)
	if err != nil {
		return Try{Unheard: true, Why: err.Error()}
	}
	defer c.Close()
	send := c.Send
	if leave {
		send = c.Abandon
	}
	reply, err := send(letter.From(), []string{letter.To}, letter.Bytes())
	if err != nil {
		return Try{Unheard: true, Why: err.Error()}
	}
	if leave && reply.Code == 0 {
		return Try{Unheard: true, Why: unheard}
	}
	_, _ = c.Cmd("QUIT")
	return Try{Reply: reply}
}

// Deliver hands a letter in until it is taken or refused for good, or the tries are
// used up: then it stays deferred with its sender. The pauses grow; one letter in fifty
// is handed in by somebody who does not wait for the answer the first time.
func (p *Postman) Deliver(ctx context.Context, listener string, letter *Letter, tries int, random *rand.Rand) {
	pause := 100 * time.Millisecond
	for try := range tries {
		leave := try == 0 && tries > 1 && random.IntN(50) == 0
		p.Hand(ctx, listener, letter, leave)
		if letter.Final() || ctx.Err() != nil {
			return
		}
		if wait(ctx, pause+time.Duration(random.Int64N(int64(pause)))) != nil { // as a queue does
			return
		}
		pause = min(2*pause, 3*time.Second)
	}
}
