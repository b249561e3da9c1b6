package lab

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"milterd/integration"
)

// A Copy is a letter as it lies somewhere.
type Copy struct {
	Where   string // INBOX, Junk, hold
	QueueID string // of the transaction that brought it
	Serial  int
	integration.Delivered
}

// An Account is everything that is known about the letters of a run.
type Account struct {
	Letters []*Letter
	Copies  []Copy
	Postfix []string              // its log
	Milterd []integration.Verdict // its log, the lines with id=
	Journal []Record              // what milterd's journal holds
	// JournalWhole says that nothing happened that may cost a record: no kill, no disk
	// that was full.
	JournalWhole bool
	// Required are the checks whose failure must leave a mark. Mail that the others did not
	// look at, greylist and the like, is no less checked.
	Required []string
}

// Record is what the account needs of a line of the journal.
type Record struct {
	ID     string        `json:"id"`
	Action string        `json:"action"`
	Checks []CheckRecord `json:"checks"`
}

// CheckRecord says how one check ended.
type CheckRecord struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
}

// A Balance is an account in figures. Letters = Delivered + Deferred + Rejected.
type Balance struct {
	Letters   int
	Tries     int
	Delivered int // in a mailbox or in the hold queue
	Deferred  int // still with their senders, who were told to come back
	Rejected  int // for good
	Held      int // of Delivered: in the hold queue
	Marked    int // of Delivered: say themselves that something did not look at them
	Unheard   int // tries whose sender does not know what became of them
	Again     int // copies beyond the first, each after a try that went unheard
	Unwritten int // copies whose verdict the journal does not have
	// Breaches of the law, each a sentence. There should be none.
	Breaches []string
}

// Add adds another balance.
func (b *Balance) Add(o Balance) {
	b.Letters += o.Letters
	b.Tries += o.Tries
	b.Delivered += o.Delivered
	b.Deferred += o.Deferred
	b.Rejected += o.Rejected
	b.Held += o.Held
	b.Marked += o.Marked
	b.Unheard += o.Unheard
	b.Again += o.Again
	b.Unwritten += o.Unwritten
	b.Breaches = append(b.Breaches, o.Breaches...)
}

func (b Balance) String() string {
	return fmt.Sprintf("%d letters in %d tries: %d delivered (%d of them held, %d marked as not wholly checked), %d deferred, %d rejected; "+
		"%d answers unheard, %d came again after that; %d verdicts not in the journal; %d breaches",
		b.Letters, b.Tries, b.Delivered, b.Held, b.Marked, b.Deferred, b.Rejected, b.Unheard, b.Again, b.Unwritten, len(b.Breaches))
}

// Settle balances the account.
func (a *Account) Settle() Balance {
	s := settling{account: a, byID: map[string]integration.Verdict{}, records: map[string]Record{}, copies: map[int][]Copy{}, refusals: refusals(a.Postfix)}
	for _, v := range a.Milterd {
		// A verdict says more than what went wrong on the way to it.
		if s.byID[v["id"]]["msg"] != "verdict" {
			s.byID[v["id"]] = v
		}
	}
	for _, r := range a.Journal {
		s.records[r.ID] = r
	}
	for _, c := range a.Copies {
		s.copies[c.Serial] = append(s.copies[c.Serial], c)
	}
	known := map[int]bool{}
	for _, l := range a.Letters {
		known[l.Serial] = true
		s.letter(l)
	}
	for serial, copies := range s.copies {
		if !known[serial] {
			s.breach("%d copies of letter %d, which nobody handed in", len(copies), serial)
		}
	}
	return s.Balance
}

// settling is one run of Settle.
type settling struct {
	Balance
	account  *Account
	byID     map[string]integration.Verdict
	records  map[string]Record
	copies   map[int][]Copy
	refusals map[string][]string
}

func (s *settling) breach(format string, args ...any) {
	s.Breaches = append(s.Breaches, fmt.Sprintf(format, args...))
}

func (s *settling) letter(l *Letter) {
	s.Letters++
	copies := s.copies[l.Serial]
	queued, unheard := map[string]bool{}, 0
	for _, t := range l.Tries {
		s.Tries++
		switch {
		case t.Unheard:
			unheard++
		case t.Queued():
			queued[t.Reply.QueueID()] = true
		default:
			s.refusal(l, t.Reply)
		}
	}
	s.Unheard += unheard
	// Nobody lost: what was taken is there.
	for id := range queued {
		if !slices.ContainsFunc(copies, func(c Copy) bool { return c.QueueID == id }) {
			s.breach("lost: %s was taken as %s and lies nowhere", l.Subject(), id)
		}
	}
	// Nobody twice, but by senders who did not hear the answer.
	if len(copies) > len(queued)+unheard {
		s.breach("twice: %s was taken %d times, %d answers went unheard, and %d copies lie about", l.Subject(), len(queued), unheard, len(copies))
	}
	seen := map[string]bool{}
	for _, c := range copies {
		if seen[c.QueueID] {
			s.breach("twice: %s lies twice from the one transaction %s", l.Subject(), c.QueueID)
		}
		seen[c.QueueID] = true
		s.checked(l, c)
	}
	s.Again += max(0, len(copies)-1)
	switch {
	case len(copies) > 0:
		s.Delivered++
		if copies[0].Where == "hold" {
			s.Held++
		}
	case len(l.Tries) == 0:
		s.breach("never tried: %s", l.Subject())
	case l.last().Unheard || l.last().Reply.Code/100 == 4:
		s.Deferred++
	case l.last().Reply.Code/100 == 5:
		s.Rejected++
	}
}

// ours is the transaction id at the end of a reply of milterd's.
var ours = regexp.MustCompile(`\(([a-z0-9]{12})\)$`)

// refusal wants the answer in Postfix's log and, where it was milterd's about a message,
// the same in milterd's.
func (s *settling) refusal(l *Letter, r integration.Reply) {
	if r.Code/100 != 4 && r.Code/100 != 5 {
		s.breach("%s: the answer %v is neither yes nor no", l.Subject(), r)
		return
	}
	text := r.Lines[0]
	for _, where := range []string{l.From(), ""} {
		if i := slices.IndexFunc(s.refusals[where], func(line string) bool { return strings.Contains(line, text) }); i >= 0 {
			s.refusals[where] = slices.Delete(s.refusals[where], i, i+1)
			s.ruled(l, r)
			return
		}
	}
	s.breach("%s: Postfix's log does not have the answer %v", l.Subject(), r)
}

// ruled wants milterd's own line about its own answer: the verdict, or why there is none.
func (s *settling) ruled(l *Letter, r integration.Reply) {
	id := ours.FindStringSubmatch(r.Text())
	if id == nil {
		return // Postfix's words, or said before there was a message
	}
	v, told := s.byID[id[1]]
	if !told || v["reply"] != "" && v["reply"] != fmt.Sprintf("%d %s", r.Code, r.Text()) {
		s.breach("%s: milterd's log does not have the answer %v", l.Subject(), r)
	}
}

// checked wants a copy that was judged, and says so where it was not wholly.
func (s *settling) checked(l *Letter, c Copy) {
	marks := c.All("X-Milterd-Id")
	if len(marks) != 1 {
		s.breach("unchecked: %s (%s) has %d fields X-Milterd-Id", l.Subject(), c.QueueID, len(marks))
		return
	}
	id, _, _ := strings.Cut(marks[0], " ")
	v, judged := s.byID[id]
	if !judged || v["msg"] != "verdict" || v["qid"] != c.QueueID || !slices.Contains([]string{"accept", "junk", "quarantine"}, v["action"]) {
		s.breach("unchecked: %s (%s) bears the id %s, whose verdict is %v", l.Subject(), c.QueueID, id, v)
		return
	}
	unscanned := strings.Join(c.All("X-Milterd-Unscanned"), ",")
	if unscanned != "" {
		s.Marked++
	}
	record, written := s.records[id]
	if !written {
		s.Unwritten++
		if s.account.JournalWhole {
			s.breach("%s (%s): the journal has no verdict %s", l.Subject(), c.QueueID, id)
		}
	} else if record.Action != v["action"] {
		s.breach("%s (%s): the log says %s, the journal %s", l.Subject(), c.QueueID, v["action"], record.Action)
	}
	for _, name := range failed(v, record) {
		if slices.Contains(s.account.Required, name) && !strings.Contains(unscanned, name) {
			s.breach("unchecked: %s (%s): the check %s failed, and X-Milterd-Unscanned is %q", l.Subject(), c.QueueID, name, unscanned)
		}
	}
	for _, name := range []string{"X-Spam-Status", "Authentication-Results"} {
		if n := len(c.All(name)); n != 1 {
			s.breach("unchecked: %s (%s) has %d fields %s", l.Subject(), c.QueueID, n, name)
		}
	}
	if through := through(l.Kind.Bad, c, unscanned); through != "" {
		s.breach("unchecked: %s (%s): %s", l.Subject(), c.QueueID, through)
	}
}

// failed names the checks that did not do their job, by log and journal.
func failed(v integration.Verdict, r Record) []string {
	var names []string
	for failure := range strings.SplitSeq(v["failed"], "; ") {
		name, _, _ := strings.Cut(failure, ": ")
		names = append(names, name)
	}
	for _, c := range r.Checks {
		if c.Outcome == "failed" {
			names = append(names, c.Name)
		}
	}
	return names
}

// through says how something bad came through without a mark, "" if it did not.
func through(bad string, c Copy, unscanned string) string {
	flagged := c.Get("X-Spam-Flag") == "YES"
	results := c.Get("Authentication-Results")
	switch {
	case bad == malware && !strings.Contains(unscanned, "clamav"):
		return "malware is delivered as if it had been looked at"
	case bad == spam && !flagged && unscanned == "":
		return "spam is delivered as ham"
	case bad == spoof && strings.Contains(results, "dmarc=pass"):
		return "a forgery is called genuine"
	case bad == spoof && !flagged && unscanned == "" && !strings.Contains(results, "dmarc=temperror"):
		return "a forgery is delivered as if nothing was"
	}
	return ""
}

// sender is the envelope sender in a line of Postfix's log.
var sender = regexp.MustCompile(` from=<([^>]*)>`)

// refusals sorts the lines of Postfix's log that tell of one by sender, "" where the
// sender was not known yet.
func refusals(log []string) map[string][]string {
	by := map[string][]string{}
	for _, line := range log {
		if !strings.Contains(line, "reject: ") {
			continue
		}
		from := ""
		if m := sender.FindStringSubmatch(line); m != nil {
			from = m[1]
		}
		by[from] = append(by[from], line)
	}
	return by
}
