package peers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// verifying is OpenDKIM as Debian sets it up, but that it signs nothing, and takes
// out whatever results come in under our host's name, not those of DKIM alone. It
// runs without DNSSEC, for which the room has no keys.
const verifying = `
Syslog no
UserID opendkim
UMask 000
Mode v
RemoveARAll yes
Canonicalization relaxed/simple
OversignHeaders From
Socket local:$/opendkim.sock
PidFile @/pid
Nameservers 10.53.53.53
ResolverConfiguration @/unbound.conf
`

// withTest lets OpenDKIM's resolver look names below test up, which it knows by
// itself to be none (RFC 6761, section 6.2).
const withTest = `
server:
  local-zone: "test." nodefault
`

// enforcing is OpenDMARC with everything switched on that refuses: the policy of
// domains, From fields of several domains, headers that RFC 5322 does not allow. It
// checks SPF itself and believes no field about it.
const enforcing = `
Syslog false
UserID opendmarc
UMask 0000
Socket local:$/opendmarc.sock
PidFile @/pid
PublicSuffixList @/suffixes
RejectFailures true
HoldQuarantinedMessages true
RejectMultiValueFrom true
RequiredHeaders true
SPFIgnoreResults true
SPFSelfValidate true
`

// suffixes is Debian's list, which has no test in it: of x.y.test, as of x.y.org,
// the organization shall be y.test.
const suffixes = "/usr/share/publicsuffix/public_suffix_list.dat"

// StartOpenDMARC starts OpenDKIM and OpenDMARC, for a mail server that calls
// opendkim.sock and then opendmarc.sock in the directory sockets.
func (r *Room) StartOpenDMARC(ctx context.Context, sockets string) (*Filter, error) {
	for _, name := range []string{"opendkim", "opendmarc"} {
		if _, err := find(name); err != nil {
			return nil, err
		}
	}
	list, err := os.ReadFile(suffixes)
	if err != nil {
		return nil, err
	}
	f := &Filter{Version: versions("opendkim", "opendmarc")}
	for _, m := range []struct {
		name, option, config string
	}{
		{"opendkim", "-x", verifying},
		{"opendmarc", "-c", enforcing},
	} {
		files := map[string]string{"conf": strings.ReplaceAll(m.config, "$", sockets), "unbound.conf": withTest, "suffixes": string(list) + "test\n"}
		p, err := r.start(files, m.name, m.name, "-f", m.option, "@/conf")
		if err == nil {
			p.stop = os.Kill // libmilter looks for other signals every five seconds only
		}
		f.Sockets = append(f.Sockets, filepath.Join(sockets, m.name+".sock"))
		if err := f.add(ctx, p, err, answers(f.Sockets[len(f.Sockets)-1])); err != nil {
			return nil, err
		}
	}
	return f, nil
}
