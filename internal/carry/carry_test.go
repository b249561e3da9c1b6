package carry

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"milterd/message"
	"milterd/mime"
)

var (
	key   = []byte("0123456789abcdef0123456789abcdef")
	noon  = time.Unix(1795269600, 0)
	some  = Verdict{ID: "k7q2m9zt4w1c", Time: noon, Score: 7.25, Objective: -3.7, Bayes: 3.5, Junk: 6, Action: message.Junk, Would: message.RejectMail, Forced: true}
	ruled = Verdict{ID: "k7q2m9zt4w1c", Time: noon, Score: 1, Junk: 6, Action: message.Accept, Rules: []Shift{{"BAYES_00", -1.5}, {"BAYES_99", 2}}}
)

// split makes header and body of a message as a milter or a Sieve program gets it.
func split(t testing.TB, raw string, more ...string) (*message.Header, []byte) {
	t.Helper()
	head, body, ok := strings.Cut(raw, "\n\n")
	if !ok {
		if head, body, ok = strings.Cut(raw, "\r\n\r\n"); !ok {
			t.Fatal("no body")
		}
	}
	var fields []message.Field
	for _, value := range more {
		fields = append(fields, message.Field{Name: Field, Value: " " + value})
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(head, "\r\n", "\n"), "\n") {
		if n := len(fields); n > 0 && strings.IndexAny(line, " \t") == 0 {
			fields[n-1].Value += "\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		fields = append(fields, message.Field{Name: name, Value: value})
	}
	return message.NewHeader(fields, 0), []byte(body)
}

// walk takes a message apart that stands in two pieces.
func walk(h *message.Header, body []byte) *mime.Tree {
	var fields []mime.Field
	for _, f := range h.Fields {
		fields = append(fields, mime.Field{Name: f.Name, Value: f.Value})
	}
	return mime.Walk(fields, body, mime.Limits{})
}

const plain = "From: Joe <joe@sender.example>\nDate: Fri, 20 Nov 2026 10:00:00 +0000\nMessage-ID: <1@sender.example>\nSubject: hi\n" +
	"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGr\u00fc\u00dfe aus K\u00f6ln\n"

func TestVerify(t *testing.T) {
	h, body := split(t, plain)
	value := Sign(key, Digest(h, walk(h, body)), some)
	for line := range strings.SplitSeq(value, "\n") {
		if len(line) > 76 {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
	}
	const qp = "From: Joe\n  <joe@sender.example>\nReceived: by lmtp\nDate: Fri, 20 Nov 2026\n\t10:00:00 +0000\nMessage-Id:  <1@sender.example>\nSubject: hi\n" +
		"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe aus K=\n=C3=B6ln\n"
	folded := strings.ReplaceAll(value, "; ", ";\n ")
	other := Sign(key, Digest(h, walk(h, body)), Verdict{ID: some.ID, Time: noon, Junk: math.Inf(1), Action: message.Accept})
	for name, c := range map[string]struct {
		raw    string
		fields []string
		at     time.Time
		want   error
	}{
		"as it was":             {plain, []string{value}, noon, nil},
		"CRLF":                  {strings.ReplaceAll(plain, "\n", "\r\n"), []string{value}, noon, nil},
		"8bit to QP and folded": {qp, []string{folded}, noon.Add(MaxAge), nil},
		"a line broken":         {strings.Replace(plain, "aus", "\n aus", 1), []string{value}, noon, nil},
		"a bad one above it":    {plain, []string{"v=1", value}, noon, nil},
		"another clock":         {plain, []string{value}, noon.Add(-slack), nil},
		"the first one counts":  {plain, []string{value, other}, noon, nil},
		"none":                  {plain, nil, noon, ErrMissing},
		"too old":               {plain, []string{value}, noon.Add(MaxAge + time.Second), ErrAge},
		"from the future":       {plain, []string{value}, noon.Add(-slack - time.Second), ErrAge},
		"another text":          {strings.Replace(plain, "aus", "bei", 1), []string{value}, noon, ErrForged},
		"more text":             {plain + "buy", []string{value}, noon, ErrForged},
		"another author":        {strings.Replace(plain, "joe@", "boss@", 1), []string{value}, noon, ErrForged},
		"a second author":       {"From: boss@sender.example\n" + plain, []string{value}, noon, ErrForged},
		"another date":          {strings.Replace(plain, "10:00", "11:00", 1), []string{value}, noon, ErrForged},
		"another id":            {strings.Replace(plain, "1@s", "2@s", 1), []string{value}, noon, ErrForged},
		"another type":          {strings.Replace(plain, "text/plain", "text/html", 1), []string{value}, noon, ErrForged},
		"a better score":        {plain, []string{strings.Replace(value, "score=7.25", "score=-7.25", 1)}, noon, ErrForged},
		"a later time":          {plain, []string{strings.Replace(value, "t=1795269600", "t=1795269601", 1)}, noon, ErrForged},
		"cut off":               {plain, []string{value[:len(value)-1]}, noon, ErrForged},
		"far below":             {plain, []string{"a", "b", "c", "d", value}, noon, ErrSyntax},
	} {
		h, body := split(t, c.raw, c.fields...)
		got, err := Verify(key, h, Digest(h, walk(h, body)), c.at)
		if !errors.Is(err, c.want) || err == nil && !reflect.DeepEqual(got, some) {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, c.want)
		}
	}
	h, body = split(t, plain, value)
	if _, err := Verify([]byte("another"), h, Digest(h, walk(h, body)), noon); !errors.Is(err, ErrForged) {
		t.Errorf("another key: %v", err)
	}
}

// TestRules: a field that says what rules bring is read as it was written, has lines
// that no mail server breaks, and cannot be changed.
func TestRules(t *testing.T) {
	h, body := split(t, plain)
	digest := Digest(h, walk(h, body))
	v := Verdict{ID: some.ID, Time: noon, Junk: 6, Action: message.Accept}
	for i := range maxShifts + 3 {
		v.Shift(fmt.Sprint("BAYES_", i), float64(i)+0.00049)
	}
	if len(v.Rules) != maxShifts || v.Shifted("BAYES_0") != 0 || v.Shifted("BAYES_7") != 7 {
		t.Errorf("%+v", v.Rules)
	}
	value := Sign(key, digest, v)
	for line := range strings.SplitSeq(value, "\n") {
		if len(line) > 76 {
			t.Errorf("a line of %d bytes: %q", len(line), line)
		}
	}
	verified := func(value string) (Verdict, error) {
		h, body := split(t, plain, value)
		return Verify(key, h, Digest(h, walk(h, body)), noon)
	}
	if got, err := verified(value); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%+v, %v", got, err)
	}
	for from, to := range map[string]string{"BAYES_7:7": "BAYES_7:-7", "BAYES_7:": "BAYES_8:", ",\n\t BAYES_16:16": ""} {
		if _, err := verified(strings.Replace(value, from, to, 1)); !errors.Is(err, ErrForged) {
			t.Errorf("%q as %q: %v", from, to, err)
		}
	}
}

// TestParts: what stands in one part cannot be moved to the next.
func TestParts(t *testing.T) {
	two := func(a, b string) [32]byte {
		h, body := split(t, "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n"+a+"\n--x\nContent-Type: application/x\n\n"+b+"\n--x--\n")
		return Digest(h, walk(h, body))
	}
	if two("ab", "c") == two("a", "bc") {
		t.Error("the parts flow into each other")
	}
	if two("ab", "c") != two("a b", "c\n\n") {
		t.Error("white space counts")
	}
}

func TestOf(t *testing.T) {
	junk := 6.0
	v := Of("k7q2m9zt4w1c", noon.Add(time.Millisecond), &message.Verdict{Score: 0.1 + 0.2, Objective: math.Inf(1), Action: message.Accept,
		Thresholds: message.Thresholds{Junk: &junk}, Findings: []message.Finding{{Check: "bayes", Score: -1.5}, {Check: "bayes"}, {Check: "spf", Score: 9}}}, "bayes", false)
	if want := (Verdict{ID: "k7q2m9zt4w1c", Time: noon, Score: 0.3, Objective: maxPoints, Bayes: -1.5, Junk: 6, Action: message.Accept}); !reflect.DeepEqual(v, want) {
		t.Errorf("got %+v, want %+v", v, want)
	}
	for by, forced := range map[string]bool{"score": false, "default": false, "dmarc": true} {
		if v := Of("", noon, &message.Verdict{Action: message.Accept, Would: message.Junk, DecidedBy: by}, "bayes", false); v.Forced != forced {
			t.Errorf("decided by %s: %+v", by, v)
		}
	}
	if v := Of("", noon, &message.Verdict{Action: message.Accept, DecidedBy: "lists"}, "bayes", false); v.Forced {
		t.Errorf("%+v", v)
	}
	if v := Of("", noon, &message.Verdict{Score: -0.0001, Objective: math.NaN()}, "bayes", true); !math.IsInf(v.Junk, 1) || math.Signbit(v.Score) || v.Objective != 0 || !v.Forced {
		t.Errorf("%+v", v)
	}
}

// FuzzParse: what is read is written back as it was, and a field that was changed
// does not verify.
func FuzzParse(f *testing.F) {
	h, body := split(f, plain)
	digest := Digest(h, walk(h, body))
	value := Sign(key, digest, some)
	for _, seed := range []string{value, strings.ReplaceAll(value, ";", " ; "), strings.Replace(value, "junk=6", "junk=off", 1),
		strings.Replace(value, "7.25", "NaN", 1), strings.Replace(value, "7.25", "0x1p3", 1), strings.Replace(value, "7.25", "1e3", 1),
		strings.Replace(value, "7.25", "-0", 1), "v=1;;;;;;;;;;tag=", "", Sign(key, digest, ruled), strings.Replace(Sign(key, digest, ruled), "BAYES_99:2", "BAYES_99:2,", 1),
		strings.Replace(value, "by=policy", "by=policy;rules=", 1)} {
		f.Add(seed)
	}
	squeeze := func(s string) string { return string(dense([]byte(s))) }
	f.Fuzz(func(t *testing.T, text string) {
		v, signature, err := Parse(text)
		if err != nil {
			if !reflect.DeepEqual(v, Verdict{}) || signature != "" || !errors.Is(err, ErrSyntax) {
				t.Fatalf("%+v %q %v", v, signature, err)
			}
			return
		}
		if math.IsNaN(v.Score+v.Objective+v.Bayes+v.Junk) || math.IsInf(v.Score+v.Objective+v.Bayes, 0) {
			t.Fatalf("%+v: no number", v)
		}
		if again := squeeze(v.text() + ";tag=" + signature); again != squeeze(text) {
			t.Fatalf("%q is written %q", text, again)
		}
		if w, _, err := Parse(Sign(key, digest, v)); err != nil || !reflect.DeepEqual(w, v) {
			t.Fatalf("%+v, then %+v, %v", v, w, err)
		}
		if _, err := verify(key, text, digest, noon); err == nil && squeeze(text) != squeeze(value) && squeeze(text) != squeeze(Sign(key, digest, ruled)) {
			t.Fatalf("%q verifies", text)
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	h, body := split(b, plain+strings.Repeat("some words of a letter that is not short\n", 200))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	tree := walk(h, body)
	for b.Loop() {
		Digest(h, tree)
	}
}
