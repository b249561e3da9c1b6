package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// faultyCheck is the name of the check of package faulty.
const faultyCheck = "faulty"

// clockSource goes into package time of the lab's build. The monotonic clock stays as it
// is, as it does when an operator or a time server sets a host's clock. The jump lies in
// memory that is shared with the lab: time.Now is called where no system call may be made.
const clockSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// labClock is by how many seconds the lab has set the clock.
var labClock = openLabClock()

func openLabClock() *atomic.Int64 {
	path, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return new(atomic.Int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("` + clockVariable + `: " + err.Error())
	}
	defer syscall.Close(fd)
	shared, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("` + clockVariable + `: " + err.Error())
	}
	return (*atomic.Int64)(unsafe.Pointer(&shared[0]))
}

func labJump() int64 {
	if labClock == nil { // while packages are initialised
		return 0
	}
	return labClock.Load()
}
`

// BuildSpecial builds the lab's own milterd into dir and returns its path. It is made of
// the sources below root as they stand, with two files replaced for the compiler alone
// ("go build -overlay"), so that nothing in milterd has to know of the lab:
//
//   - time.Now adds what the lab has set the clock by;
//   - checks/all lists one more check, package faulty.
func BuildSpecial(ctx context.Context, root, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	if root, err = filepath.Abs(root); err != nil { // the overlay's paths are
		return "", err
	}
	timePackage := filepath.Join(strings.TrimSpace(string(out)), "src/time")
	list := filepath.Join(root, "checks/all/all.go")
	o := overlay{dir: dir, Replace: map[string]string{}}
	err = errors.Join(
		o.edit(filepath.Join(timePackage, "time.go"), "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += labJump()\n"),
		o.write(filepath.Join(timePackage, "zlab.go"), clockSource),
		o.edit(list, "\t\"milterd/checks/uribl\"\n", "\t\"milterd/checks/uribl\"\n\t\"milterd/integration/lab/faulty\"\n"),
		o.edit(list, "\t\tsigning.Spec(),\n", "\t\tsigning.Spec(),\n\t\tfaulty.Spec(),\n"),
	)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(&o)
	if err != nil {
		return "", err
	}
	file, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "milterd")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "-C", root, "build", "-overlay", file, "-o", binary, "./cmd/milterd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the lab's build: %w\n%s", err, out)
	}
	return binary, nil
}

// overlay is what "go build -overlay" reads.
type overlay struct {
	Replace map[string]string

	dir string
}

// edit replaces a piece of a file, which must be there once; edits add up.
func (o *overlay) edit(file, before, after string) error {
	source := file
	if edited, again := o.Replace[file]; again {
		source = edited
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), before); n != 1 {
		return fmt.Errorf("%s has %q %d times, expected once: the lab's build wants another edit", file, before, n)
	}
	return o.write(file, strings.Replace(string(text), before, after, 1))
}

// write puts another text in the place of a file, or a file where there is none.
func (o *overlay) write(file, text string) error {
	path := filepath.Join(o.dir, filepath.Base(file))
	o.Replace[file] = path
	return os.WriteFile(path, []byte(text), 0o644)
}
