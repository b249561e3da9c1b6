package integration

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A school is a bed of its own whose Dovecot talks to milterd as deploy/dovecot says.
type school struct {
	*Bed
	*Daemon
	redis *process // nil over bolt
	store string   // for a second daemon, "" over bolt
	yaml  string   // of the daemon
}

// newSchool starts one over a kind of store: bolt or redis.
func newSchool(t *testing.T, kind string) *school {
	t.Helper()
	testBed(t)
	ctx := within(t)
	if err := buildOnce(ctx); err != nil {
		t.Fatal(err)
	}
	deploy := func(name string) string {
		root, err := SourceRoot()
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(root, "deploy/dovecot", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), "/etc/dovecot/sieve", "{{.Dir}}/sieve")
	}
	config := Config{Dovecot: deploy("90-milterd.conf"), Sieve: map[string]string{}}
	for _, name := range []string{"milterd-delivery", "milterd-spam", "milterd-ham"} {
		config.Sieve[name] = deploy(name + ".sieve")
	}
	bed, err := Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	s := &school{Bed: bed}
	t.Cleanup(func() {
		if err := bed.Close(); err != nil {
			t.Error(err)
		}
	})
	yaml := fmt.Sprintf("delivery: {socket: unix:%s/run/milterd-dovecot/delivery, users: [mail]}\ntraining: {socket: unix:%s/run/milterd-dovecot/training, users: [mail]}\nthresholds: {greylist: off, junk: 0.9}\n", bed.Dir(), bed.Dir())
	if kind == "redis" {
		s.startRedis(t)
		s.store = fmt.Sprintf("store: redis+unix://%s/redis/socket\n", bed.Dir())
		yaml += s.store
	}
	s.yaml = yaml
	s.Daemon, err = bed.StartDaemon(ctx, shared.binary, DaemonConfig{Name: "milterd", YAML: yaml, Rules: opinionRule, DNS: []string{shared.names.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// startRedis starts Debian's redis-server, for the first time or again with what it
// had.
func (s *school) startRedis(t *testing.T) {
	t.Helper()
	dir := filepath.Join(s.Dir(), "redis")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	s.redis, err = s.Bed.family.start("redis-server", newLog("redis"), nil, "redis-server", "--port", "0", "--unixsocket", filepath.Join(dir, "socket"),
		"--unixsocketperm", "777", "--dir", dir, "--appendonly", "yes")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.redis.stop(5 * time.Second) })
	if err := s.redis.ready(within(t), func(ctx context.Context) error {
		return exec.CommandContext(ctx, "redis-cli", "-s", filepath.Join(dir, "socket"), "ping").Run()
	}); err != nil {
		t.Fatal(err)
	}
}

// words are what two kinds of mail are about, so that mails of one kind are alike and
// none is the same as another.
var words = strings.Fields("garden tomato seedling compost harvest trellis watering pruning orchard greenhouse beetroot rhubarb")

// offer is a mail from joe about that.
func offer(t *testing.T, n int) Mail {
	m := newMail(t, "")
	var body []string
	for i := range 40 {
		body = append(body, words[(i*i+n*i+n)%len(words)])
	}
	m.Body = strings.Join(body, " ")
	m.Subject = "tomato harvest " + m.Subject
	return m
}

// metric is a counter of the daemon's, now.
func (s *school) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	n, err := s.Metric(within(t), name, labels...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (s *school) lessons(t *testing.T, class, result string) float64 {
	t.Helper()
	return s.metric(t, "milterd_learning_lessons_total", `source="imap"`, `class="`+class+`"`, `result="`+result+`"`)
}

func (s *school) imap(t *testing.T, user string) *IMAP {
	t.Helper()
	c, err := s.IMAP(within(t), user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// send runs a transaction with the MX and wants one answer, a good one.
func (s *school) send(t *testing.T, m Mail, to ...string) {
	t.Helper()
	c, err := s.Client(within(t), "mx", stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Send(joe, to, m.Bytes())
	if err != nil || r.Code != 250 {
		t.Fatalf("%s: %v, %v", m.Subject, r, err)
	}
}

// in waits for a mail in a user's folder.
func (s *school) in(t *testing.T, user, folder string, m Mail) Delivered {
	t.Helper()
	got, err := s.Find(within(t), user, folder, m.Subject)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, s.Daemon.Log.Tail(10), s.dovecotLog.Tail(10))
	}
	return got
}

// move takes a mail from one folder to another. It returns how long the command took
// that does it.
func (s *school) move(t *testing.T, c *IMAP, m Mail, from, to string) time.Duration {
	t.Helper()
	if err := c.Select(from); err != nil {
		t.Fatal(err)
	}
	uids, err := c.Search(m.Subject)
	if err != nil || len(uids) != 1 {
		t.Fatalf("%s in %s: %v, %v", m.Subject, from, uids, err)
	}
	began := time.Now()
	if err := c.Move(uids[0], to); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// lmtp delivers straight to Dovecot, past Postfix and milterd's first look.
func (s *school) lmtp(t *testing.T, to string, message []byte) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(s.Dir(), "spool/private/dovecot-lmtp"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	say := func(code, line string) {
		if line != "" {
			fmt.Fprintf(conn, "%s\r\n", line)
		}
		for {
			answer, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(answer, code) {
				t.Fatalf("lmtp %.40q: %q, %v", line, answer, err)
			}
			if answer[3] != '-' {
				return
			}
		}
	}
	say("220", "")
	say("250", "LHLO test")
	say("250", "MAIL FROM:<"+joe+">")
	say("250", "RCPT TO:<"+to+">")
	say("354", "DATA")
	say("250", strings.ReplaceAll(strings.ReplaceAll(string(message), "\r\n", "\n"), "\n", "\r\n")+"\r\n.")
}

// text is a delivered message again, with another Subject to find it by.
func (d Delivered) text(subject string) []byte {
	var b strings.Builder
	for _, f := range d.Fields {
		if strings.EqualFold(f.Name, "Subject") {
			f.Value = subject
		}
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return []byte(b.String() + "\n" + d.Body)
}

// TestLearning: two users of one mail server who think the opposite of the same mail.
func TestLearning(t *testing.T) {
	for _, kind := range []string{"bolt", "redis"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := exec.LookPath("redis-server"); kind == "redis" && err != nil {
				skipLoudly(t, "learning over Redis: there is no redis-server; integration/install.sh installs it")
			}
			s := newSchool(t, kind)
			s.untaught(t)
			s.teach(t)
			s.bin(t)
			carried := s.twoOpinions(t)
			s.forged(t, carried)
			s.rights(t)
			if kind == "redis" {
				s.shared(t)
				s.storeDies(t)
				s.storeFull(t)
				s.storeSilent(t)
			}
			s.daemonDies(t)
			s.delivered(t)
			s.site(t)
		})
	}
}

// untaught: as long as nobody has taught anything, phase one decides.
func (s *school) untaught(t *testing.T) {
	m := offer(t, 0)
	s.send(t, m, bob)
	got := s.in(t, bob, "INBOX", m)
	check(t, got.Get("X-Milterd-Delivery") == "", "an opinion of nobody: %s", got.Get("X-Milterd-Delivery"))
	check(t, len(got.All("X-Milterd-Carry")) == 1, "carry fields: %q", got.All("X-Milterd-Carry"))
	check(t, s.metric(t, "milterd_delivery_verdicts_total", `reason="nothing"`) == 1, "no second opinion was asked for\n%s", s.dovecotLog.Tail(10))
}

// lessonTime is how long a move to Junk or out of it may take, with Dovecot's part, its
// two processes and the disk: what it teaches is stored by then.
const lessonTime = 50 * time.Millisecond

// teach: bob calls the offers spam, alice takes them out of Junk. The command has
// not ended before the lesson is stored.
func (s *school) teach(t *testing.T) {
	b, a := s.imap(t, bob), s.imap(t, alice)
	var took []time.Duration
	for i := range 8 {
		m := offer(t, i)
		before := s.lessons(t, "spam", "learned")
		if err := b.Append("Junk", m.Bytes()); err != nil {
			t.Fatal(err)
		}
		check(t, s.lessons(t, "spam", "learned") == before+1, "appending to Junk taught nothing\n%s\n%s", s.dovecotLog.Tail(5), s.Daemon.Log.Tail(5))
		if err := a.Append("INBOX", m.Bytes()); err != nil {
			t.Fatal(err)
		}
		check(t, s.lessons(t, "spam", "learned") == before+1, "appending to INBOX taught something")
		took = append(took, s.move(t, a, m, "INBOX", "Junk"))
		check(t, s.lessons(t, "spam", "learned") == before+2, "moving to Junk taught nothing")
		flipped := s.lessons(t, "ham", "flipped")
		took = append(took, s.move(t, a, m, "Junk", "INBOX"))
		check(t, s.lessons(t, "ham", "flipped") == flipped+1, "moving out of Junk took nothing back")
	}
	// A machine that is busy with something else delays some of the moves. What milterd
	// or the store wait for delays them all, so the quickest must be in time.
	slices.Sort(took)
	t.Logf("moves with their lessons, the quickest first: %v; median %v", took, took[len(took)/2])
	check(t, took[0] < lessonTime, "the quickest of %d moves took %v, want less than %v", len(took), took[0], lessonTime)
	check(t, s.lessons(t, "spam", "failed")+s.lessons(t, "ham", "failed") == 0, "lessons failed")
}

// bin: what goes from Junk to the bin was spam.
func (s *school) bin(t *testing.T) {
	c := s.imap(t, bob)
	m := offer(t, 20)
	if err := c.Append("Junk", m.Bytes()); err != nil {
		t.Fatal(err)
	}
	before := s.metric(t, "milterd_learning_lessons_total")
	s.move(t, c, m, "Junk", "Trash")
	check(t, s.metric(t, "milterd_learning_lessons_total") == before, "moving from Junk to Trash taught something")
}

// twoOpinions: one message, one answer, two ends.
func (s *school) twoOpinions(t *testing.T) Delivered {
	m := offer(t, 30)
	s.send(t, m, alice, bob)
	ham, spam := s.in(t, alice, "INBOX", m), s.in(t, bob, "Junk", m)
	check(t, ham.Get("X-Spam-Flag") == "" && spam.Get("X-Spam-Flag") == "", "phase one called it spam")
	check(t, strings.HasPrefix(spam.Get("X-Milterd-Delivery"), "spam score="), "bob's reason: %q", spam.Get("X-Milterd-Delivery"))
	id, _, _ := strings.Cut(spam.Get("X-Milterd-Id"), " ")
	why, _, err := s.Command(within(t), "why", id)
	check(t, err == nil && strings.Contains(why, "role delivery") && strings.Contains(why, "to bob@example.test") && strings.Contains(why, "BAYES_"), "the journal misses an opinion: %v\n%s", err, why)
	check(t, strings.HasPrefix(ham.Get("X-Milterd-Delivery"), "ham score="), "alice's reason: %q", ham.Get("X-Milterd-Delivery"))
	check(t, strings.Contains(spam.Get("X-Milterd-Delivery"), "rules +0.5,") && !strings.Contains(ham.Get("X-Milterd-Delivery"), "rules"),
		"a rule does not follow the opinion: %q, %q", spam.Get("X-Milterd-Delivery"), ham.Get("X-Milterd-Delivery"))
	check(t, ham.Get("X-Milterd-Carry") == spam.Get("X-Milterd-Carry") && ham.Get("X-Milterd-Carry") != "", "the carry fields differ")
	check(t, s.metric(t, "milterd_delivery_verdicts_total", `verdict="spam"`) == 1 && s.metric(t, "milterd_delivery_verdicts_total", `verdict="ham"`) == 1, "the metrics miss an opinion")
	return spam
}

// forged: a field of another message's, from outside and from within.
func (s *school) forged(t *testing.T, from Delivered) {
	carried := from.Get("X-Milterd-Carry")
	m := offer(t, 40)
	m.Header = []string{"X-Milterd-Carry: " + carried, "X-Milterd-Delivery: ham it says"}
	s.send(t, m, bob)
	got := s.in(t, bob, "Junk", m)
	all := got.All("X-Milterd-Carry")
	check(t, len(all) == 1 && all[0] != carried, "a stranger's field came through: %q", all)
	check(t, len(got.All("X-Milterd-Delivery")) == 1, "a stranger's reason came through: %q", got.All("X-Milterd-Delivery"))

	before := s.metric(t, "milterd_delivery_verdicts_total", `reason="bad_carry"`)
	from.Body = strings.Replace(from.Body, "tomato", "church", 1)
	s.lmtp(t, bob, from.text("another text"))
	s.in(t, bob, "INBOX", Mail{Subject: "another text"})
	check(t, s.metric(t, "milterd_delivery_verdicts_total", `reason="bad_carry"`) == before+1, "the field of another text was taken")

	none := s.metric(t, "milterd_delivery_verdicts_total", `reason="no_carry"`)
	s.lmtp(t, bob, Mail{From: joe, To: bob, Subject: "never seen", Body: m.Body}.Bytes())
	s.in(t, bob, "INBOX", Mail{Subject: "never seen"})
	check(t, s.metric(t, "milterd_delivery_verdicts_total", `reason="no_carry"`) == none+1, "no carry field is not counted")
}

// rights: a mail user who is not Dovecot's may not speak for bob.
func (s *school) rights(t *testing.T) {
	before := s.metric(t, "milterd_learning_lessons_total")
	script := fmt.Sprintf(`import socket
s=socket.socket(socket.AF_UNIX); s.connect(%q)
s.sendall(b"VERSION\tscript\t4\t0\nenv_USER=%s\n-\nham\n%s\n\nFrom: x@y.test\n\ntomato\n"); s.shutdown(1)
print(s.recv(100))`, filepath.Join(s.Dir(), "run/milterd-dovecot/training"), bob, bob)
	out, err := run(within(t), nil, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c", script)
	check(t, err == nil && strings.Contains(out, `-\n`), "uid 65534 teaches for bob: %q, %v", out, err)
	check(t, s.metric(t, "milterd_learning_lessons_total") == before, "a lesson for bob by somebody else")
}

// shared: what one milterd is taught, another one on the same Redis knows.
func (s *school) shared(t *testing.T) {
	second, err := s.StartDaemon(within(t), shared.binary, DaemonConfig{Name: "second", YAML: s.store, DNS: []string{shared.names.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir(), "carol.mbox")
	var mbox strings.Builder
	for i := range 8 {
		fmt.Fprintf(&mbox, "From x Mon Jan  1 00:00:00 2026\n%s\n", strings.ReplaceAll(string(offer(t, i).Bytes()), "\r\n", "\n"))
	}
	if err := os.WriteFile(file, []byte(mbox.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := run(within(t), nil, second.binary, "learn", "--config", second.Config(), "--user", carol, "spam", file)
	check(t, err == nil && strings.Contains(out, "learned 8 as spam, known 0, refused 0, for "+carol), "learn: %s, %v", out, err)
	m := offer(t, 50)
	s.send(t, m, carol)
	s.in(t, carol, "Junk", m)
	out, err = run(within(t), nil, s.binary, "learn", "--config", s.Config(), "--user", carol, "spam", file)
	check(t, err == nil && strings.Contains(out, "known 8"), "the first daemon does not know the lessons of the second: %s, %v", out, err)
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
}

// storeDies: without its store milterd has no opinion, mail goes as phase one says;
// when the store is back, so is the opinion.
func (s *school) storeDies(t *testing.T) {
	if err := s.redis.stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	m := offer(t, 60)
	s.send(t, m, bob)
	got := s.in(t, bob, "INBOX", m)
	check(t, got.Get("X-Milterd-Delivery") == "", "an opinion without a store: %s", got.Get("X-Milterd-Delivery"))
	c := s.imap(t, bob)
	failed := s.lessons(t, "spam", "failed")
	if err := c.Append("Junk", offer(t, 61).Bytes()); err != nil {
		t.Fatal(err)
	}
	check(t, s.lessons(t, "spam", "failed") == failed+1, "a lesson that cannot be stored is not counted")
	s.startRedis(t)
	s.heals(t, 70) // by itself, after a moment
}

// daemonDies: nobody answers at delivery, and mail that is on its way is delivered by
// what phase one said.
func (s *school) daemonDies(t *testing.T) {
	if err := s.Kill(); err != nil {
		t.Logf("kill: %v", err)
	}
	ham, spam := offer(t, 80), offer(t, 81)
	spam.Header = []string{"X-Spam-Flag: YES"}
	s.lmtp(t, bob, ham.Bytes())
	s.in(t, bob, "INBOX", ham)
	s.lmtp(t, bob, spam.Bytes())
	s.in(t, bob, "Junk", spam)
	if err := s.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	m := offer(t, 82)
	s.send(t, m, alice, bob)
	s.in(t, alice, "INBOX", m)
	s.in(t, bob, "Junk", m)
}

// site: what root teaches is everybody's, and a scan asks the daemon for it.
func (s *school) site(t *testing.T) {
	files := filepath.Join(s.Dir(), "site")
	if err := os.Mkdir(files, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		if err := os.WriteFile(filepath.Join(files, fmt.Sprint(i)), offer(t, i).Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, code, err := s.Command(within(t), "learn", "spam", files)
	check(t, err == nil && code == 0 && strings.Contains(out, "learned 8 as spam, known 0, refused 0"), "learn: %s, %d, %v", out, code, err)
	scan, _, err := s.Command(within(t), "scan", "--json", filepath.Join(files, "0"))
	check(t, err == nil && strings.Contains(scan, `"check":"bayes"`), "a scan does not know what was learned: %s, %v", scan, err)
	out, code, err = s.Command(within(t), "store", "dump", filepath.Join(s.Dir(), "dump"))
	check(t, err == nil && code == 0, "dump: %s, %d, %v", out, code, err)
	out, code, err = s.Command(within(t), "store", "load", filepath.Join(s.Dir(), "dump"))
	check(t, err == nil && code == 0 && strings.Contains(out, "records are in the store"), "load: %s, %d, %v", out, code, err)
}
