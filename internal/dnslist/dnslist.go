// Package dnslist asks lists that are kept in the DNS: which addresses send spam,
// which domains stand in it, which clients are known to be good.
//
// # What an answer is
//
// A list is asked for the A records of a name that is made of the thing in
// question and the list's zone (RFC 5782, section 2.1). It says "listed" with an
// address in 127.0.0.0/8, a code, and "not listed" with NXDOMAIN. Everything else
// is no answer, and the mistake that has refused the most good mail is to take it
// for one: 127.255.255.254 says that the resolver is not welcome, an address of
// the internet that some resolver invents records, and a zone whose owner has gone
// lists everybody. So an [Answer] is one of four, [Listed], [Clear], [Refused] and
// [Failed], and it is Listed only by a code that the list's description maps to a
// [Class]. No other answer weighs anything.
//
// # How a list stays believable
//
// A [Book] holds the lists of one check. It tests each of them as RFC 5782,
// section 5, describes: its test point must be listed, what must never be listed
// and a name made up for the occasion must not. [Book.Watch] does that at the start
// and once an hour. Between two tests a listing counts only when a name that nobody
// can have listed is found clear within the last seconds. A list that fails, that
// refuses us, or says what its description does not know, is benched: it is not
// asked until a test passes, and the operator is told once.
//
// Trouble with the DNS benches nobody. A list whose servers do not answer is left
// out for seconds, so that one dead list does not slow every message down.
//
// # What a list costs
//
// Each list has a budget of questions a day. Health and budgets live in a [Ledger],
// which is a metric as well and stays when the configuration is loaded anew; the count
// of the day is also kept in the store.
//
// A zone may contain a key that somebody pays for. It is never printed: lists are
// called by their names.
package dnslist

import (
	"net/netip"

	"milterd/internal/strictyaml"
)

// A List describes one list. The zero value of each key is its default.
type List struct {
	// Name is the key under which the list stands: what logs, metrics and findings
	// call it.
	Name string
	// Enabled lists are asked.
	Enabled bool `yaml:"enabled"`
	// Zone is what questions end in. It may contain a secret.
	Zone string `yaml:"zone"`
	// Describe says in a sentence what is listed; Terms is where the rules for its
	// use stand.
	Describe string `yaml:"describe"`
	Terms    string `yaml:"terms"`
	// Group is of lists that have their entries from each other, or from one
	// operator: two of them are not two opinions. Empty is a group of its own.
	Group string `yaml:"group"`
	// Ask says what the list is asked about.
	Ask []Subject `yaml:"ask"`
	// Codes and Bits say what an answer means.
	Codes Codes `yaml:"codes"`
	Bits  Bits  `yaml:"bits"`
	// Daily is how many questions a day may be asked; 0 is as many as there are.
	Daily int `yaml:"daily"`
	// Host asks about whole host names of URLs, not their registrable domains.
	Host bool `yaml:"host"`
	// Addresses asks about URLs, too, whose host is an IPv4 address.
	Addresses bool `yaml:"addresses"`
	// IPv6 says that the list has IPv6 addresses (RFC 5782, section 2.4).
	IPv6 bool `yaml:"ipv6"`
	// Hash is how mail addresses are spelled in questions.
	Hash Hash `yaml:"hash"`
	// Test has the list's own test points, for those that have not what RFC 5782
	// asks for.
	Test Test `yaml:"test"`

	strictyaml.Pos // where the list stands in its file
}

// Test are names below the zone by which a list is tested.
type Test struct {
	// Listed is one that is always listed. Empty: the one of RFC 5782, section 5.
	// "none": there is none.
	Listed string `yaml:"listed"`
	// Clear is one that never is. Empty: the one of RFC 5782. "none": there is none.
	Clear string `yaml:"clear"`
}

// A Subject is what a list can be asked about.
type Subject string

// The subjects. Whoever writes a list's description says which of them make sense.
const (
	Client   Subject = "client"   // the address of the SMTP client
	Received Subject = "received" // addresses of earlier hops, as Received fields have them
	Helo     Subject = "helo"     // the domain of HELO
	MailFrom Subject = "mailfrom" // the domain of the reverse-path
	Author   Subject = "author"   // the domain of From
	DKIM     Subject = "dkim"     // domains that claim to have signed
	URL      Subject = "url"      // hosts in the text
	Email    Subject = "email"    // mail addresses of author and sender, hashed
)

// Subjects are all subjects, in the order of their worth: who sends a message says
// more about it than what it mentions.
var subjects = []Subject{Client, MailFrom, Author, DKIM, Helo, Email, Received, URL}

// DecodeYAML implements [strictyaml.Decoder].
func (s *Subject) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, s, subjects...)
}

// Hash is how a mail address becomes a label.
type Hash string

// The hashes that lists of mail addresses use: MD5 and SHA-1 in hexadecimal, SHA-256
// in base 32.
const (
	MD5    Hash = "md5"
	SHA1   Hash = "sha1"
	SHA256 Hash = "sha256"
)

// DecodeYAML implements [strictyaml.Decoder].
func (h *Hash) DecodeYAML(n *strictyaml.Node) error {
	return strictyaml.OneOf(n, h, MD5, SHA1, SHA256)
}

// A Status is what came of a question.
type Status string

// The four statuses.
const (
	Listed  Status = "listed"
	Clear   Status = "clear"
	Refused Status = "refused" // the list does not want to answer us
	Failed  Status = "error"   // nobody knows
)

// A Reason says why there is no answer: a closed set, for logs and metrics.
type Reason string

// The reasons. Those that bench a list speak of the list or of our resolver, the
// others of the moment.
const (
	ReasonRefused   Reason = "refused"   // 127.255.255.x or a code that means the same
	ReasonRewritten Reason = "rewritten" // an address outside 127.0.0.0/8: no list says that
	ReasonUnmapped  Reason = "unmapped"  // a code that the description does not know
	ReasonWildcard  Reason = "wildcard"  // lists what does not exist
	ReasonDead      Reason = "dead"      // does not list its own test point
	ReasonTimeout   Reason = "timeout"
	ReasonTrouble   Reason = "trouble" // SERVFAIL and its kin
	ReasonBudget    Reason = "budget"  // the message's questions are used up
	ReasonDaily     Reason = "daily"   // the list's questions of today are used up
	ReasonBenched   Reason = "benched"
	ReasonPaused    Reason = "paused" // its servers were silent a moment ago
	ReasonName      Reason = "name"   // no name can be made of it
)

// benches reports whether a list that answers so is not to be asked again before a
// test passes.
func (r Reason) benches() bool {
	switch r {
	case ReasonRefused, ReasonRewritten, ReasonUnmapped, ReasonWildcard, ReasonDead:
		return true
	}
	return false
}

// An Answer is what a list says about one thing.
type Answer struct {
	Status Status
	// Class and Code are of a listing, the gravest one where there are several.
	Class Class
	Code  netip.Addr
	// Reason is there when Status is Refused or Failed.
	Reason Reason
}

// Counts reports whether the answer may weigh anything.
func (a Answer) Counts() bool { return a.Status == Listed && a.Class != Ignore }
