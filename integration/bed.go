// Package integration is a test bed: a private Postfix, a private Dovecot and a
// sink for outgoing mail around the milterd that was just built, so that tests see
// milterd as its users do, through a real mail server.
//
// A bed lives below one new directory in /tmp, on ports of its own, and touches
// nothing of the system's Postfix and Dovecot. It needs root (Postfix does) and
// their packages, which install.sh installs; [Missing] says what is not there. On
// a quiet machine it is up in a tenth of a second and down in one.
//
//	bed, err := integration.Start(ctx, integration.Config{
//		Listeners: []integration.Listener{{Name: "strict", Milter: "unix:milterd/strict.sock"}},
//	})
//	defer bed.Close()
//
//	binary, err := integration.Build(ctx, bed.Dir())
//	d, err := bed.StartDaemon(ctx, binary, integration.DaemonConfig{
//		Name: "strict",
//		YAML: "thresholds: {junk: 3}",
//	})
//
//	c, err := bed.Client(ctx, "strict", "ADDR=203.0.113.7 NAME=mail.sender.test")
//	reply, err := c.Send("joe@sender.test", []string{"alice@example.test"}, mail.Bytes())
//	verdict, err := d.Verdict(ctx, reply.QueueID())
//	got, err := bed.Find(ctx, "alice@example.test", "INBOX", mail.Subject)
//
// # Who is who
//
// Postfix is mx.example.test, the MX of example.test and second.test. alice@ and
// bob@example.test and carol@second.test have mailboxes in Dovecot (password
// "pass"), where Sieve files what carries X-Spam-Flag into Junk. Mail to any
// other domain goes to [Bed.Sink], but only logins may send it; there, gone@ any
// domain is refused, so that Postfix writes a bounce. No name is looked up by
// Postfix, and 127.0.0.1 is a stranger to it, who takes any address by XCLIENT.
//
// # Listeners
//
// A listener is one smtpd of the same Postfix, on a port of its own. "mx" stands
// for port 25 and uses deploy/postfix/main.cf as operators do, whose lines are
// included word for word. "submission", "submissions" and "reinject" are the
// services of deploy/postfix/master.cf; only the address is replaced. Config adds
// more, each with its own milter or other settings. Their names begin the log
// lines (postfix/strict/smtpd) and are the names of their daemons' sockets.
//
// # Ends
//
// Whatever may take time has a ctx; nothing sleeps. Errors say what was waited
// for. All processes are ended by their own pid, and die with the test program
// should it not come to [Bed.Close].
package integration

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config says what a test needs beyond the plain bed.
type Config struct {
	Listeners []Listener
	MainCF    string // lines for the end of main.cf
	Dovecot   string // text for the end of dovecot.conf; {{.Dir}} is the bed's directory
	// Sieve are more scripts, compiled into <dir>/sieve/NAME.sieve. "junk"
	// replaces the one that runs before the users' own.
	Sieve map[string]string
}

// A Listener is one more smtpd.
type Listener struct {
	Name string
	// Milter is the value of smtpd_milters, "" that of deploy/postfix/main.cf.
	Milter  string
	Options []string // further settings of this smtpd, as in main.cf: "name = value"
}

// A Bed is running mail servers. Its methods may be used by many tests at once.
type Bed struct {
	// Log is Postfix's own, all services of it.
	Log *Log
	// Sink receives what leaves: mail to other domains than ours.
	Sink *Sink

	dir        string
	ports      map[string]Port // by listener; "imap" and "sink" too
	family     *family
	dovecotLog *Log
	postfix    *process
	dovecot    *process

	mu      sync.Mutex
	daemons []*Daemon
}

// programs that a bed starts, and the Debian package that brings each.
var programs = map[string]string{
	"postfix": "postfix", "postconf": "postfix", "postqueue": "postfix", "postcat": "postfix", "sendmail": "postfix",
	"dovecot": "dovecot-core", "sievec": "dovecot-sieve",
}

// Missing says why no bed can run here, or "".
func Missing() string {
	if os.Geteuid() != 0 {
		return "not root, which Postfix's master wants to be"
	}
	var missing []string
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program+" (package "+pkg+")")
		}
	}
	for _, service := range []string{"imap", "lmtp"} {
		found, _ := filepath.Glob("/usr/lib*/dovecot/" + service)
		if len(found) == 0 {
			missing = append(missing, "Dovecot's "+service+" (package dovecot-"+service+"d)")
		}
	}
	for _, name := range []string{"postfix", "dovecot", "dovenull", "mail"} {
		if _, err := user.Lookup(name); err != nil {
			missing = append(missing, "user "+name)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "missing: " + strings.Join(missing, ", ") + "; integration/install.sh installs all of it"
}

// Start brings a bed up and returns when every listener answers. After an error
// nothing of it is left.
func Start(ctx context.Context, config Config) (*Bed, error) {
	if missing := Missing(); missing != "" {
		return nil, errors.New(missing)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	b := &Bed{Log: newLog("postfix"), dovecotLog: newLog("dovecot"), ports: make(map[string]Port)}
	if err := b.start(ctx, config); err != nil {
		return nil, errors.Join(fmt.Errorf("test bed: %w", err), b.Close())
	}
	return b, nil
}

func (b *Bed) start(ctx context.Context, config Config) error {
	if err := b.makeDirectories(); err != nil {
		return err
	}
	var err error
	if b.family, err = newFamily(b.dir); err != nil {
		return err
	}
	services, err := b.services(config.Listeners)
	if err != nil {
		return err
	}
	for _, name := range []string{"imap", "sink"} {
		if b.ports[name], err = ReservePort(); err != nil {
			return err
		}
	}
	if b.Sink, err = StartSink(b.ports["sink"].Addr(), nil); err != nil {
		return err
	}
	if err := writeCertificate(filepath.Join(b.dir, "tls"), "mx.example.test"); err != nil {
		return err
	}
	var g errgroup.Group
	g.Go(func() error { return b.startPostfix(ctx, services, config.MainCF) })
	g.Go(func() error { return b.startDovecot(ctx, config) })
	return g.Wait()
}

// makeDirectories lays out the bed: short, because socket paths end at 107 bytes,
// and open to all, because postfix, dovenull and mail have to pass.
func (b *Bed) makeDirectories() (err error) {
	if b.dir, err = os.MkdirTemp("/tmp", "mtb"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	for _, d := range []struct {
		name, user, group string
		mode              os.FileMode
	}{
		{"postfix", "root", "root", 0o755},
		{"spool", "root", "root", 0o755},
		// The queue, as "postfix check" would make it, at the price of sixty
		// processes.
		{"spool/active", "postfix", "root", 0o700},
		{"spool/bounce", "postfix", "root", 0o700},
		{"spool/corrupt", "postfix", "root", 0o700},
		{"spool/defer", "postfix", "root", 0o700},
		{"spool/deferred", "postfix", "root", 0o700},
		{"spool/flush", "postfix", "root", 0o700},
		{"spool/hold", "postfix", "root", 0o700},
		{"spool/incoming", "postfix", "root", 0o700},
		{"spool/maildrop", "postfix", "postdrop", 0o730},
		{"spool/pid", "root", "root", 0o755},
		{"spool/private", "postfix", "root", 0o700},
		{"spool/public", "postfix", "postdrop", 0o710},
		{"spool/saved", "postfix", "root", 0o700},
		{"spool/trace", "postfix", "root", 0o700},
		// The directory that packages make for milterd, as DESIGN would have it:
		// sockets in it take the group postfix.
		{"spool/milterd", daemonUser, "postfix", 0o750 | os.ModeSetgid},
		{"data", "postfix", "root", 0o755},
		{"run", "root", "root", 0o755},
		{"mail", "mail", "mail", 0o755},
		{"sieve", "root", "root", 0o755},
		{"tls", "root", "root", 0o755},
		{"milterd", "root", "root", 0o755},
	} {
		path := filepath.Join(b.dir, d.name)
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		if err := chown(path, d.user, d.group); err != nil {
			return err
		}
		if err := os.Chmod(path, d.mode); err != nil {
			return err
		}
	}
	return nil
}

// chown gives a file to a user and group by name.
func chown(path, userName, groupName string) error {
	u, err := user.Lookup(userName)
	if err != nil {
		return err
	}
	g, err := user.LookupGroup(groupName)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// Close ends every process of the bed, gives its ports back and removes its
// directory. The error names what did not end as it should, and any process that
// outlived it.
func (b *Bed) Close() error {
	var errs []error
	for _, p := range []*process{b.postfix, b.dovecot} {
		if p != nil {
			errs = append(errs, p.stop(5*time.Second))
		}
	}
	errs = append(errs, b.closeDaemons())
	if b.Sink != nil {
		errs = append(errs, b.Sink.Close())
	}
	for _, port := range b.ports {
		port.Release()
	}
	if b.dir != "" {
		if b.family != nil {
			errs = append(errs, b.family.close())
		}
		errs = append(errs, b.waitGone(), os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

func (b *Bed) closeDaemons() error {
	errs := make([]error, len(b.daemons))
	var closing sync.WaitGroup
	for i, d := range b.daemons {
		closing.Go(func() { errs[i] = d.close() })
	}
	closing.Wait()
	return errors.Join(errs...)
}

// waitGone waits for the children of Postfix's and Dovecot's masters, which end
// by themselves once those are gone.
func (b *Bed) waitGone() error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		left := processesBelow(b.dir)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still running in %s: %s", b.dir, strings.Join(left, "; "))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Dir is the bed's directory: postfix/, dovecot.conf, spool/, mail/, milterd/NAME.
func (b *Bed) Dir() string { return b.dir }

// Addr is the address of a listener, or of "imap" and "sink".
func (b *Bed) Addr(listener string) string {
	port, known := b.ports[listener]
	if !known {
		panic("integration: no listener " + strconv.Quote(listener) + " in this bed") // a typing error in a test
	}
	return port.Addr()
}

// Client connects to a listener and, when xclient is not empty, becomes that
// client (see [SMTP.XCLIENT]); its HELO is mail.sender.test.
func (b *Bed) Client(ctx context.Context, listener, xclient string) (*SMTP, error) {
	c, err := DialSMTP(ctx, b.Addr(listener), "mail.sender.test", nil)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", listener, err)
	}
	if xclient != "" {
		if err := c.XCLIENT(xclient); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// IMAP logs a user in.
func (b *Bed) IMAP(ctx context.Context, user string) (*IMAP, error) {
	return DialIMAP(ctx, b.Addr("imap"), user, "pass")
}

// Find waits for a message in a user's folder and returns it as it lies there.
func (b *Bed) Find(ctx context.Context, user, folder, subject string) (Delivered, error) {
	c, err := b.IMAP(ctx, user)
	if err != nil {
		return Delivered{}, err
	}
	defer c.Close()
	return c.wait(ctx, folder, subject)
}

// Count returns how many messages with that Subject a user's folder holds now.
func (b *Bed) Count(ctx context.Context, user, folder, subject string) (int, error) {
	c, err := b.IMAP(ctx, user)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.Select(folder); err != nil {
		return 0, err
	}
	uids, err := c.Search(subject)
	return len(uids), err
}
