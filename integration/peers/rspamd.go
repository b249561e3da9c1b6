package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"milterd/internal/dns/zone"
)

// Rspamd is a running rspamd with nothing in it but its module dkim, which
// verifies. It asks a name server of its own on loopback.
type Rspamd struct {
	*program
	names  *zone.Server
	client http.Client
}

// rspamdConfig has the directory for @ and the name server for %.
const rspamdConfig = `
options {
  filters = "dkim";
  pidfile = "@/pid";
  control_socket = "@/control mode=0600";
  hs_cache_dir = "@";
  tempdir = "@";
  url_tld = "@/tld";
  max_message = 16M;
  dns { nameserver = ["%"]; timeout = 5s; retransmits = 2; }
}
logging { type = "console"; level = "warning"; }
worker "normal" { bind_socket = "@/socket mode=0666"; count = 1; }
dkim { max_sigs = 20; }
actions { reject = 1000; }
`

// StartRspamd starts rspamd for the keys that config publishes.
func StartRspamd(ctx context.Context, config Config) (*Rspamd, error) {
	path, err := find("rspamd")
	if err != nil {
		return nil, err
	}
	records := make(zone.Records)
	for name, record := range config.records() {
		records[name] = []string{"TXT " + record}
	}
	z, err := zone.New(records)
	if err != nil {
		return nil, err
	}
	names, err := zone.Serve(z.Handle)
	if err != nil {
		return nil, err
	}
	r, err := startRspamd(ctx, path, names)
	if err != nil {
		names.Close()
	}
	return r, err
}

func startRspamd(ctx context.Context, path string, names *zone.Server) (*Rspamd, error) {
	dir, err := newDir()
	if err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"rspamd.conf": strings.NewReplacer("@", dir, "%", names.Addr()).Replace(rspamdConfig),
		"tld":         "org\nnet\ntest\n", // the public list takes seconds to compile
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	p, err := start(dir, exec.Command(path, "-f", "-i", "-c", filepath.Join(dir, "rspamd.conf")))
	if err != nil {
		return nil, err
	}
	r := &Rspamd{program: p, names: names}
	r.client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "socket"))
	}}
	err = p.ready(ctx, func(ctx context.Context) error {
		_, err := r.Verify(ctx, []byte("From: ann@example.org\r\n\r\n"))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return r, nil
}

// Close ends rspamd and its name server.
func (r *Rspamd) Close() error {
	r.client.CloseIdleConnections()
	return errors.Join(r.program.Close(), r.names.Close())
}

// Verify implements [Verifier].
func (r *Rspamd) Verify(ctx context.Context, raw []byte) ([]Verdict, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://rspamd/checkv2", bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Symbols map[string]struct{ Options []string }
	}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode != http.StatusOK {
		return nil, r.failed(errors.Join(err, fmt.Errorf("%s: %s", resp.Status, text)))
	}
	var verdicts []Verdict
	for symbol, s := range answer.Symbols {
		if !strings.HasPrefix(symbol, "R_DKIM_") {
			continue
		}
		for _, option := range s.Options { // one a signature: "example.org:s=selector"
			verdicts = append(verdicts, Verdict{Pass: symbol == "R_DKIM_ALLOW", Text: symbol + " " + option})
		}
	}
	return verdicts, nil
}
