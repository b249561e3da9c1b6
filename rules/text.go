package rules

import (
	"slices"
	"strings"
)

// Text is a kind of text that rules look at; its value is the key in the file.
type Text string

// The texts, as the package comment explains them.
const (
	Header         Text = "header"
	HeaderRaw      Text = "header_raw"
	FromAddr       Text = "from_addr"
	FromName       Text = "from_name"
	Body           Text = "body"
	RawBody        Text = "rawbody"
	Hidden         Text = "hidden"
	URI            Text = "uri"
	URIHost        Text = "uri.host"
	URIShown       Text = "uri.shown"
	Full           Text = "full"
	AttachmentName Text = "attachment_name"
	AttachmentType Text = "attachment_type"
	EnvelopeFrom   Text = "envelope.from"
	EnvelopeRcpt   Text = "envelope.rcpt"
	ClientName     Text = "client.name"
	ClientAddr     Text = "client.addr"
	Helo           Text = "helo"

	// The same message as SpamAssassin sees it, for rules that were written for
	// it: "milterd import spamassassin" makes them.
	SAHeader     Text = "sa.header"
	SABody       Text = "sa.body"
	SABodyOnly   Text = "sa.body_only"
	SARawBody    Text = "sa.rawbody"
	SAURI        Text = "sa.uri"
	SAFull       Text = "sa.full"
	SAMIMEHeader Text = "sa.mimeheader"
)

// A Kind is what there is to know about a text. To add one: a constant above, a
// line in the table below, and where checks/content takes texts out of messages
// the place that yields it. All else (keys, schema, documents) follows from the
// table.
type Kind struct {
	Text Text
	// Doc is one line for documents.
	Doc string
	// Named is a text that comes by name, as header fields do: the key's value
	// is the name, and the condition stands beside it. The name may have a
	// suffix, such as the :addr of "From:addr", if there are Suffixes.
	Named    bool
	Suffixes []string
	// Listed is a text that a list of addresses, domains and networks may hold:
	// "in" is allowed.
	Listed bool
	// Long is a text of any length: an expression without a word in it is
	// costly.
	Long bool
}

// View returns the name of the view of the message that a text belongs to: "sa"
// of sa.body, "" of milterd's own.
func (t Text) View() string {
	if strings.HasPrefix(string(t), "sa.") {
		return "sa"
	}
	return ""
}

// Kinds returns all texts, in the order of the documents.
func Kinds() []Kind { return slices.Clone(kinds) }

// Kind returns what there is to know about t.
func (t Text) Kind() Kind {
	for i := range kinds {
		if kinds[i].Text == t {
			return kinds[i]
		}
	}
	return Kind{Text: t}
}

var kinds = []Kind{
	{Text: Header, Named: true, Listed: true, Doc: "each header field of that name by itself, unfolded, its encoded words decoded (RFC 2047)"},
	{Text: HeaderRaw, Named: true, Doc: "the same exactly as received, with folds and the blank after the colon"},
	{Text: FromAddr, Listed: true, Doc: "each address of the From field"},
	{Text: FromName, Doc: "each display name of the From field, decoded"},
	{Text: Body, Long: true, Doc: "what is to be read: the text parts, HTML as its reader sees it, joined by line feeds, white space squeezed"},
	{Text: RawBody, Long: true, Doc: "each text part by itself, decoded to UTF-8, with its white space and HTML as source"},
	{Text: Hidden, Long: true, Doc: "text in HTML that its reader does not see: too small, of the colour of its ground, not displayed"},
	{Text: URI, Doc: "each address of a page that the body shows or leads to, as it was written, and once more as browsers read it where that disguises the host"},
	{Text: URIHost, Listed: true, Doc: "the host of each such address: a name in lower case and A-labels, or an IP address"},
	{Text: URIShown, Doc: "what a link in HTML shows its reader, where that looks like an address of another host"},
	{Text: Full, Long: true, Doc: "the message as it was received, header and body, still encoded, lines ended by line feeds"},
	{Text: AttachmentName, Doc: "the file name of each part that has one, decoded"},
	{Text: AttachmentType, Doc: "the media type of each part that has a file name or is an attachment, such as application/pdf"},
	{Text: EnvelopeFrom, Listed: true, Doc: "the reverse-path (MAIL FROM) without brackets; the null sender is an empty text"},
	{Text: EnvelopeRcpt, Listed: true, Doc: "each forward-path (RCPT TO) without brackets"},
	{Text: ClientName, Listed: true, Doc: "the client's verified name; there is none when it has none"},
	{Text: ClientAddr, Listed: true, Doc: "the client's IP address; there is none for mail from a local socket"},
	{Text: Helo, Listed: true, Doc: "the argument of HELO or EHLO"},
	{Text: SAHeader, Named: true, Suffixes: []string{":raw", ":addr", ":name", ":host", ":domain", ":ip", ":revip", ":first", ":last"}, Doc: "as SpamAssassin's header: all fields of that name in one text, or one of its names for several fields (ALL, ToCc, MESSAGEID, EnvelopeFrom)"},
	{Text: SABody, Long: true, Doc: "as SpamAssassin's body: each paragraph of the rendered text by itself, the subject before them"},
	{Text: SABodyOnly, Long: true, Doc: "the same without the subject"},
	{Text: SARawBody, Long: true, Doc: "as SpamAssassin's rawbody: the decoded text parts in pieces of a few kilobytes"},
	{Text: SAURI, Doc: "as SpamAssassin's uri: each address found, as written and in its plain forms"},
	{Text: SAFull, Long: true, Doc: "as SpamAssassin's full: the whole message, still encoded"},
	{Text: SAMIMEHeader, Named: true, Suffixes: []string{":raw"}, Doc: "as SpamAssassin's mimeheader: the fields of that name in each part"},
}

// validName says whether name can stand behind the key of a named text.
func (k *Kind) validName(name string) bool {
	for again := true; again; {
		again = false
		for _, suffix := range k.Suffixes {
			if rest, ok := strings.CutSuffix(name, suffix); ok {
				name, again = rest, true
			}
		}
	}
	return validField(name)
}

// validField says whether name can be that of a header field (RFC 5322, section
// 2.2); longer ones than 64 bytes no program makes.
func validField(name string) bool {
	return name != "" && len(name) <= maxName &&
		!slices.ContainsFunc([]byte(name), func(c byte) bool { return c <= ' ' || c > '~' || c == ':' })
}
