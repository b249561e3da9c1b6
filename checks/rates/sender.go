package rates

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"milterd/internal/store"
	"milterd/message"
)

const (
	space = "rates"
	// keepCount is how long the count of an hour is asked for, and a little more.
	keepCount = 3 * time.Hour
	// keepHabit is how long somebody who sends nothing has a habit.
	keepHabit = 180 * 24 * time.Hour
)

// A kind is what a sender is counted by.
type kind struct {
	name    string // for metrics
	finding string
	learns  bool // measured by a habit of his own
}

var (
	ofLogin   = &kind{"login", findLogin, true}
	ofLocal   = &kind{"local", findLocal, true}
	ofNetwork = &kind{"network", findNetwork, false}
	ofSender  = &kind{"sender", findSender, false}
)

// A sender is somebody whose recipients are counted, and the counts when a message
// of his was looked at.
type sender struct {
	kind *kind
	who  string
	// floor is what he may send in any case; factor times his habit is the limit where
	// that is more.
	floor, factor float64

	hour   float64 // recipients of this hour of the clock, without the message
	recent float64 // recipients of the last sixty minutes, with it
	limit  float64 // 0: not counted, so nothing is too much
	habit  habit
}

// senders are those who stand for a message: of outbound mail the login or the
// network that sent it, of a stranger's his network and address where there is a
// limit.
func (c *check) senders(m *message.Message) []*sender {
	switch {
	case m.Role == message.Outbound && m.Login != "":
		return []*sender{{kind: ofLogin, who: m.Login, floor: float64(c.cfg.LoginRecipients), factor: c.cfg.Factor}}
	case m.Role == message.Outbound && m.Session.Local():
		return []*sender{{kind: ofLocal, who: "this host", floor: float64(c.cfg.LocalRecipients), factor: c.cfg.Factor}}
	case m.Role == message.Outbound:
		return []*sender{{kind: ofLocal, who: message.Network(m.Session.Client), floor: float64(c.cfg.LocalRecipients), factor: c.cfg.Factor}}
	case m.Role != message.Inbound || !m.Peer.Refusable():
		return nil
	}
	var all []*sender
	if c.cfg.NetworkRecipients > 0 {
		all = append(all, &sender{kind: ofNetwork, who: message.Network(m.Session.Client), floor: float64(c.cfg.NetworkRecipients)})
	}
	if c.cfg.SenderRecipients > 0 && !m.MailFrom.Address.IsZero() {
		all = append(all, &sender{kind: ofSender, who: strings.ToLower(m.MailFrom.Address.String()), floor: float64(c.cfg.SenderRecipients)})
	}
	return all
}

func (s *sender) over() bool { return s.limit > 0 && s.recent > s.limit }

// key is that of something about the sender. It is a hash, so that nobody reads from
// the store who sends.
func (s *sender) key(what byte) []byte {
	h := sha256.Sum256([]byte(s.kind.name + "\x00" + s.who))
	return append([]byte{what}, h[:16]...)
}

func (s *sender) countKey(at time.Time) []byte {
	return binary.BigEndian.AppendUint64(s.key('c'), uint64(at.Unix()/3600))
}

func (s *sender) habitKey() []byte { return s.key('h') }

// measure takes what the store holds: the counts of this hour of the clock and of the
// one before, and the habit. Of the hour before the part counts that is not yet an
// hour ago, as if its mail had come evenly.
func (s *sender) measure(values [][]byte, n int, now time.Time) {
	s.hour = float64(max(store.Counter(values[0], 0), 0))
	before := float64(max(store.Counter(values[1], 0), 0))
	left := 1 - float64(now.Unix()%3600)/3600
	s.recent = s.hour + before*left + float64(n)
	s.limit = s.floor
	if s.kind.learns {
		s.habit = parseHabit(values[2]).on(dayOf(now))
		s.limit = max(s.floor, s.factor*s.habit.usual)
	}
}

// learn counts n recipients more. What was too much makes no habit.
func (s *sender) learn(n int, now time.Time) []store.Op {
	ops := []store.Op{store.Add(s.countKey(now), keepCount, int64(n))}
	if !s.kind.learns || s.limit == 0 || s.over() {
		return ops
	}
	h := s.habit.on(dayOf(now))
	if busiest := s.hour + float64(n); busiest > h.peak {
		h.peak = busiest
		ops = append(ops, store.Put(s.habitKey(), h.bytes(), keepHabit))
	}
	return ops
}

// A habit is how many recipients somebody has in the busiest hour of a usual day. It
// follows the days slowly, one tenth of the way each day that he sends, so that
// somebody who stays below the limit cannot raise it quickly; a month without mail
// halves it.
type habit struct {
	day   int64   // the last day on which he sent
	peak  float64 // the busiest hour of that day
	usual float64 // of the days before
}

const (
	follow   = 0.1
	halfLife = 30.0 // days
	// longestIdle bounds what one pause takes away: a clock that jumps a year makes
	// nobody's habit vanish.
	longestIdle = 60
)

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

// on returns the habit as it stands on a day. A day before the last one, after a
// clock was set back, is the last one.
func (h habit) on(day int64) habit {
	if day <= h.day {
		return h
	}
	idle := min(day-h.day-1, longestIdle)
	usual := h.usual + follow*(h.peak-h.usual)
	if h.day == 0 {
		usual, idle = 0, 0
	}
	return habit{day: day, usual: usual * math.Exp2(-float64(idle)/halfLife)}
}

const habitBytes = 24

func (h habit) bytes() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, habitBytes), uint64(h.day))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(h.peak))
	return binary.BigEndian.AppendUint64(b, math.Float64bits(h.usual))
}

// parseHabit reads a habit; what is none is that of somebody new.
func parseHabit(b []byte) habit {
	if len(b) != habitBytes {
		return habit{}
	}
	h := habit{int64(binary.BigEndian.Uint64(b)), math.Float64frombits(binary.BigEndian.Uint64(b[8:])), math.Float64frombits(binary.BigEndian.Uint64(b[16:]))}
	const most = 1e12
	if h.day < 0 || !(h.peak >= 0 && h.peak <= most) || !(h.usual >= 0 && h.usual <= most) {
		return habit{}
	}
	return h
}
