// Package config is what the operator of milterd may set: milterd.yaml, the files of conf.d beside it, and MILTERD_*
// in the environment, read strictly (package strictyaml) onto defaults that live here and nowhere else.
//
// [Load] gives one [Config], a snapshot that nobody changes afterwards: a reload loads a new one and swaps the pointer.
// Everything that can be known offline is checked, and every error is reported at once, each as
// "file:line:col: key.path: what, expected what".
//
// From the weakest to the strongest: the defaults, milterd.yaml, conf.d/*.yaml in name order, the environment. Mappings
// merge, lists and single values replace, and a key with nothing behind it changes nothing. An empty file is a complete
// configuration. A single value may hold ${env:NAME} and ${file:PATH}, so that secrets need not stand in the file.
//
// What stands under checks.NAME belongs to that check, which decodes it from its [Section].
package config

import (
	"time"

	"milterd/internal/strictyaml"
)

// Config is the configuration. It is read-only for everybody but [Load].
type Config struct {
	// Mode says how far milterd goes. Start with observe, and go on to enforce when the log says what you want to read.
	Mode Mode `yaml:"mode"`

	// AuthservID is the name under which our Authentication-Results are written and forged ones removed (RFC 8601,
	// section 2.5). Empty: macro j of the MTA, else the host name. Set it when several hosts share one name.
	AuthservID AuthservID `yaml:"authserv_id"`

	// Listen are the sockets for Postfix. Default: unix:/run/milterd/milterd.sock, and beside it
	// unix:/var/spool/postfix/milterd/milterd.sock where /var/spool/postfix exists, which a chrooted smtpd can reach.
	Listen []Socket `yaml:"listen"`

	// Control is the unix socket for milterd's own commands. Change it to run two daemons on one host.
	Control Socket `yaml:"control"`

	// Delivery is the socket that Dovecot's Sieve asks at delivery (extension vnd.dovecot.execute): what each user's own
	// mail has taught may then file what Postfix has accepted, or save it from Junk. With it, mail carries its verdict in
	// the field X-Milterd-Carry.
	Delivery MailSocket `yaml:"delivery"`

	// Training is the socket that Dovecot's imapsieve calls when mail is moved to Junk and back (vnd.dovecot.pipe).
	Training MailSocket `yaml:"training"`

	// HTTP is the TCP address of /metrics, /healthz and /readyz, empty when off.
	HTTP HTTP `yaml:"http"`

	Log        Log        `yaml:"log"`
	Journal    Journal    `yaml:"journal"`
	Networks   Networks   `yaml:"networks"`
	DNS        DNS        `yaml:"dns"`
	Thresholds Thresholds `yaml:"thresholds"`
	Headers    Headers    `yaml:"headers"`

	// Policies treat a part of the mail otherwise. For several recipients the mildest treatment holds.
	Policies []Policy `yaml:"policies"`

	// Store is where milterd remembers what outlives a message. Change it when /var/lib is the wrong disk.
	Store StoreAddr `yaml:"store"`

	// Rules are the rule files, and directories of *.yaml, to read after the built-in rules. Default: rules.d beside the
	// main file if it is there. A file or directory named here must exist.
	Rules []strictyaml.Path `yaml:"rules"`

	// Spool is the directory for bodies that do not stay in memory; files in it are unlinked at once. Change it when
	// /var/tmp is small or in memory.
	Spool strictyaml.Path `yaml:"spool"`

	// OwnFault is what becomes of a message on which milterd itself has failed for the third time or an hour.
	OwnFault OwnFault `yaml:"own_fault"`

	Limits Limits `yaml:"limits"`

	// Lists are whom the operator trusts and whom not: the section of the check lists.
	Lists Section `yaml:"lists"`

	// Signing is whose mail is signed, and with which keys: the section of the check signing.
	Signing Section `yaml:"signing"`

	// Checks are the sections of the checks, by name. [Config.Check] finds one.
	Checks map[string]Section `yaml:"checks"`

	// Files are the files that were read, in order, the main file first.
	Files []string `yaml:"-"`

	root *strictyaml.Node // all files, merged and expanded, for Effective
}

// Log is what goes to standard error.
type Log struct {
	Format LogFormat `yaml:"format"` // text is key=value; json for collectors
	Level  LogLevel  `yaml:"level"`  // debug shows each step of each message
}

// Journal is the file of verdicts that "milterd why" reads: one line of JSON a message, never the body.
type Journal struct {
	Path     strictyaml.Path  `yaml:"path"`     // a directory that only milterd writes
	MaxSize  strictyaml.Bytes `yaml:"max_size"` // of all files together; the oldest go first
	MaxAge   time.Duration    `yaml:"max_age"`  // as long as you may be asked why
	Subjects bool             `yaml:"subjects"` // false when subjects are too private to be kept
}

// DNS says who is asked.
type DNS struct {
	Servers []Nameserver  `yaml:"servers"` // default: those of /etc/resolv.conf; name your own resolver when that one is public
	Timeout time.Duration `yaml:"timeout"` // for one question to one server
}

// Headers says what is added to mail beside our own fields.
type Headers struct {
	// Compat are families of fields that other software expects. Leave them out when nothing reads them.
	Compat []Compat `yaml:"compat"`
}

// Check gives the section of a check; the zero one, which decodes nothing, when the files do not mention it.
func (c *Config) Check(name string) Section {
	switch name {
	case "lists":
		return c.Lists
	case "signing":
		return c.Signing
	}
	return c.Checks[name]
}

// Section is the part of the configuration that a check decodes itself.
type Section = strictyaml.Section

// DefaultPath is where the configuration is when nobody says otherwise.
const DefaultPath = "/etc/milterd/milterd.yaml"

const (
	defaultSocket  = "unix:/run/milterd/milterd.sock"
	postfixSocket  = "unix:/var/spool/postfix/milterd/milterd.sock"
	postfixQueue   = "/var/spool/postfix"
	defaultRules   = "rules.d"
	confDir        = "conf.d"
	envPrefix      = "MILTERD_"
	defaultControl = "unix:/run/milterd/control.sock"
)

// Default gives the configuration of an empty file, but for what depends on the host: the second entry of Listen and
// rules.d are added by [Load] where they exist.
func Default() *Config {
	return &Config{
		Mode:    Enforce,
		Listen:  []Socket{{Address: defaultSocket, Mode: socketMode}},
		Control: Socket{Address: defaultControl, Mode: socketMode},
		HTTP:    "127.0.0.1:9891",
		Log:     Log{Format: LogText, Level: LogInfo},
		Journal: Journal{Path: "/var/lib/milterd/verdicts", MaxSize: 256 * mib, MaxAge: 30 * 24 * time.Hour, Subjects: true},
		Store:   "bolt:/var/lib/milterd/state.db",
		Networks: Networks{
			MyNetworks: loopback(),
		},
		DNS:        DNS{Timeout: 3 * time.Second},
		Thresholds: Thresholds{Greylist: 4, Junk: 6, Reject: 15},
		Headers:    Headers{Compat: []Compat{SpamAssassin}},
		Spool:      "/var/tmp",
		OwnFault:   Hold,
		Limits:     defaultLimits(),
	}
}

// ValidateYAML implements [strictyaml.Validator].
func (j *Journal) ValidateYAML(n *strictyaml.Node) error {
	return positive(n, j)
}

// ValidateYAML implements [strictyaml.Validator].
func (d *DNS) ValidateYAML(n *strictyaml.Node) error {
	return positive(n, d)
}
