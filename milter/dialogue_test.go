package milter_test

import (
	"fmt"
	"strings"
	"testing"

	wire "github.com/emersion/go-milter"
	"github.com/google/go-cmp/cmp"

	"milterd/milter"
	"milterd/milter/miltertest"
)

const (
	hello = `
		> O
		< O
		> C mail.example.net 4 40000 192.0.2.1
		< c
		> H mail.example.net
		< c`
	envelope = `
		> M <joe@example.net> SIZE=100
		< c
		> R <ann@example.org>
		< c`
	content = `
		> T
		< c
		> L Subject hello
		< c
		> N
		< c
		> B "a line\r\n"
		< c
		> E`
)

// What the Session hears of the scripts above.
var (
	helloHeard    = []string{"new", "connect mail.example.net 4 40000 192.0.2.1", "helo mail.example.net"}
	envelopeHeard = []string{"mail <joe@example.net> [SIZE=100]", "rcpt <ann@example.org> []"}
	contentHeard  = []string{"data", `header Subject: "hello"`, "eoh", `body "a line\r\n"`, "eom"}
)

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func list(s ...string) []string { return s }

func TestDialogue(t *testing.T) {
	no := mustReply(t, 550, "5.7.1", "No 100% sure")
	const noData = `"550 5.7.1 No 100%% sure\x00"`
	later := mustReply(t, 451, "4.7.1", "Later", "or never")
	const laterData = `"451-4.7.1 Later\r\n451 4.7.1 or never\x00"`
	busy := mustReply(t, 421, "4.7.0", "Go away")

	tests := []struct {
		name     string
		protocol wire.OptProtocol
		replies  map[string]milter.Reply
		verdict  milter.Response
		script   string
		heard    []string
	}{{
		name:   "one message",
		script: hello + envelope + content + "\n< c\n> Q\n< end",
		heard:  join(helloHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:   "second message keeps the connection's facts",
		script: hello + envelope + content + "\n< c\n> A" + envelope + content + "\n< c\n> A\n> A\n> Q\n< end",
		heard: join(helloHeard, envelopeHeard, contentHeard,
			envelopeHeard, contentHeard, list("close")),
	}, {
		name:   "second message without an abort between",
		script: hello + envelope + content + "\n< c" + envelope + content + "\n< c\n> Q\n< end",
		heard:  join(helloHeard, envelopeHeard, contentHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:    "rejected recipient loses nothing",
		replies: map[string]milter.Reply{"rcpt <bob@example.org> []": no},
		script:  hello + "\n> M <joe@example.net> SIZE=100\n< c\n> R <bob@example.org>\n< y " + noData + "\n> R <ann@example.org>\n< c" + content + "\n< c\n> Q\n< end",
		heard: join(helloHeard, list(envelopeHeard[0], "rcpt <bob@example.org> []", envelopeHeard[1]),
			contentHeard, list("close")),
	}, {
		name:    "rejected sender ends the message only",
		replies: map[string]milter.Reply{"mail <joe@example.net> [SIZE=100]": later},
		script: hello + "\n> M <joe@example.net> SIZE=100\n< y " + laterData +
			"\n> A\n> M <jim@example.net>\n< c\n> R <ann@example.org>\n< c" + content + "\n< c\n> Q\n< end",
		heard: join(helloHeard, list(envelopeHeard[0], "abort", "mail <jim@example.net> []", envelopeHeard[1]),
			contentHeard, list("close")),
	}, {
		name:    "recipient after a rejected sender is out of order",
		replies: map[string]milter.Reply{"mail": later},
		script:  hello + "\n> M <joe@example.net> SIZE=100\n< y " + laterData + "\n> R <ann@example.org>\n< end",
		heard:   join(helloHeard, list(envelopeHeard[0], "abort", "close")),
	}, {
		name:    "refused DATA, another recipient, DATA again",
		replies: map[string]milter.Reply{"data": milter.TempFail},
		script:  hello + envelope + "\n> T\n< t\n> R <bob@example.org>\n< c\n> T\n< t\n> A\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, list("data", "rcpt <bob@example.org> []", "data", "abort", "close")),
	}, {
		name:   "DATA accepted here, refused elsewhere: recipients may follow",
		script: hello + envelope + "\n> T\n< c\n> R <bob@example.org>\n< c\n> T\n< c\n> E\n< c\n> Q\n< end",
		heard:  join(helloHeard, envelopeHeard, list("data", "rcpt <bob@example.org> []", "data", "eom", "close")),
	}, {
		name:    "refused header field ends the message",
		replies: map[string]milter.Reply{"header": milter.Reject},
		script:  hello + envelope + "\n> L Subject x\n< r\n> A\n> M <>\n< c\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, list(`header Subject: "x"`, "abort", "mail <> []", "abort", "close")),
	}, {
		name:    "accepted early: no more events of this message",
		replies: map[string]milter.Reply{"rcpt": milter.Accept},
		script:  hello + "\n> M <a@b>\n< c\n> R <c@d>\n< a\n> A\n> M <e@f>\n< c\n> Q\n< end",
		heard:   join(helloHeard, list("mail <a@b> []", "rcpt <c@d> []", "abort", "mail <e@f> []", "abort", "close")),
	}, {
		name:    "refused connection stays refused",
		replies: map[string]milter.Reply{"connect": busy},
		script: `
			> O
			< O
			> C x 4 1 192.0.2.1
			< y "421 4.7.0 Go away\x00"
			> H x
			< y "421 4.7.0 Go away\x00"
			> M <a@b>
			< y "421 4.7.0 Go away\x00"
			> Q
			< end`,
		heard: list("new", "connect x 4 1 192.0.2.1", "close"),
	}, {
		name:    "refused HELO, another name",
		replies: map[string]milter.Reply{"helo bad": no},
		script: `
			> O
			< O
			> C x U
			< c
			> H bad
			< y ` + noData + `
			> H good
			< c
			> M <a@b>
			< c
			> Q
			< end`,
		heard: list("new", "connect x U", "helo bad", "helo good", "mail <a@b> []", "abort", "close"),
	}, {
		name:   "second HELO after STARTTLS, HELO in the envelope",
		script: hello + "\n> H mail.example.net\n< c" + envelope + "\n> H again\n< c\n> A" + envelope + content + "\n< c\n> Q\n< end",
		heard: join(helloHeard, list("helo mail.example.net"), envelopeHeard,
			list("helo again", "abort"), envelopeHeard, contentHeard, list("close")),
	}, {
		name:   "MAIL again without ABORT",
		script: hello + envelope + envelope + content + "\n< c\n> Q\n< end",
		heard:  join(helloHeard, envelopeHeard, list("abort"), envelopeHeard, contentHeard, list("close")),
	}, {
		name:   "ABORT at any time",
		script: "> O\n< O\n> A\n> C x L /run/x\n< c\n> A\n> A\n> H x\n< c\n> A" + envelope + "\n> L a b\n< c\n> A\n> A\n> Q\n< end",
		heard: join(list("new", "connect x L /run/x", "helo x"), envelopeHeard,
			list(`header a: "b"`, "abort", "close")),
	}, {
		name:   "QUIT_NC begins another session",
		script: hello + envelope + "\n> K\n> C other 6 25 2001:db8::1\n< c\n> H other\n< c\n> Q\n< end",
		heard: join(helloHeard, envelopeHeard, list("abort", "close",
			"new", "connect other 6 25 2001:db8::1", "helo other", "close")),
	}, {
		name:   "unknown command changes nothing",
		script: hello + envelope + "\n> U \"FOO bar\"\n< c" + content + "\n< c\n> Q\n< end",
		heard:  join(helloHeard, envelopeHeard, list("unknown FOO bar"), contentHeard, list("close")),
	}, {
		name:    "unknown command refused",
		replies: map[string]milter.Reply{"unknown": no, "unknown BAR": milter.Accept},
		script:  hello + envelope + "\n> U FOO\n< y " + noData + "\n> U BAR\n< c" + content + "\n< c\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, list("unknown FOO", "unknown BAR"), contentHeard, list("close")),
	}, {
		name:   "macros for stages nobody knows",
		script: "> O\n< O\n> D X a b\n> D U a b\n> D O\n> D C\n> C x U\n< c\n> Q\n< end",
		heard:  list("new", "connect x U", "close"),
	}, {
		name:   "sendmail(1): no brackets, null sender empty",
		script: hello + "\n> M \"\"\n< c\n> R root\n< c\n> E\n< c\n> Q\n< end",
		heard:  join(helloHeard, list("mail  []", "rcpt root []", "eom", "close")),
	}, {
		name:   "body in the end of message command",
		script: hello + envelope + "\n> N\n< c\n> raw 0000000545 \"abc\\n\"\n< c\n> Q\n< end",
		heard:  join(helloHeard, envelopeHeard, list("eoh", `body "abc\n"`, "eom", "close")),
	}, {
		name:    "body in the end of message command, refused",
		replies: map[string]milter.Reply{"body": milter.TempFail},
		script:  hello + envelope + "\n> N\n< c\n> raw 0000000545 \"abc\\n\"\n< t\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, list("eoh", `body "abc\n"`, "abort", "close")),
	}, {
		name:     "SKIP granted",
		protocol: wire.OptSkip,
		replies:  map[string]milter.Reply{"body": milter.Skip},
		script:   hello + envelope + "\n> N\n< c\n> B 1\n< s\n> B 2\n< s\n> E\n< c" + envelope + "\n> B 3\n< s\n> Q\n< end",
		heard: join(helloHeard, envelopeHeard, list("eoh", `body "1"`, "eom"), envelopeHeard,
			list(`body "3"`, "abort", "close")),
	}, {
		name:    "SKIP not granted: the rest is swallowed here",
		replies: map[string]milter.Reply{"body": milter.Skip, "eoh": milter.Skip, "eom": milter.Skip},
		script:  hello + envelope + "\n> N\n< c\n> B 1\n< c\n> B 2\n< c\n> E\n< c\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, list("eoh", `body "1"`, "eom", "close")),
	}, {
		name:    "DISCARD is not for CONNECT",
		replies: map[string]milter.Reply{"connect": milter.Discard},
		script:  "> O\n< O\n> C x U\n< t\n> Q\n< end",
		heard:   list("new", "connect x U", "close"),
	}, {
		name:    "DISCARD at end of message",
		verdict: milter.Response{Reply: milter.Discard, Edits: []milter.Edit{milter.AddHeader("X", "y")}},
		script:  hello + envelope + content + "\n< d\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:    "edits, then the verdict",
		verdict: milter.Response{Edits: []milter.Edit{milter.InsertHeader(0, "A", "b\n\tc"), milter.DeleteHeader(2, "X"), milter.Quarantine("why"), milter.ChangeFrom("<x@y>")}},
		script:  hello + envelope + content + "\n< m \"\\x00\\x00\\x00\\x02X\\x00\\x00\"\n< i \"\\x00\\x00\\x00\\x00A\\x00b\\n\\tc\\x00\"\n< e \"<x@y>\\x00\"\n< q \"why\\x00\"\n< c\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:     "LEADSPC granted: values get their space",
		protocol: wire.OptHeaderLeadingSpace,
		verdict:  milter.Response{Edits: []milter.Edit{milter.AddHeader("A", "b"), milter.ChangeHeader(1, "C", "d")}},
		script:   hello + envelope + content + "\n< m \"\\x00\\x00\\x00\\x01C\\x00 d\\x00\"\n< h \"A\\x00 b\\x00\"\n< c\n> Q\n< end",
		heard:    join(helloHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:    "refusal drops the edits",
		verdict: milter.Response{Reply: no, Edits: []milter.Edit{milter.AddHeader("A", "b")}},
		script:  hello + envelope + content + "\n< y " + noData + "\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:    "one bad edit: none is made, the message waits",
		verdict: milter.Response{Edits: []milter.Edit{milter.AddHeader("A", "b"), milter.AddHeader("X", "y\r\nBcc: z")}},
		script:  hello + envelope + content + "\n< y \"451 4.3.0 Local filter error\\x00\"" + envelope + content + "\n< y \"451 4.3.0 Local filter error\\x00\"\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, contentHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:    "an edit the MTA did not offer",
		verdict: milter.Response{Edits: []milter.Edit{milter.AddHeader("A", "b"), milter.Quarantine("why")}},
		script:  strings.Replace(hello, "> O", "> O 6 0x1", 1) + envelope + content + "\n< y \"451 4.3.0 Local filter error\\x00\"\n> Q\n< end",
		heard:   join(helloHeard, envelopeHeard, contentHeard, list("close")),
	}, {
		name:     "muted HELO and MAIL: the refusal comes at RCPT, and at DATA, and at the end",
		protocol: wire.OptNoHeloReply | wire.OptNoMailReply | wire.OptNoHeaderReply | wire.OptNoEOHReply,
		replies:  map[string]milter.Reply{"mail": no},
		script: "> O\n< O\n> C x U\n< c\n> H x\n> M <a@b>\n> R <c@d>\n< y " + noData + "\n> R <e@f>\n< y " + noData +
			"\n> T\n< y " + noData + "\n> L a b\n> N\n> E\n< y " + noData + "\n> M <g@h>\n> A\n> Q\n< end",
		heard: list("new", "connect x U", "helo x", "mail <a@b> []", "abort", "mail <g@h> []", "abort", "close"),
	}, {
		name:     "muted CONNECT: the refusal comes with every answer",
		protocol: wire.OptNoConnReply,
		replies:  map[string]milter.Reply{"connect": no},
		script:   "> O\n< O\n> C x U\n> H x\n< y " + noData + "\n> M <a@b>\n< y " + noData + "\n> Q\n< end",
		heard:    list("new", "connect x U", "close"),
	}, {
		name:     "muted header: the Session hears no more, the refusal comes at EOH",
		protocol: wire.OptNoHeaderReply,
		replies:  map[string]milter.Reply{"header a": milter.Continue, `header b: "2"`: later},
		script:   hello + envelope + "\n> L a 1\n> L b 2\n> L c 3\n> N\n< y " + laterData + "\n> A" + envelope + content[:strings.Index(content, "> L")] + "> L a 1\n> N\n< c\n> E\n< c\n> Q\n< end",
		heard: join(helloHeard, envelopeHeard, list(`header a: "1"`, `header b: "2"`, "abort"),
			envelopeHeard, list("data", `header a: "1"`, "eoh", "eom", "close")),
	}, {
		name:     "everything muted: the verdict is all there is",
		protocol: milter.AllProtocol &^ 0x7f &^ (wire.OptNoUnknown | wire.OptNoData),
		verdict:  milter.Response{Reply: milter.Reject},
		script:   "> O\n< O\n> C x U\n> H x\n> M <a@b>\n> R <c@d>\n> T\n> U FOO\n> L a b\n> N\n> B x\n> E\n< r\n> Q\n< end",
		heard: list("new", "connect x U", "helo x", "mail <a@b> []", "rcpt <c@d> []", "data", "unknown FOO",
			`header a: "b"`, "eoh", `body "x"`, "eom", "close"),
	}, {
		name:     "everything left out: only the end of message",
		protocol: 0x7f | wire.OptNoUnknown | wire.OptNoData,
		script:   "> O\n< O\n> D C j x\n> D M i 1\n> E\n< c\n> D E i 2\n> E\n< c\n> Q\n< end",
		heard:    list("new", "eom", "eom", "close"),
	}, {
		name:   "connection lost in a message",
		script: hello + envelope,
		heard:  join(helloHeard, envelopeHeard, list("abort", "close")),
	}, {
		name:   "old MTA, version 2",
		script: "> O 2 0x3f 0x7f\n< O \"\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x3d\\x00\\x00\\x00\\x00\"\n> C x U\n< c\n> Q\n< end",
		heard:  list("new", "connect x U", "close"),
	}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := &miltertest.Filter{Replies: test.replies, Verdict: test.verdict}
			s := newServer(f)
			s.Protocol = test.protocol
			t.Run("play", func(t *testing.T) { miltertest.Play(t, pipe(t, s), test.script) })
			if diff := cmp.Diff(test.heard, f.Events()); diff != "" {
				t.Errorf("heard (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProtocolErrors(t *testing.T) {
	tests := []struct {
		name   string
		script string
		reason milter.Reason
	}{
		{"HTTP", `> raw "GET / HTTP/1.1\r\nHost: x\r\n\r\n"`, milter.ReasonNotMilter},
		{"TLS", `> raw 1603010200 010001fc0303`, milter.ReasonNotMilter},
		{"SMTP", `> raw "EHLO x\r\n"`, milter.ReasonNotMilter},
		{"zeros", `> raw 0000000000000000`, milter.ReasonNotMilter},
		{"just over the first frame", `> raw 00000201`, milter.ReasonNotMilter},
		{"first command is not a negotiation", `> raw 0000000143`, milter.ReasonNotMilter},
		{"first command is not a negotiation, before its data came", `> raw 0000010043`, milter.ReasonNotMilter},
		{"short negotiation", `> raw 00000005 4f 00000006`, milter.ReasonNotMilter},
		{"long negotiation", `> raw 00000011 4f 00000006 000001ff 001fffff 00000000`, milter.ReasonNotMilter},
		{"version 1", "> O 1", milter.ReasonVersion},
		{"empty frame", "> O\n< O\n> raw 00000000", milter.ReasonEmptyFrame},
		{"oversize frame", "> O\n< O\n> raw 00100001", milter.ReasonOversize},
		{"oversize frame, signed", "> O\n< O\n> raw ffffffff", milter.ReasonOversize},
		{"unknown letter before its data came", "> O\n< O\n> raw 00010000 7a", milter.ReasonUnknownCode},
		{"reply as command", "> O\n< O\n> raw 00000001 63", milter.ReasonUnknownCode},
		{"second negotiation", "> O\n< O\n> O", milter.ReasonOutOfOrder},
		{"HELO before CONNECT", "> O\n< O\n> H x", milter.ReasonOutOfOrder},
		{"MAIL before CONNECT", "> O\n< O\n> M <a@b>", milter.ReasonOutOfOrder},
		{"CONNECT twice", hello + "\n> C x U", milter.ReasonOutOfOrder},
		{"RCPT before MAIL", hello + "\n> R <a@b>", milter.ReasonOutOfOrder},
		{"DATA before MAIL", hello + "\n> T", milter.ReasonOutOfOrder},
		{"end of message before MAIL", hello + "\n> E", milter.ReasonOutOfOrder},
		{"MAIL in the header", hello + envelope + "\n> L a b\n< c\n> M <a@b>", milter.ReasonOutOfOrder},
		{"RCPT in the header", hello + envelope + "\n> L a b\n< c\n> R <a@b>", milter.ReasonOutOfOrder},
		{"HELO in the header", hello + envelope + "\n> L a b\n< c\n> H x", milter.ReasonOutOfOrder},
		{"unknown command in the header", hello + envelope + "\n> L a b\n< c\n> U x", milter.ReasonOutOfOrder},
		{"header after its end", hello + envelope + "\n> N\n< c\n> L a b", milter.ReasonOutOfOrder},
		{"end of header twice", hello + envelope + "\n> N\n< c\n> N", milter.ReasonOutOfOrder},
		{"end of header after body", hello + envelope + "\n> B x\n< c\n> N", milter.ReasonOutOfOrder},
		{"CONNECT without data", "> O\n< O\n> raw 0000000143", milter.ReasonMalformed},
		{"CONNECT without a family", "> O\n< O\n> raw 0000000343 7800", milter.ReasonMalformed},
		{"CONNECT of a strange family", "> O\n< O\n> raw 0000000443 7800 39", milter.ReasonMalformed},
		{"CONNECT with half a port", "> O\n< O\n> raw 0000000543 7800 34 00", milter.ReasonMalformed},
		{"CONNECT with an open address", "> O\n< O\n> raw 0000000743 7800 34 0019 31", milter.ReasonMalformed},
		{"CONNECT with more behind", "> O\n< O\n> raw 0000000543 7800 55 00", milter.ReasonMalformed},
		{"HELO without its NUL", "> O\n< O\n> C x U\n< c\n> raw 0000000248 78", milter.ReasonMalformed},
		{"HELO with two strings", "> O\n< O\n> C x U\n< c\n> H x y", milter.ReasonMalformed},
		{"MAIL without data", hello + "\n> M", milter.ReasonMalformed},
		{"MAIL without its NUL", hello + "\n> raw 000000054d 3c613e 20", milter.ReasonMalformed},
		{"header without a value", hello + envelope + "\n> L a", milter.ReasonMalformed},
		{"header with a third string", hello + envelope + "\n> L a b c", milter.ReasonMalformed},
		{"unknown command without its NUL", hello + "\n> raw 0000000255 78", milter.ReasonMalformed},
		{"macros without a command", "> O\n< O\n> D", milter.ReasonMalformed},
		{"macros, odd", "> O\n< O\n> D C a", milter.ReasonMalformed},
		{"macros as they should be", "> O\n< O\n> raw 00000006 44 43 61 00 62 00", ""},
		{"macros without their last NUL", "> O\n< O\n> raw 00000005 44 43 61 00 62", milter.ReasonMalformed},
		{"macros without end", "> O\n< O\n" + "> D C a " + strings.Repeat("x", 20000) + "\n> D M b " + strings.Repeat("y", 20000), milter.ReasonMacros},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log logbook
			var reasons []milter.Reason
			s := newServer(&miltertest.Filter{})
			s.Logger = log.logger()
			s.Hooks.ProtocolError = func(r milter.Reason) { reasons = append(reasons, r) }
			script := test.script + "\n< end"
			if test.reason == "" {
				script = test.script + "\n> Q\n< end"
			}
			t.Run("play", func(t *testing.T) { miltertest.Play(t, pipe(t, s), script) })
			if test.reason == "" {
				if len(reasons) != 0 {
					t.Fatalf("reasons %v", reasons)
				}
				return
			}
			if len(reasons) != 1 || reasons[0] != test.reason {
				t.Errorf("reasons %v, expected %s", reasons, test.reason)
			}
			lines := log.lines()
			if len(lines) != 1 || !strings.Contains(lines[0], "reason="+string(test.reason)) || len(lines[0]) > 400 {
				t.Errorf("log: %q", lines)
			}
			for _, c := range lines[0] {
				if c < ' ' || c > '~' {
					t.Errorf("byte %#x in the log", c)
				}
			}
		})
	}
}

// What is asked for is what the MTA offers, no more.
func TestNegotiation(t *testing.T) {
	for _, test := range []struct {
		offer, answer string
	}{
		{"> O", "0006 01fd 00100480 j i"},
		{"> O 6 0xff 0x1fffff", "0006 00fd 00100480"},
		{"> O 6 0x1 0x400", "0006 0001 00000400"},
		{"> O 4 0x3f 0x7f", "0004 003d 00000000"},
		{"> O 99 0x3f 0x300fffff", "0006 003d 00000480"},
	} {
		t.Run(test.offer, func(t *testing.T) {
			s := newServer(&miltertest.Filter{})
			s.Protocol = wire.OptSkip | wire.OptNoHeaderReply | wire.OptHeaderLeadingSpace
			s.Macros = map[wire.Stage][]string{wire.StageMailFrom: {"i", "{auth_authen}"}, wire.StageConnect: {"j"}}
			nc := pipe(t, s)
			miltertest.Play(t, nc, test.offer)
			code, data, err := miltertest.ReadFrame(nc)
			if err != nil || code != 'O' {
				t.Fatal(code, err)
			}
			got := fmt.Sprintf("%x %x %x", data[2:4], data[6:8], data[8:12])
			if rest := string(data[12:]); rest == "\x00\x00\x00\x00j\x00\x00\x00\x00\x02i {auth_authen}\x00" {
				got += " j i"
			} else if rest != "" {
				t.Errorf("macro lists %q", rest)
			}
			if got != test.answer {
				t.Errorf("got %s, expected %s", got, test.answer)
			}
		})
	}
}
