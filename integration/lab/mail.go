package lab

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"milterd/integration"
)

// A Kind is a sort of message, with what is known about it beforehand.
type Kind struct {
	Name   string
	Local  string // of the sender
	Domain string // above the one of envelope and author, which the serial number makes
	Client string // as XCLIENT spells it
	Header []string
	Body   string
	// Bad is what must never come through without a mark; "" for mail that is welcome.
	Bad string
}

const (
	honestClient = "ADDR=203.0.113.7 NAME=mail.sender.test REVERSE_NAME=mail.sender.test PORT=40000"
	bankClient   = "ADDR=198.51.100.1 NAME=mx.bank.test REVERSE_NAME=mx.bank.test PORT=40000"
)

// plans is a body with an attachment of 6 MB that nothing makes smaller.
var plans = sync.OnceValue(func() string {
	raw := make([]byte, 6_000_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(raw) // never fails
	var b strings.Builder
	b.WriteString("--cut\nContent-Type: text/plain\n\nThe plans are attached.\n" +
		"--cut\nContent-Type: application/octet-stream; name=plans.dwg\nContent-Transfer-Encoding: base64\n\n")
	for line := range slices.Chunk(raw, 57) {
		b.WriteString(base64.StdEncoding.EncodeToString(line) + "\n")
	}
	b.WriteString("--cut--")
	return b.String()
})

// What may be bad about a message.
const (
	malware = "malware"
	spoof   = "spoof"
	spam    = "spam"
)

// gtube is spam by agreement.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

// Kinds is all sorts of mail by name.
func Kinds() map[string]*Kind {
	all := map[string]*Kind{}
	for _, k := range []Kind{
		{Name: "ham", Body: "Dear Alice,\n\nthe minutes of Monday are done.\n\nJoe"},
		// More than stays in memory where nothing is kept for such mail.
		{Name: "large", Body: strings.Repeat("The minutes of Monday, in all their length, and what was said besides.\n", 6000)},
		// Nearly as much as Postfix takes, and more than stays in memory.
		{Name: "huge", Body: plans(), Header: []string{"MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=cut"}},
		{Name: "malware", Bad: malware, Body: integration.Eicar},
		{Name: "spam", Bad: spam, Body: gtube},
		// A stranger who writes as the bank, whose policy is p=reject; and the bank itself.
		{Name: "spoof", Bad: spoof, Local: "boss", Domain: "bank.test", Body: "Please pay at once."},
		{Name: "bank", Local: "desk", Domain: "bank.test", Client: bankClient, Body: "Your statement is ready."},
		// Somebody who writes our verdict for us.
		{Name: "forged", Body: "Trust me.", Header: []string{
			"Authentication-Results: mx.example.test; dmarc=pass header.from=bank.test",
			"X-Spam-Status: No, score=-100.0 required=6.0", "X-Milterd-Unscanned: nothing at all", "X-Milterd-Id: aaaaaaaaaaaa 0000000000000000000000",
		}},
		// What the broken check of the lab's own build looks for (package faulty).
		{Name: "panics", Header: []string{"X-Lab-Check: panic"}, Body: "A check panics at this."},
		{Name: "hangs", Header: []string{"X-Lab-Check: hang"}, Body: "A check hangs at this."},
	} {
		if k.Local == "" {
			k.Local = "joe"
		}
		if k.Domain == "" {
			k.Domain = "sender.test"
		}
		if k.Client == "" {
			k.Client = honestClient
		}
		all[k.Name] = &k
	}
	return all
}

// A Letter is one message that a sender wants delivered, and how his tries went.
type Letter struct {
	Serial int
	Kind   *Kind
	To     string
	Tries  []Try
}

// A Try is one attempt to hand a letter in.
type Try struct {
	Reply integration.Reply
	// Unheard says that the sender does not know what became of it: the connection
	// broke, or he left before the answer.
	Unheard bool
	Why     string // he did not hear it
}

// Queued reports whether Postfix took the letter.
func (t Try) Queued() bool { return !t.Unheard && t.Reply.Code == 250 }

// Final reports whether the sender is done with the letter.
func (l *Letter) Final() bool {
	if len(l.Tries) == 0 {
		return false
	}
	last := l.last()
	return !last.Unheard && (last.Reply.Code == 250 || last.Reply.Code/100 == 5)
}

// last is the last try; there must have been one.
func (l *Letter) last() Try { return l.Tries[len(l.Tries)-1] }

// From is the envelope sender, at a domain of nobody else's: no answer about it is in a cache.
func (l *Letter) From() string {
	return fmt.Sprintf("%s@n%06d.%s", l.Kind.Local, l.Serial, l.Kind.Domain)
}

// Subject tells the letter's number and kind.
func (l *Letter) Subject() string { return fmt.Sprintf("lab %06d %s", l.Serial, l.Kind.Name) }

// Bytes is the message.
func (l *Letter) Bytes() []byte {
	return integration.Mail{From: l.From(), To: l.To, Subject: l.Subject(), Header: l.Kind.Header, Body: fmt.Sprintf("%s\n\nNo. %d\n", l.Kind.Body, l.Serial)}.Bytes()
}

// serialOf reads the number of a letter from its subject, -1 if it is none of ours.
func serialOf(subject string) int {
	var n int
	if _, err := fmt.Sscanf(subject, "lab %d ", &n); err != nil {
		return -1
	}
	return n
}
