// Package checks says what a check is. A check examines one message and
// reports what it found; it never decides and never edits. Each one lives in
// a folder of its own below this one and is named in checks/all.
//
// The pipeline starts a check as soon as its phase has been published and the
// checks it needs are done; independent ones run together. What it returns is
// weighed by scoring, which alone decides.
package checks

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"milterd/authres"
	"milterd/bayes"
	"milterd/internal/store"
	"milterd/message"

	"github.com/prometheus/client_golang/prometheus"
)

// Phase is a point in the journey of a message. When it is published,
// everything that the phase brings is there.
type Phase int

// The phases in their order.
const (
	Connect Phase = iota // client address and name
	Helo                 // HELO name, TLS
	Mail                 // reverse-path, login
	Rcpt                 // one recipient; such checks run once for each
	Header               // the header; the body is still coming
	Message              // the whole message
)

var phaseNames = [...]string{"connect", "helo", "mail", "rcpt", "header", "message"}

func (p Phase) String() string { return phaseNames[p] }

// A Check examines messages. Run may be called from many goroutines at once.
//
// The error means "could not do the job" (a scanner is down, a time limit
// passed); temperror, permerror and none are results. What an error means for
// the mail is decided by scoring (Spec.OnError).
type Check interface {
	Run(ctx context.Context, in *Input) (Result, error)
}

// Spec describes a check: what the pipeline must know to plan it, and how to
// make one.
type Spec struct {
	// Name is one word: folder, package, configuration key below checks,
	// metric label and log attribute.
	Name string
	// TopLevel says that the check's section is the key of its name at the top of
	// the configuration, not one below checks. Without one the check is left out.
	TopLevel bool
	// Off says that the check is left out unless its section has enabled: true.
	Off bool
	// Phase is when everything the check reads is there.
	Phase Phase
	// Needs names the checks without whose results this one is meaningless.
	// One that is absent is a configuration error.
	Needs []string
	// After names checks whose results are used when they are enabled.
	After []string
	// BodyReader says that a Header check follows the body while it arrives:
	// its Input has a Body. It ends when the body does.
	BodyReader bool
	// Outbound says that the check also runs on outbound mail.
	Outbound bool
	// OnError is what scoring does when the check fails, unless the operator
	// sets on_error.
	OnError OnError
	// FaultReply is what a client is told whose mail waits because the check failed;
	// zero stands for [message.ReplyOwnFault].
	FaultReply message.Reply
	// Timeout bounds one run; 0 means the message's own deadline.
	Timeout time.Duration
	// Sample is the embedded sample.yaml: every key, its default, one sentence.
	Sample string
	// Findings lists every finding the check can report, with one line each.
	Findings []FindingSpec
	// New decodes and validates the check's section and opens what it needs.
	// It causes no traffic.
	New func(cfg Section, env Env) (Check, error)
}

// FindingSpec declares a finding.
type FindingSpec struct {
	Name     string
	Describe string
	// Subjective evidence is opinion: it may file, never condemn.
	Subjective bool
}

// Common are the keys that every check's section knows. A check embeds them in
// its configuration; the engine, which plans the checks, acts on them.
type Common struct {
	// Enabled is false to leave the check out.
	Enabled bool `yaml:"enabled"`
	// OnError is what to do when the check cannot do its job.
	OnError OnError `yaml:"on_error"`
}

// OnError is what a failed check means for the mail.
type OnError string

const (
	// OnErrorTempFail answers 451 4.3.0: the mail waits until the check works.
	OnErrorTempFail OnError = "tempfail"
	// OnErrorIgnore goes on without the check's evidence; the failure stays
	// visible in the log, the journal and a metric.
	OnErrorIgnore OnError = "ignore"
)

// UnmarshalText accepts the two words that there are.
func (o *OnError) UnmarshalText(text []byte) error {
	switch v := OnError(text); v {
	case OnErrorTempFail, OnErrorIgnore:
		*o = v
		return nil
	}
	return errors.New("expected tempfail or ignore")
}

// Section is the check's part of the configuration.
type Section interface {
	// Decode fills into (a pointer to a struct that holds the defaults) and
	// reports unknown keys and bad values with their place in the file.
	Decode(into any) error
}

// Env hands a check what it may use. Nothing is global.
type Env struct {
	Resolver   Resolver
	Registerer prometheus.Registerer
	// Notes gives a check a memory of its own for points in time; nil means that
	// there is none that outlives the process.
	Notes func(space string) Notes
	// Store is the whole memory that outlives the message, for checks that count or
	// learn; nil where there is none. Each check keeps to the space of its name.
	Store store.Store
	// Bayes is what was learned; nil where there is no memory of it.
	Bayes  *bayes.Classifier
	Logger *slog.Logger
	Now    func() time.Time
	// AuthservID is the configured identity of this host; empty means the
	// MTA's own name (macro j).
	AuthservID string
	Limits     Limits
}

// Notes remembers since when something has been so. It never fails and never
// waits: what it cannot remember begins now.
type Notes interface {
	// Since returns when the key was noted first, noting it for ttl if it was not.
	Since(ctx context.Context, key string, now time.Time, ttl time.Duration) time.Time
	// Forget drops a key.
	Forget(ctx context.Context, key string)
}

// Resolver answers questions to the DNS. No data is an empty slice and no
// error. Errors are *net.DNSError: IsNotFound means that the name does not
// exist, IsTemporary and IsTimeout that nobody knows; an error with
// BudgetExceeded() in its chain means that the message has used up its budget.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupAddr(ctx context.Context, addr netip.Addr) ([]string, error)
}

// Input is what a check sees: the message as far as the check's phase has
// brought it, and the results that it asked for.
type Input struct {
	Message *message.Message
	// Recipient is the recipient in question, in the Rcpt phase only.
	Recipient *message.Recipient
	// Body is the stream of the body for a Spec with BodyReader, else nil.
	Body *message.BodyReader
	// Prepared is what Prepare returned, for a check that is a Preparer.
	Prepared any
	// Prior are the results of the checks named in Needs and After.
	Prior Prior
}

// Prior gives access to earlier results.
type Prior map[string]*Result

// Detail returns the typed outcome of the named check, if it ran and has one
// of that type.
func Detail[T any](p Prior, check string) (T, bool) {
	var zero T
	r := p[check]
	if r == nil || r.Err != nil {
		return zero, false
	}
	d, ok := r.Detail.(T)
	return d, ok
}

// Result is what a check reports.
type Result struct {
	// Findings are what scoring weighs.
	Findings []Finding
	// Auth is what Authentication-Results shall say.
	Auth []authres.Method
	// Detail is the typed outcome (spf.Result) for checks that need it.
	Detail any
	// Note says in a line what the check did to the message, or why it did not: for
	// log, journal and "milterd why". Empty for a check that only looks.
	Note string
	// Demand is what the check's own mode asks to be done, or nil.
	Demand *Demand
	// Unscanned says that the check could not look, and that the mail is to go on all
	// the same: X-Milterd-Unscanned names the check.
	Unscanned bool
	// Exempt names checks whose findings and demands shall not count for the
	// message.
	Exempt []string
	// Outcome is set for checks with a status of their own (temperror,
	// permerror, none); empty means clean or found, by Findings.
	Outcome Outcome

	// The runner fills these.
	Check string
	Took  time.Duration
	Err   error
}

// Outcome is how a check ended.
type Outcome string

// The six outcomes stay apart everywhere: log, journal, metrics.
const (
	Clean     Outcome = "clean"
	Found     Outcome = "found"
	None      Outcome = "none"
	TempError Outcome = "temperror"
	PermError Outcome = "permerror"
	Failed    Outcome = "failed"
)

// Ended returns how the check ended.
func (r *Result) Ended() Outcome {
	switch {
	case r.Err != nil:
		return Failed
	case r.Outcome != "":
		return r.Outcome
	case len(r.Findings) > 0:
		return Found
	}
	return Clean
}

// Finding is one piece of evidence. Its weight is the operator's (scores: in a
// rule file), found by its name.
type Finding struct {
	Name string
	// Value is the measured quantity where there is one.
	Value float64
	// Detail is one line for people: which text matched, which mechanism.
	Detail string
}

// Demand is an action that a check's configured mode asks for, over and above
// any score: the published policy of a domain, an unusable From. Scoring
// follows it as far as mode, role and recipients allow.
type Demand struct {
	Action message.Action
	// Reply goes with an action that refuses.
	Reply message.Reply
	// Finding names the evidence it rests on.
	Finding string
	// Always marks a demand that holds for postmaster@ and abuse@ too and
	// turns into a hold, not a delivery, where nobody can be refused: malware.
	Always bool
	// Outbound marks a demand that holds for our own users' mail too.
	Outbound bool
	// IfRejected marks a demand that holds only where the score alone refuses mail:
	// that of our own users, who are never refused by it, may be held instead.
	IfRejected bool
	// AtRcpt allows the answer already at RCPT TO. It holds whatever the score, which
	// is not known there.
	AtRcpt bool
}

// A Preparer does beforehand what takes time and no other check's result:
// DMARC looks the policy up while SPF and DKIM still run. Prepare is called as
// soon as the check's phase is there, with an Input that has no Prior; what it
// returns stands in Prepared when Run is called, after the checks named in
// Needs and After. The check's time limit holds for each of the two. Run must
// do without it when Prepared is nil.
type Preparer interface {
	Prepare(ctx context.Context, in *Input) any
}

// Background is a check that has something to do beside the messages: lists that are
// tested once an hour. Background is called once, when the configuration takes up its
// service, and returns soon after ctx ends.
type Background interface {
	Background(ctx context.Context)
}

// Idle is a check that is on and has nothing to do until the operator gives it
// something: "milterd check" says what. It is empty when the check has work.
type Idle interface {
	Idle() string
}

// Patient is a check that waits for somebody beside the DNS: Patience is for how long
// at most once the message is there, and the key of its section that says so. A
// configuration in which that is longer than everything may take gets a warning.
type Patient interface {
	Patience() (key string, most time.Duration)
}

// Early is a check whose Demand may be answered already at RCPT TO (Demand.AtRcpt): its
// own, where its phase comes before Header, or that of its [Doorkeeper]. Where
// AnswersAtRcpt is true, as its configuration wants it, every recipient waits for it.
type Early interface {
	AnswersAtRcpt() bool
}

// A Doorkeeper is a check that wants the message, or its header, and yet has something to
// say when a recipient is named: greylisting that is to come first, a list that exempts.
type Doorkeeper interface {
	// AtRcpt returns who looks at recipients, nil for nobody. Its Run is called for each
	// of them, where some check answers at RCPT TO, with the results of those checks of
	// Needs and After that are of a phase up to Mail. Of what it returns
	// only Exempt counts, and a Demand with AtRcpt, with the findings beside it. Where a
	// recipient is refused, by whatever check, and it is a Recorder, it may remember that,
	// with its own result in Prior; the refused recipient is then the only one of the
	// message.
	AtRcpt() Check
}

// A Sealer makes edits once the verdict stands: signatures.
type Sealer interface {
	Seal(ctx context.Context, in *Input, v *message.Verdict) ([]message.Edit, error)
}

// A Recorder remembers after the reply; nothing it does can change it.
type Recorder interface {
	Record(ctx context.Context, in *Input, v *message.Verdict) error
}
