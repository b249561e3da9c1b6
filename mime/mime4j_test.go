package mime_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"milterd/mime"
)

// entity is a message or a body part as X_decoded.xml tells of it.
type entity struct {
	Fields    []string `xml:"header>field"`
	Multipart *struct {
		Preamble string   `xml:"preamble"`
		Parts    []entity `xml:"body-part"`
		Epilogue string   `xml:"epilogue"`
	} `xml:"multipart"`
	Message *entity `xml:"message"`
	Text    *leaf   `xml:"text-body"`
	Binary  *leaf   `xml:"binary-body"`
}

// leaf is content that is in another file.
type leaf struct {
	Name string `xml:"name,attr"`
}

// wanted reads the structure from X_decoded.xml.
func wanted(t *testing.T, path string) (root entity) {
	t.Helper()
	dec := xml.NewDecoder(bytes.NewReader(read(t, path)))
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	if err := dec.Decode(&root); err != nil {
		t.Fatal(err)
	}
	return root
}

// compare compares a part with what mime4j sees, and yields the leaves with the
// names of the files that have their content.
func (e *entity) compare(t *testing.T, p *mime.Part, leaf func(p *mime.Part, name string)) {
	var fields []string
	for _, f := range p.Header {
		fields = append(fields, squeezed(f.Name+":"+f.Value))
	}
	for i := range e.Fields {
		e.Fields[i] = squeezed(e.Fields[i])
	}
	if other, differs := otherFields[strings.Join(e.Fields, "")]; differs {
		e.Fields = other
	}
	if !slices.Equal(fields, e.Fields) {
		t.Errorf("%s: fields\n%q, want\n%q", p.Type, fields, e.Fields)
	}
	switch {
	case e.Multipart != nil:
		if len(p.Children) != len(e.Multipart.Parts) || !p.IsMultipart() {
			t.Fatalf("%s has %d parts, want %d", p.Type, len(p.Children), len(e.Multipart.Parts))
		}
		preamble := squeezed(string(p.Preamble))
		if len(p.Children) == 0 { // we read all of it as text
			text, _ := p.Text()
			preamble = squeezed(text)[:min(len(squeezed(text)), len(squeezed(e.Multipart.Preamble)))]
		}
		if preamble != squeezed(e.Multipart.Preamble) {
			t.Errorf("%s: preamble %q, want %q", p.Type, preamble, e.Multipart.Preamble)
		}
		if got := squeezed(string(p.Epilogue)); got != squeezed(e.Multipart.Epilogue) {
			t.Errorf("%s: epilogue %q, want %q", p.Type, got, e.Multipart.Epilogue)
		}
		for i := range e.Multipart.Parts {
			e.Multipart.Parts[i].compare(t, p.Children[i], leaf)
		}
	case e.Message != nil:
		if len(p.Children) != 1 || !p.IsMessage() {
			t.Fatalf("%s has %d parts, want a message", p.Type, len(p.Children))
		}
		e.Message.compare(t, p.Children[0], leaf)
	case e.Text != nil && len(p.Children) == 0:
		leaf(p, e.Text.Name)
	case e.Binary != nil && len(p.Children) == 0:
		leaf(p, e.Binary.Name)
	default:
		t.Errorf("%s has %d parts, want a leaf", p.Type, len(p.Children))
	}
}

// otherFields are the headers that we read in another way, by what mime4j sees.
var otherFields = map[string][]string{
	// A line of this kind after one that is no field belongs to the body.
	"Subject:thisisasubjectAnotherHeader:isthisanheaderorthefirstpartofthebody?": {"Subject:thisisasubject"},
	// A name with an 8-bit character is a name, and a fact.
	"Subject:Theobsoletesyntaxallowspacesbeforethecolonandalsoemptylinesinfolding.Date:MalformedDate.HeaderWithWSP:value.": {
		"Subject:Theobsoletesyntaxallowspacesbeforethecolonandalsoemptylinesinfolding.", "Date:MalformedDate.", "Inval\xecd-Header:thisisnotvalid.", "HeaderWithWSP:value."},
}

func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

// otherReadings are the messages that we read in another way than mime4j, on
// purpose: what we take for the content of the one leaf that differs.
var otherReadings = map[string]struct {
	why  string
	leaf int
	want func(theirs string) string
}{
	"frag": {"base64 cut off in a group: mime4j drops the group, we decode its whole bytes", 4,
		func(theirs string) string { return theirs + "5\xb1" }},
	"multi-frag": {"the same", 3,
		func(theirs string) string { return theirs + "j\a" }},
	"hdr-fakeout": {"no blank line after the header: mime4j passes over the text up to one, we take it for the body", 0,
		func(string) string {
			return "The header is not properly terminated; the \"blank line\" \nactually has a space in it.\n\n"
		}},
	"basic-plain-with-bad-header-separator": {"the same", 0,
		func(theirs string) string {
			return "This is a very simple message with a simple body but the separator\nbetween header and body contains an additional space: \nCRLF<space>CRLF.\n\n" + theirs
		}},
	"malformedHeader-nocrlfcrlf": {"a line that is no field, and no field of MIME after it: mime4j passes over the line, we take it for the body", 0,
		func(theirs string) string {
			return "This is an invalid header\nAnotherHeader: is this an header or the first part of the body?\n\n" + theirs
		}},
	"malformedHeaderStartsBody-nocrlfcrlf": {"the same message in mime4j's other mode, which loses the line with a colon", 0,
		func(theirs string) string {
			return strings.Replace(theirs, "\n", "\nAnotherHeader: is this an header or the first part of the body?\n", 1)
		}},
	"malformedHeader-noheader": {"no header at all: mime4j sees no text", 0,
		func(theirs string) string {
			return theirs + "This is a simple message not having headers.\nThe whole text should be recognized as body.\n"
		}},
	"malformedHeaderStartsBody-noheader": {"the same message in mime4j's other mode, which sees one line", 0,
		func(theirs string) string { return theirs + "The whole text should be recognized as body.\n" }},
}

// Every message of mime4j's collection has the structure that mime4j finds:
// multiparts, enclosed messages, fields, texts around the parts, and leaves with
// the same content.
func TestMime4j(t *testing.T) {
	dir := suite(t, "mime-mime4j")
	messages, others, leaves := 0, 0, 0
	for _, path := range files(t, dir, ".msg") {
		name := strings.TrimSuffix(filepath.Base(path), ".msg")
		messages++
		t.Run(name, func(t *testing.T) {
			tree := mime.WalkMessage(read(t, path), mime.Limits{})
			check(t, tree, defaults)
			root := wanted(t, strings.TrimSuffix(path, ".msg")+"_decoded.xml")
			other, differs := otherReadings[name]
			i := 0
			root.compare(t, tree.Root, func(p *mime.Part, file string) {
				content, _ := p.Content()
				theirs := lines(read(t, filepath.Join(filepath.Dir(path), file)))
				if differs && i == other.leaf {
					others++
					theirs = []byte(other.want(string(theirs)))
				}
				if !bytes.Equal(lines(content), theirs) {
					t.Errorf("leaf %d, %s, %v: %.300q, want %.300q", i, p.Type, p.Encoding, content, theirs)
				}
				i++
				leaves++
			})
		})
	}
	if messages != 80 || others != len(otherReadings) || leaves != 161 {
		t.Errorf("%d messages with %d leaves, %d of them read in another way", messages, leaves, others)
	}
}

func lines(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }
