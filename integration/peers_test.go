package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gomilter "github.com/emersion/go-milter"
)

// TestGoMilterClient lets go-milter's client stand for the MTA: it offers less than
// Postfix does and never asks for macros.
func TestGoMilterClient(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")
	for network, addr := range map[string]string{"unix": d.Socket(), "tcp": shared.inet.Addr()} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			client := gomilter.NewDefaultClient(network, addr)
			session, err := client.Session()
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			wantContinue(t, "CONNECT")(session.Conn("mail.sender.test", gomilter.FamilyInet, 40000, "203.0.113.7"))
			wantContinue(t, "HELO")(session.Helo("mail.sender.test"))

			edits, action := playMessage(t, session, "hello")
			check(t, action.Code == gomilter.ActAccept || action.Code == gomilter.ActContinue, "ham: %+v", action)
			check(t, added(edits, "Authentication-Results", "spf=pass"), "no Authentication-Results in %+v", edits)
			check(t, added(edits, "X-Spam-Status", "No, score="), "no X-Spam-Status in %+v", edits)

			_, action = playMessage(t, session, gtube)
			check(t, action.Code == gomilter.ActReplyCode && action.SMTPCode == 554, "GTUBE, second message of the session: %+v", action)
		})
	}
}

func wantContinue(t *testing.T, command string) func(*gomilter.Action, error) {
	return func(a *gomilter.Action, err error) {
		t.Helper()
		check(t, err == nil && a.Code == gomilter.ActContinue, "%s: %+v, %v", command, a, err)
	}
}

// playMessage sends one message from joe to alice and returns what the milter wants
// changed and its last word.
func playMessage(t *testing.T, s *gomilter.ClientSession, body string) ([]gomilter.ModifyAction, *gomilter.Action) {
	t.Helper()
	step := wantContinue(t, "envelope or header")
	if err := s.Macros(gomilter.CodeMail, "{mail_addr}", joe); err != nil {
		t.Fatal(err)
	}
	step(s.Mail(joe, nil))
	step(s.Rcpt(alice, nil))
	if err := s.Macros(gomilter.CodeHeader, "i", "4bVxYz"); err != nil {
		t.Fatal(err)
	}
	m := newMail(t, body)
	step(s.HeaderField("From", " "+m.From))
	step(s.HeaderField("Subject", " "+m.Subject))
	step(s.HeaderField("Message-ID", " <"+m.MessageID()+">"))
	step(s.HeaderEnd())
	step(s.BodyChunk([]byte(body + "\r\n")))
	edits, action, err := s.End()
	if err != nil {
		t.Fatal(err)
	}
	return edits, action
}

// added reports whether the milter adds a field with that name and text.
func added(edits []gomilter.ModifyAction, name, text string) bool {
	for _, e := range edits {
		adds := e.Code == gomilter.ActAddHeader || e.Code == gomilter.ActInsertHeader
		if adds && e.HeaderName == name && strings.Contains(e.HeaderValue, text) {
			return true
		}
	}
	return false
}

// TestMiltertest lets the test program of OpenDKIM, written on libmilter's own
// headers, stand for the MTA.
func TestMiltertest(t *testing.T) {
	t.Parallel()
	d := daemon(t, "milterd")
	if _, err := exec.LookPath("miltertest"); err != nil {
		skipLoudly(t, "miltertest as a peer. integration/install.sh installs it")
	}
	script := filepath.Join(t.TempDir(), "peer.lua")
	if err := os.WriteFile(script, []byte(miltertestScript), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, socket := range map[string]string{"unix": "unix:" + d.Socket(), "inet": fmt.Sprintf("inet:%d@127.0.0.1", shared.inet.Number)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := run(within(t), nil, "miltertest", "-D", "socket="+socket, "-D", "gtube="+gtube, "-s", script)
			check(t, err == nil && strings.Contains(out, "all is well"), "miltertest: %v\n%s", err, out)
		})
	}
}

// miltertestScript prints its own errors, which miltertest keeps to itself. It sees
// that a message was refused by the kind of reply only: MT_SMTPREPLY, for all its
// manual says, never finds one.
const miltertestScript = `
local function want(what, err, reply)
	if err ~= nil then error(what .. ": " .. err) end
	if reply ~= nil and mt.getreply(conn) ~= reply then
		error(what .. ": unexpected reply " .. string.char(mt.getreply(conn)))
	end
end

local function greet()
	conn = mt.connect(socket, 10, 0.1)
	if conn == nil then error("no connection to " .. socket) end
	want("CONNECT", mt.conninfo(conn, "mail.sender.test", "203.0.113.7"), SMFIR_CONTINUE)
	want("HELO", mt.helo(conn, "mail.sender.test"), SMFIR_CONTINUE)
end

local function play(body)
	mt.macro(conn, SMFIC_MAIL, "i", "4bVxYz")
	want("MAIL", mt.mailfrom(conn, "<joe@sender.test>"), SMFIR_CONTINUE)
	want("RCPT", mt.rcptto(conn, "<alice@example.test>"), SMFIR_CONTINUE)
	want("From", mt.header(conn, "From", "joe@sender.test"))
	want("forged", mt.header(conn, "X-Spam-Flag", "YES"))
	want("Subject", mt.header(conn, "Subject", "from miltertest"))
	want("EOH", mt.eoh(conn))
	want("BODY", mt.bodystring(conn, body .. "\r\n"))
	want("EOM", mt.eom(conn))
	return mt.getreply(conn)
end

local function all()
	greet()
	local reply = play("hello")
	if reply ~= SMFIR_ACCEPT and reply ~= SMFIR_CONTINUE then error("ham: " .. string.char(reply)) end
	for _, name in ipairs({"Authentication-Results", "X-Spam-Status"}) do
		if not mt.eom_check(conn, MT_HDRINSERT, name) then error("no " .. name) end
	end
	if not mt.eom_check(conn, MT_HDRDELETE, "X-Spam-Flag") then error("the forged X-Spam-Flag is left in") end
	reply = play(gtube)
	if reply ~= SMFIR_REPLYCODE then error("GTUBE: " .. string.char(reply)) end
	mt.disconnect(conn)

	-- A client that starts over, and one that leaves in the middle.
	greet()
	want("MAIL", mt.mailfrom(conn, "<joe@sender.test>"), SMFIR_CONTINUE)
	want("ABORT", mt.abort(conn))
	want("MAIL again", mt.mailfrom(conn, "<joe@sender.test>"), SMFIR_CONTINUE)
	mt.disconnect(conn, false)
end

local fine, err = pcall(all)
mt.echo(fine and "all is well" or err)
`
