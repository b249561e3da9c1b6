package integration

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scanListeners are the smtpds whose daemons ask a clamd, or look at attachments in
// their own way.
func scanListeners() []Listener {
	var list []Listener
	for _, name := range []string{"clam", "clam-optional", "attachments"} {
		list = append(list, Listener{Name: name, Milter: "unix:milterd/" + name + ".sock"})
	}
	return append(list, Listener{Name: "clam-submission", Milter: "unix:milterd/clam.sock", Options: []string{"smtpd_sasl_auth_enable = yes"}})
}

// attach makes a mail of a text and a file.
func attach(t *testing.T, name string, content []byte) Mail {
	m := newMail(t, "--BB\n\nsee attached\n--BB\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=\""+name+
		"\"\nContent-Transfer-Encoding: base64\n\n"+base64.StdEncoding.EncodeToString(content)+"\n--BB--")
	m.Header = []string{"MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=BB"}
	return m
}

// zipped packs one file.
func zipped(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	to, err := w.Create(name)
	if err == nil {
		_, err = to.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// startScanning starts a daemon with a clamd beside it, both for this test alone.
func startScanning(t *testing.T, name, yaml string) (*Daemon, *Clamd) {
	t.Helper()
	b := testBed(t)
	if missing := MissingClamd(); missing != "" {
		skipLoudly(t, "malware. "+missing)
	}
	c, err := b.StartClamd(within(t), name)
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Log.Tail(10))
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	d, err := startDaemon(name, DaemonConfig{YAML: fmt.Sprintf(yaml, c.Socket)})
	if err != nil {
		t.Fatal(err)
	}
	return d, c
}

// TestMalware sends the test file through Postfix to a milterd that asks a real clamd,
// and takes that away.
func TestMalware(t *testing.T) {
	t.Parallel()
	d, clamd := startScanning(t, "clam", `
checks: {clamav: {enabled: true, timeout: 3s, sockets: ["unix:%s"]}}
networks: {relays: [198.51.100.0/24]}
`)
	harmless := func(t *testing.T) {
		t.Helper()
		m := attach(t, "letter.txt", []byte("nothing to see here, really"))
		r := send(t, dial(t, "clam", stranger), m)
		check(t, r.Code == 250, "harmless mail: %v", r)
		check(t, len(find(t, alice, "INBOX", m).Named("X-Milterd-Unscanned")) == 0, "scanned, and marked as if not")
	}
	harmless(t)
	for name, m := range map[string]Mail{
		"attached":      attach(t, "letter.txt", []byte(Eicar)),
		"in an archive": attach(t, "letter.zip", zipped(t, "letter.txt", []byte(Eicar))),
	} {
		r := send(t, dial(t, "clam", stranger), m)
		id := wantRefusal(t, r, 554, "5.7.1")
		check(t, strings.Contains(r.Text(), "Malware detected") && !strings.Contains(strings.ToLower(r.Text()), "eicar"), "%s: %v", name, r)
		v, err := d.VerdictOf(within(t), id)
		check(t, err == nil && v["action"] == "reject" && strings.Contains(v["findings"], "CLAMAV_FOUND"), "%s: %v, %v", name, v, err)
		out, code, err := d.Command(within(t), "why", id)
		check(t, err == nil && code == 0 && strings.Contains(out, "Test.Eicar.UNOFFICIAL"), "%s: why says %d, %v:\n%s", name, code, err, out)
	}

	t.Run("our own users", func(t *testing.T) {
		c := dial(t, "clam-submission", "")
		if err := errors.Join(c.StartTLS(), c.Auth(alice, "pass")); err != nil {
			t.Fatal(err)
		}
		m := attach(t, "letter.txt", []byte(Eicar))
		m.From, m.To = alice, "x@remote.test"
		wantRefusal(t, sendFrom(t, c, alice, m, m.To), 554, "5.7.1")
	})
	t.Run("a relay of ours", func(t *testing.T) {
		m := attach(t, "letter.txt", []byte(Eicar))
		r := send(t, dial(t, "clam", "ADDR=198.51.100.25 NAME=backup.relay.test PORT=40003"), m)
		check(t, r.Code == 250, "%v", r)
		v := verdict(t, d, r.QueueID())
		check(t, v["action"] == "quarantine", "%v", v)
		wantHeld(t, r.QueueID())
	})
	t.Run("clamd hangs", func(t *testing.T) {
		if err := clamd.Freeze(); err != nil {
			t.Fatal(err)
		}
		r := send(t, dial(t, "clam", stranger), attach(t, "letter.txt", []byte("hello again, nobody is looking")))
		wantRefusal(t, r, 451, "4.3.0")
		check(t, strings.Contains(r.Text(), "Content scan unavailable"), "%v", r)
		if err := clamd.Thaw(); err != nil {
			t.Fatal(err)
		}
		harmless(t)
	})
	t.Run("clamd crashes and comes back", func(t *testing.T) {
		if err := clamd.Kill(); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, send(t, dial(t, "clam", stranger), attach(t, "letter.txt", []byte("is anybody looking at this?"))), 451, "4.3.0")
		if err := clamd.Start(within(t)); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, send(t, dial(t, "clam", stranger), attach(t, "letter.txt", []byte(Eicar))), 554, "5.7.1")
		harmless(t)
	})
	n, err := d.Metric(within(t), "milterd_clamav_socket_failures_total")
	check(t, err == nil && n > 0, "failures: %v, %v", n, err)
}

// wantHeld wants a message in Postfix's hold queue.
func wantHeld(t *testing.T, id string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(testBed(t).Dir(), "spool/hold", id))
	check(t, err == nil, "%s is not held: %v", id, err)
}

// TestMalwareOptional: where clamd is not required, mail goes on without it and says so.
func TestMalwareOptional(t *testing.T) {
	t.Parallel()
	d, clamd := startScanning(t, "clam-optional", `
checks: {clamav: {enabled: true, required: false, timeout: 2s, sockets: ["unix:/nowhere/clamd.ctl", "unix:%s"]}}
`)
	wantRefusal(t, send(t, dial(t, "clam-optional", stranger), attach(t, "letter.txt", []byte(Eicar))), 554, "5.7.1")
	if err := clamd.Kill(); err != nil {
		t.Fatal(err)
	}
	m := attach(t, "letter.txt", []byte("hello there, without a scanner"))
	r := send(t, dial(t, "clam-optional", stranger), m)
	check(t, r.Code == 250, "%v", r)
	got := find(t, alice, "INBOX", m)
	check(t, got.Get("X-Milterd-Unscanned") == "clamav", "X-Milterd-Unscanned: %q", got.All("X-Milterd-Unscanned"))
	v := verdict(t, d, r.QueueID())
	check(t, strings.Contains(v["findings"], "CLAMAV_UNSCANNED") && v["score"] != "", "%v", v)
	if err := clamd.Start(context.WithoutCancel(within(t))); err != nil {
		t.Fatal(err)
	}
}

// TestAttachments sends files that are refused, filed, held and let through.
func TestAttachments(t *testing.T) {
	t.Parallel()
	testBed(t)
	d, err := startDaemon("attachments", DaemonConfig{YAML: `
checks:
  attachments:
    actions: {executable: reject, macro: quarantine}
    exceptions: [{recipients: [second.test], actions: {executable: finding}}]
`})
	if err != nil {
		t.Fatal(err)
	}
	program := append([]byte("MZ\x90\x00"), make([]byte, 300)...)
	r := send(t, dial(t, "attachments", stranger), attach(t, "invoice.pdf", program))
	id := wantRefusal(t, r, 554, "5.7.1")
	check(t, strings.Contains(r.Text(), "is not accepted here: invoice.pdf ("), "the file is not named: %v", r)
	out, code, err := d.Command(within(t), "why", id)
	check(t, err == nil && code == 0 && strings.Contains(out, "invoice.pdf: is a Windows program"), "why says %d, %v:\n%s", code, err, out)

	// What Outlook has wrapped up is as if it were attached itself.
	r = send(t, dial(t, "attachments", stranger), attach(t, "winmail.dat", winmail("invoice.exe", program)))
	wantRefusal(t, r, 554, "5.7.1")
	check(t, strings.Contains(r.Text(), ": winmail.dat/invoice.exe ("), "the file is not named: %v", r)
	r = send(t, dial(t, "attachments", stranger), attach(t, "tools.deb", []byte("!<arch>\ndebian-binary   1")))
	check(t, r.Code == 250 && strings.Contains(verdict(t, d, r.QueueID())["findings"], "ATTACHMENT_UNOPENED"), "nobody says that it was not opened: %v", r)

	m := attach(t, "invoice.zip", zipped(t, "invoice.exe", program))
	r = send(t, dial(t, "attachments", stranger), m)
	check(t, r.Code == 250, "%v", r)
	check(t, find(t, alice, "Junk", m).Get("X-Spam-Flag") == "YES", "not flagged")
	v := verdict(t, d, r.QueueID())
	check(t, v["action"] == "junk" && strings.Contains(v["findings"], "EXE_IN_ARCHIVE"), "%v", v)

	m = attach(t, "report.docm", zipped(t, "word/vbaProject.bin", []byte("x")))
	r = send(t, dial(t, "attachments", stranger), m)
	check(t, r.Code == 250, "%v", r)
	wantHeld(t, r.QueueID())

	r = send(t, dial(t, "attachments", stranger), attach(t, "setup.exe", program), carol)
	check(t, r.Code == 250, "an exception: %v", r)
	r = send(t, dial(t, "attachments", stranger), attach(t, "setup.exe", program), carol, alice)
	check(t, r.Code == 250, "an exception for one of two: %v", r)
}

// winmail makes a winmail.dat with one file ([MS-OXTNEF], section 2.1).
func winmail(name string, content []byte) []byte {
	out := []byte("\x78\x9f\x3e\x22\x01\x00")
	for _, a := range []struct {
		id   uint32
		data []byte
	}{{0x00069002, make([]byte, 14)}, {0x00018010, append([]byte(name), 0)}, {0x0006800f, content}} {
		out = binary.LittleEndian.AppendUint32(append(out, 2), a.id)
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(a.data))), a.data...)
		out = append(out, 0, 0) // a checksum
	}
	return out
}
