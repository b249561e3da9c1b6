package integration

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A family is the processes of one bed. They are ended by their own pids only. So
// that a test program that is killed, or runs into its time limit, leaves no
// Postfix behind, a shell reads their pids from it and ends whom it left when it is
// gone. (Linux' parent death signal does not survive the change of user that
// Postfix and milterd go through.)
type family struct {
	keeper *exec.Cmd
	will   io.WriteCloser // one line with all pids whenever they change

	mu   sync.Mutex
	pids map[int]bool
}

// keep is the shell's script; $1 is the directory to remove.
const keep = `all=; while read -r pids; do all=$pids; done; [ -n "$all" ] || exit 0; kill $all; sleep 2; rm -rf "$1"`

// newFamily starts the keeper of a bed in dir.
func newFamily(dir string) (*family, error) {
	keeper := exec.Command("/bin/sh", "-c", keep, "keeper", dir)
	will, err := keeper.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &family{keeper: keeper, will: will, pids: make(map[int]bool)}, keeper.Start()
}

// close dismisses the keeper; nobody of the family may be alive.
func (f *family) close() error { return errors.Join(f.will.Close(), f.keeper.Wait()) }

func (f *family) alive(pid int, yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if yes {
		f.pids[pid] = true
	} else {
		delete(f.pids, pid)
	}
	list := make([]string, 0, len(f.pids))
	for pid := range f.pids {
		list = append(list, strconv.Itoa(pid))
	}
	fmt.Fprintln(f.will, strings.Join(list, " "))
}

// A process is a child of the test program.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended context.Context // done when the process has ended and its output is read
}

// start runs a program whose output, both kinds, goes to the log.
func (f *family) start(name string, log *Log, env []string, path string, args ...string) (*process, error) {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	// Grandchildren (smtpd, imap-login) hold the output open a little longer.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	f.alive(cmd.Process.Pid, true)
	ended, end := context.WithCancelCause(context.Background())
	go func() { // ends with the process, for which stop waits
		err := cmd.Wait()
		f.alive(cmd.Process.Pid, false)
		end(fmt.Errorf("%s ended: %w", name, cmp.Or(err, errors.New("exit status 0"))))
	}()
	return &process{name: name, cmd: cmd, ended: ended}, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// kill ends it as a crash or the kernel would, and waits for that.
func (p *process) kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.ended.Done()
	return err
}

// stop asks politely, waits, and then insists.
func (p *process) stop(grace time.Duration) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended.Done():
		return nil
	case <-time.After(grace):
	}
	p.kill()
	return fmt.Errorf("%s (pid %d) did not end within %v of SIGTERM and was killed", p.name, p.pid(), grace)
}

// A Neighbour is a program that runs beside milterd, to be broken and mended.
type Neighbour struct{ proc *process }

// Stop ends it.
func (n *Neighbour) Stop() error { return n.proc.stop(10 * time.Second) }

// Kill ends it as a crash does.
func (n *Neighbour) Kill() error { return n.proc.kill() }

// Freeze lets it hang, Thaw go on.
func (n *Neighbour) Freeze() error { return n.proc.signal(syscall.SIGSTOP) }

// Thaw lets it go on after Freeze.
func (n *Neighbour) Thaw() error { return n.proc.signal(syscall.SIGCONT) }

// whileAlive runs wait with a context that ends when the process does.
func (p *process) whileAlive(ctx context.Context, wait func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.ended, func() { cancel(context.Cause(p.ended)) })()
	if err := wait(ctx); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return nil
}

// ready calls probe until it succeeds, the process ends, or ctx does.
func (p *process) ready(ctx context.Context, probe func(context.Context) error) error {
	return p.whileAlive(ctx, func(ctx context.Context) error {
		for {
			err := probe(ctx)
			if err == nil {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready: %w", p.name, err)
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
}

// run executes a program to its end and returns what it printed, both kinds. The
// error of a program that failed ends with that, too.
func run(ctx context.Context, stdin []byte, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), err
}

// processesBelow lists the living processes that work in dir, are chrooted there
// or were started with its name, as "pid command". It only looks; zombies, which
// nobody may reap in a container, do not count.
func processesBelow(dir string) []string {
	var found []string
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		at := func(name string) string { return filepath.Join("/proc", e.Name(), name) }
		stat, _ := os.ReadFile(at("stat"))
		if _, state, ok := strings.Cut(string(stat), ") "); !ok || strings.HasPrefix(state, "Z") {
			continue
		}
		cwd, _ := os.Readlink(at("cwd"))
		root, _ := os.Readlink(at("root"))
		cmdline, _ := os.ReadFile(at("cmdline"))
		environ, _ := os.ReadFile(at("environ"))
		if strings.Contains(cwd+" "+root+" "+string(cmdline)+" "+string(environ), dir) {
			found = append(found, e.Name()+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}
