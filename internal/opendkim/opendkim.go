// Package opendkim reads what an operator told OpenDKIM and says the same to
// milterd.
//
// OpenDKIM's configuration has three layers. opendkim.conf holds settings, one a
// line. Some settings are data sets: a list in the line itself (csl:), a file of
// keys and values (file:), a file of patterns (refile:), or a data base. Three data
// sets say what is signed:
//
//	SigningTable   who          *@example.org      → k1
//	KeyTable       with what    k1                 → example.org:2020:/etc/dkimkeys/k1.private
//	InternalHosts  from where   192.0.2.0/24
//
// milterd says it by domain (signing.domains) and by network
// (networks.mynetworks), and signs with the author's own domain or one above it
// only. So the tables are not translated line by line. The package looks up who
// signs what as OpenDKIM does, its surprises included, for a sample of senders
// that has at least one for every line ([Import] makes them up from the patterns);
// makes domains that give the same d= and s=; and then compares the two for the
// whole sample. A line all of whose senders keep their signatures is carried; every
// other is reported, with the reason and where it stands.
//
// The surprises were found by asking opendkim 2.11 itself, and the end-to-end tests
// ask it again:
//
//   - With MultipleSignatures, of three matching lines or more only the first and
//     the last sign.
//   - A line of a pattern file that begins with a blank is not there at all.
//   - Hosts are compared as text: 192.0.2.1/24 and 192.0.2/24 match nobody, and
//     *.example.org nobody either, in one kind of file because only .example.org
//     is a domain, in the other because the pattern also matches the question
//     whether the host is excluded.
//   - A line that names a key that is not there defers the mail, it does not let
//     it go unsigned.
//
// Whatever the files hold, nothing is printed of a private key that stands in a
// table, and nothing is run or looked up in the network.
package opendkim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Result is what an import gives.
type Result struct {
	Config Config // what was carried
	YAML   []byte // the same, as a configuration for milterd
	Report []byte // what became of every setting and every entry, and counts at the end
	Whole  bool   // nothing was left behind
}

// Import reads the configuration at path: opendkim.conf itself, or the directory
// where it lies. For /etc/opendkim, which holds the tables only, that is the file
// /etc/opendkim.conf beside it.
//
// The error is about path alone. What is wrong in a file, or cannot be read of
// what it names, is in the report.
func Import(path string) (Result, error) {
	main, err := find(path)
	if err != nil {
		return Result{}, err
	}
	im := newImporter(main)
	if err := im.readConf(); err != nil {
		return Result{}, err
	}
	im.settle()
	im.hosts()
	im.signing()
	return im.result()
}

// find returns the path of opendkim.conf, made absolute: paths in the YAML must
// not depend on where the command ran.
func find(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.IsDir():
		return path, nil
	}
	for _, candidate := range []string{filepath.Join(path, "opendkim.conf"), path + ".conf"} {
		_, err := os.Stat(candidate)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s: no opendkim.conf in it, and no %s beside it", path, filepath.Base(path)+".conf")
}

// importer is one import under way.
type importer struct {
	main  string
	files *files
	ledger

	settings map[string]setting // in force, by name in lower case
	base     string             // BaseDirectory, for relative paths
	root     string             // ChangeRootDirectory, for the paths of keys

	config Config
}

func newImporter(main string) *importer {
	return &importer{main: main, files: &files{}, settings: map[string]setting{}, base: filepath.Dir(main)}
}
