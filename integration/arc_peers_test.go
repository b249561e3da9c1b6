package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A judge says what a chain is worth: pass, fail or none.
type judge func(ctx context.Context, raw string) (string, error)

// arcPeers are the other implementations of ARC: dkimpy and Mail::DKIM, in Debian
// python3-dkim and libmail-dkim-perl.
func arcPeers(t *testing.T) map[string]judge {
	t.Helper()
	records := map[string]string{}
	for _, domain := range append(slices.Collect(maps.Values(sealers)), "attack.test") {
		records[selector+"._domainkey."+domain] = newSigner(domain).record()
	}
	zone, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if missing := arcPeersMissing(); missing != "" {
		skipLoudly(t, "chains with "+missing+"; integration/install.sh installs it")
	}
	host, port, _ := strings.Cut(shared.names.Addr(), ":")
	return map[string]judge{
		"dkimpy":     script("/usr/bin/python3", "-c", dkimpyARC, string(zone)),
		"Mail::DKIM": script("/usr/bin/perl", "-e", mailDKIM, host, port),
	}
}

// arcPeersMissing names those that are not installed.
var arcPeersMissing = sync.OnceValue(func() string {
	var missing []string
	for name, cmd := range map[string]*exec.Cmd{
		"python3-dkim":      exec.Command("/usr/bin/python3", "-c", "import dkim"),
		"libmail-dkim-perl": exec.Command("/usr/bin/perl", "-e", "use Mail::DKIM::ARC::Verifier; use Net::DNS::Resolver;"),
	} {
		if cmd.Run() != nil {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return strings.Join(missing, " and ")
})

const (
	dkimpyARC = `
import sys, json, dkim
records = json.loads(sys.argv[1])
def find(name, timeout=5):
    return records.get(name.decode().rstrip('.').lower(), '').encode()
cv, _, _ = dkim.arc_verify(sys.stdin.buffer.read(), dnsfunc=find)
print((cv or b'fail').decode()) # None is a chain that was sealed as failed
`
	mailDKIM = `
use strict; use warnings;
use Mail::DKIM::ARC::Verifier; use Mail::DKIM::DNS; use Net::DNS::Resolver;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => [$ARGV[0]], port => $ARGV[1]));
my $arc = Mail::DKIM::ARC::Verifier->new;
{ local $/; $arc->PRINT(scalar <STDIN>); }
$arc->CLOSE;
print $arc->result, "\n";
`
)

// script runs a program with the message as its input.
func script(program string, args ...string) judge {
	return func(ctx context.Context, raw string) (string, error) {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stdin = strings.NewReader(raw)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, errs.String())
		}
		return strings.TrimSpace(string(out)), nil
	}
}
