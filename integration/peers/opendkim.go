package peers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	wire "github.com/emersion/go-milter"

	"milterd/milter"
)

// OpenDKIM is a running opendkim. One session of the milter protocol at a time is
// played to it, as Postfix would: mail from 127.0.0.1 it signs, any other it
// verifies.
type OpenDKIM struct {
	*program
	mu     sync.Mutex
	socket milter.Addr
}

// opendkimID is what OpenDKIM calls itself in Authentication-Results.
const opendkimID = "opendkim.test"

// StartOpenDKIM starts opendkim in the foreground on a socket of its own. It signs
// mail from its key's domain with the first key; all keys are published.
func StartOpenDKIM(ctx context.Context, config Config) (*OpenDKIM, error) {
	path, err := find("opendkim")
	if err != nil {
		return nil, err
	}
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	if err := writeOpenDKIM(dir, config); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p, err := start(dir, exec.Command(path, "-f", "-l", "-x", filepath.Join(dir, "opendkim.conf")))
	if err != nil {
		return nil, err
	}
	p.stop = os.Kill // libmilter looks for other signals every five seconds only
	o := &OpenDKIM{program: p, socket: milter.Addr{Network: "unix", Address: filepath.Join(dir, "socket")}}
	err = p.ready(ctx, func(ctx context.Context) error {
		c, err := milter.Dial(ctx, o.socket, milter.ClientOptions{})
		if err != nil {
			return err
		}
		return c.Quit(ctx)
	})
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return o, nil
}

// writeOpenDKIM writes opendkim.conf and the files that it names.
func writeOpenDKIM(dir string, config Config) error {
	var keys, signing, names strings.Builder
	algorithm := "rsa-sha256"
	for _, k := range config.Keys[:min(1, len(config.Keys))] {
		algorithm = k.Algorithm()
		text, err := k.privatePEM()
		if err != nil {
			return err
		}
		file := filepath.Join(dir, k.Name()+".pem")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		fmt.Fprintf(&keys, "%s %s:%s:%s\n", k.Name(), k.Domain, k.Selector, file)
		fmt.Fprintf(&signing, "*@%s %s\n", k.Domain, k.Name())
	}
	for name, record := range config.records() {
		fmt.Fprintf(&names, "%s %s\n", name, record)
	}
	main := `Socket local:` + dir + `/socket
PidFile ` + dir + `/pid
UserID root
UMask 000
Syslog no
RequireSafeKeys no
AuthservID ` + opendkimID + `
InternalHosts 127.0.0.1
KeyTable file:` + dir + `/keys
SigningTable refile:` + dir + `/signing
TestDNSData file:` + dir + `/names
MaximumHeaders 0
MaximumSignaturesToVerify 20
AlwaysAddARHeader yes
OversignHeaders From
SignatureAlgorithm ` + algorithm + "\n"
	if config.Header != "" {
		main += "Canonicalization " + config.Header + "/" + config.Body + "\n"
	}
	for name, text := range map[string]string{"opendkim.conf": main, "keys": keys.String(), "signing": signing.String(), "names": names.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Sign implements [Signer].
func (o *OpenDKIM) Sign(ctx context.Context, raw []byte) ([]byte, error) {
	out, err := o.play(ctx, netip.MustParseAddr("127.0.0.1"), raw)
	if err != nil {
		return nil, err
	}
	var signed strings.Builder
	for _, e := range out.Edits {
		if !strings.EqualFold(e.Name, "DKIM-Signature") {
			continue
		}
		value := " " + e.Value
		if e.Tight {
			value = e.Value
		}
		signed.WriteString(e.Name + ":" + strings.ReplaceAll(value, "\n", "\r\n") + "\r\n")
	}
	if signed.Len() == 0 {
		return nil, o.failed(fmt.Errorf("no signature: %v, %v", out.Reply, out.Edits))
	}
	return append([]byte(signed.String()), raw...), nil
}

var opendkimResult = regexp.MustCompile(`\bdkim=(\w+)[^;]*`)

// Verify implements [Verifier].
func (o *OpenDKIM) Verify(ctx context.Context, raw []byte) ([]Verdict, error) {
	out, err := o.play(ctx, netip.MustParseAddr("192.0.2.1"), raw)
	if err != nil {
		return nil, err
	}
	var verdicts []Verdict
	for _, e := range out.Edits {
		value := strings.TrimSpace(e.Value)
		if !strings.EqualFold(e.Name, "Authentication-Results") || !strings.HasPrefix(value, opendkimID) {
			continue
		}
		for _, result := range opendkimResult.FindAllStringSubmatch(value, -1) {
			if result[1] != "none" {
				verdicts = append(verdicts, Verdict{Pass: result[1] == "pass", Text: result[0]})
			}
		}
	}
	return verdicts, nil
}

// play runs one SMTP session with the message.
func (o *OpenDKIM) play(ctx context.Context, client netip.Addr, raw []byte) (out milter.Outcome, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, err := milter.Dial(ctx, o.socket, milter.ClientOptions{})
	if err != nil {
		return out, o.failed(err)
	}
	peer := milter.Peer{Connect: milter.Connect{Host: "client.test", Family: byte(wire.FamilyInet), Port: 40000, Addr: client}, Helo: "client.test"}
	if r, err := c.Greet(ctx, peer); err != nil || !r.IsContinue() {
		return out, o.failed(errors.Join(err, fmt.Errorf("greeted with %v", r), c.Close()))
	}
	out, err = c.Send(ctx, milter.Envelope{From: "ann@example.org", Rcpts: []milter.Recipient{{Address: "bob@example.net"}}}, raw)
	if err == nil && out.Stage != "eom" {
		err = fmt.Errorf("decided %v at %s", out.Reply, out.Stage)
	}
	if err != nil {
		return out, o.failed(errors.Join(err, c.Close()))
	}
	return out, c.Quit(ctx)
}
