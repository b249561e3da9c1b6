package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// startDovecot writes the configuration, compiles the Sieve scripts (a mail user
// could not write the result beside a script of root) and runs the master.
func (b *Bed) startDovecot(ctx context.Context, config Config) error {
	extra, err := template.New("dovecot").Parse(config.Dovecot)
	if err != nil {
		return err
	}
	data := map[string]any{"Dir": b.dir, "IMAPPort": b.ports["imap"].Number}
	var more strings.Builder
	if err := extra.Execute(&more, data); err != nil {
		return err
	}
	data["Extra"] = more.String()
	text, err := render("dovecot.conf", data)
	if err != nil {
		return err
	}
	conf := filepath.Join(b.dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	if err := b.compileSieve(ctx, conf, config.Sieve); err != nil {
		return err
	}
	b.dovecot, err = b.family.start("dovecot", b.dovecotLog, nil, "dovecot", "-F", "-c", conf)
	if err != nil {
		return err
	}
	return b.dovecot.ready(ctx, b.probeDovecot)
}

func (b *Bed) compileSieve(ctx context.Context, conf string, scripts map[string]string) error {
	junk, err := bedFiles.ReadFile("bed/junk.sieve")
	if err != nil {
		return err
	}
	all := map[string]string{"junk": string(junk)}
	for name, script := range scripts {
		all[name] = script
	}
	for name, script := range all {
		path := filepath.Join(b.dir, "sieve", name+".sieve")
		if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
			return err
		}
		if _, err := run(ctx, nil, "sievec", "-c", conf, path); err != nil {
			return err
		}
	}
	return nil
}

// probeDovecot succeeds once IMAP answers and the sockets for Postfix are there.
func (b *Bed) probeDovecot(ctx context.Context) error {
	for _, name := range []string{"auth", "dovecot-lmtp"} {
		info, err := os.Stat(filepath.Join(b.dir, "spool/private", name))
		if err != nil {
			return err
		}
		if info.Mode().Type() != fs.ModeSocket {
			return errors.New(name + " is no socket")
		}
	}
	c, err := b.IMAP(ctx, "alice@example.test")
	if err != nil {
		return err
	}
	return c.Close()
}

// writeCertificate makes a self-signed certificate for the host: cert.pem, key.pem.
func writeCertificate(dir, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
		DNSNames:     []string{host, "localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name, kind string
		der        []byte
	}{{"cert.pem", "CERTIFICATE", cert}, {"key.pem", "PRIVATE KEY", private}} {
		var text bytes.Buffer
		if err := pem.Encode(&text, &pem.Block{Type: file.kind, Bytes: file.der}); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file.name), text.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
