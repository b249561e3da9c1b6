package signing

import (
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAgain is how long a file is taken for what it was.
const lookAgain = time.Second

// register follows the files that say who owns what. It looks at them once a
// second at most, when somebody asks; a file that is broken or gone changes
// nothing and is told in the log. It is safe for concurrent use.
type register struct {
	given  map[string]belongings // from the configuration itself
	file   string                // "" for none
	maps   []loginMap
	now    func() time.Time
	logger *slog.Logger

	mu     sync.Mutex
	looked time.Time
	seen   []os.FileInfo // of the files in their order; nil for one that is not there
	owners *owners
}

// newRegister reads the files. Its error is what keeps one from being read.
func newRegister(cfg *config, now func() time.Time, logger *slog.Logger) (*register, error) {
	r := &register{given: cfg.Senders.logins, file: cfg.Senders.file, maps: cfg.LoginMaps, now: now, logger: logger}
	r.seen, r.looked = r.look(), now()
	var err error
	r.owners, err = r.read()
	return r, err
}

// paths are the files in their order.
func (r *register) paths() []string {
	var all []string
	if r.file != "" {
		all = append(all, r.file)
	}
	for _, m := range r.maps {
		all = append(all, m.path)
	}
	return all
}

func (r *register) look() []os.FileInfo {
	var all []os.FileInfo
	for _, path := range r.paths() {
		info, err := os.Stat(path)
		if err != nil {
			info = nil
		}
		all = append(all, info)
	}
	return all
}

// same reports whether the files are those that were read.
func (r *register) same(now []os.FileInfo) bool {
	for i, n := range now {
		was := r.seen[i]
		if (n == nil) != (was == nil) {
			return false
		}
		if n != nil && (!os.SameFile(n, was) || n.Size() != was.Size() || !n.ModTime().Equal(was.ModTime())) {
			return false
		}
	}
	return true
}

func (r *register) read() (*owners, error) {
	given := r.given
	if r.file != "" {
		var err error
		if given, err = readSenders(r.file); err != nil {
			return nil, err
		}
	}
	var tables []*loginTable
	for _, m := range r.maps {
		t, err := readLoginMap(m.path)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return newOwners(given, tables), nil
}

// current returns who owns what, by the files as they are now.
func (r *register) current() *owners {
	if r.file == "" && len(r.maps) == 0 {
		return r.owners
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if since := now.Sub(r.looked); since >= 0 && since < lookAgain {
		return r.owners
	}
	r.looked = now
	seen := r.look()
	if r.same(seen) {
		return r.owners
	}
	r.seen = seen
	fresh, err := r.read()
	if err != nil {
		r.logger.Error("senders not read again, what was read before holds", "problem", err.Error())
		return r.owners
	}
	r.owners = fresh
	r.logger.Info("senders read again", "files", len(seen))
	return fresh
}
