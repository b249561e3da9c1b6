package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"milterd/bayes"
	"milterd/internal/carry"
	"milterd/internal/learning"
	"milterd/internal/spamassassin/tokens"
	"milterd/internal/store"
	"milterd/mime"

	"github.com/prometheus/client_golang/prometheus"
)

// serve runs a server over a fresh store; self is the uid that may do everything
// beside root.
func serve(t *testing.T, self int, change func(*Server)) (*Client, *store.Memory) {
	t.Helper()
	memory := store.NewMemory(time.Now, 64<<20)
	rights, _ := learning.NewRights(self, nil)
	s := &Server{
		Desk: &learning.Desk{Classifier: bayes.New(memory, bayes.Options{}), Rights: rights,
			Keys:    &carry.Keys{Store: memory, Now: time.Now, Random: rand.Reader},
			Metrics: learning.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler), Now: time.Now},
		Store: memory, Now: time.Now,
		Verdicts: func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode([]string{r.FormValue("key")}) },
	}
	if change != nil {
		change(s)
	}
	dir, err := os.MkdirTemp("/tmp", "m")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: s.Handler(), ConnContext: ConnContext}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Serve(l)
	}()
	c := NewClient("unix:" + filepath.Join(dir, "s"))
	t.Cleanup(func() {
		c.Close()
		h.Close()
		<-ended
		os.RemoveAll(dir)
	})
	return c, memory
}

func message(text string) []byte {
	return []byte("From: a@b.example\nMessage-ID: <" + text + "@x>\n\n" + text + " and other words\n")
}

func TestLearn(t *testing.T) {
	c, _ := serve(t, os.Getuid(), nil)
	if there, err := c.Present(t.Context()); !there || err != nil {
		t.Fatalf("%v, %v", there, err)
	}
	report, err := c.Learn(t.Context(), "Joe", bayes.Spam, message("one"), message("two"))
	if err != nil || report.User != "joe" || len(report.Results) != 2 || report.Results[1] != bayes.Learned {
		t.Errorf("%+v, %v", report, err)
	}
	report, err = c.Learn(t.Context(), "joe", bayes.Spam, message("three"), message("two"))
	if err != nil || report.Results[0] != bayes.Learned || report.Results[1] != bayes.Known {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err = c.Learn(t.Context(), "", bayes.Forget, message("two")); err != nil || report.User != "" || report.Results[0] != bayes.Known {
		t.Errorf("the site forgets what it never knew: %+v, %v", report, err)
	}
	if report, err = c.Learn(t.Context(), "joe", bayes.Forget, message("two")); err != nil || report.Results[0] != bayes.Forgotten {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err = c.Learn(t.Context(), "joe", "eggs", message("two")); err == nil || !strings.Contains(err.Error(), "expected spam, ham, forget or show") {
		t.Errorf("%v", err)
	}
	taught, err := c.Taught(t.Context(), "joe", message("one"), message("two"))
	if err != nil || len(taught) != 2 || taught[1] != nil || taught[0] == nil || taught[0].Class != bayes.Spam || taught[0].Source != learning.FromCommand ||
		taught[0].By == "" || time.Since(taught[0].At).Abs() > time.Hour {
		t.Errorf("%+v, %v", taught, err)
	}
	many := make([][]byte, maxMessages+1)
	for i := range many {
		many[i] = message("x")
	}
	if _, err = c.Learn(t.Context(), "joe", bayes.Spam, many...); err == nil {
		t.Error("too many messages at once are taken")
	}
	var key []string
	if err := c.Verdicts(t.Context(), "a b&c", &key); err != nil || key[0] != "a b&c" {
		t.Errorf("%q, %v", key, err)
	}
}

// TestImport: a backup goes to the daemon as it is, and what is wrong with it comes
// back.
func TestImport(t *testing.T) {
	c, memory := serve(t, os.Getuid(), nil)
	const backup = "v\t3\tdb_version\nv\t5\tnum_spam\nv\t7\tnum_nonspam\nt\t3\t0\t1700000000\t0a1b2c3d4e\nnonsense\n"
	i, err := c.Import(t.Context(), "Joe", strings.NewReader(backup))
	if err != nil || i.Import.Spam != 5 || i.Import.Tokens != 1 || i.Unread != 1 || len(i.Problems) != 1 || !strings.HasPrefix(i.Problems[0], "line 5: ") {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := c.Import(t.Context(), "joe", strings.NewReader("nonsense")); !errors.Is(err, tokens.ErrBackup) || !strings.Contains(err.Error(), "the first line") {
		t.Errorf("%v", err)
	}
	if _, err := c.Import(t.Context(), "a\nb", strings.NewReader(backup)); err == nil || errors.Is(err, tokens.ErrBackup) {
		t.Errorf("%v", err)
	}
	if i, err := c.DropImport(t.Context(), "joe"); err != nil || i.Import.Spam != 5 {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := c.DropImport(t.Context(), "joe"); err != nil || i.Import.Spam != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	if err := memory.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Import(t.Context(), "", strings.NewReader(backup)); err == nil || errors.Is(err, tokens.ErrBackup) {
		t.Errorf("without a store: %v", err)
	}
}

// TestStranger: whom the kernel calls somebody else teaches for himself alone, and
// sees nothing. Here the kernel says nothing at all.
func TestStranger(t *testing.T) {
	s := &Server{Desk: &learning.Desk{Rights: rightsOf(t)}}
	for _, open := range []bool{false, true} {
		s.Open = open
		s.Verdicts = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
		h := s.Handler()
		for path, want := range map[string]int{"GET /store": 403, "POST /store": 403, "POST /lessons?class=spam&user=bob": 403, "POST /lessons?class=show&user=bob": 403,
			"POST /lessons?class=eggs": 400, "POST /records/get": 403, "POST /import": 403, "DELETE /import?user=bob": 403, "GET /verdicts": map[bool]int{true: 403, false: 418}[open], "GET /": 404} {
			method, target, _ := strings.Cut(path, " ")
			w := &recorder{header: http.Header{}}
			r, err := http.NewRequest(method, target, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			h.ServeHTTP(w, r) // nobody knows who that is
			if w.code != want {
				t.Errorf("open %v: %s: %d, want %d: %s", open, path, w.code, want, w.body.String())
			}
		}
	}
}

func rightsOf(t *testing.T) *learning.Rights {
	t.Helper()
	r, unknown := learning.NewRights(os.Getuid(), nil)
	if len(unknown) > 0 {
		t.Fatal(unknown)
	}
	return r
}

type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }
func (r *recorder) WriteHeader(c int)   { r.code = c }
func (r *recorder) Write(p []byte) (int, error) {
	if r.code == 0 {
		r.code = 200
	}
	return r.body.Write(p)
}

func TestStore(t *testing.T) {
	c, from := serve(t, os.Getuid(), nil)
	for i := range 2000 {
		if err := from.Apply(t.Context(), "test", store.Put([]byte{byte(i), byte(i >> 8)}, bytes.Repeat([]byte{1}, 100), 0)); err != nil {
			t.Fatal(err)
		}
	}
	values, err := Reader{c}.Get(t.Context(), "test", []byte{7, 0}, []byte("none"))
	if err != nil || len(values) != 2 || len(values[0]) != 100 || values[1] != nil {
		t.Errorf("%q, %v", values, err)
	}
	if _, err := (Reader{c}).Get(t.Context(), "NO SPACE", []byte("x")); err == nil {
		t.Error("a space that is none")
	}
	if err := errors.Join(Reader{c}.Apply(t.Context(), "test"), Reader{c}.Post("test")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("%v", err)
	}
	var dump bytes.Buffer
	if err := c.Dump(t.Context(), &dump); err != nil || !store.EndsDump(dump.Bytes()) {
		t.Fatalf("%v, %d bytes", err, dump.Len())
	}
	other, into := serve(t, os.Getuid(), nil)
	if n, err := other.Load(t.Context(), bytes.NewReader(dump.Bytes())); n != 2000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	n := 0
	if err := into.Walk(t.Context(), func(string, []byte, store.Record) error { n++; return nil }); err != nil || n != 2000 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := other.Load(t.Context(), strings.NewReader("half")); !errors.Is(err, store.ErrDump) {
		t.Errorf("%v", err)
	}
	from.Close(context.Background())
	dump.Reset()
	if err := c.Dump(t.Context(), &dump); err == nil && store.EndsDump(dump.Bytes()) {
		t.Error("the dump of a store that failed looks whole")
	}
	if _, err := c.Learn(t.Context(), "", bayes.Spam, message("x")); err == nil {
		t.Error("learned without a store")
	}
}

// The classifier hears of what reaches the store by another way than through it.
func TestClassifierHearsOfOthers(t *testing.T) {
	var classifier, another *bayes.Classifier
	c, memory := serve(t, os.Getuid(), func(s *Server) {
		classifier, another = bayes.New(s.Store, bayes.Options{Alone: true}), bayes.New(s.Store, bayes.Options{})
		s.Desk.Classifier = classifier
	})
	m := bayes.Parse(message("cheap pills"), mime.Limits{})
	spam := func() bool {
		t.Helper()
		v, err := classifier.Classify(t.Context(), "", m)
		if err != nil {
			t.Fatal(err)
		}
		return v.Probability > 0.5
	}
	teach := func(class bayes.Class) {
		t.Helper()
		if _, err := another.LearnAll(t.Context(), "", bayes.Lesson{Message: m, Class: class}); err != nil {
			t.Fatal(err)
		}
	}
	teach(bayes.Spam)
	if !spam() {
		t.Fatal("nothing was learned")
	}
	teach(bayes.Ham)
	if !spam() {
		t.Error("another process's lesson is seen at once: this test proves nothing")
	}
	if err := c.Write(t.Context(), true, bayes.Space, store.Put([]byte("lesson"), nil, 0)); err != nil || spam() {
		t.Errorf("after a batch of the last daemon's it is still spam (%v)", err)
	}
	var dump bytes.Buffer
	if _, err := store.Dump(t.Context(), memory, &dump); err != nil {
		t.Fatal(err)
	}
	teach(bayes.Spam)
	if _, err := c.Load(t.Context(), &dump); err != nil || spam() {
		t.Errorf("after the store was filled it is spam (%v)", err)
	}
	teach(bayes.Spam)
	if spam() {
		t.Error("another process's lesson is seen at once: this test proves nothing")
	}
	if _, err := c.Load(t.Context(), bytes.NewReader(nil)); err == nil || !spam() {
		t.Errorf("what a load did until it failed (%v) is not seen", err)
	}
}

func TestNoDaemon(t *testing.T) {
	c := NewClient("unix:" + filepath.Join(t.TempDir(), "none"))
	defer c.Close()
	if there, err := c.Present(t.Context()); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
	if _, err := c.Learn(t.Context(), "", bayes.Spam, message("x")); !errors.Is(err, ErrNoDaemon) || errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// FuzzReadMessages: what is read is what was sent, and never more than the limits.
func FuzzReadMessages(f *testing.F) {
	f.Add(appendMessage(appendMessage(nil, []byte("a: b\n")), nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0, 0, 0})
	f.Add(bytes.Repeat([]byte{0}, 4*(maxMessages+1)))
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := readMessages(bytes.NewReader(body))
		if err != nil {
			if all != nil || !errors.Is(err, ErrBody) {
				t.Fatalf("%d messages, %v", len(all), err)
			}
			return
		}
		var again []byte
		for _, raw := range all {
			again = appendMessage(again, raw)
		}
		if len(all) > maxMessages || !bytes.Equal(again, body) {
			t.Fatalf("%d messages, %x became %x", len(all), body, again)
		}
	})
}
