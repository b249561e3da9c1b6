package mime_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/mime"
)

// suite returns the folder of a public suite, or skips the test.
func suite(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("MILTERD_SUITES")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "suites")
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the public suite %s is not at %s; set MILTERD_SUITES to the folder of the suites", name, dir)
	}
	return dir
}

// files returns the files under dir that end in suffix.
func files(t *testing.T, dir, suffix string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, suffix) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// enmime gives no expectations: these are the parts that one finds by reading
// the messages, and what is wrong with them.
var enmime = map[string][2]string{
	"dsn/testdata/delayed_dsn":                      {"multipart/report(text/plain message/delivery-status)", ""},
	"dsn/testdata/dsn_with_multipart_alternative":   {"multipart/report(multipart/alternative(text/plain text/html) message/delivery-status message/rfc822(text/plain))", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"dsn/testdata/multi_recipient_dsn":              {"multipart/report(text/plain message/delivery-status message/rfc822(text/plain))", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"dsn/testdata/simple_dsn":                       {"multipart/report(text/plain message/delivery-status message/rfc822(text/plain))", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"dsn/testdata/simple_dsn_with_html":             {"multipart/report(text/html message/delivery-status message/rfc822(text/plain))", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"low-quality/bad-final-boundary":                {"multipart/mixed(text/plain application/x-zip-compressed[foo_9E5D72.zip] text/plain)", "MISSING_END"},
	"low-quality/bad-header-start":                  {"multipart/alternative(text/plain text/plain)", "AMBIGUOUS,BAD_HEADER"},
	"low-quality/bad-header-wrap":                   {"multipart/mixed(text/plain application/x-zip-compressed[7DDA4_foo_9E5D72.zip])", "AMBIGUOUS,BAD_HEADER"},
	"low-quality/empty-header":                      {"multipart/alternative(text/plain text/plain)", ""},
	"low-quality/html-only-inline":                  {"multipart/alternative(multipart/related(text/html image/png[favicon.png]))", ""},
	"low-quality/incorrect-charset":                 {"multipart/alternative(text/plain)", "UNDECLARED_8BIT"},
	"low-quality/malformed-base64-attach":           {"multipart/mixed(text/plain application/msword[some.doc])", "AMBIGUOUS,BAD_BASE64"},
	"low-quality/missing-content-type":              {"text/plain", ""},
	"low-quality/missing-content-type2":             {"multipart/alternative(text/plain text/plain)", ""},
	"low-quality/unk-charset-html-only":             {"text/html", ""},
	"low-quality/unk-charset-part":                  {"multipart/mixed(text/plain application/x-zip-compressed[foo_9E5D72.zip])", "UNKNOWN_CHARSET"},
	"low-quality/unk-encoding-part":                 {"multipart/mixed(text/plain application/x-zip-compressed[foo_9E5D72.zip])", "AMBIGUOUS,UNKNOWN_ENCODING"},
	"mail/attachment-application":                   {"multipart/mixed(text/plain application/msword[some.doc])", ""},
	"mail/attachment-octet":                         {"multipart/mixed(text/plain application/octet-stream)", ""},
	"mail/attachment-only-inline-quoted-printable":  {"text/html", ""},
	"mail/attachment-only-inline":                   {"image/jpeg[favicon.jpg]", ""},
	"mail/attachment-only-no-disposition":           {"image/jpeg[favicon.jpg]", ""},
	"mail/attachment-only-text-attachment":          {"text/plain[test.csv]", ""},
	"mail/attachment-only":                          {"image/jpeg[favicon.jpg]", ""},
	"mail/attachment":                               {"multipart/mixed(text/plain text/html[test.html])", ""},
	"mail/ctype-bug":                                {"multipart/alternative(text/plain text/html)", ""},
	"mail/epilogue-sample":                          {"multipart/mixed(text/plain text/html[test.html])", "AMBIGUOUS,DELIMITER_JUNK"},
	"mail/erroneous":                                {"text/plain", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"mail/header-only":                              {"multipart/mixed", "AMBIGUOUS,NO_PARTS,MISSING_BLANK_LINE"},
	"mail/html-mime-bad-charset-inline":             {"multipart/alternative(text/plain multipart/related(text/html image/png[favicon.png]))", "UNKNOWN_CHARSET"},
	"mail/html-mime-bad-unknown-charset-inline":     {"multipart/alternative(text/plain multipart/related(text/html image/png[favicon.png]))", "UNKNOWN_CHARSET"},
	"mail/html-mime-inline":                         {"multipart/alternative(text/plain multipart/related(text/html image/png[favicon.png]))", ""},
	"mail/html-only-inline":                         {"multipart/alternative(multipart/related(text/html image/png[favicon.png]))", ""},
	"mail/inlinemultipart":                          {"multipart/mixed(text/plain application/pdf[test.pdf] text/plain[test.txt])", "AMBIGUOUS,DUPLICATE_DISPOSITION,BAD_BASE64"},
	"mail/malformed-multiple-address-header-values": {"multipart/mixed(text/plain application/pdf[test.pdf] text/plain[test.txt])", "AMBIGUOUS,DUPLICATE_DISPOSITION,BAD_BASE64"},
	"mail/mime-alternative":                         {"multipart/alternative(text/plain text/plain)", ""},
	"mail/mime-bad-8bit-filename":                   {"multipart/mixed(text/plain application/msword[管理.doc])", "BAD_PARAMETER"},
	"mail/mime-bad-content-transfer-encoding":       {"multipart/alternative(text/plain text/html)", "AMBIGUOUS,BAD_BASE64,BAD_TEXT"},
	"mail/mime-bad-content-type":                    {"multipart/mixed(text/plain application/pdf[Invoice_302232133150612.pdf])", "AMBIGUOUS,BAD_PARAMETER,BAD_BASE64"},
	"mail/mime-blank-media-name":                    {"multipart/mixed(text/plain application/pdf[Invoice_302232133150612.pdf])", "AMBIGUOUS,BAD_PARAMETER,BAD_BASE64"},
	"mail/mime-duplicate-param":                     {"multipart/mixed(text/plain application/pdf[Invoice_302232133150612.pdf])", "AMBIGUOUS,BAD_BASE64"},
	"mail/mime-mixed-related":                       {"multipart/mixed(multipart/related(multipart/alternative(text/html)) multipart/alternative(text/html))", ""},
	"mail/mime-mixed":                               {"multipart/mixed(text/plain text/plain)", ""},
	"mail/mime-signed":                              {"multipart/mixed(multipart/signed(text/plain application/pgp-signature[signature.asc]) text/plain)", ""},
	"mail/mime-unquoted-tspecials-param":            {"multipart/mixed(text/plain application/pdf[Invoice_(302232133150612).pdf])", "AMBIGUOUS,BAD_PARAMETER,BAD_BASE64"},
	"mail/multipart-wo-boundary":                    {"multipart/report", "AMBIGUOUS,MISSING_BOUNDARY,NO_PARTS"},
	"mail/non-mime-html-charset-header-only":        {"text/html", ""},
	"mail/non-mime-html":                            {"text/html", ""},
	"mail/non-mime-missing-charset":                 {"text/html", "UNDECLARED_8BIT"},
	"mail/non-mime":                                 {"text/plain", ""},
	"mail/other-multi-related":                      {"multipart/related(multipart/alternative(text/plain text/html) image/png[image001.png] image/png[image002.png])", ""},
	"mail/other-parts":                              {"multipart/mixed(text/plain image/gif[B05.gif])", ""},
	"mail/qp-ascii-header":                          {"text/plain", ""},
	"mail/qp-utf8-header-no-break":                  {"multipart/alternative(text/plain text/html)", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"mail/qp-utf8-header-recursed":                  {"multipart/alternative(text/plain text/html)", ""},
	"mail/qp-utf8-header":                           {"multipart/alternative(text/plain text/html)", ""},
	"mail/quoted-printable-mime":                    {"multipart/alternative(text/plain text/html)", ""},
	"mail/quoted-printable":                         {"text/plain", ""},
	"mail/unknown-part-type":                        {"multipart/abcdefghi(text/plain image/gif[B05.gif])", ""},
	"parts/badboundary":                             {"multipart/alternative(text/plain text/html text/plain)", "MISSING_END"},
	"parts/barren-content-type":                     {"text/plain", "AMBIGUOUS,BAD_TYPE"},
	"parts/bin-attach":                              {"multipart/mixed(text/plain application/octet-stream[test.bin])", ""},
	"parts/chardet-detection":                       {"text/plain", ""},
	"parts/chardet-fail-non-txt":                    {"image/gif[rzkly.gif]", ""},
	"parts/chardet-fail-not-long-enough":            {"text/plain", ""},
	"parts/chardet-fail":                            {"text/plain[rzkly.txt]", "AMBIGUOUS,UNDECLARED_8BIT,NUL_IN_TEXT"},
	"parts/chardet-success-big-5":                   {"text/plain", "UNDECLARED_8BIT"},
	"parts/chardet-success-iso-8859-1":              {"text/plain", "UNDECLARED_8BIT"},
	"parts/ctype-invalid-characters":                {"text/plain", "AMBIGUOUS,BAD_TYPE"},
	"parts/empty-ctype-bad-content":                 {"multipart/alternative(text/plain)", "AMBIGUOUS,BAD_TYPE"},
	"parts/empty-header":                            {"multipart/alternative(text/plain text/html)", ""},
	"parts/extra-base64-character":                  {"multipart/alternative(text/plain text/html)", "AMBIGUOUS,BAD_BASE64"},
	"parts/header-only":                             {"text/html[file.html]", ""},
	"parts/html-with-boundary":                      {"multipart/mixed(text/html)", ""},
	"parts/malformed-content-type-params":           {"text/html", "BAD_PARAMETER"},
	"parts/missing-closing-param-quote":             {"text/html", "BAD_PARAMETER"},
	"parts/missing-ctype-root":                      {"text/plain", ""},
	"parts/missing-ctype":                           {"multipart/alternative(text/plain text/html)", ""},
	"parts/multi-malformed":                         {"multipart/mixed(text/plain text/plain text/plain)", "AMBIGUOUS,BAD_HEADER,MISSING_BLANK_LINE"},
	"parts/multialtern":                             {"multipart/alternative(text/plain text/html)", ""},
	"parts/multibase64":                             {"multipart/mixed(text/plain text/html[test.html])", ""},
	"parts/multimixed-no-closing-boundary":          {"multipart/mixed(text/html)", "MISSING_END"},
	"parts/multimixed":                              {"multipart/mixed(text/plain text/plain)", ""},
	"parts/multiother":                              {"multipart/x-enmime(text/plain text/plain)", ""},
	"parts/nestedmulti":                             {"multipart/alternative(text/plain multipart/related(text/html text/plain[attach.txt] text/plain[attach2.txt]))", ""},
	"parts/quoted-printable-invalid":                {"text/plain", "BAD_QP"},
	"parts/quoted-printable":                        {"text/plain", ""},
	"parts/similar-boundary":                        {"multipart/mixed(text/plain multipart/alternative(text/plain text/html))", ""},
	"parts/textplain":                               {"text/plain", ""},
	"parts/unquoted-ctype-param-special":            {"text/calendar[calendar.ics]", "BAD_PARAMETER"},
}

func TestEnmime(t *testing.T) {
	dir := suite(t, "mime-enmime")
	paths := files(t, dir, ".raw")
	if len(paths) != len(enmime) {
		t.Errorf("%d messages, %d expectations", len(paths), len(enmime))
	}
	for _, path := range paths {
		name, err := filepath.Rel(dir, strings.TrimSuffix(path, ".raw"))
		if err != nil {
			t.Fatal(err)
		}
		name = filepath.ToSlash(name)
		t.Run(name, func(t *testing.T) {
			tree := mime.WalkMessage(read(t, path), mime.Limits{})
			check(t, tree, defaults)
			if got := [2]string{outline(tree.Root), allFacts(tree)}; got != enmime[name] {
				t.Errorf("%q, want %q", got, enmime[name])
			}
		})
	}
}
