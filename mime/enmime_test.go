package mime_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"milterd/mime"
)

// reads says in one line what is decoded of a message: the begin and the end of
// its visible text, the length of the hidden one, its URLs and their first host,
// its attachments with their size and first bytes.
func reads(tree *mime.Tree) string {
	visible, _ := tree.VisibleText()
	hidden, _ := tree.HiddenText()
	text := []rune(strings.ReplaceAll(visible, "\n", "/"))
	if n := len(text); n > 50 {
		text = append(append(text[:30:30], []rune("...")...), text[n-17:]...)
	}
	out := string(text)
	if hidden != "" {
		out += fmt.Sprintf(" | %d hidden", len(hidden))
	}
	if urls, _ := tree.URLs(); len(urls) > 0 {
		out += fmt.Sprintf(" | %d URLs, %s", len(urls), urls[0].Host)
	}
	for _, a := range tree.Attachments() {
		content, _ := a.Part.Content()
		out += fmt.Sprintf(" | %d %.4q", len(content), content)
	}
	return out
}

// Every message of enmime's collection is decoded as one finds by reading it.
func TestEnmimeReads(t *testing.T) {
	dir := suite(t, "mime-enmime")
	for _, path := range files(t, dir, ".raw") {
		name, err := filepath.Rel(dir, strings.TrimSuffix(path, ".raw"))
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.ToSlash(name)
		t.Run(name, func(t *testing.T) {
			want, known := enmimeReads[name]
			if got := reads(mime.WalkMessage(read(t, path), mime.Limits{})); got != want || !known {
				t.Errorf("%q: %q, want %q", name, got, want)
			}
		})
	}
}

var enmimeReads = map[string]string{
	"dsn/testdata/delayed_dsn":                      "[human-readable explanation go...)/Action: delayed | 1 URLs, sun2.nsfnet-relay.ac.uk",
	"dsn/testdata/dsn_with_multipart_alternative":   "[human-readable explanation go...essage goes here] | 2 URLs, 1234.prod.outlook.com | 29 \"[ori\"",
	"dsn/testdata/multi_recipient_dsn":              "[human-readable explanation go...essage goes here] | 4 URLs, cs.utk.edu | 29 \"[ori\"",
	"dsn/testdata/simple_dsn":                       "[human-readable explanation go...essage goes here] | 1 URLs, cs.utk.edu | 29 \"[ori\"",
	"dsn/testdata/simple_dsn_with_html":             "[human-readable explanation go...essage goes here] | 1 URLs, cs.utk.edu | 29 \"[ori\"",
	"low-quality/bad-final-boundary":                "A text section | 7 \"<htm\"",
	"low-quality/bad-header-start":                  "A text section/An HTML section",
	"low-quality/bad-header-wrap":                   "A text section | 7 \"<htm\"",
	"low-quality/empty-header":                      "A text section/An HTML section",
	"low-quality/html-only-inline":                  "Test of HTML section | 687 \"\\x89PNG\"",
	"low-quality/incorrect-charset":                 "Using Unicode/UTF-8, you can w...n], Yoga [ˈjoːgɑ]",
	"low-quality/malformed-base64-attach":           "A text section | 7 \"<htm\"",
	"low-quality/missing-content-type":              "A plain text email",
	"low-quality/missing-content-type2":             "A text section/An HTML section",
	"low-quality/unk-charset-html-only":             "Hello World!",
	"low-quality/unk-charset-part":                  "A text section | 7 \"<htm\"",
	"low-quality/unk-encoding-part":                 "A text section | 13 \"PGh0\"",
	"mail/attachment-application":                   "A text section | 7 \"<htm\"",
	"mail/attachment-octet":                         "A text section | 61 \"\\x03\\x17\\xe1~\"",
	"mail/attachment-only-inline-quoted-printable":  "Just some html content",
	"mail/attachment-only-inline":                   " | 687 \"\\x89PNG\"",
	"mail/attachment-only-no-disposition":           " | 687 \"\\x89PNG\"",
	"mail/attachment-only-text-attachment":          "Test;Test | 10 \"Test\"",
	"mail/attachment-only":                          " | 687 \"\\x89PNG\"",
	"mail/attachment":                               "A text section | 7 \"<htm\"",
	"mail/ctype-bug":                                "What's next? Head over to the ... & support - Chat | 10 hidden | 10 URLs, papertrailapp.com",
	"mail/epilogue-sample":                          "A text section | 7 \"<htm\"",
	"mail/erroneous":                                "// Not an RFC-822 Document",
	"mail/header-only":                              "",
	"mail/html-mime-bad-charset-inline":             "Test of text section/Test of HTML section | 687 \"\\x89PNG\"",
	"mail/html-mime-bad-unknown-charset-inline":     "Test of text section/Test of HTML section | 687 \"\\x89PNG\"",
	"mail/html-mime-inline":                         "Test of text section/Test of HTML section | 687 \"\\x89PNG\"",
	"mail/html-only-inline":                         "Test of HTML section | 687 \"\\x89PNG\"",
	"mail/inlinemultipart":                          "Simple text./Text attachment. | 524 \"%PDF\" | 18 \"Text\"",
	"mail/malformed-multiple-address-header-values": "Simple text./Text attachment. | 524 \"%PDF\" | 18 \"Text\"",
	"mail/mime-alternative":                         "Section one/Section two",
	"mail/mime-bad-8bit-filename":                   "Text part | 7 \"<htm\"",
	"mail/mime-bad-content-transfer-encoding":       "�Z(�ל�x�n�.�H%j�ڮ�h�Gkzj_�+-�Z...his is an example",
	"mail/mime-bad-content-type":                    "Thank you for booking with easyHotel. | 524 \"%PDF\"",
	"mail/mime-blank-media-name":                    "Thank you for booking with eas...t stay./easyHotel | 5 URLs, bookings.easyhotel.com | 524 \"%PDF\"",
	"mail/mime-duplicate-param":                     "Thank you for booking with eas...t stay./easyHotel | 5 URLs, bookings.easyhotel.com | 524 \"%PDF\"",
	"mail/mime-mixed-related":                       "html1/html2",
	"mail/mime-mixed":                               "Section one/Section two",
	"mail/mime-signed":                              "Section one/Section two | 828 \"----\"",
	"mail/mime-unquoted-tspecials-param":            "Thank you for booking with eas...t stay./easyHotel | 5 URLs, bookings.easyhotel.com | 524 \"%PDF\"",
	"mail/multipart-wo-boundary":                    "I'm multipart message without boundary",
	"mail/non-mime-html-charset-header-only":        "Test Müller | 10 hidden",
	"mail/non-mime-html":                            "This is a test mailing | 14 hidden",
	"mail/non-mime-missing-charset":                 "Unencoded Euro Sign: \u0080",
	"mail/non-mime":                                 "This is a test mailing",
	"mail/other-multi-related":                      "Plain text./HTML text. | 687 \"\\x89PNG\" | 687 \"\\x89PNG\"",
	"mail/other-parts":                              "A text section | 123 \"GIF8\"",
	"mail/qp-ascii-header":                          "This is a test mailing",
	"mail/qp-utf8-header-no-break":                  "Lorem ipsum dolor sit amet, co...nt non nibh odio.",
	"mail/qp-utf8-header-recursed":                  "Lorem ipsum dolor sit amet, co...nt non nibh odio.",
	"mail/qp-utf8-header":                           "Lorem ipsum dolor sit amet, co...nt non nibh odio.",
	"mail/quoted-printable-mime":                    "Lorem ipsum dolor sit amet, co...nt non nibh odio.",
	"mail/quoted-printable":                         "Lorem ipsum dolor sit amet, co...tas eu vel dolor.",
	"mail/unknown-part-type":                        "A text section | 123 \"GIF8\"",
	"parts/badboundary":                             "A text section/An HTML section",
	"parts/barren-content-type":                     " | 0 \"\"",
	"parts/bin-attach":                              "A text section | 16 \"PK\\x03\\x04\"",
	"parts/chardet-detection":                       "Loggen Sie sich ein, um die Ei...3/Nachricht:/öoöo",
	"parts/chardet-fail-non-txt":                    " | 67 \"GIF8\"",
	"parts/chardet-fail-not-long-enough":            "和弟弟",
	"parts/chardet-fail":                            "GIF89ad\x04€fÌfÿ™!ù\x04,d\x04\x02\x1aŒ�©Ëí\x0f£œ´Úë€Þ¼û\x0f†âH–æ‰¦ê*\x16; | 67 \"GIF8\"",
	"parts/chardet-success-big-5":                   "ÃC¬O®a°V ¥_»ô ÃC¤§±À/¨÷²Ä¤C¡@\u00ad...´Ä[¡A¥H¨úØ¡¨S¤]¡C",
	"parts/chardet-success-iso-8859-1":              "DIE Drachenköpfe unserer Boote...TREPTE IN LEIPZIG",
	"parts/ctype-invalid-characters":                "Test of text/plain section wit...alid content type",
	"parts/empty-ctype-bad-content":                 "Use the View Invoices function... quoted-printable",
	"parts/empty-header":                            "A text section/An HTML section",
	"parts/extra-base64-character":                  "Hello World!/Hello World",
	"parts/header-only":                             " | 0 \"\"",
	"parts/html-with-boundary":                      "An HTML section",
	"parts/malformed-content-type-params":           "",
	"parts/missing-closing-param-quote":             "",
	"parts/missing-ctype-root":                      "According to RFC 822, content ...ault to us-ascii.",
	"parts/missing-ctype":                           "A text section/An HTML section",
	"parts/multi-malformed":                         "Section one/I'm section withou...aders/Section two",
	"parts/multialtern":                             "A text section/An HTML section",
	"parts/multibase64":                             "A text section | 7 \"<htm\"",
	"parts/multimixed-no-closing-boundary":          "Hello,",
	"parts/multimixed":                              "Section one/Section two",
	"parts/multiother":                              "Section one/Section two",
	"parts/nestedmulti":                             "A text section/An HTML section...e text attachment | 25 \"An i\" | 30 \"Anot\"",
	"parts/quoted-printable-invalid":                "https://www.amazon.ca/gp/produ...nnnnnnnn-0-weekly | 6 URLs, www.amazon.ca",
	"parts/quoted-printable":                        "Start=ABC=Finish",
	"parts/similar-boundary":                        "Section one/A text section/An HTML section",
	"parts/textplain":                               "Test of text/plain section",
	"parts/unquoted-ctype-param-special":            " | 0 \"\"",
}
