package engine

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"milterd/message"
)

// mail is a message with an envelope, for policies to look at.
func mail(from, to, client, login string) (*message.Message, *message.Recipient) {
	m := &message.Message{
		MailFrom: message.ParsePath(from), Login: login,
		Session:    &message.Session{Client: netip.MustParseAddr(client)},
		Recipients: []message.Recipient{{Path: message.ParsePath(to)}},
	}
	return m, &m.Recipients[0]
}

// TestPolicyFits: a policy holds where all the keys that it gives fit.
func TestPolicyFits(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "staff.txt"), []byte("ann@here.test # the founder\n.board.here.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, keys              string
		from, to, client, login string
		want                    bool
	}{
		{"recipient", "recipient: [ann@here.test]", "<x@y.test>", "<Ann@HERE.test>", "192.0.2.1", "", true},
		{"another recipient", "recipient: [ann@here.test]", "<x@y.test>", "<bob@here.test>", "192.0.2.1", "", false},
		{"recipient in a file", "recipient: " + dir + "/staff.txt", "<x@y.test>", "<bob@old.board.here.test>", "192.0.2.1", "", true},
		{"a recipient without a domain", "recipient: [ann@here.test]", "<x@y.test>", "<postmaster>", "192.0.2.1", "", false},
		{"sender", "sender: [.y.test]", "<x@mail.y.test>", "<ann@here.test>", "192.0.2.1", "", true},
		{"the null sender is nobody", "sender: [.y.test]", "<>", "<ann@here.test>", "192.0.2.1", "", false},
		{"network", "network: [192.0.2.0/24]", "<x@y.test>", "<ann@here.test>", "::ffff:192.0.2.1", "", true},
		{"another network", "network: [192.0.2.0/24, \"2001:db8::/32\"]", "<x@y.test>", "<ann@here.test>", "192.0.3.1", "", false},
		{"login", "login: [joe, ann]", "<x@y.test>", "<ann@here.test>", "192.0.2.1", "ann", true},
		{"no login", "login: [joe]", "<x@y.test>", "<ann@here.test>", "192.0.2.1", "", false},
		{"all of them", "{recipient: [here.test], sender: [y.test], network: [192.0.2.1], login: [joe]}", "<x@y.test>", "<ann@here.test>", "192.0.2.1", "joe", true},
		{"all but one", "{recipient: [here.test], sender: [y.test], network: [192.0.2.1], login: [joe]}", "<x@y.test>", "<ann@here.test>", "192.0.2.2", "joe", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := strings.Trim(c.keys, "{}")
			if !strings.HasPrefix(c.keys, "{") {
				keys = c.keys
			}
			list, err := exceptions(read(t, "policies: [{mode: tag, "+keys+"}]"), host())
			if err != nil || len(list) != 1 || list[0].Name != "#1" || list[0].Mode != message.Tag {
				t.Fatalf("%+v, %v", list, err)
			}
			if m, to := mail(c.from, c.to, c.client, c.login); list[0].Applies(m, to) != c.want {
				t.Errorf("fits: %t, want %t", !c.want, c.want)
			}
		})
	}
}

// TestPolicyDecides: what a policy says is what scoring does.
func TestPolicyDecides(t *testing.T) {
	e := build(t, "policies: [{name: theirs, recipient: [y.test], thresholds: {junk: 5, reject: off}, checks: {spf: off, dkim: on}}]\nchecks: {spf: {on_error: tempfail}}")
	v := decide(t, e).Verdict
	if v.Policy != "theirs" || v.Thresholds.Reject != nil || *v.Thresholds.Junk != 5 || *v.Thresholds.Greylist != 4 || v.DecidedBy == "own_fault:spf" {
		t.Errorf("policy %q, thresholds %+v, decided by %s: a check that does not count fails without harm", v.Policy, v.Thresholds, v.DecidedBy)
	}
	list, err := exceptions(e.Config, host())
	if err != nil || len(list) != 1 || len(list[0].Without) != 1 || list[0].Without[0] != "spf" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestPolicyFiles: all that is wrong with them is told, with its place.
func TestPolicyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bad.txt")
	if err := os.WriteFile(path, []byte("ann@here.test\nnot good\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(read(t, "policies: [{mode: tag, recipient: "+path+", sender: nowhere.txt}]"), host())
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{path + `:2:1: "not good", expected one entry in a line`, ": policies[0].sender: nowhere.txt is not there"} {
		if !strings.Contains(strings.Join(Problems(err), "\n"), want) {
			t.Errorf("%q is not in\n%s", want, strings.Join(Problems(err), "\n"))
		}
	}
}
