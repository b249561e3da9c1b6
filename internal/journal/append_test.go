package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"milterd/authres"
	"milterd/checks"
	"milterd/internal/pipeline"
	"milterd/message"
)

// same fails where the JSON of a record is not what json.Marshal makes of it.
func same(t *testing.T, r *Record) {
	t.Helper()
	const before = "what stands before\n"
	got, err := appendRecord([]byte(before), r)
	want, wantErr := json.Marshal(r)
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%+v\nerror %v, want %v", r, err, wantErr)
	}
	if string(got) != before+string(want) {
		t.Fatalf("%+v\ngot  %q\nwant %q", r, got, want)
	}
}

// filler fills values of any type with what its chooser picks.
type filler struct {
	pick  *rand.Rand
	full  bool // nothing is left out
	texts []string
	sizes []float64
}

func (f *filler) fill(v reflect.Value) {
	if !f.full && f.pick.IntN(2) == 0 {
		v.SetZero()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(f.texts[f.pick.IntN(len(f.texts))])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + f.pick.Int64()>>f.pick.IntN(63))
		if f.pick.IntN(2) == 0 {
			v.SetInt(-v.Int())
		}
	case reflect.Float64:
		v.SetFloat(f.sizes[f.pick.IntN(len(f.sizes))])
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		n := f.pick.IntN(4)
		if f.full {
			n++
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n)) // also the empty one that is not nil
		for i := range n {
			f.fill(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			zone := time.FixedZone("", f.pick.IntN(2)*(f.pick.IntN(26*60)-13*60)*60)
			v.Set(reflect.ValueOf(time.Unix(f.pick.Int64N(4e9), f.pick.Int64N(2)*f.pick.Int64N(1e9)).In(zone)))
			return
		}
		for i := range v.NumField() {
			f.fill(v.Field(i))
		}
	default:
		panic("a kind of field that there was none of: " + v.Kind().String())
	}
}

func (f *filler) record() *Record {
	r := new(Record)
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		f.fill(v.Field(i))
	}
	return r
}

var hostileTexts = []string{
	"a", "plain text of some length", "<a@b.test>", "a && b", `"quoted"`, `back\slash`, "fold\n\tfold", "\r\n", "\b\f\v", "\x00", "\x1f", "\x7f", "\x80", "\xff\xfe\xc0\xaf",
	"é", "日本語", "\u2028\u2029", "\u202e", "\U0010ffff", "\xed\xa0\x80", "cut \xe2\x80", "\ufffd", "\ufeff", `\u003c`, "</script>", "<é>", "'`+/%", strings.Repeat("x<", 300),
}

var hostileNumbers = []float64{
	1, -1, 0.1, 18.9, -2.4, 0.0001, 1e-5, 1e-6, math.Nextafter(1e-6, 0), 1e-7, 5.154608256769175e-16, -1e-9, 1e-10, 1e20, math.Nextafter(1e21, 0), 1e21, -1e21, 1e100, 123456789.125,
	math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1), 1.0 / 3, 1 << 53,
}

// TestNoFieldIsForgotten: a field that Record or a type in it has, and appendRecord does
// not know of, is missed here, as the record with all fields set has it.
func TestNoFieldIsForgotten(t *testing.T) {
	f := &filler{pick: rand.New(rand.NewPCG(1, 2)), full: true, texts: []string{"text"}, sizes: []float64{1.5}}
	same(t, f.record())
	same(t, new(Record))
	empty := &Record{Rcpt: []string{}, Recipients: []message.RecipientVerdict{}, Findings: []message.Finding{}, Auth: []authres.Method{{}}, Headers: []message.Edit{}, Checks: []Check{}}
	same(t, empty)
}

// TestAppendRecord: any field set or not, with the worst that may stand in it.
func TestAppendRecord(t *testing.T) {
	for seed := range uint64(1000) {
		f := &filler{pick: rand.New(rand.NewPCG(3, seed)), full: seed%8 == 0, texts: hostileTexts, sizes: hostileNumbers}
		same(t, f.record())
	}
	for _, number := range hostileNumbers {
		same(t, &Record{Score: number})
	}
	for _, text := range hostileTexts {
		same(t, &Record{ID: text})
		same(t, NewRecord(hostile(text), true))
	}
	for c := range 256 {
		same(t, &Record{ID: "a" + string([]byte{byte(c)}) + "b"})
	}
	twice := []authres.Prop{{Ptype: "a", Property: "b.c", Value: "1"}, {Ptype: "a.b", Property: "c", Value: "2"}, {Property: "a.b.c", Value: "3"}, {Property: "<", Value: "4"}}
	same(t, &Record{Auth: []authres.Method{{Method: "spf", Props: twice}, {Props: []authres.Prop{}}}})
}

// TestNoJSON: what json.Marshal refuses is refused, and what stood before stays.
func TestNoJSON(t *testing.T) {
	nan := math.NaN()
	for _, r := range []*Record{
		{Score: nan}, {TookMS: math.Inf(1)}, {Objective: math.Inf(-1)}, {Thresholds: message.Thresholds{Junk: &nan}}, {Findings: []message.Finding{{Value: nan}}},
		{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, {Time: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}, {Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 25*60*60))},
	} {
		same(t, r)
		if _, err := appendRecord(nil, r); err == nil {
			t.Errorf("%+v is no error", r)
		}
	}
}

// FuzzAppendRecord: the JSON of any record is that of json.Marshal.
func FuzzAppendRecord(f *testing.F) {
	for i, text := range hostileTexts {
		f.Add(uint64(i), text, hostileNumbers[i%len(hostileNumbers)])
	}
	f.Fuzz(func(t *testing.T, seed uint64, text string, number float64) {
		texts := []string{text, text[:len(text)/2], text[len(text)/2:], "plain"}
		fill := &filler{pick: rand.New(rand.NewPCG(seed, 0)), full: seed%8 == 0, texts: texts, sizes: []float64{number, -number, 1 / number, 1.5}}
		same(t, fill.record())
	})
}

// busy makes the outcomes of messages as they come with every check on: no two are alike.
func busy(n int) []*pipeline.Outcome {
	all := make([]*pipeline.Outcome, n)
	for i := range all {
		o := sample()
		host := fmt.Sprintf("mail.example%d.test", i)
		o.Message.Session.Host, o.Message.Session.Helo = host, host
		o.Message.MailFrom = message.ParsePath(fmt.Sprintf("<bounce-%d@%s>", i*i, host))
		o.Verdict.Score, o.Verdict.Findings = float64(i)/10, nil
		for j := range 12 {
			finding := message.Finding{Name: fmt.Sprintf("SIGN_WORD_%d", i+j), Check: "content", Score: float64(i*j%41) / 10}
			switch j % 4 {
			case 1:
				finding.Detail = fmt.Sprintf(`"<https://www.%s/u/%x>"`, host, i*j)
			case 2:
				finding.Detail = fmt.Sprintf("of 260 spam and 260 ham: field:list-%d -1.69 (0/73), field:list-id -1.69 (0/73), length:%d -3.79 (0/50)", i, j)
				finding.Value, finding.Subjective = 1/float64(1+i*j), true
			}
			o.Verdict.Findings = append(o.Verdict.Findings, finding)
		}
		for _, method := range []string{"dkim", "iprev", "dmarc"} {
			o.Auth = append(o.Auth, authres.Method{Method: method, Result: "pass", Props: []authres.Prop{
				{Ptype: "header", Property: "d", Value: host}, {Ptype: "header", Property: "i", Value: "@" + host}, {Ptype: "header", Property: "s", Value: fmt.Sprint("s", i)}}})
		}
		o.Edits = []message.Edit{
			{Op: message.Insert, Name: "Authentication-Results", Value: fmt.Sprintf("mx.test;\n\tspf=pass smtp.mailfrom=bounce-%d@%s;\n\tdkim=fail reason=\"body hash did not verify\" header.d=%[2]s\n\theader.i=@%[2]s", i, host)},
			{Op: message.Insert, Name: "X-Spam-Status", Value: fmt.Sprintf("No, score=%d required=6.0\n\ttests=[DKIM_FAIL=0.2,PRESS_WONDER_WORDS=0.1]\n\tautolearn=no", i)},
			{Op: message.Insert, Name: "X-Milterd-Id", Value: fmt.Sprintf("a1xngyf75svn s5djczfzg9ry6t1h%d", i)},
		}
		o.Results = nil
		for j := range 17 {
			o.Results = append(o.Results, checks.Result{Check: fmt.Sprint("check", j), Took: time.Duration(i*j) * time.Microsecond})
		}
		all[i] = o
	}
	return all
}

// BenchmarkAppendRecord is the JSON of a message's record, and what json.Marshal would
// take for it.
func BenchmarkAppendRecord(b *testing.B) {
	var records []*Record
	for _, o := range busy(256) {
		records = append(records, NewRecord(o, true))
	}
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		var line []byte
		for i := 0; b.Loop(); i++ {
			line, _ = appendRecord(line[:0], records[i%len(records)])
		}
		b.SetBytes(int64(len(line)))
	})
	b.Run("marshal", func(b *testing.B) {
		b.ReportAllocs()
		var line []byte
		for i := 0; b.Loop(); i++ {
			line, _ = json.Marshal(records[i%len(records)])
		}
		b.SetBytes(int64(len(line)))
	})
}

// TestBusy holds the records of the benchmark to what they are measured against.
func TestBusy(t *testing.T) {
	var lines [][]byte
	for _, o := range busy(3) {
		r := NewRecord(o, true)
		same(t, r)
		line, _ := appendRecord(nil, r)
		if lines = append(lines, line); len(line) < 3000 || len(line) > 6000 {
			t.Errorf("%d bytes, real ones have some 4600", len(line))
		}
	}
	if bytes.Equal(lines[1], lines[2]) {
		t.Error("two are alike")
	}
}
