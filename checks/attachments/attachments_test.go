package attachments

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"milterd/checks"
	"milterd/checks/checktest"
	"milterd/message"
)

// part is an attachment to be.
type part struct {
	name, typ string
	content   []byte
	more      string // header fields
}

// mail makes a message with attachments.
func mail(parts ...part) string {
	var b strings.Builder
	b.WriteString("From: a@b.test\nSubject: files\nContent-Type: multipart/mixed; boundary=BB\n\n--BB\n\nsee attached\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "--BB\nContent-Type: %s\n%sContent-Disposition: attachment", p.typ, p.more)
		if p.name != "" {
			fmt.Fprintf(&b, "; filename=\"%s\"", p.name)
		}
		b.WriteString("\nContent-Transfer-Encoding: base64\n\n")
		for text := base64.StdEncoding.EncodeToString(p.content); text != ""; {
			n := min(76, len(text))
			b.WriteString(text[:n] + "\n")
			text = text[n:]
		}
	}
	b.WriteString("--BB--\n")
	return b.String()
}

// file makes a message with one attachment of no particular type.
func file(name string, content []byte) string {
	return mail(part{name: name, typ: "application/octet-stream", content: content})
}

// zipOf packs names with their contents.
func zipOf(tb testing.TB, pairs ...string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		to, err := w.Create(pairs[i])
		if err == nil {
			_, err = to.Write([]byte(pairs[i+1]))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// cabOf makes a cabinet of one file, stored ([MS-CAB], section 2).
func cabOf(name, content string) []byte {
	const files = 36 + 8
	out := append([]byte("MSCF"), make([]byte, 32)...)
	out[16], out[24], out[25], out[26], out[28] = files, 3, 1, 1, 1
	out = binary.LittleEndian.AppendUint32(out, uint32(files+16+len(name)+1)) // the folder: where its blocks are,
	out = append(out, 1, 0, 0, 0)                                             // how many, and how they are packed
	out = binary.LittleEndian.AppendUint32(out, uint32(len(content)))
	out = append(append(append(out, make([]byte, 12)...), name...), 0)
	out = binary.LittleEndian.AppendUint16(append(out, 0, 0, 0, 0), uint16(len(content)))
	return append(binary.LittleEndian.AppendUint16(out, uint16(len(content))), content...)
}

// lzx says of a cabinet that it is packed with LZX.
func lzx(cab []byte) []byte {
	cab[36+6] = 3
	return cab
}

// tnefOf makes a winmail.dat with one file ([MS-OXTNEF], section 2.1).
func tnefOf(name, content string) []byte {
	out := []byte("\x78\x9f\x3e\x22\x01\x00")
	attribute := func(id uint32, data string) {
		out = binary.LittleEndian.AppendUint32(append(out, 2), id)
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(data))), data...)
		out = append(out, 0, 0) // a checksum
	}
	attribute(0x00069002, strings.Repeat("\x00", 14))
	attribute(0x00018010, name+"\x00")
	attribute(0x0006800f, content)
	return out
}

// encrypted sets the flag that says that a zip's files are encrypted.
func encrypted(z []byte) []byte {
	z = bytes.Clone(z)
	z[6] |= 1
	at := bytes.Index(z, []byte("PK\x01\x02"))
	z[at+8] |= 1
	return z
}

// ole makes an OLE document whose directory, at an odd place, has these names; a name
// that ends in / is a storage.
func ole(names ...string) []byte {
	out := append(bytes.Clone(compoundMagic), make([]byte, 512-8+1024)...)
	for _, name := range names {
		entry := make([]byte, entrySize)
		entry[66] = 2
		if bare, storage := strings.CutSuffix(name, "/"); storage {
			name, entry[66] = bare, 1
		}
		for i, u := range utf16.Encode([]rune(name)) {
			binary.LittleEndian.PutUint16(entry[2*i:], u)
		}
		binary.LittleEndian.PutUint16(entry[64:], uint16(2*len(name)+2))
		out = append(out, entry...)
	}
	return append(out, make([]byte, 4096)...)
}

var (
	exeBytes = append([]byte("MZ\x90\x00\x03\x00\x00\x00"), make([]byte, 200)...)
	exe      = string(exeBytes)
	pdfBytes = []byte("%PDF-1.7\n1 0 obj\n")
	gifBytes = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00")
	isoBytes = append(make([]byte, 16*2048), "\x01CD001\x01\x00 and so on"...)
	lnkBytes = append([]byte("L\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00F"), make([]byte, 60)...)
)

// sources are the files of an honest program: a script among many.
func sources() []string {
	pairs := []string{"site/app.js", "x", "site/run.bat", "x", "site/setup.py", "x"}
	for i := range 20 {
		pairs = append(pairs, fmt.Sprintf("site/page%d.html", i), "<html></html>")
	}
	return pairs
}

func TestRun(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{})
	for _, test := range []struct {
		name, text string
		want       string // findings
		action     message.Action
	}{
		{"nothing attached", "From: a@b.test\n\nhello run.exe\n", "", ""},
		{"harmless", mail(part{"a.pdf", "application/pdf", pdfBytes, ""}, part{"b.gif", "image/gif", gifBytes, ""},
			part{"c.zip", "application/zip", zipOf(t, "a.txt", "hello", "b.pdf", "%PDF-1.7"), ""}), "", ""},
		{"program", file("run.exe", exeBytes), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"program by its name alone", file("run.SCR", []byte("x")), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"program by its content alone", file("report.bin", exeBytes), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"program without a name", file("", exeBytes), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"program that is called a picture", file("a.jpg", exeBytes), "ATTACHMENT_EXECUTABLE ATTACHMENT_TYPE_OTHER", message.RejectMail},
		{"shortcut", file("readme.txt", lnkBytes), "ATTACHMENT_EXECUTABLE ATTACHMENT_TYPE_OTHER", message.RejectMail},
		{"script", file("invoice.js", []byte("WScript.Run()")), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"picture of a mailbox", mail(part{"part1.0609@example.com", "image/gif", gifBytes, ""}, part{"logo.example.com", "image/gif", gifBytes, ""}), "", ""},
		{"program that is called com", file("example.com", []byte("\xe9\x00\x01")), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"dots and blanks at the end", file("run.exe. . ", []byte("x")), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"characters that do not show", file("run.e\u200bxe", []byte("x")), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"a path", file(`C:\Temp\run.exe`, []byte("x")), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"two names", mail(part{"a.pdf", "application/octet-stream; name=b.exe", []byte("x"), ""}), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"two extensions", file("invoice.pdf.exe", []byte("x")), "ATTACHMENT_EXECUTABLE ATTACHMENT_DOUBLE_EXTENSION", message.RejectMail},
		{"two extensions far apart", file("invoice.pdf             .exe", []byte("x")), "ATTACHMENT_EXECUTABLE ATTACHMENT_DOUBLE_EXTENSION", message.RejectMail},
		{"a page like a document", mail(part{"invoice.pdf.html", "text/html", []byte("<html>"), ""}), "ATTACHMENT_DOUBLE_EXTENSION ATTACHMENT_HTML", ""},
		{"no two extensions", mail(part{"backup.tar.gz", "application/gzip", []byte("x"), ""}, part{"v1.2.pdf", "application/pdf", pdfBytes, ""},
			part{"a.pdf.pdf", "application/pdf", pdfBytes, ""}, part{"scan.pdf.zip", "application/zip", zipOf(t, "scan.pdf", "%PDF-"), ""}), "", ""},
		{"right to left", file("inv\u202efdp.exe", []byte("x")), "ATTACHMENT_EXECUTABLE ATTACHMENT_NAME_BIDI", message.RejectMail},
		{"right to left, harmless", file("\u202egpj.pdf", pdfBytes), "ATTACHMENT_NAME_BIDI", ""},
		{"a text that begins with MZ", file("a.dat", []byte("MZ is how a program begins, and this is a long enough text without any zeros in it.")), "", ""},
		{"image of a disk", file("a.bin", isoBytes), "ATTACHMENT_RISKY", ""},
		{"image of a disk by its name", file("a.img", []byte("x")), "ATTACHMENT_RISKY", ""},
		{"program for elsewhere", file("a", append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00"), make([]byte, 60)...)), "ATTACHMENT_RISKY", ""},
		{"page", mail(part{"a.html", "text/html", []byte("<html><body>x"), ""}), "ATTACHMENT_HTML", ""},
		{"page of another type", file("a.dat", []byte("<!DOCTYPE html><html><body>x")), "ATTACHMENT_HTML", ""},
		{"page that is called a picture", mail(part{"a.png", "image/png", []byte("<!DOCTYPE html><html><body>x"), ""}), "ATTACHMENT_TYPE_OTHER ATTACHMENT_HTML", ""},
		{"page that is the message", "From: a@b.test\nContent-Type: text/html\n\n<html>hello\n", "", ""},
		{"macros", file("a.doc", ole("WordDocument", "Macros/", "VBA/", "_VBA_PROJECT")), "ATTACHMENT_MACRO", ""},
		{"no macros", file("a.doc", ole("WordDocument", "1Table")), "", ""},
		{"encrypted document", file("a.docx", ole("EncryptionInfo", "EncryptedPackage")), "ATTACHMENT_ENCRYPTED", ""},
		{"macros of a newer office", file("a.docm", zipOf(t, "[Content_Types].xml", "<Types/>", "word/vbaProject.bin", "x")), "ATTACHMENT_MACRO", ""},
		{"macros in a document that hides it", file("a.docx", zipOf(t, "[Content_Types].xml", "<Types/>", "word/VBAproject.bin", "x")), "ATTACHMENT_MACRO", ""},
		{"macros in an archive", file("a.zip", zipOf(t, "a.doc", string(ole("_VBA_PROJECT")))), "ATTACHMENT_MACRO", ""},
		{"program in an archive", file("a.zip", zipOf(t, "run.exe", exe)), "EXE_IN_ARCHIVE", ""},
		{"program in an archive by its content", file("a.zip", zipOf(t, "letter.pdf", exe)), "EXE_IN_ARCHIVE", ""},
		{"program deep in archives", file("a.zip", zipOf(t, "b.zip", string(zipOf(t, "c.zip", string(zipOf(t, "run.scr", "x")))))), "EXE_IN_ARCHIVE", ""},
		{"archive by its content", file("a.dat", zipOf(t, "run.exe", exe)), "EXE_IN_ARCHIVE", ""},
		{"too deep", file("a.zip", zipOf(t, "b.zip", string(zipOf(t, "c.zip", string(zipOf(t, "d.zip", string(zipOf(t, "run.exe", "x")))))))), "ATTACHMENT_LIMIT", ""},
		{"script in an archive", file("a.zip", zipOf(t, "invoice.js", "x")), "EXE_IN_ARCHIVE", ""},
		{"scripts among many files", file("a.zip", zipOf(t, sources()...)), "ATTACHMENT_RISKY", ""},
		{"script with two extensions among many files", file("a.zip", zipOf(t, append(sources(), "a.pdf.js", "x")...)), "EXE_IN_ARCHIVE ATTACHMENT_DOUBLE_EXTENSION ATTACHMENT_RISKY", ""},
		{"image of a disk in an archive", file("a.zip", zipOf(t, "a.iso", "x")), "ATTACHMENT_RISKY", ""},
		{"encrypted archive", file("a.zip", encrypted(zipOf(t, "a.txt", "x"))), "ATTACHMENT_ENCRYPTED", ""},
		{"program in an encrypted archive", file("a.zip", encrypted(zipOf(t, "a.exe", "x"))), "EXE_IN_ARCHIVE ATTACHMENT_ENCRYPTED", ""},
		{"broken archive", file("a.zip", zipOf(t, "a.txt", "x")[:40]), "ATTACHMENT_BROKEN", ""},
		{"program in a cabinet", file("a.cab", cabOf("run.exe", exe)), "ATTACHMENT_RISKY EXE_IN_ARCHIVE", ""},
		{"program in a cabinet that is packed with LZX", file("a.bin", lzx(cabOf("run.exe", exe))), "ATTACHMENT_UNOPENED EXE_IN_ARCHIVE", ""},
		{"program in a winmail.dat, which Outlook shows as attached", file("winmail.dat", tnefOf("run.exe", exe)), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"program by its content in a winmail.dat", file("winmail.dat", tnefOf("letter.pdf", exe)), "ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"archive in a winmail.dat", file("winmail.dat", tnefOf("a.zip", string(zipOf(t, "run.exe", exe)))), "EXE_IN_ARCHIVE", ""},
		{"macros in a winmail.dat", file("winmail.dat", tnefOf("a.doc", string(ole("Macros/", "_VBA_PROJECT")))), "ATTACHMENT_MACRO", ""},
		{"image of a disk in a winmail.dat", file("winmail.dat", tnefOf("a.iso", "x")), "ATTACHMENT_RISKY", ""},
		{"harmless winmail.dat", file("winmail.dat", tnefOf("a.pdf", string(pdfBytes))), "", ""},
		{"broken winmail.dat", file("winmail.dat", tnefOf("a.pdf", string(pdfBytes))[:60]), "ATTACHMENT_BROKEN", ""},
		{"archive of a kind that nobody reads", file("a.deb", []byte("!<arch>\ndebian-binary   ")), "ATTACHMENT_UNOPENED", ""},
		{"attached mail", "From: a@b.test\nContent-Type: message/rfc822\n\nSubject: www.example.com\n" + strings.TrimPrefix(file("run.exe", exeBytes), "From: a@b.test\nSubject: files\n"),
			"ATTACHMENT_EXECUTABLE", message.RejectMail},
		{"subject as the name of a mail", mail(part{"www.example.com", "message/rfc822", []byte("Subject: x\n\nhello"), ""}), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := h.Run(checktest.Mail{Text: test.text})
			var got []string
			for _, f := range res.Findings {
				got = append(got, f.Name)
				if f.Detail == "" || f.Value < 1 {
					t.Errorf("%+v", f)
				}
			}
			want := strings.Fields(test.want)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v: %+v", got, want, res.Findings)
			}
			var action message.Action
			if res.Demand != nil {
				action = res.Demand.Action
			}
			if action != test.action {
				t.Errorf("action %q, want %q", action, test.action)
			}
		})
	}
}

// TestReply: who is refused is told which file it was.
func TestReply(t *testing.T) {
	h := checktest.New(t, Spec(), "actions: {archived_executable: reject}", checks.Env{})
	for text, want := range map[string]string{
		file("run me.exe", exeBytes):                 "run me.exe",
		file("in.zip", zipOf(t, "dir/run.exe", exe)): "in.zip/dir/run.exe",
		file("winmail.dat", tnefOf("run.scr", "x")):  "winmail.dat/run.scr",
		mail(part{"", "image/png", exeBytes, ""}):    "image/png",
		file("a\u202e 554%d x.exe", []byte("x")):     "a? 554?d x.exe",
	} {
		res := h.Run(checktest.Mail{Text: text})
		want = "554 5.7.1 Attachment of a type that is not accepted here: " + want
		if res.Demand == nil || res.Demand.Reply.String() != want {
			t.Errorf("%+v, want %s", res.Demand, want)
		}
	}
}

// TestDetail: the log names the part, and nothing of a stranger's text can break it.
func TestDetail(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{})
	for text, want := range map[string]string{
		file("in.zip", zipOf(t, "dir/run.exe", exe, "b.exe", exe)):                                               "in.zip/dir/run.exe: is a Windows program (2 times)",
		file("in.zip", zipOf(t, "a\r\nb.scr", "x")):                                                              "in.zip/a??b.scr",
		file(strings.Repeat("long ", 40)+".zip", zipOf(t, "b.scr", "x")):                                         "b.scr",
		mail(part{"a.pdf", "application/octet-stream; name=b.exe", []byte("x"), ""}):                             "a.pdf: also called b.exe",
		mail(part{"", "image/png", exeBytes, ""}):                                                                "image/png: is a Windows program",
		file("a.zip", zipOf(t, "b.zip", string(zipOf(t, "c.zip", string(zipOf(t, "d.zip", string(zipOf(t)))))))): "a.zip: depth",
	} {
		res := h.Run(checktest.Mail{Text: text})
		if len(res.Findings) != 1 || res.Findings[0].Detail != want {
			t.Errorf("%+v, want %q", res.Findings, want)
		}
	}
}

func TestPolicies(t *testing.T) {
	const config = `
actions: {executable: quarantine, html: junk}
exceptions:
  - recipients: [.lab.test]
    actions: {executable: finding}
  - recipients: [strict.test, boss@own.test]
    actions: {executable: reject, macro: quarantine}
  - role: outbound
    actions: {executable: reject}
`
	h := checktest.New(t, Spec(), config, checks.Env{})
	program, macro, page := file("a.exe", exeBytes), file("a.doc", ole("VBA/")), mail(part{"a.html", "text/html", []byte("<html>"), ""})
	for _, test := range []struct {
		text string
		to   []string
		role message.Role
		want message.Action
	}{
		{program, []string{"<a@other.test>"}, "", message.Quarantine},
		{program, []string{"<a@x.lab.test>"}, "", ""},
		{program, []string{"<a@strict.test>"}, "", message.RejectMail},
		{program, []string{"<boss@own.test>"}, "", message.RejectMail},
		{program, []string{"<a@strict.test>", "<a@lab.test>"}, "", ""},
		{program, []string{"<a@strict.test>", "<a@other.test>"}, "", message.Quarantine},
		{macro, []string{"<a@strict.test>"}, "", message.Quarantine},
		{macro, []string{"<a@other.test>"}, "", ""},
		{page, []string{"<a@lab.test>"}, "", message.Junk},
		{page, nil, message.Outbound, ""},
		{program, nil, message.Outbound, message.RejectMail},
	} {
		res := h.Run(checktest.Mail{Text: test.text, To: test.to, Role: test.role})
		var got message.Action
		if res.Demand != nil {
			got = res.Demand.Action
			if res.Demand.Outbound != (test.role == message.Outbound) || res.Demand.Always {
				t.Errorf("%+v", res.Demand)
			}
		}
		if got != test.want || len(res.Findings) == 0 {
			t.Errorf("to %v %s: %q, want %q", test.to, test.role, got, test.want)
		}
	}
	if res := checktest.New(t, Spec(), "", checks.Env{}).Run(checktest.Mail{Text: program, Role: message.Outbound}); res.Demand != nil || len(res.Findings) != 1 {
		t.Errorf("outbound by default: %+v", res)
	}
}

// TestTimeIsUp: what is decoded of a file is looked at, and that it is not all of it is said.
func TestTimeIsUp(t *testing.T) {
	program := append([]byte("MZ"), make([]byte, 200<<10)...)
	text := "From: a@b.test\nContent-Type: application/octet-stream; name=a.bin\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(program) + "\n"
	for limit, want := range map[time.Duration]string{0: "ATTACHMENT_EXECUTABLE", 1: "ATTACHMENT_PARTIAL ATTACHMENT_EXECUTABLE"} { // a nanosecond is soon over
		res := checktest.New(t, Spec(), "", checks.Env{Limits: checks.Limits{MIMETime: limit}}).Run(checktest.Mail{Text: text})
		var names []string
		for _, f := range res.Findings {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("in %v: %s, want %s", limit, got, want)
		}
	}
}

// TestLimits: all archives of a message have one budget.
func TestLimits(t *testing.T) {
	h := checktest.New(t, Spec(), "", checks.Env{Limits: checks.Limits{ArchiveEntries: 3}})
	z := zipOf(t, "a", "x", "b", "x")
	res := h.Run(checktest.Mail{Text: mail(part{"1.zip", "application/zip", z, ""}, part{"2.zip", "application/zip", z, ""})})
	if len(res.Findings) != 1 || res.Findings[0].Name != findLimit || res.Findings[0].Detail != "2.zip: entries" {
		t.Errorf("%+v", res.Findings)
	}
}

// TestTime: a check that has to stop says so.
func TestTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := checktest.New(t, Spec(), "", checks.Env{}).Try(ctx, checktest.Mail{Text: file("a.exe", nil)}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestConfig(t *testing.T) {
	var got config
	if err := checktest.Section(sample).Decode(&got); err != nil || !reflect.DeepEqual(got, defaults()) {
		t.Errorf("sample.yaml is %+v, %v; the defaults are %+v", got, err, defaults())
	}
	for bad, want := range map[string]string{
		"actions: {executable: refuse}":        "finding, junk, quarantine or reject",
		"actions: {exe: reject}":               "exe",
		"exceptions: [{role: nobody}]":         "inbound or outbound",
		"exceptions: [{recipients: [a b]}]":    "recipients",
		"exceptions: [{recipients: none.txt}]": "none.txt",
	} {
		if _, err := checktest.TryNew(t, Spec(), bad, checks.Env{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "milterd.yaml:1:") {
			t.Errorf("%s: %v, want %q in it", bad, err, want)
		}
	}
}

// FuzzName: whatever is in a name, what comes out is an extension that can be compared.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"a.exe", "a.pdf.exe", "\u202eexe.pdf", "a.exe. . ", `C:\x\y.z`, "..", "a.\xff", "a。b．exe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n := readName(name)
		if strings.ContainsAny(n.extension, "./\\\x00\r\n") || n.extension != strings.TrimSpace(n.extension) {
			t.Errorf("%q: %+v", name, n)
		}
		if again := readName("x." + n.extension); again.extension != n.extension {
			t.Errorf("%q: %q, read again %q", name, n.extension, again.extension)
		}
	})
}

// FuzzContent: what a stranger attaches never fails the check, and its findings are
// those of the check.
func FuzzContent(f *testing.F) {
	for _, seed := range [][]byte{exeBytes, lnkBytes, pdfBytes, ole("VBA/", "EncryptedPackage"), zipOf(f, "run.exe", exe), encrypted(zipOf(f, "x", "y"))} {
		f.Add(seed, "a.zip")
	}
	f.Fuzz(func(t *testing.T, content []byte, name string) {
		if strings.ContainsAny(name, "\r\n\"") {
			return
		}
		h := checktest.New(t, Spec(), "", checks.Env{Limits: checks.Limits{ArchiveBytes: 1 << 20, ArchiveEntries: 20}})
		res := h.Run(checktest.Mail{Text: file(name, content)})
		for i, f := range res.Findings {
			if !slices.ContainsFunc(Spec().Findings, func(s checks.FindingSpec) bool { return s.Name == f.Name }) {
				t.Errorf("%s is no finding of this check", f.Name)
			}
			if f.Detail == "" || f.Value < 1 || slices.ContainsFunc(res.Findings[:i], func(o checks.Finding) bool { return o.Name == f.Name }) {
				t.Errorf("%+v", res.Findings)
			}
		}
	})
}

func BenchmarkRun(b *testing.B) {
	for name, text := range map[string]string{
		"text": "From: a@b.test\n\nhello\n",
		"pdf":  file("a.pdf", append(pdfBytes, bytes.Repeat([]byte("0123456789"), 10_000)...)),
		"docx": file("a.docx", zipOf(b, "[Content_Types].xml", "<Types/>", "word/document.xml", strings.Repeat("<w:t>text</w:t>", 1000), "word/styles.xml", "x")),
	} {
		b.Run(name, func(b *testing.B) {
			h := checktest.New(b, Spec(), "", checks.Env{})
			m := checktest.Mail{Text: text}.Message(b)
			defer m.Body.Release()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Check().Run(b.Context(), &checks.Input{Message: m}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
