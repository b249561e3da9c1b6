// Package carry takes a verdict from SMTP time to delivery in a header field that
// nobody else can write.
//
// At SMTP time a message may have many recipients and gets one answer. At delivery
// it has exactly one, whose own opinion may then count. In between lie Postfix's
// queue and LMTP, and whoever can put a message into them. So the field
// X-Milterd-Carry is signed with a key that only the hosts of one store know, bound
// to the message it was made for, and valid for some days:
//
//	v=1; id=k7q2m9zt4w1c; t=1795269600; score=7.2; objective=3.7;
//		bayes=3.5; junk=6; action=junk; would=; by=score;
//		tag=…
//
// Where rules combine the site's opinion with something else, one more item before the
// tag says what they bring for each other opinion: rules=BAYES_00:-1,BAYES_99:2.
//
// # What it is bound to
//
// To what neither Postfix nor LMTP changes and a reader sees: Message-ID, Date, From
// and of every part its type, its file name and its content with the transfer
// encoding undone. White space does
// not count. So a message may be folded anew, get other line ends, have long lines
// broken, or go from 8bit to quoted-printable on its way; another text, another
// attachment or another author it may not get. Who has received a message may well
// send the very same one again, to others too, for as long as the field is valid: it
// says of that message what milterd found, and at SMTP time, where all fields named
// X-Milterd-* are removed, another one is made.
package carry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"milterd/message"
	"milterd/mime"
)

// Field is the name of the header field.
const Field = "X-Milterd-Carry"

// MaxAge is how long a field is valid: as long as Postfix by default keeps a message
// in its queue (maximal_queue_lifetime).
const MaxAge = 5 * 24 * time.Hour

// slack is how far the clocks of hosts that share a store may differ.
const slack = 5 * time.Minute

// Verdict is what is carried. Points have three decimals.
type Verdict struct {
	ID   string    // of the transaction
	Time time.Time // of the verdict, in whole seconds
	// Score is the whole score, Objective that of the objective findings.
	Score, Objective float64
	// Bayes are the points in Score that stand for the site's opinion.
	Bayes float64
	// Junk is the score from which the message is junk; +Inf where there is none.
	Junk   float64
	Action message.Action
	Would  message.Action // empty where it is Action
	// Forced says that something else than the score made it junk, as the policy of
	// the author's domain: no opinion changes that.
	Forced bool
	// Rules are what rules bring that combine an opinion with something else, beside
	// what they brought for the site's: by the name of the opinion's finding.
	Rules []Shift
}

// Shift is what a score changes by when an opinion is another one.
type Shift struct {
	Finding string
	Points  float64
}

// Shift notes what rules bring for an opinion, if they bring anything.
func (v *Verdict) Shift(finding string, points float64) {
	if points = round(points); points != 0 && len(v.Rules) < maxShifts {
		v.Rules = append(v.Rules, Shift{finding, points})
	}
}

// Shifted returns what rules bring for an opinion.
func (v *Verdict) Shifted(finding string) float64 {
	for _, s := range v.Rules {
		if s.Finding == finding {
			return s.Points
		}
	}
	return 0
}

// Of takes from a verdict what is carried: the points of the findings of the check
// named bayes are the site's opinion; demanded says that a check's policy asked for
// junk or worse, whatever the score.
func Of(id string, at time.Time, v *message.Verdict, bayes string, demanded bool) Verdict {
	points := 0.0
	for i := range v.Findings {
		if f := &v.Findings[i]; f.Check == bayes {
			points += f.Score
		}
	}
	c := Verdict{ID: id, Time: time.Unix(at.Unix(), 0), Score: round(v.Score), Objective: round(v.Objective), Bayes: round(points),
		Junk: math.Inf(1), Action: v.Action, Would: v.Would}
	if v.Thresholds.Junk != nil {
		c.Junk = round(*v.Thresholds.Junk)
	}
	c.Forced = demanded || v.DecidedBy != "score" && v.DecidedBy != "default" && (v.Action == message.Junk || v.Would == message.Junk)
	return c
}

// maxPoints bounds a score, so that sums of them stay numbers.
const maxPoints = 1e6

func round(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return max(-maxPoints, min(maxPoints, math.Round(x*1000)/1000)) + 0 // and never -0
}

// Why a field is refused.
var (
	ErrMissing = errors.New("carry: no field")
	ErrSyntax  = errors.New("carry: not a field of ours")
	ErrForged  = errors.New("carry: not signed by us for this message")
	ErrAge     = errors.New("carry: too old, or from the future")
)

// maxFields bounds those that are looked at. A message of ours has one; the copy of a
// user who forwards a message to himself may have two.
const maxFields = 4

// Digest stands for the message in the signature. It hashes what the package comment
// says; tree is the walk over the message.
func Digest(h *message.Header, tree *mime.Tree) [sha256.Size]byte {
	sum := sha256.New()
	for _, name := range []string{"Message-ID", "Date", "From"} {
		for v := range h.All(name) {
			sum.Write(slices.Concat([]byte(name), []byte{0}, dense([]byte(v)), []byte{0}))
		}
	}
	for _, p := range tree.Parts {
		if len(p.Children) > 0 {
			continue
		}
		content, _ := p.Content()
		part := sha256.Sum256(dense(content)) // so that parts cannot flow into each other
		sum.Write(part[:])
		sum.Write([]byte(p.Type + "\x00" + p.Filename + "\x00"))
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

// dense returns b without its white space.
func dense(b []byte) []byte {
	kept := make([]byte, 0, len(b))
	start := 0
	for i, c := range b {
		if c == ' ' || '\t' <= c && c <= '\r' {
			kept = append(kept, b[start:i]...)
			start = i + 1
		}
	}
	return append(kept, b[start:]...)
}

var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Sign returns the value of the field, folded, for the message with that digest.
func Sign(key []byte, digest [sha256.Size]byte, v Verdict) string {
	text := v.text()
	// Folding is white space, which the parser drops.
	shown := strings.NewReplacer(";bayes", ";\n\tbayes", ";rules", ";\n\trules", ",", ",\n\t ", ";", "; ").Replace(text)
	return shown + ";\n\ttag=" + tag(key, digest, text)
}

// Verify returns what the first field of the message says that is ours, and valid
// at now. Without one the error is [ErrMissing], or says what is wrong with the first
// one.
func Verify(key []byte, h *message.Header, digest [sha256.Size]byte, now time.Time) (Verdict, error) {
	first := ErrMissing
	seen := 0
	for value := range h.All(Field) {
		if seen++; seen > maxFields {
			break
		}
		v, err := verify(key, value, digest, now)
		if err == nil {
			return v, nil
		}
		if seen == 1 {
			first = err
		}
	}
	return Verdict{}, first
}

func verify(key []byte, value string, digest [sha256.Size]byte, now time.Time) (Verdict, error) {
	v, signature, err := Parse(value)
	switch age := now.Sub(v.Time); {
	case err != nil:
		return Verdict{}, err
	case !hmac.Equal([]byte(signature), []byte(tag(key, digest, v.text()))):
		return Verdict{}, ErrForged
	case age > MaxAge || age < -slack:
		return Verdict{}, fmt.Errorf("%w: it is %v old", ErrAge, age.Round(time.Second))
	}
	return v, nil
}

// text is what is signed, in the only form in which it may be written.
func (v Verdict) text() string {
	junk := "off"
	if !math.IsInf(v.Junk, 1) {
		junk = points(v.Junk)
	}
	by := "score"
	if v.Forced {
		by = "policy"
	}
	text := fmt.Sprintf("v=1;id=%s;t=%d;score=%s;objective=%s;bayes=%s;junk=%s;action=%s;would=%s;by=%s",
		v.ID, v.Time.Unix(), points(v.Score), points(v.Objective), points(v.Bayes), junk, v.Action, v.Would, by)
	before := ";rules="
	for _, s := range v.Rules {
		text += before + s.Finding + ":" + points(s.Points)
		before = ","
	}
	return text
}

func points(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func tag(key []byte, digest [sha256.Size]byte, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("X-Milterd-Carry\x00"))
	mac.Write(digest[:])
	mac.Write([]byte(text))
	return encoding.EncodeToString(mac.Sum(nil)[:20])
}

// maxValue bounds a field; ours have some 250 bytes, with rules up to 500.
const maxValue = 1 << 10

// Parse reads a field's value, folded or not. It tells nothing about who wrote it:
// [Verify] does. A value that is not written as [Sign] writes it, but for white space,
// is [ErrSyntax].
func Parse(value string) (v Verdict, signature string, err error) {
	if len(value) > maxValue {
		return Verdict{}, "", ErrSyntax
	}
	value = string(dense([]byte(value)))
	text, signature, ok := strings.Cut(value, ";tag=")
	parts := strings.Split(text, ";")
	var rules []Shift
	if len(parts) == 11 {
		list, found := strings.CutPrefix(parts[10], "rules=")
		shifts, sound := parseShifts(list)
		if !found || !sound {
			return Verdict{}, "", ErrSyntax
		}
		rules, parts = shifts, parts[:10]
	}
	if !ok || len(parts) != 10 {
		return Verdict{}, "", ErrSyntax
	}
	var numbers [4]float64
	for i, want := range []string{"v=", "id=", "t=", "score=", "objective=", "bayes=", "junk=", "action=", "would=", "by="} {
		p, ok := strings.CutPrefix(parts[i], want)
		if !ok {
			return Verdict{}, "", ErrSyntax
		}
		parts[i] = p
	}
	for i, p := range parts[3:7] {
		if i == 3 && p == "off" {
			numbers[i] = math.Inf(1)
			continue
		}
		x, err := strconv.ParseFloat(p, 64)
		if err != nil || round(x) != x {
			return Verdict{}, "", ErrSyntax
		}
		numbers[i] = x
	}
	seconds, err := strconv.ParseInt(parts[2], 10, 64)
	action, would := message.Action(parts[7]), message.Action(parts[8])
	v = Verdict{ID: parts[1], Time: time.Unix(seconds, 0), Score: numbers[0], Objective: numbers[1], Bayes: numbers[2], Junk: numbers[3],
		Action: action, Would: would, Forced: parts[9] == "policy", Rules: rules}
	if err != nil || !message.ValidID(v.ID) || !slices.Contains(message.Actions, action) ||
		would != "" && !slices.Contains(message.Actions, would) || v.text() != text {
		return Verdict{}, "", ErrSyntax
	}
	return v, signature, nil
}

// maxShifts bounds the opinions that are told apart; there are ten.
const maxShifts = 16

// parseShifts reads what stands behind rules=.
func parseShifts(list string) ([]Shift, bool) {
	items := strings.Split(list, ",")
	if len(items) > maxShifts {
		return nil, false
	}
	all := make([]Shift, len(items))
	for i, item := range items {
		name, number, _ := strings.Cut(item, ":")
		x, err := strconv.ParseFloat(number, 64)
		if err != nil || round(x) != x || name == "" {
			return nil, false
		}
		all[i] = Shift{name, x}
	}
	return all, true
}
