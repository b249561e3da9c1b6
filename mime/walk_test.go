package mime_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"milterd/mime"
)

// crlf turns the LF of a Go string into CRLF.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

const (
	mixed = "Content-Type: multipart/mixed; boundary=b\n\n"
	html  = "Content-Type: text/html\n\n"
)

// Each message has the structure and, besides MIME_AMBIGUOUS, exactly the facts
// named here. Together they show every fact there is.
var shapes = []struct {
	name, message, outline, facts string
}{
	{"plain", "Subject: x\n\nhello\n", "text/plain", ""},
	{"nothing", "", "text/plain", "MISSING_BLANK_LINE"},
	{"attachment", mixed + "--b\n\nhello\n--b\nContent-Type: application/pdf; name=x.pdf\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=x.pdf\n\nAAAA\n--b--\n",
		"multipart/mixed(text/plain application/pdf[x.pdf])", ""},
	{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nhello\n--b\nContent-Type: text/plain\n\nhello\n--b--\n", "multipart/digest(message/rfc822(text/plain) text/plain)", ""},
	{"enclosed message", "Content-Type: message/rfc822\n\nContent-Type: text/html\n\nhello\n", "message/rfc822(text/html)", ""},
	{"message in a mailbox file", "Content-Type: message/rfc822\n\nFrom a@b.test Mon Nov 16 2026\nContent-Type: text/html\n\nhello\n", "message/rfc822(text/html)", ""},
	{"type with comments", "Content-Type: (a) text/html (b (c)); charset=utf-8 (d)\n\nhello\n", "text/html", ""},

	{"no boundary", "Content-Type: multipart/mixed\n\n\n--b\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "MISSING_BOUNDARY"},
	{"empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\n\n--b\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "MISSING_BOUNDARY"},
	{"forbidden boundary", "Content-Type: multipart/mixed; boundary=\"a*b\"\n\n--a*b\n\nhello\n--a*b--\n", "multipart/mixed(text/plain)", "BAD_BOUNDARY"},
	{"boundary with a line break", "Content-Type: multipart/mixed; boundary*=''a%0Ab\n\n--a\n\nhello\n--a--\n", "multipart/mixed(text/plain)", "MISSING_BOUNDARY"},
	{"two boundaries", "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nhello\n--b\n\nhello\n--a--\n",
		"multipart/mixed(text/plain text/plain)", "DUPLICATE_BOUNDARY,DUPLICATE_PARAMETER"},
	{"the same boundary twice", "Content-Type: multipart/mixed; boundary=b; boundary=\"b\"\n\n--b\n\nhello\n--b--\n", "multipart/mixed(text/plain)", ""},
	{"boundary used again", mixed + "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b--\n--b--\n",
		"multipart/mixed(multipart/mixed(text/plain))", "REUSED_BOUNDARY"},
	{"no parts", mixed + "hello\n", "multipart/mixed", "NO_PARTS"},
	{"only the end", mixed + "hello\n--b--\n", "multipart/mixed", "NO_PARTS"},
	{"no end", mixed + "--b\n\nhello\n", "multipart/mixed(text/plain)", "MISSING_END"},
	{"no inner end", mixed + "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nhello\n--b\n\nhello\n--b--\n",
		"multipart/mixed(multipart/mixed(text/plain) text/plain)", "MISSING_END"},
	{"space after a delimiter", mixed + "--b \t\n\nhello\n--b-- \n", "multipart/mixed(text/plain)", ""},
	{"text after a delimiter", mixed + "--b x\n\nhello\n--b--x\n", "multipart/mixed(text/plain)", "DELIMITER_JUNK"},
	{"longer than a delimiter", mixed + "--b\n\nhello\n--bx\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "DELIMITER_SUFFIX"},
	{"boundaries that are prefixes", mixed + "--b\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n\nhello\n--b1--\n--b--\n", "multipart/mixed(multipart/mixed(text/plain))", ""},
	{"parts after the end", mixed + "--b\n\nhello\n--b--\n--b\nContent-Type: text/html\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "PARTS_AFTER_END"},
	{"delimiter after a bare CR", mixed + "--b\n\nhello\r--b\r\rhello\n--b--\n", "multipart/mixed(text/plain)", "BARE_CR"},

	{"junk in a header", mixed + "--b\njunk\n more\nContent-Type: text/html\n\nhello\n--b--\n", "multipart/mixed(text/html)", "BAD_HEADER"},
	{"folded line after a mailbox's", "Content-Type: message/rfc822\n\nFrom a@b.test Mon Nov 16 2026\n junk\nContent-Type: text/html\n\nhello\n", "message/rfc822(text/html)", "BAD_HEADER"},
	{"8-bit field name", mixed + "--b\nContent-T\xffpe: text/html\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "BAD_HEADER"},
	{"body without a blank line", mixed + "--b\nContent-Type: text/html\nhello, world\n--b--\n", "multipart/mixed(text/html)", "BAD_HEADER,MISSING_BLANK_LINE"},
	{"header cut off", mixed + "--b\nContent-Type: text/html\n--b--\n", "multipart/mixed(text/html)", "MISSING_BLANK_LINE"},
	{"space before the colon", mixed + "--b\nContent-Type \t: text/html\n\nhello\n--b--\n", "multipart/mixed(text/html)", "SPACE_BEFORE_COLON"},
	{"two types", "Content-Type: text/html\nContent-Type: text/plain\n\nhello\n", "text/html", "DUPLICATE_TYPE"},
	{"two types, one a multipart", "Content-Type: text/html\n" + mixed + "--b\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "DUPLICATE_TYPE"},
	{"the same type twice", "Content-Type: text/html\ncontent-type:TEXT/HTML\n\nhello\n", "text/html", ""},
	{"two encodings", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\nhello\n", "text/plain", "DUPLICATE_ENCODING"},
	{"two dispositions", "Content-Disposition: inline\nContent-Disposition: attachment\n\nhello\n", "text/plain", "DUPLICATE_DISPOSITION"},
	{"bad type", "Content-Type: text\n\nhello\n", "text/plain", "BAD_TYPE"},
	{"bad multipart", "Content-Type: multipart; boundary=b\n\n--b\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "BAD_TYPE"},
	{"bad message", "Content-Type: message\n\nSubject: x\n\nhello\n", "message/rfc822(text/plain)", "BAD_TYPE"},
	{"bad parameter", "Content-Type: text/html; charset\n\nhello\n", "text/html", "BAD_PARAMETER"},
	{"semicolon forgotten", "Content-Type: text/html charset=\"utf-8\"\n\nhello\n", "text/html", "BAD_PARAMETER"},
	{"two charsets", "Content-Type: text/html; charset=utf-8; charset=utf-7\n\nhello\n", "text/html", "DUPLICATE_PARAMETER"},
	{"two names", "Content-Type: a/b; name=x.txt\nContent-Disposition: attachment; filename=x.exe\n\nhello\n", "a/b[x.exe]", "CONFLICTING_NAMES"},
	{"two names in one field", "Content-Disposition: attachment; filename=x.txt; filename*=utf-8''x.exe\n\nhello\n", "text/plain[x.exe]", "CONFLICTING_NAMES"},
	{"two names that agree", "Content-Disposition: attachment; filename=x.exe; filename*=utf-8''%E2%82%AC.EXE\n\nhello\n", "text/plain[€.EXE]", ""},

	{"unknown encoding", "Content-Transfer-Encoding: x-uuencode\n\nhello\n", "text/plain", "UNKNOWN_ENCODING"},
	{"encoded multipart", "Content-Transfer-Encoding: base64\n" + mixed + "--b\n\nhello\n--b--\n", "multipart/mixed(text/plain)", "ENCODED_MULTIPART"},
	{"encoded message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQ29udGVudC1UeXBlOiB0ZXh0L2h0bWwKCmhlbGxv\n", "message/rfc822(text/html)", "ENCODED_MESSAGE"},
	{"bad base64", "Content-Transfer-Encoding: base64\n\naGV-s-bG8=\n", "text/plain", "BAD_BASE64"},
	{"base64 after its end", "Content-Transfer-Encoding: base64\n\naGU=bGxv\n", "text/plain", "DATA_AFTER_PADDING"},
	{"bad quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\nhell=F\n", "text/plain", "BAD_QP"},
	{"unknown charset", "Content-Type: text/plain; charset=x-nobody\n\nhello\n", "text/plain", "UNKNOWN_CHARSET"},
	{"bad UTF-8", "Content-Type: text/plain; charset=utf-8\n\nhell\xf6\n", "text/plain", "BAD_TEXT"},
	{"undeclared", "Subject: x\n\nhell\xf6\n", "text/plain", "UNDECLARED_8BIT"},
	{"NUL", "Subject: x\n\nhe\x00llo\n", "text/plain", "NUL_IN_TEXT"},

	{"too deep", strings.Repeat("Content-Type: message/rfc822\n\n", 30) + "\nhello\n",
		strings.Repeat("message/rfc822(", 19) + "message/rfc822" + strings.Repeat(")", 19), "LIMIT_DEPTH"},
	{"too many", mixed + strings.Repeat("--b\n\n", 600), "multipart/mixed(" + strings.Repeat("text/plain ", 498) + "text/plain)", "LIMIT_PARTS"},
	{"too many parameters", "Content-Type: text/html" + strings.Repeat("; a=b", 51) + "\n\nhello\n", "text/html", "LIMIT_PARAMETERS"},
	{"too many fields", "Content-Type: text/html\n" + strings.Repeat("A: b\n", 1000) + "\nhello\n", "text/html", "LIMIT_HEADER"},
	{"too large a header", "Content-Type: text/html\nA: " + strings.Repeat("x", 300<<10) + "\n y\n\nhello\n", "text/html", "LIMIT_HEADER"},
	{"too large a folded header", "Content-Type: text/html\nA:\n" + strings.Repeat(" x\n", 100<<10) + "\nhello\n", "text/html", "LIMIT_HEADER"},
	{"too much text", "Subject: x\n\n" + strings.Repeat("x", 1<<20+1), "text/plain", "LIMIT_TEXT"},
	{"too many URLs", "Subject: x\n\n" + strings.Repeat("http://a.test/ ", 20001), "text/plain", "LIMIT_URLS"},
	{"too deep HTML", html + strings.Repeat("<div>", 600), "text/html", "LIMIT_HTML"},

	{"hidden text", html + "<p hidden>hello\n", "text/html", "HTML_HIDDEN_TEXT"},
	{"form", html + "<form>hello</form>\n", "text/html", "HTML_FORM"},
	{"script", html + "<script>hello</script>\n", "text/html", "HTML_SCRIPT"},
	{"frame", html + "<iframe src=x></iframe>\n", "text/html", "HTML_FRAME"},
	{"refresh", html + "<meta http-equiv=refresh content=\"0;url=http://a.test/\">\n", "text/html", "HTML_REFRESH"},
	{"base", html + "<base href=\"http://a.test/\">\n", "text/html", "HTML_BASE"},
	{"link to elsewhere", html + "<a href=\"http://a.test/\">example.com</a>\n", "text/html", "URL_DISPLAYED_OTHER"},
	{"user name", "Subject: x\n\nhttp://bank.test@a.test/\n", "text/plain", "URL_USERINFO"},
	{"address", "Subject: x\n\nhttp://192.0.2.1/\n", "text/plain", "URL_ADDRESS"},
	{"odd address", "Subject: x\n\nhttp://0xC0000201/\n", "text/plain", "URL_ADDRESS,URL_ODD_ADDRESS"},
	{"U-label", "Subject: x\n\nhttp://xn--mnchen-3ya.test/\n", "text/plain", "URL_INTERNATIONAL"},
	{"disguise", "Subject: x\n\nhttp://%61.test/\n", "text/plain", "URL_DISGUISED_HOST"},
	{"bad host", "Subject: x\n\nhttp://a..test/\n", "text/plain", "URL_BAD_HOST"},
	{"backslashes", html + "<a href=\"http:\\\\a.test\\\">hello</a>\n", "text/html", "URL_ODD_SYNTAX"},
	{"defanged", "Subject: x\n\nhxxp://a.test/\n", "text/plain", "URL_DEFANGED"},

	{"too much decoding", nestedEncoded(3, 100<<10), "message/rfc822(message/rfc822(message/rfc822))", "ENCODED_MESSAGE,LIMIT_DECODE"},
}

// nestedEncoded returns messages in quoted-printable inside one another, around
// a text of size bytes: each level takes as long to decode as the whole.
func nestedEncoded(levels, size int) string {
	return strings.Repeat("Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n", levels) + strings.Repeat("x", size)
}

func TestShapes(t *testing.T) {
	shown := make(map[string]bool)
	for _, test := range shapes {
		t.Run(test.name, func(t *testing.T) {
			for _, message := range [][]byte{[]byte(test.message), crlf(test.message)} {
				if len(message) > 200<<10 && bytes.Contains(message, []byte("\r\n x\r\n")) {
					continue // the header's size is what is tested
				}
				tree := mime.WalkMessage(message, mime.Limits{})
				check(t, tree, defaults)
				checkWhole(t, tree, message)
				if got := outline(tree.Root); got != test.outline {
					t.Errorf("parts %s, want %s", got, test.outline)
				}
				_, shows := tree.VisibleText()
				_, leads := tree.URLs()
				got := joined(allFacts(tree), strings.ReplaceAll((shows|leads).String(), "MIME_", ""))
				for name := range strings.SplitSeq(got, ",") {
					shown[name] = true
				}
				if got = strings.TrimPrefix(strings.TrimPrefix(got, "AMBIGUOUS"), ","); got != test.facts {
					t.Errorf("facts %s, want %s", got, test.facts)
				}
			}
		})
	}
	for f := range mime.AllFacts() {
		name, found := strings.CutPrefix(f.String(), "MIME_")
		if !found && !strings.HasPrefix(name, "HTML_") && !strings.HasPrefix(name, "URL_") || name != strings.ToUpper(name) || f.Doc() == "" || strings.Contains(f.Doc(), "\n") {
			t.Errorf("fact %q: %q", f, f.Doc())
		}
		if !shown[name] && f != mime.LimitTime { // see TestTimeIsUp
			t.Errorf("no message shows %s", f)
		}
	}
}

// joined joins two lists of facts; those of decoding are in both.
func joined(one, two string) string {
	names := strings.Split(one, ",")
	for name := range strings.SplitSeq(two, ",") {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.TrimPrefix(strings.Join(names, ","), ",")
}

func TestFacts(t *testing.T) {
	tree := mime.WalkMessage([]byte(mixed+"--b\n\nhello\n"), mime.Limits{})
	if !tree.Facts.Has(mime.MissingEnd) || tree.Facts.Has(mime.Ambiguous) || tree.Facts.String() != "MIME_MISSING_END" {
		t.Errorf("no end: %v", tree.Facts)
	}
	tree = mime.WalkMessage([]byte(mixed), mime.Limits{})
	if !tree.Facts.Has(mime.Ambiguous) || tree.Facts.String() != "MIME_AMBIGUOUS,MIME_NO_PARTS" {
		t.Errorf("no parts: %v", tree.Facts)
	}
}

// A part knows everything about itself.
func TestPart(t *testing.T) {
	message := crlf("Subject: x\n" + mixed + "preamble\n--b\nContent-Type: TEXT/Html; Charset=ISO-8859-1; format=flowed\nContent-Transfer-Encoding: Quoted-Printable (a comment)\n" +
		"Content-Disposition: Attachment;\n\tfilename=\"=?utf-8?q?=C3=BC.html?=\"\nX-Folded: a\n b\n\n<p>f=FCr=\n</p>\n\n--b--\nepilogue\n")
	tree := mime.WalkMessage(message, mime.Limits{})
	root, p := tree.Root, tree.Parts[1]
	content, _ := p.Content()
	text, _ := p.Text()
	for _, test := range []struct{ what, got, want string }{
		{"preamble", string(root.Preamble), "preamble"},
		{"epilogue", string(root.Epilogue), "epilogue\r\n"},
		{"root's header", fmt.Sprintf("%q", root.Header), `[{"Subject" " x"} {"Content-Type" " multipart/mixed; boundary=b"}]`},
		{"root's text", must(root.Text()), ""},
		{"type", p.Type, "text/html"},
		{"parameters", fmt.Sprint(p.Params), "[{charset ISO-8859-1} {format flowed}]"},
		{"one parameter", p.Param("format"), "flowed"},
		{"no parameter", p.Param("name"), ""},
		{"disposition", p.Disposition, "attachment"},
		{"name", p.Filename, "ü.html"},
		{"encoding", p.Encoding.String(), "quoted-printable"},
		{"last field", fmt.Sprintf("%q", p.Header[len(p.Header)-1]), `{"X-Folded" " a\r\n b"}`},
		{"raw", string(p.Raw), "<p>f=FCr=\r\n</p>\r\n"},
		{"content", string(content), "<p>f\xfcr</p>\r\n"},
		{"text", text, "<p>für</p>\n"},
	} {
		if test.got != test.want {
			t.Errorf("%s: %q, want %q", test.what, test.got, test.want)
		}
	}
}

func must[T, F any](value T, _ F) T { return value }

// The caller's header counts, and the body is not copied.
func TestWalk(t *testing.T) {
	body := []byte("--b\n\nhello\n--b--\n")
	tree := mime.Walk([]mime.Field{{Name: "subject", Value: " x"}, {Name: "CONTENT-TYPE", Value: "\r\n multipart/mixed;\r\n\tboundary=\"b\""}}, body, mime.Limits{})
	check(t, tree, defaults)
	if got := outline(tree.Root); got != "multipart/mixed(text/plain)" || tree.Facts != 0 {
		t.Fatalf("%s, %v", got, tree.Facts)
	}
	if content, _ := tree.Parts[1].Content(); string(content) != "hello" || &content[0] != &body[5] {
		t.Errorf("content %q", content)
	}
	if cap(tree.Root.Raw) != cap(body) {
		t.Error("the body was copied")
	}
}

// The text budget is spent in the order of the message, whoever asks first.
func TestTextBudget(t *testing.T) {
	message := []byte(mixed + "--b\n\n" + strings.Repeat("x", 600) + "\n--b\n\n" + strings.Repeat("y", 600) + "\n--b\n\nz\n--b--\n")
	for _, order := range [][]int{{1, 2, 3}, {3, 2, 1}} {
		tree := mime.WalkMessage(message, mime.Limits{TextBytes: 1000})
		for _, i := range order {
			text, _ := tree.Parts[i].Text()
			if want := []int{0, 600, 400, 0}[i]; len(text) != want {
				t.Errorf("order %v: part %d has %d bytes of text, want %d", order, i, len(text), want)
			}
		}
		if tree.Parts[1].Facts.Has(mime.LimitText) || !tree.Parts[2].Facts.Has(mime.LimitText) || !tree.Parts[3].Facts.Has(mime.LimitText) {
			t.Errorf("facts %v", tree.Facts)
		}
	}
}

// Of a long file only the beginning is text. What comes after it does not go without
// for it, and the content is there whole.
func TestTextOfFiles(t *testing.T) {
	const size = 300_000
	table := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a,b\n"), size/4))
	for header, want := range map[string]int{
		"Content-Type: text/csv":                                            4 * mime.FileText,
		"Content-Type: text/plain\nContent-Disposition: attachment":         4 * mime.FileText,
		"Content-Type: text/plain":                                          100_000,
		"Content-Type: text/html; name=a.html\nContent-Disposition: inline": 100_000,
	} {
		message := []byte(mixed + "--b\n" + header + "\nContent-Transfer-Encoding: base64\n\n" + table + "\n--b\n\nthe letter\n--b--\n")
		tree := mime.WalkMessage(message, mime.Limits{TextBytes: 100_000})
		text, _ := tree.Parts[1].Text()
		if cut := tree.Parts[1].Facts.Has(mime.LimitText); len(text) != want || cut != (want == 100_000) {
			t.Errorf("%s: %d bytes of text, want %d; cut %v", header, len(text), want, cut)
		}
		if content, _ := tree.Parts[1].Content(); len(content) != size {
			t.Errorf("%s: %d bytes of content", header, len(content))
		}
		if visible, _ := tree.VisibleText(); strings.Contains(visible, "the letter") != (want < 100_000) {
			t.Errorf("%s: %d bytes are visible", header, len(visible))
		}
	}
}

// Checks run together and read the same tree.
func TestConcurrentReading(t *testing.T) {
	tree := mime.WalkMessage(threeParts, mime.Limits{})
	want := allFacts(mime.WalkMessage(threeParts, mime.Limits{}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := allFacts(tree); got != want {
				t.Errorf("facts %s, want %s", got, want)
			}
		})
	}
	wg.Wait()
}

func FuzzWalk(f *testing.F) {
	for _, test := range shapes {
		if len(test.message) < 2000 {
			f.Add([]byte(test.message), uint8(3), uint8(9))
			f.Add(crlf(test.message), uint8(20), uint8(200))
		}
	}
	f.Add(threeParts, uint8(20), uint8(200))
	for _, bomb := range bombs {
		f.Add([]byte(bomb(300)), uint8(4), uint8(50))
	}
	f.Fuzz(func(t *testing.T, message []byte, depth, parts uint8) {
		limits := mime.Limits{Depth: 1 + int(depth%20), Parts: 1 + int(parts), Parameters: 5, TextBytes: 200, HeaderFields: 10, HeaderBytes: 500}
		before := bytes.Clone(message)
		tree := mime.WalkMessage(message, limits)
		check(t, tree, limits)
		checkWhole(t, tree, message)
		if !bytes.Equal(before, message) {
			t.Fatal("the message was changed")
		}
		// The same bytes, the same tree; and the header given apart is the same
		// as the header in front.
		again := mime.WalkMessage(message, limits)
		if outline(tree.Root) != outline(again.Root) || tree.Facts != again.Facts || allFacts(tree) != allFacts(again) {
			t.Fatalf("%s, %v, then %s, %v", outline(tree.Root), tree.Facts, outline(again.Root), again.Facts)
		}
		apart := mime.Walk(tree.Root.Header, tree.Root.Raw, limits)
		check(t, apart, limits)
		if outline(apart.Root) != outline(tree.Root) {
			t.Fatalf("%s, with the header apart %s", outline(tree.Root), outline(apart.Root))
		}
	})
}

// threeParts is a message of about 4 KB as many are: text, HTML, a picture.
var threeParts = crlf("MIME-Version: 1.0\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n" + `Content-Type: multipart/mixed; boundary="=_outer"` + "\n\n" +
	"--=_outer\n" + `Content-Type: text/plain; charset="utf-8"` + "\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("Gr=C3=BC=C3=9Fe aus der Ferne, und eine Rechnung ist dabei =\n", 20) +
	"\n--=_outer\n" + `Content-Type: text/html; charset="iso-8859-1"` + "\n\n<html><body>" + strings.Repeat("<p>Gr\xfc\xdfe aus der <b>Ferne</b></p>\n", 30) +
	"</body></html>\n--=_outer\nContent-Type: image/png; name=\"a.png\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"a.png\"\n\n" +
	strings.Repeat("iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAACXBIWXMAAAsTAAALEwEAmpwY\n", 20) + "--=_outer--\n")

func BenchmarkWalk3Parts(b *testing.B) {
	b.SetBytes(int64(len(threeParts)))
	b.ReportAllocs()
	for b.Loop() {
		mime.WalkMessage(threeParts, mime.Limits{})
	}
}

func BenchmarkWalkAndDecode3Parts(b *testing.B) {
	b.SetBytes(int64(len(threeParts)))
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range mime.WalkMessage(threeParts, mime.Limits{}).Parts {
			if p.IsText() {
				p.Text()
			} else if len(p.Children) == 0 {
				p.Content()
			}
		}
	}
}

// attachment1MB has one attachment of a megabyte in base64.
var attachment1MB = crlf(mixed + "--b\n\nhello\n--b\nContent-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n" +
	strings.Repeat("iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAACXBIWXMAAAsTAAALEwEAmpwY\n", 1<<20/76) + "--b--\n")

func BenchmarkWalk1MB(b *testing.B) {
	b.SetBytes(int64(len(attachment1MB)))
	b.ReportAllocs()
	for b.Loop() {
		mime.WalkMessage(attachment1MB, mime.Limits{})
	}
}

func BenchmarkWalkAndDecode1MB(b *testing.B) {
	b.SetBytes(int64(len(attachment1MB)))
	b.ReportAllocs()
	for b.Loop() {
		mime.WalkMessage(attachment1MB, mime.Limits{}).Parts[2].Content()
	}
}
