package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"milterd/message"
)

// Faults remembers which messages have met a fault of our own, so that one
// that always breaks a check does not come back for days: after Tries tries or
// Age the policy own_fault takes over. It is safe for concurrent use and holds
// a bounded number of messages.
type Faults struct {
	Tries int           // 3
	Age   time.Duration // 1 h

	mu   sync.Mutex
	seen map[fingerprint]fault
}

// maxFaults bounds the memory; the oldest message is forgotten first.
const maxFaults = 10_000

type fingerprint [sha256.Size]byte

type fault struct {
	tries int
	first time.Time
}

// Count notes another fault of the message and reports whether it has had
// enough of them.
func (f *Faults) Count(m *message.Message, now time.Time) (exhausted bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[fingerprint]fault{}
	}
	key := fingerprintOf(m)
	entry, known := f.seen[key]
	if !known {
		if len(f.seen) >= maxFaults {
			f.forgetOldest()
		}
		entry.first = now
	}
	entry.tries++
	f.seen[key] = entry
	return entry.tries >= f.Tries || now.Sub(entry.first) >= f.Age
}

// Forget drops the message: it went through.
func (f *Faults) Forget(m *message.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) > 0 {
		delete(f.seen, fingerprintOf(m))
	}
}

func (f *Faults) forgetOldest() {
	var oldest fingerprint
	var at time.Time
	for k, e := range f.seen {
		if at.IsZero() || e.first.Before(at) {
			oldest, at = k, e.first
		}
	}
	delete(f.seen, oldest)
}

// fingerprintOf is equal for the tries of one message: a client that retries
// sends the same header and body, perhaps to fewer recipients.
func fingerprintOf(m *message.Message) fingerprint {
	h := sha256.New()
	add := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	add(m.MailFrom.Raw)
	if m.Header != nil {
		for _, name := range []string{"Message-ID", "Date", "From", "Subject"} {
			add(name)
			for v := range m.Header.All(name) {
				add(v)
			}
		}
	}
	if m.Body != nil {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(m.Body.Size()))
		h.Write(n[:])
	}
	return fingerprint(h.Sum(nil))
}
