package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A program is a peer's process in a directory of its own. Should the test program
// be killed, a shell that reads from it sees the end of its input, ends the
// process and removes the directory.
type program struct {
	dir    string
	cmd    *exec.Cmd
	keeper *exec.Cmd
	will   io.WriteCloser
	output output
	ended  chan struct{} // closed when the process is gone
	stop   os.Signal     // ends it
}

// keep is the keeper's script: $1 is the process, $2 the directory. A line says
// that there is nothing left to do.
const keep = `read -r done || { kill "$1"; sleep 1; rm -rf "$2"; }`

// find looks a program up, also where only root's PATH leads.
func find(name string) (path string, err error) {
	for _, name := range []string{name, "/usr/sbin/" + name} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrMissing)
}

// newDir makes a directory whose sockets' paths fit into an address.
func newDir() (string, error) {
	dir, err := os.MkdirTemp("/tmp", "peer")
	if err == nil {
		err = os.Chmod(dir, 0o755) // programs that change their user come back to it
	}
	return dir, err
}

// start runs cmd, which belongs to dir; the directory goes with the program. What
// cmd writes to standard error, and to standard output if that is not taken, is
// kept for errors.
func start(dir string, cmd *exec.Cmd) (*program, error) {
	p := &program{dir: dir, cmd: cmd, ended: make(chan struct{}), stop: syscall.SIGTERM}
	cmd.Stderr = &p.output
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.keeper = exec.Command("/bin/sh", "-c", keep, "keeper", strconv.Itoa(cmd.Process.Pid), dir)
	will, err := p.keeper.StdinPipe()
	if err == nil {
		p.will, err = will, p.keeper.Start()
	}
	if err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait(), os.RemoveAll(dir))
	}
	go func() { // ends with the process, for which Close waits
		cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// ready calls probe until it succeeds, the process ends, or ctx does.
func (p *program) ready(ctx context.Context, probe func(context.Context) error) error {
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.failed(errors.New("ended by itself"))
		case <-ctx.Done():
			return p.failed(fmt.Errorf("not ready: %w", err))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// failed adds what the program wrote to an error.
func (p *program) failed(err error) error {
	return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, p.output.tail())
}

// Close ends the program and removes its directory.
func (p *program) Close() error {
	p.cmd.Process.Signal(p.stop) // fails where it ended already
	var err error
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		err = p.failed(errors.New("did not end within 10 s of being asked to and was killed"))
		p.cmd.Process.Kill()
		<-p.ended
	}
	_, told := io.WriteString(p.will, "done\n")
	return errors.Join(err, told, p.will.Close(), p.keeper.Wait(), os.RemoveAll(p.dir))
}

// output keeps the end of what a program writes.
type output struct {
	mu   sync.Mutex
	text []byte
}

const maxOutput = 16 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if len(o.text) > 2*maxOutput {
		o.text = append(o.text[:0], o.text[len(o.text)-maxOutput:]...)
	}
	return len(p), nil
}

func (o *output) tail() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.text[max(0, len(o.text)-maxOutput):])
}
