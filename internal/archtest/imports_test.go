package archtest

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// A room says what a package may import of ours. Names are directories; * stands
// for one element, anything stands for all.
type room struct {
	dir     string
	imports []string
}

var anything = []string{"*", "*/*", "*/*/*"}

// protocols are the packages of one RFC family each, usable alone.
var protocols = []string{"spf", "dkim", "dmarc", "arc"}

// house is the direction of imports, from the ground up. The first entry that
// fits a package holds.
var house = []room{
	// What everything stands on. These know nothing of each other.
	{"message", []string{"internal/race"}}, // which finds who reads a body that is gone
	{"internal/crew", nil},                 // goroutines that stay
	{"internal/lazy", nil},                 // contexts whose timers most never need
	{"milter", []string{"internal/crew"}},
	{"internal/strictyaml", nil}, // YAML with positions, for config and rules
	{"internal/dns", nil},
	{"internal/match", nil},
	{"internal/store", nil},
	{"internal/store/*", []string{"internal/store"}},
	{"rules", []string{"internal/strictyaml", "internal/match", "internal/table"}},
	{"internal/archive", nil},                           // what is in an archive
	{"internal/table", []string{"internal/strictyaml"}}, // addresses, domains, networks in files
	{"internal/config", []string{"internal/strictyaml", "internal/table"}},

	// Protocols and formats. dmarc takes plain identifiers, so it needs neither
	// dkim nor spf.
	{"spf", []string{"message"}},
	{"dkim", []string{"message"}},
	{"dmarc", []string{"message"}},
	{"authres", []string{"message"}},
	{"authres/authrestest", nil}, // what its tests share with the end-to-end tests
	{"mime", []string{"message"}},
	{"arc", []string{"message", "dkim", "authres"}},
	{"internal/keys", []string{"message", "dkim"}}, // files of private keys

	// What SpamAssassin's rules are written in and what they look at; the importer
	// stands on both.
	{"internal/spamassassin", []string{"internal/spamassassin/*", "rules"}},
	{"internal/spamassassin/perlre", nil},
	{"internal/spamassassin/view", []string{"internal/spamassassin/perlre", "mime", "rules"}},
	{"internal/spamassassin/tokens", []string{"message", "mime"}}, // what its Bayes has learned

	{"internal/dnslist", []string{"checks", "internal/lazy", "message", "internal/store", "internal/strictyaml"}}, // lists in the DNS, for the checks that ask them

	// Checks report and never import each other; scoring decides.
	{"bayes", []string{"message", "mime", "internal/store", "internal/spamassassin/tokens"}}, // what was learned lies in the store
	{"checks", []string{"message", "mime", "bayes", "authres", "internal/store"}},
	{"internal/evidence", []string{"checks", "message", "spf", "dkim", "dmarc"}}, // what SPF, DKIM and DMARC prove, for the checks after them
	{"checks/bayes", []string{"checks", "internal/lazy", "message", "mime", "bayes", "internal/strictyaml"}},
	{"checks/all", []string{"checks", "checks/*", "rules"}},
	{"checks/checktest", slices.Concat([]string{"checks", "message", "rules", "internal/strictyaml"}, protocols)},
	{"checks/signing", []string{"checks", "message", "dkim", "internal/keys", "internal/strictyaml"}},             // keys and tables lie in files
	{"checks/arc", []string{"checks", "message", "authres", "arc", "dkim", "internal/keys"}},                      // the sealing key lies in a file
	{"checks/lists", []string{"checks", "message", "internal/evidence", "internal/strictyaml", "internal/table"}}, // whom the operator trusts
	{"checks/dnsbl", []string{"checks", "message", "internal/dnslist", "internal/strictyaml", "internal/table"}},  // paths of files in its section
	{"checks/uribl", []string{"checks", "message", "mime", "dkim", "internal/dnslist", "internal/strictyaml", "internal/table"}},
	{"checks/clamav", []string{"checks", "message", "mime", "internal/strictyaml"}}, // sizes in its section
	{"checks/attachments", []string{"checks", "message", "mime", "internal/archive", "internal/table"}},
	{"checks/*", slices.Concat([]string{"checks", "message", "mime", "authres", "rules", "internal/evidence", "internal/lazy", "internal/match", "internal/strictyaml", "internal/table", "internal/store", "internal/spamassassin/*"}, protocols)},
	{"scoring", []string{"checks", "message", "rules"}},

	// The machinery: pipeline runs checks, bridge joins it to the wire, engine makes
	// both of a configuration, journal keeps what came out.
	{"internal/pipeline", []string{"internal/crew", "internal/lazy", "checks", "scoring", "authres", "message"}},
	{"internal/bridge", []string{"milter", "internal/pipeline", "checks", "message"}},
	{"internal/journal", []string{"internal/pipeline", "checks", "authres", "message"}},
	{"internal/engine", []string{"internal/config", "internal/strictyaml", "internal/table", "internal/dns", "internal/store", "internal/store/*", "internal/pipeline",
		"checks", "checks/all", "dmarc", "rules", "scoring", "message", "bayes"}},

	// What runs it: as a service, over files, for show.
	{"internal/rotation", []string{"internal/keys", "internal/dns", "internal/strictyaml", "dkim", "message"}}, // keys that take turns
	{"internal/dovecot", nil}, // the protocol in which Sieve calls a program
	{"internal/carry", []string{"internal/store", "message", "mime"}},
	{"internal/learning", []string{"bayes", "mime", "internal/carry", "internal/dovecot", "internal/spamassassin/tokens"}},             // lessons and second opinions
	{"internal/control", []string{"bayes", "internal/learning", "internal/dovecot", "internal/spamassassin/tokens", "internal/store"}}, // what commands ask the daemon
	{"internal/cgroup", nil}, // what the kernel allows this process
	{"internal/daemon", []string{"internal/cgroup", "authres", "bayes", "mime", "internal/carry", "internal/control", "internal/dovecot", "internal/learning", "internal/rotation", "internal/bridge", "internal/pipeline", "internal/engine", "internal/journal", "internal/config", "internal/dns",
		"internal/store", "internal/store/*", "checks", "checks/all", "checks/bayes", "milter", "rules", "message"}},
	{"internal/mailbox", nil},
	{"internal/mailbox/mailboxtest", nil}, // the public corpus, for tests
	{"internal/weights", []string{"checks", "checks/author", "checks/content", "checks/header", "message", "rules"}}, // what rules are worth, found in a corpus
	{"internal/scan", []string{"internal/mailbox", "internal/bridge", "internal/engine", "internal/pipeline", "milter", "message"}},
	{"internal/demo", []string{"internal/daemon", "internal/config", "internal/dns/zone", "internal/pipeline", "checks/all", "milter", "rules", "message"}},
	{"internal/opendkim", []string{"internal/keys", "dkim", "message"}}, // reads another program's configuration
	{"internal/postgrey", []string{"internal/table", "message"}},        // and another's
	{"cmd/milterd", anything}, // whatever its commands call

	// What only tests use.
	{"internal/dns/zone", nil}, // and the demonstration
	{"internal/dns/dnstest", []string{"internal/dns/zone", "internal/dns"}},
	{"milter/miltertest", []string{"milter"}},
	{"integration", []string{"milter", "internal/dns/zone"}},
	{"integration/netns", nil}, // networks in which there is nobody else
	{"integration/peers", []string{"milter", "internal/dns/zone", "integration/netns"}},
	// Faults beside a real Postfix: the name server lies, scenario files are YAML, and
	// which checks must leave a mark the checks say themselves.
	{"integration/lab", []string{"integration", "integration/netns", "milter", "internal/dns/dnstest", "internal/dns/zone", "internal/strictyaml", "checks", "checks/all"}},
	{"integration/lab/faulty", []string{"checks"}},     // a check of the lab's own build
	{"internal/race", nil},                             // whether the race detector watches
	{"internal/complexity", []string{"internal/race"}}, // whether work grows in line with what is read
	{"internal/archtest", nil},
	{"internal/archtest/tally", nil},
	{"bench/budgets", nil}, // what "make bench" writes its table with
}

// outside bounds the modules of the packages that somebody might want to use
// without the rest of milterd.
var outside = map[string][]string{
	"message": {"golang.org/x/"},
	"authres": {"golang.org/x/"},
	"spf":     {"golang.org/x/"},
	"dkim":    {"golang.org/x/"},
	"dmarc":   {"golang.org/x/"},
	"arc":     {"golang.org/x/"},
	"mime":    {"golang.org/x/", "github.com/emersion/go-message/charset"},
	"scoring": {},
	"rules":   {},
}

func fits(dir string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, dir); return ok })
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		i := slices.IndexFunc(house, func(r room) bool { return fits(s.dir, []string{r.dir}) })
		if i < 0 {
			t.Errorf("%s: package %s has no place in the house yet: give it one in internal/archtest", s.path(), s.dir)
			continue
		}
		for _, dir := range s.ours() {
			if !fits(dir, house[i].imports) {
				t.Errorf("%s imports %s, expected only %v", s.path(), dir, house[i].imports)
			}
		}
		prefixes, bounded := outside[s.dir]
		for _, other := range s.imports() {
			standard := !strings.Contains(strings.SplitN(other, "/", 2)[0], ".")
			if bounded && !standard && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(other, p) }) {
				t.Errorf("%s imports %s, expected only the standard library and %v", s.path(), other, prefixes)
			}
		}
	}
}

// TestTestsStayInTheirRoom lets tests use anything but another check.
func TestTestsStayInTheirRoom(t *testing.T) {
	for _, s := range sources(t) {
		if ok, _ := path.Match("checks/*", s.dir); !s.test || !ok || s.dir == "checks/all" {
			continue
		}
		for _, dir := range s.ours() {
			if other, _ := path.Match("checks/*", dir); other && dir != s.dir && dir != "checks/checktest" {
				t.Errorf("%s imports %s: checks never meet", s.path(), dir)
			}
		}
	}
}
