package archtest

import (
	"strings"
	"testing"
)

// TestDovecotFiles: the files that an operator copies speak of the same places. That
// they work the end-to-end tests show.
func TestDovecotFiles(t *testing.T) {
	const sockets = "/run/milterd-dovecot"
	for name, lines := range map[string][]string{
		"90-milterd.conf": {
			"#   delivery: unix:" + sockets + "/delivery", "#   training: unix:" + sockets + "/training",
			"  sieve_execute_socket_dir = .." + strings.TrimPrefix(sockets, "/run"), "  sieve_pipe_socket_dir = .." + strings.TrimPrefix(sockets, "/run"),
			"  sieve_before = /etc/dovecot/sieve/milterd-delivery.sieve",
			"  imapsieve_mailbox1_before = file:/etc/dovecot/sieve/milterd-spam.sieve", "  imapsieve_mailbox2_before = file:/etc/dovecot/sieve/milterd-ham.sieve",
		},
		"milterd-delivery.sieve": {`if not execute :pipe :output "opinion" "delivery" {`},
		"milterd-spam.sieve":     {`pipe :copy "training" [ "spam", "${user}", "${cause}" ];`},
		"milterd-ham.sieve":      {`pipe :copy "training" [ "ham", "${user}", "${cause}", "${mailbox}" ];`},
		"tmpfiles-milterd.conf":  {"d " + sockets + " 0755 milterd milterd -"},
		"systemd-milterd.conf":   {"ReadWritePaths=" + sockets, "PrivateUsers=no"},
	} {
		text := "\n" + readDocument(t, "deploy/dovecot/"+name)
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("deploy/dovecot/%s lacks %q", name, line)
			}
		}
	}
	if text := readDocument(t, "docs/learning.md"); !strings.Contains(text, "unix:"+sockets+"/delivery") || !strings.Contains(text, "unix:"+sockets+"/training") {
		t.Errorf("docs/learning.md names other sockets than %s", sockets)
	}
}
