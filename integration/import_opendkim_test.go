package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"milterd/milter"
)

// A migration is a site that signs with OpenDKIM today: its files, and senders to
// ask for. DIR in the files is the site's directory.
type migration struct {
	name  string
	files map[string]string // below the directory; opendkim.conf is one of them
	keys  []string          // files of private keys

	clients []string // addresses and names: "192.0.2.10 mail.example.test", with "login" behind it for a submission
	authors []string // From

	// changed are the authors whose signatures the report says will not be the
	// same, and a part of what it says.
	changed map[string]string
	// moved are the clients of which it says so.
	moved map[string]string
	// tables says that a line of the SigningTable that is not carried, and fits the
	// author, tells of the change as well.
	tables bool
}

var migrations = []migration{
	{
		name: "patterns",
		files: map[string]string{
			"opendkim.conf": "Canonicalization relaxed/simple\nMode sv\nKeyTable refile:DIR/KeyTable\nSigningTable refile:DIR/SigningTable\n" +
				"InternalHosts refile:DIR/TrustedHosts\nExternalIgnoreList refile:DIR/TrustedHosts\nMultipleSignatures yes\nOversignHeaders From\nSignatureTTL 1209600\n",
			"KeyTable": "one1 one.test:2020:DIR/keys/one1.pem\none2 one.test:2021:DIR/keys/one2.pem\none3 one.test:2022:DIR/keys/one3.pem\n" +
				"two two.test:s:DIR/keys/two.pem\nlists lists.test:s:DIR/keys/lists.pem\nbelow up.test:s:DIR/keys/up.pem\n",
			"SigningTable": "*@one.test one1\n*@one.test one2 # two keys a sender\n*@*.one.test one1\n*@*.one.test one2\n" +
				"*@two.test two:@two.test\n*@foreign.test lists\n*@sub.up.test below\nann@personal.test two\n*two.test two\n" +
				" *@indented.test two\nfile.test two\n*@lost.test nokey\n" +
				"*@three.test one1\n*@lists.test lists\n",
			"TrustedHosts": "127.0.0.1\n::1\nlocalhost\n192.0.2.0/24\n!192.0.2.66\n10.1.1.*\n198.51.100.1/24\n*.wild.test\n2001:db8:1::/48\n[2001:db8:3::1]\n[2001:db8:4::]/48\n[192.0.2.66]\n.named.test\n",
		},
		keys: []string{"one1", "one2", "one3", "two", "lists", "up"},
		clients: []string{"127.0.0.1 localhost", "::1 localhost", "192.0.2.10 mail.wild.test", "192.0.2.66 mail.wild.test", "10.1.1.9 unknown", "10.1.2.9 unknown",
			"198.51.100.7 mail.wild.test", "203.0.113.7 mail.wild.test", "2001:db8:1::5 unknown", "2001:db8:2::5 unknown", "2001:db8:3::1 unknown", "2001:db8:4::9 unknown", "203.0.113.8 unknown login", "203.0.113.9 host.named.test"},
		authors: []string{"a@one.test", "A.B@One.Test", "a@sub.one.test", "a@b.sub.one.test", "a@two.test", "a@lists.test", "a@indented.test", "a@file.test", "a@unlisted.test",
			"a@lost.test", "a@foreign.test", "a@sub.up.test", "a@up.test", "ann@personal.test", "bob@personal.test", "a@nottwo.test", "a@three.test", "a@x.two.test"},
		changed: map[string]string{
			"a@foreign.test": "*@foreign.test lists", "a@sub.up.test": "*@sub.up.test below", "ann@personal.test": "ann@personal.test two",
			"a@nottwo.test": "*two.test two: in part only", "a@three.test": "*@three.test one1",
		},
		moved: map[string]string{"203.0.113.9 host.named.test": ".named.test: milterd's networks are addresses"},
	},
	{
		name: "more than two keys",
		files: map[string]string{
			"opendkim.conf": "KeyTable DIR/KeyTable\nSigningTable refile:DIR/SigningTable\nMultipleSignatures yes\n",
			"KeyTable":      "k1 one.test:s1:DIR/keys/1.pem\nk2 one.test:s2:DIR/keys/2.pem\nk3 one.test:s3:DIR/keys/3.pem\nk4 one.test:s4:DIR/keys/4.pem\n",
			"SigningTable":  "*@one.test k1\n*@one.test k2\n*@one.test k3\n*@one.test k4\n",
		},
		keys:    []string{"1", "2", "3", "4"},
		clients: []string{"127.0.0.1 localhost", "::1 localhost", "203.0.113.8 unknown login", "203.0.113.9 unknown"},
		authors: []string{"a@one.test", "a@two.test"},
	},
	{
		name: "flat tables",
		files: map[string]string{
			"opendkim.conf": "KeyTable csl:one=one.test:S1:DIR/keys/1.pem,two=two.test:s2:DIR/keys/2.pem,any=%:s3:DIR/keys/by/%.pem\nSigningTable file:DIR/SigningTable\n" +
				"InternalHosts csl:10.0.0.0/8, !10.1.0.0/16, 10.1.2.0/24, !10.1.2.3, 127.0.0.1, 2001:DB8::/32, fd00:0:0::/48\n",
			"SigningTable": "one.test one\n.one.test one\n apart.one.test two\nbob@two.test one\ntwo.test two\nann@.two.test two\n*@three.test one\n* any\nnever.test one\nnever.test two\n",
		},
		keys:    []string{"1", "2", "by/four.test", "by/five.test"},
		clients: []string{"127.0.0.1 localhost", "::1 localhost", "10.2.3.4 unknown", "10.1.9.9 unknown", "10.1.2.9 unknown", "10.1.2.3 unknown", "2001:db8::5 unknown", "fd00::1 unknown", "203.0.113.8 unknown login"},
		authors: []string{"a@one.test", "a@b.one.test", "a@c.b.one.test", "a@apart.one.test", "a@two.test", "BOB@two.test", "bob@x.two.test", "ann@x.two.test", "a@x.two.test",
			"a@three.test", "a@four.test", "a@five.test", "a@x.five.test", "a@six.test", "a@never.test"},
		changed: map[string]string{
			"a@apart.one.test": "apart.one.test two: OpenDKIM signs mail of apart.one.test with d=two.test", "BOB@two.test": "bob@two.test one: OpenDKIM signs mail of bob@two.test with d=one.test",
			"ann@x.two.test": "ann@.two.test two", "a@never.test": "never.test one: OpenDKIM signs mail of never.test with d=one.test",
		},
	},
	{
		name: "one key",
		files: map[string]string{
			"opendkim.conf": "Domain one.test, two.test, sub.two.test\nSubDomains yes\nSelector mail\nKeyFile DIR/keys/1.pem\nPeerList 10.9.9.9, 192.0.2.0/25\nInternalHosts DIR/hosts\nExemptDomains exempt.one.test\n",
			"hosts":         "192.0.2.0/24\n127.0.0.1 # ours\n10.9.9.9\n",
		},
		keys:    []string{"1"},
		clients: []string{"127.0.0.1 localhost", "192.0.2.10 unknown", "192.0.2.200 unknown", "10.9.9.9 unknown", "203.0.113.8 unknown login", "203.0.113.9 unknown"},
		authors: []string{"a@one.test", "a@b.one.test", "a@two.test", "a@sub.two.test", "a@x.sub.two.test", "a@exempt.one.test", "a@three.test"},
		changed: map[string]string{"a@exempt.one.test": "ExemptDomains exempt.one.test: its mail is signed"},
	},
	{
		name: "domains by pattern",
		files: map[string]string{
			"opendkim.conf": "BaseDirectory DIR\nDomain refile:domains\nSelector mail\nKeyFile keys/1.pem\nMode s\nCanonicalization simple\n",
			"domains":       "one.test\n*.two.test\n three.test\n",
		},
		keys:    []string{"1"},
		clients: []string{"127.0.0.1 localhost", "203.0.113.8 unknown login", "203.0.113.9 unknown"},
		authors: []string{"a@one.test", "a@b.one.test", "a@two.test", "a@b.two.test", "a@three.test"},
		changed: map[string]string{"a@b.two.test": "Domain *.two.test: it signs with every domain below two.test itself"},
	},
	{
		name: "nothing to sign",
		files: map[string]string{
			"opendkim.conf": "Mode v\nInclude DIR/more.conf\n",
			"more.conf":     "Domain one.test\nSelector mail\nKeyFile DIR/keys/1.pem\n",
		},
		keys:    []string{"1"},
		clients: []string{"127.0.0.1 localhost"},
		authors: []string{"a@one.test"},
	},
}

// byChance makes up a SigningTable of patterns.
func byChance(seed uint64) migration {
	rnd := mathrand.New(mathrand.NewPCG(seed, 6376))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	m := migration{
		name:    fmt.Sprintf("by chance %d", seed),
		keys:    []string{"1", "2", "3"},
		clients: []string{"127.0.0.1 localhost"},
		tables:  true,
	}
	var table strings.Builder
	for range 5 {
		domain, key := pick("x.test", "x.test", "sub.x.test", "y.test"), pick("x1", "x2")
		if domain == "y.test" {
			key = "y"
		}
		fmt.Fprintf(&table, "%s%s %s\n", pick("*@", "*@", "*@", "*@*.", "*@*.", "*", "a*@"), domain, key)
	}
	for _, user := range []string{"a", "b", "ab"} {
		for _, domain := range []string{"x.test", "sub.x.test", "other.x.test", "deep.sub.x.test", "y.test", "z.y.test", "notx.test", "z.test"} {
			m.authors = append(m.authors, user+"@"+domain)
		}
	}
	m.files = map[string]string{
		"opendkim.conf": "KeyTable file:DIR/KeyTable\nSigningTable refile:DIR/SigningTable\nMultipleSignatures " + pick("yes", "no") + "\n",
		"KeyTable":      "x1 x.test:x1:DIR/keys/1.pem\nx2 x.test:x2:DIR/keys/2.pem\ny y.test:y:DIR/keys/3.pem\n",
		"SigningTable":  table.String(),
	}
	return m
}

// tells reports whether the report says that an author's signatures change, by a
// line of the SigningTable that is not carried.
func (m *migration) tells(report, author string) bool {
	for line := range strings.Lines(report) {
		_, entry, lost := strings.Cut(line, ": not carried: SigningTable ")
		if pattern, _, _ := strings.Cut(entry, " "); m.tables && lost {
			if fits, err := filepath.Match(pattern, strings.ToLower(author)); fits && err == nil {
				return true
			}
		}
	}
	return false
}

// TestImportOpenDKIM lets a real opendkim and a milterd with the imported
// configuration sign the same messages from the same clients, and compares d= and
// s=. Where they differ, the report must have said so.
func TestImportOpenDKIM(t *testing.T) {
	t.Parallel()
	testBed(t)
	if _, err := exec.LookPath("opendkim"); err != nil {
		skipLoudly(t, "an imported configuration beside OpenDKIM itself. integration/install.sh installs it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := buildOnce(ctx); err != nil {
		t.Fatal(err)
	}
	for i, m := range append(slices.Clone(migrations), byChance(1), byChance(2), byChance(3), byChance(4)) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.run(t, fmt.Sprintf("import%d", i))
		})
	}
}

func (m *migration) run(t *testing.T, name string) {
	dir := m.write(t, name)
	opendkim := m.startOpenDKIM(t, dir)
	yaml, report := runImport(t, dir)
	d, err := shared.bed.StartDaemon(within(t), shared.binary, DaemonConfig{Name: name, YAML: yaml, DNS: []string{shared.names.Addr()}})
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, yaml, report)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, said := range []map[string]string{m.changed, m.moved} {
		for who, what := range said {
			check(t, strings.Contains(report, what), "%s: the report does not say %q", who, what)
		}
	}
	signed, equal, both := 0, 0, 0
	for _, client := range m.clients {
		for _, author := range m.authors {
			want, got := signaturesBy(t, opendkim, client, author), signaturesBy(t, d.Socket(), client, author)
			if len(want) > 0 {
				signed++
			}
			alike := slices.Equal(want, got)
			if alike {
				equal++
			}
			if alike && len(want) > 0 {
				both++
			}
			told := m.changed[author] != "" || m.moved[client] != "" || m.tells(report, author)
			check(t, alike || told, "client %s, author %s: OpenDKIM signs %v, milterd %v", client, author, want, got)
		}
	}
	// What the report says will change does change, for one of ours at least.
	for author := range m.changed {
		want, got := signaturesBy(t, opendkim, "127.0.0.1 localhost", author), signaturesBy(t, d.Socket(), "127.0.0.1 localhost", author)
		check(t, !slices.Equal(want, got), "author %s: the report says that it changes, and both sign %v", author, want)
	}
	all := len(m.clients) * len(m.authors)
	check(t, signed >= len(m.authors)/4 || signed == 0 && !strings.Contains(yaml, "domains:"), "only %d of %d messages were signed by OpenDKIM", signed, all)
	t.Logf("%d messages, %d of them signed by OpenDKIM; alike are %d, of them %d signed; the others are as the report says", all, signed, equal, both)
	if t.Failed() {
		t.Logf("%s\n%s", yaml, report)
	}
}

// write makes the directory of the site, with keys that opendkim and milterd may
// read, who are the same user here.
func (m *migration) write(t *testing.T, name string) (dir string) {
	t.Helper()
	dir = filepath.Join(shared.bed.Dir(), name)
	files := map[string][]byte{}
	for file, text := range m.files {
		files[file] = []byte(strings.ReplaceAll(text, "DIR", dir))
	}
	files["opendkim.conf"] = append(files["opendkim.conf"], fmt.Sprintf("Syslog no\nBackground no\nRequireSafeKeys no\nUserID %s\nUMask 000\nSocket local:%s/run/s\n", daemonUser, dir)...)
	for _, key := range m.keys {
		private, err := rsa.GenerateKey(rand.Reader, 1024) // small, for the sake of opendkim's time
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		files["keys/"+key+".pem"] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	for file, text := range files {
		path := filepath.Join(dir, file)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(file, "keys/") {
			mode = 0o640
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, mode), chown(path, "root", daemonUser)); err != nil {
			t.Fatal(err)
		}
	}
	run := filepath.Join(dir, "run")
	if err := errors.Join(os.Mkdir(run, 0o755), chown(run, daemonUser, daemonUser)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startOpenDKIM starts opendkim and returns its socket.
func (m *migration) startOpenDKIM(t *testing.T, dir string) string {
	t.Helper()
	log := newLog("opendkim")
	socket := filepath.Join(dir, "run/s")
	proc, err := shared.bed.family.start("opendkim", log, nil, "opendkim", "-f", "-x", filepath.Join(dir, "opendkim.conf"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proc.stop(10 * time.Second); err != nil {
			t.Error(err)
		}
	})
	err = proc.ready(within(t), func(ctx context.Context) error {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, log.Tail(20))
	}
	return socket
}

// runImport calls "milterd import opendkim" on the directory. It ends with 0, or
// with 1 where something was not carried.
func runImport(t *testing.T, dir string) (yaml, report string) {
	t.Helper()
	var out, errors bytes.Buffer
	cmd := exec.CommandContext(within(t), shared.binary, "import", "opendkim", dir)
	cmd.Stdout, cmd.Stderr = &out, &errors
	err := cmd.Run()
	code, whole := cmd.ProcessState.ExitCode(), strings.HasSuffix(errors.String(), ", 0 not carried\n")
	check(t, code == 0 && whole || code == 1 && !whole, "import: %v, exit %d\n%s", err, code, errors.String())
	return out.String(), errors.String()
}

// signaturesBy plays a message to a filter and returns the domains and selectors of
// the signatures that it adds, sorted. Mail that it refuses or defers has none.
func signaturesBy(t *testing.T, socket, client, author string) []string {
	t.Helper()
	ctx := within(t)
	c, err := milter.Dial(ctx, milter.Addr{Network: "unix", Address: socket}, milter.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fields := strings.Fields(client)
	peer := milter.Peer{Connect: milter.Connect{Host: fields[1], Addr: netip.MustParseAddr(fields[0]), Port: 40000, Family: '4'}, Helo: "client.test", Hostname: "mx.example.test"}
	if peer.Addr.Is6() {
		peer.Family = '6'
	}
	if len(fields) > 2 {
		peer.Login = fields[2]
	}
	greeting, err := c.Greet(ctx, peer)
	if err != nil {
		t.Fatal(err)
	}
	if !greeting.IsContinue() {
		return nil // PeerList
	}
	raw := "From: Somebody <" + author + ">\r\nTo: x@elsewhere.test\r\nSubject: minutes\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@" + author[strings.IndexByte(author, '@')+1:] + ">\r\n\r\nhello\r\n"
	outcome, err := c.Send(ctx, milter.Envelope{From: author, Rcpts: []milter.Recipient{{Address: "x@elsewhere.test"}}}, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range outcome.Edits {
		if strings.EqualFold(e.Name, "DKIM-Signature") {
			all = append(all, strings.ToLower("d="+tagOf(e.Value, "d")+" s="+tagOf(e.Value, "s")))
		}
	}
	slices.Sort(all)
	return slices.Compact(all) // two lines of a table may name the same key
}

// tagOf returns the value of a tag in a DKIM-Signature field, folds taken out.
func tagOf(value, tag string) string {
	for part := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(part, "=")
		if strings.TrimSpace(name) == tag {
			return strings.Join(strings.Fields(v), "")
		}
	}
	return ""
}
