package learning

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"milterd/bayes"
	"milterd/internal/carry"
	"milterd/internal/dovecot"
	"milterd/internal/spamassassin/tokens"
	"milterd/internal/store"
	"milterd/message"
	"milterd/mime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// room is a desk over a real classifier, with what it writes.
type room struct {
	*Desk
	t       *testing.T
	memory  *store.Memory
	now     time.Time
	deliver bool // learn_delivered
	dead    bool // the classifier's store
	log     strings.Builder
}

// Users of these tests: who may speak for all, and one who may not.
const (
	vmail = 8
	joe   = 1000
)

var errDead = errors.New("the store is dead")

func (r *room) Classify(ctx context.Context, user string, m bayes.Message) (bayes.Verdict, error) {
	if r.dead {
		return bayes.Verdict{}, errDead
	}
	return r.real().Classify(ctx, user, m)
}

func (r *room) LearnAll(ctx context.Context, user string, l ...bayes.Lesson) ([]bayes.Result, error) {
	if r.dead {
		return nil, errDead
	}
	return r.real().LearnAll(ctx, user, l...)
}

func (r *room) Refresh() { r.real().Refresh() }

func (r *room) Taught(ctx context.Context, user string, m bayes.Message) (bayes.Record, bool, error) {
	return r.real().Taught(ctx, user, m)
}

func (r *room) Take(ctx context.Context, shares ...bayes.Share) (bool, error) {
	return r.real().Take(ctx, shares...)
}

func (r *room) Import(ctx context.Context, user, by string, b *tokens.Backup) (bayes.Import, error) {
	if r.dead {
		return bayes.Import{}, errDead
	}
	return r.real().Import(ctx, user, by, b)
}

func (r *room) DropImport(ctx context.Context, user string) (bayes.Import, bool, error) {
	if r.dead {
		return bayes.Import{}, false, errDead
	}
	return r.real().DropImport(ctx, user)
}

func (r *room) real() *bayes.Classifier {
	return bayes.New(r.memory, bayes.Options{CacheTokens: -1, Now: func() time.Time { return r.now }})
}

func newRoom(t *testing.T) *room {
	r := &room{t: t, now: time.Unix(1795269600, 0)}
	clock := func() time.Time { return r.now }
	r.memory = store.NewMemory(clock, 64<<20)
	r.Desk = &Desk{
		Classifier: r,
		Points: func(p float64) (string, float64) { // as the rules would
			if p > 0.6 {
				return "BAYES_99", 5
			}
			return "BAYES_00", -2
		},
		Keys:           &carry.Keys{Store: r.memory, Now: clock, Random: rand.Reader},
		LearnDelivered: func() bool { return r.deliver },
		Rights: &Rights{all: []uint32{0, vmail}, name: func(uid uint32) (string, bool) {
			if uid == joe {
				return "joe", true
			}
			return "", false
		}},
		Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Now: clock,
	}
	return r
}

func letter(n int, words string) string {
	return fmt.Sprintf("From: Ann <ann@shop%d.example>\nDate: Fri, 20 Nov 2026 10:00:00 +0000\nMessage-ID: <%d@shop.example>\nSubject: letter %d\n\n%s\n", n%11, n, n, words)
}

const tomatoes = "garden tomato seedling compost harvest trellis watering pruning orchard greenhouse beetroot rhubarb"

// carried adds the field that SMTP time would have added.
func (r *room) carried(raw string, change func(*carry.Verdict)) string {
	r.t.Helper()
	key, err := r.Keys.Key(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	v := carry.Verdict{ID: "k7q2m9zt4w1c", Time: r.now, Score: 4, Objective: 4, Junk: 6, Action: message.Accept}
	if change != nil {
		change(&v)
	}
	m := bayes.Parse([]byte(raw), r.Limits)
	return carry.Field + ": " + carry.Sign(key, carry.Digest(m.Header, m.Tree), v) + "\n" + raw
}

func request(raw, user string, args ...string) *dovecot.Request {
	return &dovecot.Request{Env: map[string]string{"USER": user}, Args: args, Message: strings.NewReader(raw)}
}

func (r *room) train(n int, user string, class string) {
	r.t.Helper()
	for i := range n {
		if a := r.Train(r.t.Context(), dovecot.Peer{UID: vmail}, request(letter(i, tomatoes), user, class, user, "COPY", "Junk mail")); !a.OK {
			r.t.Fatalf("not trained:\n%s", r.log.String())
		}
	}
}

func (r *room) counted(c *prometheus.CounterVec, labels ...string) float64 {
	return testutil.ToFloat64(c.WithLabelValues(labels...))
}

func TestTrain(t *testing.T) {
	for name, c := range map[string]struct {
		uid     uint32
		user    string
		args    []string
		ok      bool
		lessons float64
	}{
		"spam":                  {vmail, "bob", []string{"spam", "bob", "COPY"}, true, 1},
		"ham":                   {vmail, "bob", []string{"ham", "Bob", "COPY", "INBOX"}, true, 1},
		"for himself":           {joe, "joe", []string{"spam"}, true, 1},
		"root":                  {0, "", []string{"spam", "bob"}, true, 1},
		"to the bin":            {vmail, "bob", []string{"ham", "bob", "COPY", "Trash"}, true, 0},
		"to a bin below":        {vmail, "bob", []string{"ham", "bob", "COPY", "INBOX.Deleted Items"}, true, 0},
		"for somebody else":     {joe, "bob", []string{"spam", "bob"}, false, 0},
		"an unknown uid":        {12345, "bob", []string{"spam", "bob"}, false, 0},
		"nobody's uid, no name": {12345, "", []string{"spam"}, false, 0},
		"two names":             {vmail, "bob", []string{"spam", "alice"}, false, 0},
		"no name":               {vmail, "", []string{"spam"}, false, 0},
		"no class":              {vmail, "bob", nil, false, 0},
		"forget":                {vmail, "bob", []string{"forget", "bob"}, false, 0},
		"too much":              {vmail, "bob", []string{"spam", "bob", "a", "b", "c"}, false, 0},
		"a name that is none":   {vmail, "bob\nx", []string{"spam"}, false, 0},
		"a long name":           {vmail, strings.Repeat("x", maxUser+1), []string{"spam"}, false, 0},
	} {
		r := newRoom(t)
		a := r.Train(t.Context(), dovecot.Peer{UID: c.uid}, request(letter(1, tomatoes), c.user, c.args...))
		class := ""
		if len(c.args) > 0 {
			class = c.args[0]
		}
		if got := r.counted(r.Metrics.lessons, FromIMAP, class, "learned"); a.OK != c.ok || got != c.lessons {
			t.Errorf("%s: %v, %v lessons\n%s", name, a, got, r.log.String())
		}
	}
	r := newRoom(t)
	r.Unsafe = func() error { return errDead }
	if _, err := r.Teach(t.Context(), Lesson{Class: bayes.Spam, Source: FromCommand}, []byte(letter(1, tomatoes))); !errors.Is(err, errDead) ||
		r.counted(r.Metrics.lessons, FromCommand, "spam", "failed") != 1 {
		t.Errorf("a lesson that would not last: %v", err)
	}
	r = newRoom(t)
	r.dead = true
	if a := r.Train(t.Context(), dovecot.Peer{UID: vmail}, request(letter(1, tomatoes), "bob", "spam")); a.OK || r.counted(r.Metrics.lessons, FromIMAP, "spam", "failed") != 1 {
		t.Error("a lesson that was not stored is called learned")
	}
}

// TestDeliver: each recipient's own opinion, and every reason for having none.
func TestDeliver(t *testing.T) {
	r := newRoom(t)
	r.train(8, "bob", "spam")
	r.train(8, "alice", "spam")
	r.train(8, "alice", "ham")
	raw := letter(100, tomatoes)
	ask := func(raw, user string, uid uint32) string {
		a := r.Deliver(t.Context(), dovecot.Peer{UID: uid}, request(raw, user))
		if !a.OK {
			t.Errorf("a delivery failed: %v\n%s", a, r.log.String())
		}
		return a.Text
	}
	whole := r.carried(raw, nil)
	for name, c := range map[string]struct {
		raw, user string
		uid       uint32
		want      string // the beginning of the answer
		reason    string
	}{
		"bob's spam":     {whole, "bob", vmail, "SPAM (score=9.0 required=6.0, BAYES_99=5.0 in place of 0.0, learned spam=8 ham=0, id k7q2m9zt4w1c)", "score"},
		"alice's ham":    {whole, "Alice", vmail, "HAM (score=2.0 ", "score"},
		"saved":          {r.carried(raw, func(v *carry.Verdict) { v.Score, v.Bayes = 7, 5 }), "alice", vmail, "HAM (score=0.0 ", "score"},
		"a rule follows": {r.carried(raw, func(v *carry.Verdict) { v.Shift("BAYES_99", -1.5) }), "bob", vmail, "SPAM (score=7.5 required=6.0, BAYES_99=5.0 in place of 0.0, rules -1.5, learned", "score"},
		"CRLF":           {strings.ReplaceAll(whole, "\n", "\r\n"), "bob", vmail, "SPAM ", "score"},
		"by policy":      {r.carried(raw, func(v *carry.Verdict) { v.Forced = true }), "bob", vmail, "", "policy"},
		"no threshold":   {r.carried(raw, func(v *carry.Verdict) { v.Junk = off }), "bob", vmail, "", "policy"},
		"no carry":       {raw, "bob", vmail, "", "no_carry"},
		"another text":   {strings.Replace(whole, "tomato", "potato", 1), "bob", vmail, "", "bad_carry"},
		"old":            {r.carried(raw, func(v *carry.Verdict) { v.Time = r.now.Add(-carry.MaxAge - time.Second) }), "bob", vmail, "", "old_carry"},
		"may not":        {whole, "bob", joe, "", "refused"},
		"no user":        {whole, "", vmail, "", "refused"},
		"cut in header":  {"X-Milterd-Carry: v=1", "bob", vmail, "", "bad_carry"},
		"nothing at all": {"", "bob", vmail, "", "no_carry"},
	} {
		verdict := map[string]string{"": "none", "SPAM": "spam", "HAM ": "ham"}[c.want[:min(4, len(c.want))]]
		before := r.counted(r.Metrics.deliveries, verdict, c.reason)
		got := ask(c.raw, c.user, c.uid)
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if r.counted(r.Metrics.deliveries, verdict, c.reason) != before+1 {
			t.Errorf("%s: not counted as %s %s\n%s", name, verdict, c.reason, r.log.String())
		}
	}
	r.dead = true
	if got := ask(whole, "bob", vmail); got != "" || r.counted(r.Metrics.deliveries, "none", reasonFailed) != 1 {
		t.Errorf("without a store: %q", got)
	}
	fresh := newRoom(t)
	if a := fresh.Deliver(t.Context(), dovecot.Peer{UID: vmail}, request(fresh.carried(raw, nil), "bob")); !a.OK || a.Text != "" ||
		fresh.counted(fresh.Metrics.deliveries, "none", reasonUnlearned) != 1 {
		t.Errorf("where nothing was learned: %v", a)
	}
}

var off = func() float64 { v := carry.Of("", time.Time{}, &message.Verdict{}, "", false); return v.Junk }()

// TestImport: what another filter had learned counts at delivery from the first
// message on, for all or for one; who did it is kept, and what cannot be kept is told.
func TestImport(t *testing.T) {
	r := newRoom(t)
	m := bayes.Parse([]byte(letter(1, tomatoes)), mime.Limits{})
	backup := func(spam, ham int) string {
		var b strings.Builder
		b.WriteString("v\t3\tdb_version\nv\t300\tnum_spam\nv\t300\tnum_nonspam\n")
		for _, token := range tokens.Of(m.Header, m.Tree) {
			fmt.Fprintf(&b, "t\t%d\t%d\t0\t%x\n", spam, ham, token.Sum)
		}
		return b.String() + "what is this\n"
	}
	i, err := r.Desk.Import(t.Context(), "", "root", strings.NewReader(backup(30, 0)))
	if err != nil || i.Unread != 1 || !strings.HasPrefix(i.Problems[0], "line ") || i.Import.By != "root" || i.Import.Spam != 300 {
		t.Fatalf("%+v, %v", i, err)
	}
	if _, err = r.Desk.Import(t.Context(), " Alice", "root", strings.NewReader(backup(0, 30))); err != nil {
		t.Fatal(err)
	}
	ask := func(user string) string {
		return r.Deliver(t.Context(), dovecot.Peer{UID: vmail}, request(r.carried(letter(100, tomatoes), nil), user)).Text
	}
	if bob, alice := ask("bob"), ask("alice"); !strings.HasPrefix(bob, "SPAM (score=9.0 ") || !strings.HasPrefix(alice, "HAM ") {
		t.Errorf("bob %q, alice %q", bob, alice)
	}
	if i, err := r.Desk.DropImport(t.Context(), "", "root"); err != nil || i.Import.Spam != 300 {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := r.Desk.DropImport(t.Context(), "", "root"); err != nil || i.Import.Spam != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	if bob := ask("bob"); bob != "" {
		t.Errorf("what was forgotten says %q", bob)
	}
	for name, c := range map[string]struct{ user, backup string }{"no backup": {"", "From: a@b.c\n"}, "no user": {"a\nb", backup(1, 0)}} {
		if _, err := r.Desk.Import(t.Context(), c.user, "root", strings.NewReader(c.backup)); err == nil {
			t.Errorf("%s: imported", name)
		}
	}
	r.Unsafe = func() error { return errDead }
	if _, err := r.Desk.Import(t.Context(), "", "root", strings.NewReader(backup(1, 0))); !errors.Is(err, errDead) {
		t.Errorf("what would be lost is imported: %v", err)
	}
	r.dead = true
	if _, err := r.Desk.DropImport(t.Context(), "", "root"); !errors.Is(err, errDead) {
		t.Errorf("forgotten without a store: %v", err)
	}
	for result, want := range map[string]float64{importStored: 2, importDropped: 1, importFailed: 4} {
		if got := testutil.ToFloat64(r.Metrics.imports.WithLabelValues(result)); got != want {
			t.Errorf("%s is counted %v times, want %v", result, got, want)
		}
	}
}

// TestDeliverHalf: a message that cannot be read to its end is none.
func TestDeliverHalf(t *testing.T) {
	r := newRoom(t)
	q := request("", "bob")
	q.Message = failing{}
	if a := r.Deliver(t.Context(), dovecot.Peer{UID: vmail}, q); !a.OK || a.Text != "" || r.counted(r.Metrics.deliveries, "none", reasonFailed) != 1 {
		t.Errorf("%v", a)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

// TestLearnDelivered: what stays in the inbox teaches a little, and is taken back.
func TestLearnDelivered(t *testing.T) {
	r := newRoom(t)
	r.train(6, "alice", "spam")
	r.train(6, "alice", "ham")
	ham := func() float64 { return r.counted(r.Metrics.lessons, FromDelivered, "ham", "learned") }
	deliver := func(i int) {
		if a := r.Deliver(t.Context(), dovecot.Peer{UID: vmail}, request(r.carried(letter(i, tomatoes), nil), "alice")); !strings.HasPrefix(a.Text, "HAM") {
			t.Fatalf("%v\n%s", a, r.log.String())
		}
	}
	deliver(200)
	if ham() != 0 {
		t.Error("switched off, it learns")
	}
	r.deliver = true
	deliver(200)
	deliver(200) // known
	if ham() != 1 {
		t.Errorf("%v lessons, want 1", ham())
	}
	deliver(211) // of the same domain
	deliver(222) // over its quota
	if ham() != 2 {
		t.Errorf("%v lessons of one domain, want 2", ham())
	}
	for i := range 100 {
		deliver(300 + i)
	}
	if ham() != quotaUser {
		t.Errorf("%v lessons of one day", ham())
	}
	before := ham()
	r.now = r.now.Add(24 * time.Hour)
	deliver(500)
	if ham() != before+1 {
		t.Error("no lesson on the next day")
	}
	// What is only just no spam is nobody's example.
	a := r.Deliver(t.Context(), dovecot.Peer{UID: vmail}, request(r.carried(letter(600, tomatoes), func(v *carry.Verdict) { v.Score = 5.5 }), "alice"))
	if ham() != before+1 || !strings.HasPrefix(a.Text, "HAM") {
		t.Errorf("%v lessons, %v", ham(), a)
	}
	if a := r.Train(t.Context(), dovecot.Peer{UID: vmail}, request(letter(500, tomatoes), "alice", "spam")); !a.OK ||
		r.counted(r.Metrics.lessons, FromIMAP, "spam", "flipped") != 1 {
		t.Error("moving it to Junk does not take it back")
	}
}

func TestRights(t *testing.T) {
	r, unknown := NewRights(4711, []string{"root", "12", "no such user"})
	if fmt.Sprint(unknown) != "[no such user]" || fmt.Sprint(r.all) != "[0 4711 0 12]" {
		t.Errorf("%v, %v", r.all, unknown)
	}
	for uid, want := range map[uint32]bool{0: true, 4711: true, 12: true, 13: false, ^uint32(0): false} {
		if r.All(uid) != want || r.MaySpeak(uid, "bob") != want {
			t.Errorf("uid %d: %v", uid, !want)
		}
	}
	if r.MaySpeak(4242424, "") || r.Caller(4242424) != "uid 4242424" {
		t.Error("a uid without a name may speak for a name that is none")
	}
	if os.Geteuid() == 0 && r.Caller(0) != "root" {
		t.Errorf("root is called %q", r.Caller(0))
	}
}
