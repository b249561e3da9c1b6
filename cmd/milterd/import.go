package main

import (
	"os"
)

// importCmd is the family of commands that take over from another program. One takes
// what it has learned; the others read its configuration and print milterd's: each prints YAML to standard output and, to standard error
// or the file of --report, what became of every line; each ends with 1 when a line
// was not carried.
type importCmd struct {
	Bayes        importBayesCmd        `cmd:"" name:"bayes" help:"Take over what SpamAssassin's Bayes has learned: a backup of sa-learn, into the store."`
	Opendkim     importOpendkimCmd     `cmd:"" name:"opendkim" help:"Read the configuration of OpenDKIM: settings, KeyTable, SigningTable, lists of hosts."`
	Postgrey     importPostgreyCmd     `cmd:"" name:"postgrey" help:"Read the white lists of postgrey: clients and recipients."`
	Spamassassin importSpamassassinCmd `cmd:"" name:"spamassassin" help:"Read rules of SpamAssassin: .cf files and directories with such."`
}

// importFlags are the flags of every import.
type importFlags struct {
	Report string `help:"Write what became of every line to FILE instead of standard error." placeholder:"FILE"`
}

// deliver prints the result of an import. Where not everything was carried the
// command ends with 1.
func (f *importFlags) deliver(g *globals, yaml, report []byte, whole bool) error {
	if f.Report == "" {
		if _, err := g.stderr.Write(report); err != nil {
			return err
		}
	} else if err := os.WriteFile(f.Report, report, 0o644); err != nil {
		return err
	}
	if _, err := g.stdout.Write(yaml); err != nil {
		return err
	}
	if !whole {
		return &exitError{code: exitFindings}
	}
	return nil
}
