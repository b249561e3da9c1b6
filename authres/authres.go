// Package authres reads and writes the Authentication-Results header field
// (RFC 8601), and decides which fields of a stranger's message must go.
//
// The field is how one host tells the next program what it found out about a
// message's sender:
//
//	Authentication-Results: mx.example.org;
//		spf=pass smtp.mailfrom=ann@example.com;
//		dkim=pass header.d=example.com header.s=s1 header.a=rsa-sha256;
//		dmarc=fail (p=reject) header.from=example.net
//
// The first word is the authserv-id, the name of the host that vouches for the
// rest. Everything after it is a list of results: a method, its result, a
// reason or a comment for people, and properties (ptype.property=value) that
// say what was tested.
//
// Two attacks meet here, and each direction of the package answers one.
//
// The sender chooses much of what we write: the envelope sender, the domain of
// a signature, the text of an SPF record. A local part with a quote and a
// semicolon in it must not become a second result. So [Field.AppendTo] is the
// only writer of the field, and [AppendText] the only place in the house that
// makes a stranger's text fit to stand in a header field.
//
// The sender also writes fields of their own and puts our name on them.
// [IsOurs] decides which fields are to be removed before ours is added
// (RFC 8601, section 5): every one that any reader could take for ours, in any
// spelling, and every one that cannot be read at all. [Parse] is the reader
// behind it, forgiving about values and strict about everything else.
package authres

// Name is the name of the header field.
const Name = "Authentication-Results"

// Budgets, for both directions. What is larger is not read ([ErrLimit]) and
// never written.
const (
	// MaxBytes is the longest field value, in bytes.
	MaxBytes = 8 << 10
	// MaxMethods is the largest number of results in one field.
	MaxMethods = 100
	// MaxValue is the longest single value written, in bytes before escaping:
	// an authserv-id, a property's value, a reason, a comment. Longer ones are
	// cut and end in "...". A path is at most 256 bytes (RFC 5321, section
	// 4.5.3.1.3) and a domain name 253, so nothing valid is ever cut.
	MaxValue = 256
)

// Field is the value of one Authentication-Results field.
type Field struct {
	// AuthservID names the host that did the work, for us macro j or the
	// authserv_id of the configuration.
	AuthservID string
	// Version is the version of the field's grammar; 0 when none was given,
	// which means 1 (RFC 8601, section 2.2).
	Version int
	// Methods are the results. None at all is written as "none": the host
	// looked, and there was nothing to test.
	Methods []Method
}

// Method is one result: what was tested, how, and what came of it. All names
// are lower case, as [Parse] returns them and the writer spells them.
type Method struct {
	// Method is the RFC's name of the method: "spf", "dkim", "dmarc", "arc",
	// "iprev", "auth".
	Method string
	// Version is the method's version as in "dkim/1=pass", 0 when none was given.
	Version int
	// Result is the RFC's word for the outcome: "pass", "fail", "temperror" ...
	Result string
	// Reason is the machine-readable why (reason=), empty when there is none.
	Reason string
	// Comment is the text in parentheses after the result, for people; empty
	// when there is none. Programs must not read it.
	Comment string
	// Props say what was tested, in the order they were given.
	Props []Prop
}

// Prop is one property of a result: smtp.mailfrom=ann@example.com has ptype
// "smtp", property "mailfrom" and the address as its value.
//
// Value is what the field means, not how it is spelled: quotes and backslashes
// of a quoted-string are gone. Only a quoted local part keeps them, as they are
// part of the address: "ann b"@example.com.
type Prop struct {
	Ptype    string // "smtp", "header", "policy", "body"; empty for a bare name=value of a field that was read
	Property string
	Value    string
}

// order is the order in which results are written, so that the same message
// gives the same bytes whatever check finished first. What is not named here
// follows in the order given.
var order = [...]string{"spf", "dkim", "dmarc", "arc", "iprev", "auth"}

// rank is the place of a method in order.
func rank(method string) int {
	for i, name := range order {
		if method == name {
			return i
		}
	}
	return len(order)
}
