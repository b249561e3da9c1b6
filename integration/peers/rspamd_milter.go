package peers

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// rspamdLocal is what is added to rspamd's configuration as Debian ships it, by
// name of the file in local.d.
var rspamdLocal = map[string]string{
	// Its own list of top-level domains has no test in it: of x.y.test, as of
	// x.y.org, the organization shall be y.test.
	"options.inc":      `dns { nameserver = ["10.53.53.53"]; } url_tld = "@/tld";` + "\n",
	"logging.inc":      `type = "console"; level = "warning";` + "\n",
	"redis.conf":       `servers = "127.0.0.1:6379";` + "\n",
	"worker-proxy.inc": `bind_socket = "$/rspamd.sock mode=0666";` + "\n",
	// Without this no policy of a domain refuses anything.
	"dmarc.conf": `actions = { quarantine = "add_header"; reject = "reject"; }` + "\n",
	// Without this nobody is told what was found.
	"milter_headers.conf": `use = ["authentication-results"];` + "\n",
	// Who is asked to come back may come at once, so that tests see how it ends.
	"greylist.conf": `timeout = 1s;` + "\n",
}

// rspamdLists is Debian's list of top-level domains for rspamd.
const rspamdLists = "/usr/share/rspamd/effective_tld_names.dat"

// StartRspamd starts rspamd with the modules and scores that Debian ships, as the
// milter rspamd.sock in the directory sockets, and a Redis for it.
func (r *Room) StartRspamd(ctx context.Context, sockets string) (*Filter, error) {
	for _, name := range []string{"rspamd", "redis-server"} {
		if _, err := find(name); err != nil {
			return nil, err
		}
	}
	list, err := os.ReadFile(rspamdLists)
	if err != nil {
		return nil, err
	}
	f := &Filter{Version: versions("rspamd"), Sockets: []string{filepath.Join(sockets, "rspamd.sock")}}
	p, err := r.start(map[string]string{}, "_rspamd", "redis-server", "--bind", "127.0.0.1", "--port", "6379",
		"--dir", "@", "--save", "", "--appendonly", "no", "--daemonize", "no")
	if err := f.add(ctx, p, err, r.listens("127.0.0.1:6379")); err != nil {
		return nil, err
	}
	files := map[string]string{"tld": string(list) + "test\n", "db/.keep": ""}
	for name, text := range rspamdLocal {
		files["local.d/"+name] = strings.ReplaceAll(text, "$", sockets)
	}
	p, err = r.start(files, "_rspamd", "rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf",
		"--var=LOCAL_CONFDIR=@", "--var=DBDIR=@/db", "--var=RUNDIR=@", "--var=LOGDIR=@")
	if err := f.add(ctx, p, err, answers(f.Sockets[0])); err != nil {
		return nil, err
	}
	return f, nil
}

// listens probes a TCP port in the room.
func (r *Room) listens(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		return r.network.Do(func() error {
			conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
			if err != nil {
				return err
			}
			return errors.Join(conn.Close(), ctx.Err())
		})
	}
}
