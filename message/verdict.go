package message

// Action is what becomes of a message.
type Action string

const (
	Accept     Action = "accept"
	Junk       Action = "junk"       // accepted, with the spam header fields
	Quarantine Action = "quarantine" // accepted into the MTA's hold queue
	Discard    Action = "discard"    // accepted and dropped
	Greylist   Action = "greylist"   // 451, come back later
	TempFail   Action = "tempfail"   // 451
	RejectMail Action = "reject"     // 5xx
)

// Refuses reports whether the client gets a 4xx or 5xx.
func (a Action) Refuses() bool { return a == Greylist || a == TempFail || a == RejectMail }

// Actions lists every action, mildest first. It is a closed set: metrics use
// it as a label.
var Actions = []Action{Accept, Junk, Quarantine, Greylist, TempFail, RejectMail, Discard}

// Mode is how far milterd may go.
type Mode string

const (
	Observe Mode = "observe" // decide and log, touch nothing
	Tag     Mode = "tag"     // header fields, never refuse
	Enforce Mode = "enforce"
)

// Finding is a piece of evidence with the weight that scoring gave it.
type Finding struct {
	Name  string  `json:"name"`
	Check string  `json:"check"` // the check that found it, or "rules"
	Score float64 `json:"score"`
	// Value is the measured quantity behind the finding where there is one: a
	// probability, a count.
	Value float64 `json:"value,omitempty"`
	// Subjective evidence is opinion learned from users: it may file, it may
	// save, it never condemns.
	Subjective bool   `json:"subjective"`
	Shadow     bool   `json:"shadow,omitempty"` // counted and shown, not scored
	Detail     string `json:"detail,omitempty"`
}

// Thresholds are the scores at which a message is greylisted, filed to junk,
// rejected. A nil one is off.
type Thresholds struct {
	Greylist *float64 `json:"greylist"`
	Junk     *float64 `json:"junk"`
	Reject   *float64 `json:"reject"`
}

// Verdict is the decision on a message and everything needed to explain it.
type Verdict struct {
	Action Action
	// Would is what mode enforce would have done, where that is another
	// action than Action; else empty.
	Would Action
	// Score is the sum over all findings, Objective over the objective ones.
	Score, Objective float64
	Thresholds       Thresholds
	// DecidedBy names what decided: "score", or the check or finding whose
	// demand was followed, or "default".
	DecidedBy string
	// Mitigation says why a harsher action was not taken, "" when none was due:
	// mode, relay, fetcher, postmaster, outbound, private.
	Mitigation string
	// Reply is what the client is told; zero unless Action refuses.
	Reply Reply
	// HoldReason goes with Quarantine.
	HoldReason string
	// Findings stand in plan order.
	Findings []Finding
	// Policy names the exception from the policy for all mail on which the
	// message was decided, "" for none.
	Policy string
	// Mode is how far milterd may go with the message.
	Mode Mode
	// Recipients tells what each recipient's policy says, where they differ; the
	// verdict is the mildest of them. Else it is empty.
	Recipients []RecipientVerdict
}

// RecipientVerdict is what the policy for one recipient says of a message.
type RecipientVerdict struct {
	Recipient string `json:"recipient"` // the forward-path as given
	Policy    string `json:"policy,omitempty"`
	Action    Action `json:"action"`
	Would     Action `json:"would,omitempty"`
	DecidedBy string `json:"decided_by"`
}
