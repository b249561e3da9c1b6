// Command milterd is a mail filter that Postfix calls as a milter. See
// README.md for its first screen and docs/ for the rest.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/alecthomas/kong"
)

// version is set at build time (-ldflags -X main.version=…).
var version = "0.1.0-dev"

// Exit codes, those of sysexits.h; "milterd help" lists them.
const (
	exitOK          = 0
	exitFindings    = 1  // spam found, tests failed, lint errors
	exitUsage       = 64 // the command line is wrong
	exitData        = 65 // a message cannot be read
	exitUnavailable = 69 // a service is missing
	exitTemporary   = 75
	exitPermission  = 77
	exitConfig      = 78 // the configuration is wrong
)

// exitError ends the program with a code. Without an err everything has been
// said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// globals are the flags of every command and the streams of the process.
type globals struct {
	Config string `help:"Configuration file. Default: $MILTERD_CONFIG, else /etc/milterd/milterd.yaml." env:"MILTERD_CONFIG" placeholder:"FILE"`

	stdin          io.Reader
	stdout, stderr io.Writer
}

// open opens a file to read, with - standard input. Whoever asks closes it.
func (g *globals) open(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(g.stdin), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, &exitError{exitData, err}
	}
	return f, nil
}

// skipped says of a file that holds no message why it is passed over; see
// [mailbox.Messages].
func (g *globals) skipped(name, why string) {
	fmt.Fprintf(g.stderr, "milterd: %s skipped: %s\n", safe(name), why)
}

type cli struct {
	globals

	Serve   serveCmd   `cmd:"" help:"Run the daemon."`
	Check   checkCmd   `cmd:"" help:"Check configuration and rules, offline; all errors at once."`
	Scan    scanCmd    `cmd:"" help:"Give the verdict on messages in files, without a mail server."`
	Send    sendCmd    `cmd:"" help:"Play messages through a milter socket as Postfix would."`
	Why     whyCmd     `cmd:"" help:"Explain the stored verdict on a message."`
	Learn   learnCmd   `cmd:"" help:"Teach what is spam and what is ham, or take it back."`
	Store   storeCmd   `cmd:"" help:"Back up and restore what milterd has learned and remembers."`
	Rules   rulesCmd   `cmd:"" help:"Look at the rules."`
	Spf     spfCmd     `cmd:"" name:"spf" help:"Ask the Sender Policy Framework."`
	Dkim    dkimCmd    `cmd:"" name:"dkim" help:"Ask about DKIM signatures."`
	Dmarc   dmarcCmd   `cmd:"" name:"dmarc" help:"Ask about DMARC policies."`
	Import  importCmd  `cmd:"" name:"import" help:"Read another program's configuration and print milterd's."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

const description = `A mail filter for Postfix: one daemon that verifies, scores and answers before a message is queued.

Exit codes: 0 ok; 1 findings (spam, lint errors, failed tests); 64 usage; 65 unreadable message; 69 a service is missing; 75 temporary; 77 permission; 78 configuration.`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is main without the process.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	var c cli
	c.stdin, c.stdout, c.stderr = stdin, stdout, stderr
	exited := -1
	parser, err := kong.New(&c, kong.Name("milterd"), kong.Description(description),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(stderr, "milterd:", err)
		return exitUsage
	}
	if len(args) > 0 && args[0] == "help" { // "help dkim sign" is "dkim sign --help"
		args = append(slices.Clone(args[1:]), "--help")
	}
	ctx, err := parser.Parse(args)
	if exited >= 0 { // help was asked for
		return exited
	}
	if err != nil {
		fmt.Fprintf(stderr, "milterd: %v (see milterd --help)\n", err)
		return exitUsage
	}
	err = ctx.Run(&c.globals)
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(stderr, "milterd:", safe(exit.err.Error()))
		}
		return exit.code
	}
	fmt.Fprintln(stderr, "milterd:", safe(err.Error()))
	return exitTemporary
}

type versionCmd struct{}

func (versionCmd) Run(g *globals) error {
	_, err := fmt.Fprintln(g.stdout, "milterd", version)
	return err
}
