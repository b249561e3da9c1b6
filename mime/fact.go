package mime

import (
	"iter"
	"math/bits"
	"strings"
)

// Fact is one thing that is wrong with the MIME structure of a message, or
// that a reader may take in more than one way. A fact is no judgement: honest
// programs write most of them, and rules give them points.
//
// The names are findings: they appear in rules and in the journal, so they do
// not change. Those that begin with HTML_ and URL_ are of what is shown, not of
// how it is packed.
type Fact uint8

// The facts, in the order of the table below, which says what each means.
const (
	Ambiguous Fact = iota
	MissingBoundary
	BadBoundary
	DuplicateBoundary
	ReusedBoundary
	NoParts
	MissingEnd
	DelimiterJunk
	DelimiterSuffix
	PartsAfterEnd
	BareCR
	BadHeader
	MissingBlankLine
	SpaceBeforeColon
	DuplicateType
	DuplicateEncoding
	DuplicateDisposition
	BadType
	BadParameter
	DuplicateParameter
	ConflictingNames
	UnknownEncoding
	EncodedMultipart
	EncodedMessage
	BadBase64
	DataAfterPadding
	BadQuotedPrintable
	UnknownCharset
	BadText
	Undeclared8bit
	NULInText
	LimitDepth
	LimitParts
	LimitParameters
	LimitHeader
	LimitText
	LimitDecode
	LimitHTML
	LimitURLs
	LimitTime
	HTMLHidden
	HTMLForm
	HTMLScript
	HTMLFrame
	HTMLRefresh
	HTMLBase
	URLDisplayedOther
	URLUserinfo
	URLAddress
	URLOddAddress
	URLInternational
	URLDisguisedHost
	URLBadHost
	URLOddSyntax
	URLDefanged
	factCount
)

// facts is the list of all facts. Those marked ambiguous are read in different
// ways by different programs, so what one of them scans may not be what another
// shows: each brings MIME_AMBIGUOUS with it.
var facts = [factCount]struct {
	name      string
	ambiguous bool
	doc       string
}{
	Ambiguous:            {"MIME_AMBIGUOUS", true, "two readers may see two different messages; another fact says why"},
	MissingBoundary:      {"MIME_MISSING_BOUNDARY", true, "a multipart names no boundary; the first line that begins with -- was taken"},
	BadBoundary:          {"MIME_BAD_BOUNDARY", true, "a boundary is longer than 70 characters, ends in a space or has characters that RFC 2046 forbids"},
	DuplicateBoundary:    {"MIME_DUPLICATE_BOUNDARY", true, "a multipart names two boundaries; the first and the last both separate parts"},
	ReusedBoundary:       {"MIME_REUSED_BOUNDARY", true, "a multipart uses the boundary of one that encloses it"},
	NoParts:              {"MIME_NO_PARTS", true, "the boundary of a multipart never occurs; its body was read as text"},
	MissingEnd:           {"MIME_MISSING_END", false, "a multipart ends without its closing delimiter"},
	DelimiterJunk:        {"MIME_DELIMITER_JUNK", true, "a delimiter is followed by other text on its line"},
	DelimiterSuffix:      {"MIME_DELIMITER_SUFFIX", true, "a line begins as a delimiter but goes on with other characters; it was taken for text"},
	PartsAfterEnd:        {"MIME_PARTS_AFTER_END", true, "more delimiters follow after the closing one"},
	BareCR:               {"MIME_BARE_CR", true, "a delimiter or a field stands after a carriage return that ends no line"},
	BadHeader:            {"MIME_BAD_HEADER", true, "the header of a part has a line that is no field, or a field with 8-bit characters in its name"},
	MissingBlankLine:     {"MIME_MISSING_BLANK_LINE", false, "the header of a part runs into its body, a delimiter or the end"},
	SpaceBeforeColon:     {"MIME_SPACE_BEFORE_COLON", false, "white space stands before the colon of a field in a part"},
	DuplicateType:        {"MIME_DUPLICATE_TYPE", true, "several different Content-Type fields; the first multipart one counts, else the first"},
	DuplicateEncoding:    {"MIME_DUPLICATE_ENCODING", true, "several different Content-Transfer-Encoding fields; the first counts"},
	DuplicateDisposition: {"MIME_DUPLICATE_DISPOSITION", true, "several different Content-Disposition fields; the first counts"},
	BadType:              {"MIME_BAD_TYPE", true, "a Content-Type that is no type/subtype"},
	BadParameter:         {"MIME_BAD_PARAMETER", false, "a parameter without value, with an open quote, or with characters that need quotes"},
	DuplicateParameter:   {"MIME_DUPLICATE_PARAMETER", true, "a parameter has two different values; the first counts"},
	ConflictingNames:     {"MIME_CONFLICTING_NAMES", true, "the names of an attachment have different extensions"},
	UnknownEncoding:      {"MIME_UNKNOWN_ENCODING", true, "a transfer encoding that RFC 2045 does not know; the content was left as it is"},
	EncodedMultipart:     {"MIME_ENCODED_MULTIPART", true, "a multipart with base64 or quoted-printable, which RFC 2045 forbids; it was read without"},
	EncodedMessage:       {"MIME_ENCODED_MESSAGE", false, "an enclosed message in base64 or quoted-printable, which RFC 2046 forbids; it was decoded"},
	BadBase64:            {"MIME_BAD_BASE64", true, "base64 with characters of another alphabet, or cut off"},
	DataAfterPadding:     {"MIME_DATA_AFTER_PADDING", true, "base64 that goes on after its end"},
	BadQuotedPrintable:   {"MIME_BAD_QP", false, "quoted-printable with an equals sign that means nothing"},
	UnknownCharset:       {"MIME_UNKNOWN_CHARSET", false, "a charset that nobody knows; UTF-8 or Windows-1252 was guessed"},
	BadText:              {"MIME_BAD_TEXT", false, "text with bytes that its charset does not have"},
	Undeclared8bit:       {"MIME_UNDECLARED_8BIT", false, "8-bit text without a charset that has such characters"},
	NULInText:            {"MIME_NUL_IN_TEXT", true, "text with NUL characters; they were dropped"},
	LimitDepth:           {"MIME_LIMIT_DEPTH", false, "parts nested deeper than mime_depth were not opened"},
	LimitParts:           {"MIME_LIMIT_PARTS", false, "the walk ended at mime_parts parts"},
	LimitParameters:      {"MIME_LIMIT_PARAMETERS", false, "a field has more than mime_parameters parameters; the rest was ignored"},
	LimitHeader:          {"MIME_LIMIT_HEADER", false, "the header of a part has more than header_fields fields or header_bytes bytes; the rest was ignored"},
	LimitText:            {"MIME_LIMIT_TEXT", false, "there is more text than text_bytes; the rest was not decoded"},
	LimitDecode:          {"MIME_LIMIT_DECODE", false, "encoded messages inside encoded messages were not opened any further"},
	LimitHTML:            {"MIME_LIMIT_HTML", false, "elements of HTML nested deeper, or a style sheet longer, than is looked at; hidden text may count as visible"},
	LimitURLs:            {"MIME_LIMIT_URLS", false, "there are more than limits.urls URLs; the rest was ignored"},
	LimitTime:            {"MIME_LIMIT_TIME", false, "the message took longer to read than mime_time; the rest of it was not read"},
	HTMLHidden:           {"HTML_HIDDEN_TEXT", false, "text in HTML does not show"},
	HTMLForm:             {"HTML_FORM", false, "a form in HTML asks its reader to fill it in"},
	HTMLScript:           {"HTML_SCRIPT", false, "a script in HTML, which no mail program runs"},
	HTMLFrame:            {"HTML_FRAME", false, "a frame or an embedded object in HTML, which no mail program shows"},
	HTMLRefresh:          {"HTML_REFRESH", false, "a page that sends its reader on to another by itself"},
	HTMLBase:             {"HTML_BASE", false, "a page that says where its relative URLs begin"},
	URLDisplayedOther:    {"URL_DISPLAYED_OTHER", false, "the text of a link shows another domain than the one the link leads to"},
	URLUserinfo:          {"URL_USERINFO", false, "a URL has a user name in front of its host, which may look like the host"},
	URLAddress:           {"URL_ADDRESS", false, "the host of a URL is an IP address"},
	URLOddAddress:        {"URL_ODD_ADDRESS", false, "the IP address of a URL is written in an unusual way: as one number, octal, hexadecimal"},
	URLInternational:     {"URL_INTERNATIONAL", false, "the host of a URL is an internationalised name"},
	URLDisguisedHost:     {"URL_DISGUISED_HOST", false, "the host of a URL is written with percent signs, wide or invisible characters, or a dot at its end"},
	URLBadHost:           {"URL_BAD_HOST", false, "a URL has no host, or one that cannot be one"},
	URLOddSyntax:         {"URL_ODD_SYNTAX", false, "a URL has backslashes or a wrong number of slashes in front of its host; browsers forgive it"},
	URLDefanged:          {"URL_DEFANGED", false, "a URL is written with hxxp, so that nobody can follow it by accident"},
}

// String returns the name of the finding, such as MIME_MISSING_END.
func (f Fact) String() string { return facts[f].name }

// Doc returns what the fact means, in one line.
func (f Fact) Doc() string { return facts[f].doc }

// AllFacts yields every fact there is.
func AllFacts() iter.Seq[Fact] { return Facts(1<<factCount - 1).All() }

// Facts is a set of facts.
type Facts uint64

// Has says whether f is in the set.
func (s Facts) Has(f Fact) bool { return s&(1<<f) != 0 }

// All yields the facts of the set, in the order of the table.
func (s Facts) All() iter.Seq[Fact] {
	return func(yield func(Fact) bool) {
		for ; s != 0; s &= s - 1 {
			if !yield(Fact(bits.TrailingZeros64(uint64(s)))) {
				return
			}
		}
	}
}

// String returns the names of the facts, separated by commas.
func (s Facts) String() string {
	var names []string
	for f := range s.All() {
		names = append(names, f.String())
	}
	return strings.Join(names, ",")
}

// add puts f into the set, and MIME_AMBIGUOUS beside it where that is so.
func (s *Facts) add(f Fact) {
	*s |= 1 << f
	if facts[f].ambiguous {
		*s |= 1 << Ambiguous
	}
}
