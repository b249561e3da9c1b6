package bayes

import (
	"math/bits"
	"strconv"
	"strings"

	"milterd/message"
	"milterd/mime"
)

// measured bounds the bytes of a text that are measured.
const measured = 32 << 10

// measures adds how a text is written, whatever it says: the share of capitals among
// its letters, that of exclamation marks, and how long its lines are.
func (t *tokenizer) measures(visible string) {
	visible = visible[:min(len(visible), measured)]
	var upper, lower int
	for i := 0; i < len(visible); i += 8 {
		x := eight(visible, i)
		ascii := x &^ tops
		upper += bits.OnesCount64(between(ascii, 'A', 'Z') &^ x)
		lower += bits.OnesCount64(between(ascii, 'a', 'z') &^ x)
	}
	marks, lines := strings.Count(visible, "!"), strings.Count(visible, "\n")
	t.one(inForm, "twentieths in capitals", strconv.Itoa(20*upper/max(upper+lower, 1)))
	t.one(inForm, "exclamation marks in 500", strconv.Itoa(min(500*marks/max(len(visible), 1), 10)))
	t.one(inForm, "bits of a line's length", strconv.Itoa(bits.Len(uint(len(visible)/max(lines, 1)))))
}

// comparisons adds what fields of the header are beside each other: whether the hosts
// in them belong together, and whether what says that it is an answer is one.
func (t *tokenizer) comparisons(h *message.Header, author message.Author) {
	from := host{}
	if len(author.Addresses) > 0 {
		from = hostOf(author.Addresses[0].Domain.String())
	}
	id, to := hostIn(h.Text("Message-ID")), hostIn(h.Text("To"))
	t.one(inForm, "message-id beside from", beside(id, from))
	t.one(inForm, "message-id beside to", beside(id, to))
	t.one(inForm, "reply-to beside from", beside(hostIn(h.Text("Reply-To")), from))
	t.one(inForm, "sender beside from", beside(hostIn(h.Text("Sender")), from))
	t.one(inForm, "to beside from", beside(to, from))
	subject := h.Text("Subject")
	says, answers := len(subject) >= 3 && strings.EqualFold(subject[:3], "re:"), h.Count("In-Reply-To")+h.Count("References") > 0
	t.one(inForm, "answer", "says "+strconv.FormatBool(says)+", is "+strconv.FormatBool(answers))
}

// host is one with its registered domain.
type host struct{ name, domain string }

func hostOf(name string) host {
	if name == "" {
		return host{}
	}
	return host{name, (&mime.URL{Host: name}).Domain()}
}

// hostIn returns the host behind the last @ of a field, in lower case.
func hostIn(value string) host {
	at := strings.LastIndexByte(value, '@')
	if at < 0 {
		return host{}
	}
	name := value[at+1:]
	if end := strings.IndexAny(name, "> \t,;)\""); end >= 0 {
		name = name[:end]
	}
	return hostOf(strings.ToLower(name[:min(len(name), 255)]))
}

// beside says how two hosts belong together: they are the same, of one registered
// domain, or strangers; or one of them is not there.
func beside(a, b host) string {
	switch {
	case a.name == "" || b.name == "":
		return "missing"
	case a.name == b.name:
		return "same"
	case a.domain == b.domain:
		return "related"
	}
	return "other"
}
