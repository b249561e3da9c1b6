package config

import (
	"reflect"
	"time"

	"milterd/internal/strictyaml"
)

const (
	kib = strictyaml.Bytes(1) << 10
	mib = kib << 10
	gib = mib << 10
)

// Limits bound what a stranger can make us do. The defaults pass all mail that people send; lower them on a small
// machine, raise one when the log names it for mail that you want. All are more than nothing.
type Limits struct {
	// The wire.
	MilterFrame strictyaml.Bytes `yaml:"milter_frame"` // one packet of the MTA; Postfix sends up to 64KiB
	Idle        time.Duration    `yaml:"idle"`         // between packets; more than Postfix's smtpd_timeout of 300s
	FrameTime   time.Duration    `yaml:"frame_time"`   // inside one packet
	ReplyTime   time.Duration    `yaml:"reply_time"`   // our answer to an envelope command; Postfix waits 30s
	MessageTime time.Duration    `yaml:"message_time"` // our answer at end of message; Postfix waits 300s
	Connections int              `yaml:"connections"`  // open at once; more than smtpd processes that may call

	// One message.
	HeaderFields int              `yaml:"header_fields"` // over it: 552 5.3.4
	HeaderBytes  strictyaml.Bytes `yaml:"header_bytes"`  // over it: 552 5.3.4
	FromBytes    strictyaml.Bytes `yaml:"from_bytes"`    // the From field; over it: 552 5.3.4
	Recipients   int              `yaml:"recipients"`    // over it: 452 4.5.3 at RCPT
	ScanBytes    strictyaml.Bytes `yaml:"scan_bytes"`    // what content checks see of a message; the rest is only hashed
	TextBytes    strictyaml.Bytes `yaml:"text_bytes"`    // decoded text that rules and Bayes see

	// MIME and words.
	MIMEDepth      int           `yaml:"mime_depth"`
	MIMEParts      int           `yaml:"mime_parts"`
	MIMEParameters int           `yaml:"mime_parameters"` // of one field
	MIMETime       time.Duration `yaml:"mime_time"`       // to read one message: parts, texts, links
	URLs           int           `yaml:"urls"`
	Words          int           `yaml:"words"` // of one message that Bayes looks at

	// Authentication.
	DKIMSignatures  int           `yaml:"dkim_signatures"`   // verified; more are ignored
	DKIMHeaderNames int           `yaml:"dkim_header_names"` // in one h=
	ARCSets         int           `yaml:"arc_sets"`          // RFC 8617, section 4.2.1 allows 50
	DNSQueries      int           `yaml:"dns_queries"`       // a message; answers from the cache do not count
	DNSTime         time.Duration `yaml:"dns_time"`          // a message, for each group (spf, dkim, dmarc, lists)

	// Archives.
	ArchiveDepth   int              `yaml:"archive_depth"` // archives in archives
	ArchiveEntries int              `yaml:"archive_entries"`
	ArchiveRatio   int              `yaml:"archive_ratio"` // unpacked to packed
	ArchiveBytes   strictyaml.Bytes `yaml:"archive_bytes"` // unpacked, a message

	// Rules.
	RuleTime  time.Duration `yaml:"rule_time"`  // one rule on one message
	RulesTime time.Duration `yaml:"rules_time"` // all rules on one message

	// The whole daemon.
	MemoryInflight strictyaml.Bytes `yaml:"memory_inflight"` // messages in RAM; over it: 451 4.3.1
	SpoolBytes     strictyaml.Bytes `yaml:"spool_bytes"`     // messages in the spool directory; over it: 451 4.3.1
}

func defaultLimits() Limits {
	return Limits{
		MilterFrame: 1 * mib,
		Idle:        600 * time.Second,
		FrameTime:   30 * time.Second,
		ReplyTime:   5 * time.Second,
		MessageTime: 25 * time.Second,
		Connections: 12000,

		HeaderFields: 1000,
		HeaderBytes:  256 * kib,
		FromBytes:    8 * kib,
		Recipients:   10000,
		ScanBytes:    64 * mib,
		TextBytes:    1 * mib,

		MIMEDepth:      20,
		MIMEParts:      500,
		MIMEParameters: 50,
		MIMETime:       5 * time.Second,
		URLs:           1000,
		Words:          20000,

		DKIMSignatures:  8,
		DKIMHeaderNames: 100,
		ARCSets:         50,
		DNSQueries:      100,
		DNSTime:         8 * time.Second,

		ArchiveDepth:   3,
		ArchiveEntries: 1000,
		ArchiveRatio:   100,
		ArchiveBytes:   64 * mib,

		RuleTime:  50 * time.Millisecond,
		RulesTime: 2 * time.Second,

		MemoryInflight: 512 * mib,
		SpoolBytes:     8 * gib,
	}
}

// leastFrame is what Postfix's largest packet needs: 65,535 bytes of body (MILTER_CHUNK_SIZE) and the command.
const leastFrame = 64 * kib

// ValidateYAML implements [strictyaml.Validator].
func (l *Limits) ValidateYAML(n *strictyaml.Node) error {
	var errs strictyaml.Errors
	errs.Add(positive(n, l))
	if l.MilterFrame > 0 && l.MilterFrame < leastFrame {
		errs.Add(n.Key("milter_frame").Errorf("%s is less than Postfix sends in one packet, expected at least %s", l.MilterFrame, leastFrame))
	}
	if l.RuleTime > l.RulesTime {
		errs.Add(n.Key("rule_time").Errorf("%s for one rule is more than rules_time (%s) for all, expected less", l.RuleTime, l.RulesTime))
	}
	return errs.Err()
}

// positive reports each number, duration and size of a struct that is zero or less.
func positive(n *strictyaml.Node, of any) error {
	var errs strictyaml.Errors
	v := reflect.ValueOf(of).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.CanInt() && f.Int() <= 0 {
			at := n.Key(v.Type().Field(i).Tag.Get("yaml"))
			text, _ := at.Text()
			errs.Add(at.Errorf("got %s, expected more than 0", text))
		}
	}
	return errs.Err()
}
