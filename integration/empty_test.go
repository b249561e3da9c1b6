package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// insideKey is the environment variable that tells the test program that it runs
// in namespaces of its own; its value is the binary to test.
const insideKey = "MILTERD_TEST_INSIDE"

// refusedKey begins the line that says why the kernel gives no private system.
const refusedKey = "refused:"

// TestEmptyConfiguration starts milterd with an empty /etc/milterd/milterd.yaml, and
// Postfix as Debian ships it with the lines of deploy/postfix/main.cf, all in their
// usual places: /etc/postfix, /var/spool/postfix, /run/milterd, port 25. That needs
// mount, network and process namespaces, in which this program runs a second time;
// what it writes there is in memory and gone with it.
func TestEmptyConfiguration(t *testing.T) {
	t.Parallel()
	testBed(t)
	if err := buildOnce(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(debianMaster); err != nil {
		skipLoudly(t, noEmpty+err.Error()+" (not a Debian?)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-test.run=^TestInside$", "-test.v")
	cmd.Env = append(os.Environ(), insideKey+"="+shared.binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL, // and all in the process namespace with it
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Start()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		skipLoudly(t, noEmpty+"the kernel gives no namespaces: "+err.Error())
	}
	if err == nil {
		err = cmd.Wait()
	}
	if _, reason, refused := strings.Cut(out.String(), refusedKey); refused {
		reason, _, _ = strings.Cut(reason, "\n")
		skipLoudly(t, noEmpty+"the kernel gives no private file systems: "+reason)
	}
	if n := regexp.MustCompile(`(?m)^inside: (\d+) assertions`).FindStringSubmatch(out.String()); n != nil {
		inside, _ := strconv.ParseInt(n[1], 10, 64)
		shared.assertions.Add(inside)
	}
	check(t, err == nil, "inside the namespaces: %v\n%s", err, out.String())
}

const noEmpty = "an empty milterd.yaml with the system's own Postfix: "

// debianMaster is master.cf as Debian ships it, with smtpd chrooted.
const debianMaster = "/usr/share/postfix/master.cf.dist"

// site is what the installer would ask for, and a way out of the namespaces' only
// host: mail for example.test goes to a sink on port 2525.
const site = `
myhostname = mx.example.test
mydestination =
inet_interfaces = loopback-only
virtual_mailbox_domains = example.test
virtual_mailbox_maps = inline:{ alice@example.test=ok }
virtual_transport = smtp:[127.0.0.1]:2525
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_peername_lookup = no
disable_dns_lookups = yes
maillog_file = /var/log/mail.log
`

// TestInside is the second half of TestEmptyConfiguration and does nothing outside
// of it.
func TestInside(t *testing.T) {
	binary := os.Getenv(insideKey)
	if binary == "" {
		t.Skip("runs within TestEmptyConfiguration")
	}
	defer func() { fmt.Printf("inside: %d assertions\n", shared.assertions.Load()) }()
	if err := privateSystem(); err != nil {
		t.Skip(refusedKey, err)
	}
	installPostfix(t)
	// What a package does for milterd: an empty configuration and its directories.
	writeFile(t, "/etc/milterd/milterd.yaml", "")
	for _, dir := range []string{"/run/milterd", "/var/lib/milterd", "/var/spool/postfix/milterd"} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), chown(dir, daemonUser, "postfix"), os.Chmod(dir, 0o750|os.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
	}

	log := newLog("milterd")
	family, err := newFamily("/run/overlay")
	if err != nil {
		t.Fatal(err)
	}
	names, held, err := startNames()
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	defer held.release()
	// The file stays empty; the name server in here has no port 53.
	env := []string{fmt.Sprintf("MILTERD_DNS_SERVERS=[%q]", names.Addr())}
	proc, err := family.start("milterd", log, env, binary, "serve", "--user", daemonUser)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { proc.stop(10 * time.Second); family.close() }()
	if err := proc.ready(within(t), httpReady); err != nil {
		t.Fatalf("%v\n%s", err, log.Tail(20))
	}
	for _, socket := range []string{"/run/milterd/milterd.sock", "/var/spool/postfix/milterd/milterd.sock"} {
		info, err := os.Stat(socket)
		check(t, err == nil && info.Mode() == os.ModeSocket|0o660, "%s: %v, %v, want a socket with mode 0660", socket, info, err)
	}
	sink, err := StartSink("127.0.0.1:2525", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	if _, err := run(within(t), nil, "postfix", "start"); err != nil {
		t.Fatal(err)
	}
	defer run(context.Background(), nil, "postfix", "stop")

	c, err := DialSMTP(within(t), "127.0.0.1:25", "mail.sender.test", nil)
	if err == nil {
		err = c.XCLIENT(stranger)
	}
	if err != nil {
		t.Fatal(err)
	}
	check(t, chrooted("smtpd", "/var/spool/postfix"), "smtpd is not chrooted; nothing is proved")
	ham := newMail(t, "hello")
	r := send(t, c, ham)
	check(t, r.Code == 250, "ham: got %v, want 250", r)
	got, err := sink.Wait(within(t), ham.Subject)
	check(t, err == nil, "%v", err)
	wantResults(t, got.Delivered, "spf=pass", "dkim=none", "dmarc=none")
	check(t, strings.HasPrefix(got.Get("X-Spam-Status"), "No, "), "X-Spam-Status: %q", got.Get("X-Spam-Status"))
	wantRefusal(t, send(t, c, newMail(t, gtube)), 554, "5.7.1")

	local := newMail(t, "from cron")
	if _, err := run(within(t), local.Bytes(), "sendmail", "-f", "root@example.test", alice); err != nil {
		t.Fatal(err)
	}
	got, err = sink.Wait(within(t), local.Subject)
	check(t, err == nil, "%v", err)
	wantNothingOfOurs(t, got.Delivered)
	if t.Failed() {
		mail, _ := os.ReadFile("/var/log/mail.log")
		t.Logf("milterd:\n%s\nPostfix:\n%s", log.Tail(30), mail)
	}
}

// privateSystem gives this process its own /proc and loopback interface, and lays
// memory over /etc, /var and /run.
func privateSystem() error {
	err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	mount := func(source, target, kind, data string) {
		if err == nil {
			if err = unix.Mount(source, target, kind, 0, data); err != nil {
				err = fmt.Errorf("mount %s on %s: %w", kind, target, err)
			}
		}
	}
	mount("proc", "/proc", "proc", "")
	mount("tmpfs", "/run", "tmpfs", "mode=0755")
	for _, dir := range []string{"/etc", "/var"} {
		upper, work := filepath.Join("/run/overlay", dir, "upper"), filepath.Join("/run/overlay", dir, "work")
		err = errors.Join(err, os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755))
		mount("overlay", dir, "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, upper, work))
	}
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// installPostfix does what Debian's installer does, and adds our lines.
func installPostfix(t *testing.T) {
	t.Helper()
	ours, err := deployed("main.cf")
	if err != nil {
		t.Fatal(err)
	}
	debian, err := os.ReadFile("/usr/share/postfix/main.cf.debian")
	if err != nil {
		t.Fatal(err)
	}
	services, err := os.ReadFile(debianMaster)
	if err != nil {
		t.Fatal(err)
	}
	smtpd := regexp.MustCompile(`(?m)^smtp +inet +n +- +y +- +- +smtpd$`)
	check(t, smtpd.Match(services), "Debian's master.cf has no chrooted smtpd; nothing is proved")
	writeFile(t, "/etc/postfix/main.cf", string(debian)+site+ours)
	writeFile(t, "/etc/postfix/master.cf", string(services))
}

// writeFile writes a configuration file that looks a minute old (see startPostfix).
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	old := time.Now().Add(-time.Minute)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, old, old))
	if err != nil {
		t.Fatal(err)
	}
}

// httpReady asks milterd at its default address.
func httpReady(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("127.0.0.1", "9891")+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// chrooted reports whether a running program of that name has dir for its root.
func chrooted(program, dir string) bool {
	roots, _ := filepath.Glob("/proc/[0-9]*/root")
	for _, root := range roots {
		name, _ := os.ReadFile(filepath.Join(filepath.Dir(root), "comm"))
		if at, err := os.Readlink(root); err == nil && at == dir && strings.TrimSpace(string(name)) == program {
			return true
		}
	}
	return false
}
