package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"milterd/internal/strictyaml"
)

// Options is what Load needs to know besides the path.
type Options struct {
	// Checks are the names that may stand under checks; any other is an error.
	Checks []string
	// CheckAddr judges the address of a listening socket beyond its spelling; nil accepts all.
	CheckAddr func(address string) error
	// CheckStore judges the address of a server for the store; nil accepts all.
	CheckStore func(address string) error
	// Environ is the environment as [os.Environ] gives it: for ${env:NAME} and MILTERD_*. Nil is an empty one.
	Environ []string
	// MayBeAbsent is for the default path: without a main file, conf.d and the defaults are the configuration.
	MayBeAbsent bool
	// Exists tells whether a path is there; nil asks the file system.
	Exists func(path string) bool
}

// Load reads the main file at path, conf.d/*.yaml beside it, and MILTERD_* of the environment. The error is
// [strictyaml.Errors], all there is to say, the main file's first; a missing main file is also [fs.ErrNotExist].
func Load(path string, o Options) (*Config, error) {
	l := newLoader(path, o)
	src, err := strictyaml.ReadFile(path, strictyaml.MaxBytes)
	switch {
	case err == nil:
		l.add(path, src)
	case errors.Is(err, fs.ErrNotExist) && o.MayBeAbsent:
	default:
		l.cannotRead(path, err)
	}
	l.confDir()
	return l.finish()
}

// Read is Load for a main file that is already in memory, without conf.d: for the demonstration and for tests.
// Relative paths in it are relative to the directory of name.
func Read(name string, src []byte, o Options) (*Config, error) {
	l := newLoader(name, o)
	l.add(name, src)
	return l.finish()
}

// loader collects documents, weakest first, and errors.
type loader struct {
	Options
	dir   string // of the main file
	env   map[string]string
	files []string // as in Config.Files
	ranks []string // names of all documents, in the order in which their errors are shown
	docs  []*strictyaml.Node
	errs  strictyaml.Errors
}

func newLoader(path string, o Options) *loader {
	l := &loader{Options: o, dir: filepath.Dir(path), env: make(map[string]string, len(o.Environ))}
	for _, setting := range o.Environ {
		if name, value, ok := strings.Cut(setting, "="); ok {
			l.env[name] = value
		}
	}
	if l.Exists == nil {
		l.Exists = func(path string) bool {
			_, err := os.Stat(path)
			return err == nil
		}
	}
	return l
}

func (l *loader) add(name string, src []byte) {
	doc, err := strictyaml.Parse(name, src)
	l.errs.Add(err)
	l.files, l.ranks = append(l.files, name), append(l.ranks, name)
	if doc != nil {
		l.docs = append(l.docs, doc)
	}
}

func (l *loader) cannotRead(path string, err error) {
	what := fmt.Sprintf("cannot be read: %v", err)
	if errors.Is(err, fs.ErrNotExist) {
		what = "is not there, expected a configuration file"
	} else if at, ok := errors.AsType[*fs.PathError](err); ok {
		what = fmt.Sprintf("cannot be read: %v", at.Err) // the path stands before it
	}
	l.fileError(path, what, err)
}

// fileError is an error about a file as a whole.
func (l *loader) fileError(path, what string, err error) {
	l.ranks = append(l.ranks, path)
	l.errs = append(l.errs, &strictyaml.Error{Pos: strictyaml.Pos{File: path}, What: what, Err: err})
}

// confDir reads conf.d/*.yaml in name order. Other names are editors' and package managers' leftovers, but for *.yml,
// which somebody expects to be read.
func (l *loader) confDir() {
	dir := filepath.Join(l.dir, confDir)
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.cannotRead(dir, err)
		return
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		switch ext := filepath.Ext(path); {
		case strings.HasPrefix(entry.Name(), "."), ext != ".yaml" && ext != ".yml":
		case ext == ".yml":
			l.fileError(path, "is not read, expected a name that ends in .yaml", nil)
		default:
			src, err := strictyaml.ReadFile(path, strictyaml.MaxBytes)
			if err != nil {
				l.cannotRead(path, err)
				continue
			}
			l.add(path, src)
		}
	}
}

// environment adds a document for each MILTERD_* that names a key: log.level is MILTERD_LOG_LEVEL. Values are YAML, so
// a list is [a, b], and a relative path is relative to the working directory. Other names are not ours to judge: MILTERD_CONFIG is the command line's, and container managers
// invent some (MILTERD_PORT).
func (l *loader) environment() {
	for _, key := range strictyaml.Keys(Config{}) {
		name := EnvName(key)
		value, set := l.env[name]
		if !set {
			continue
		}
		doc, err := strictyaml.Parse("$"+name, []byte(value))
		l.errs.Add(err)
		l.ranks = append(l.ranks, "$"+name)
		if doc != nil {
			l.docs = append(l.docs, doc.Under(strings.Split(key, ".")...))
		}
	}
}

// EnvName gives the environment variable that sets a key: MILTERD_LOG_LEVEL for log.level.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// finish merges, expands, decodes and checks.
func (l *loader) finish() (*Config, error) {
	l.environment()
	root := strictyaml.Merge(l.docs...)
	l.errs.Add(root.Expand(strictyaml.Expander{
		Env:  func(name string) (string, bool) { value, set := l.env[name]; return value, set },
		File: strictyaml.ReadFile,
	}))
	c := Default()
	c.Files, c.root = l.files, root
	if l.Exists(postfixQueue) {
		c.Listen = append(c.Listen, Socket{Address: postfixSocket, Mode: socketMode})
	}
	if rules := filepath.Join(l.dir, defaultRules); l.Exists(rules) {
		c.Rules = []strictyaml.Path{strictyaml.Path(rules)}
	}
	l.errs.Add(root.Decode(c))
	l.errs.Add(root.Key("checks").KnownKeys(l.Checks...))
	l.sockets(c, root)
	l.rules(c, root.Key("rules"))
	l.policies(c, root.Key("policies"))
	if _, file := c.Store.Bolt(); !file && l.CheckStore != nil {
		if err := l.CheckStore(string(c.Store)); err != nil {
			l.errs.Add(root.Key("store").Errorf("%w", err))
		}
	}
	if len(l.errs) > 0 {
		l.sort()
		return nil, l.errs
	}
	return c, nil
}

// sockets checks what no single socket can know.
func (l *loader) sockets(c *Config, root *strictyaml.Node) {
	taken := map[string]string{}
	for i, s := range c.Listen {
		at := root.Key("listen").Item(i)
		l.socket(s, at, taken)
	}
	if root.Key("listen").Kind() == strictyaml.List && len(c.Listen) == 0 {
		l.errs.Add(root.Key("listen").Errorf("an empty list, expected at least one socket"))
	}
	at := root.Key("control")
	if _, err := c.Control.path(); err != nil {
		l.errs.Add(at.Expected("unix:PATH"))
		return
	}
	l.socket(c.Control, at, taken)
	l.socket(c.Delivery.Socket, root.Key("delivery"), taken)
	l.socket(c.Training.Socket, root.Key("training"), taken)
}

// socket checks one; taken holds those before it, by address.
func (l *loader) socket(s Socket, at *strictyaml.Node, taken map[string]string) {
	if s.Address == "" { // could not be read, which has been said
		return
	}
	key := s.Address
	if path, err := s.path(); err == nil {
		key = path
	}
	if first, twice := taken[key]; twice {
		l.errs.Add(at.Errorf("%s is already that of %s, expected another", s.Address, first))
		return
	}
	taken[key] = at.Path()
	if l.CheckAddr == nil {
		return
	}
	if err := l.CheckAddr(s.Address); err != nil {
		l.errs.Add(at.Errorf("%w, expected an address such as %s", err, defaultSocket))
	}
}

// rules checks that what is named is there.
func (l *loader) rules(c *Config, at *strictyaml.Node) {
	for i, path := range c.Rules {
		if path != "" && at.Kind() == strictyaml.List && !l.Exists(string(path)) {
			l.errs.Add(at.Item(i).Errorf("%s is not there, expected a file or directory of rules", path))
		}
	}
}

// sort orders errors by the order in which the files count, then by position.
func (l *loader) sort() {
	l.errs.Sort()
	slices.SortStableFunc(l.errs, func(a, b *strictyaml.Error) int {
		return cmp.Compare(slices.Index(l.ranks, a.Pos.File), slices.Index(l.ranks, b.Pos.File))
	})
}
