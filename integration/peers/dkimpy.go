package peers

import (
	"bufio"
	"context"
	"crypto/ed25519"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

//go:embed dkimpy.py
var dkimpyScript string

// DKIMPy is a Python process with the library dkimpy, asked one message at a time.
type DKIMPy struct {
	*program
	mu      sync.Mutex
	ask     io.WriteCloser
	answers *bufio.Reader
	reply   *os.File // what answers reads
}

// dkimpyAnswer is a line from the process; the other fields are empty with Error.
type dkimpyAnswer struct {
	Message  []byte // in base64
	Verdicts []Verdict
	Error    string
}

// StartDKIMPy starts Debian's Python with its library: python3-dkim, and for
// Ed25519 python3-nacl.
func StartDKIMPy(ctx context.Context, config Config) (*DKIMPy, error) {
	const python = "/usr/bin/python3" // where Debian's packages are found
	if err := exec.CommandContext(ctx, python, "-c", "import dkim, nacl").Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("dkimpy: %w", ErrMissing), err, ctx.Err())
	}
	settings, err := config.dkimpy()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(python, "-c", dkimpyScript)
	ask, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: that one is closed by Wait, whoever still reads.
	reply, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	cmd.Stdout = write
	dir, err := newDir()
	if err != nil {
		return nil, errors.Join(err, reply.Close())
	}
	p, err := start(dir, cmd)
	if err != nil {
		return nil, errors.Join(err, reply.Close())
	}
	d := &DKIMPy{program: p, ask: ask, reply: reply, answers: bufio.NewReader(reply)}
	if _, err := d.exchange(ctx, settings); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close ends the process.
func (d *DKIMPy) Close() error {
	return errors.Join(d.program.Close(), d.reply.Close())
}

// dkimpy is the configuration for dkimpy.py.
func (c Config) dkimpy() (any, error) {
	type key struct {
		Domain    string `json:"domain"`
		Selector  string `json:"selector"`
		Algorithm string `json:"algorithm"`
		Private   string `json:"private"`
	}
	keys := []key{}
	for _, k := range c.Keys {
		text, err := k.privatePEM()
		if err != nil {
			return nil, err
		}
		if private, ok := k.Private.(ed25519.PrivateKey); ok {
			text = []byte(base64.StdEncoding.EncodeToString(private.Seed()))
		}
		keys = append(keys, key{k.Domain, k.Selector, k.Algorithm(), string(text)})
	}
	return map[string]any{"keys": keys, "records": c.records(), "header": c.Header, "body": c.Body}, nil
}

// Sign implements [Signer].
func (d *DKIMPy) Sign(ctx context.Context, raw []byte) ([]byte, error) {
	answer, err := d.exchange(ctx, map[string]any{"do": "sign", "message": raw})
	return answer.Message, err
}

// Verify implements [Verifier], with the verdicts in the order of the header.
func (d *DKIMPy) Verify(ctx context.Context, raw []byte) ([]Verdict, error) {
	answer, err := d.exchange(ctx, map[string]any{"do": "verify", "message": raw})
	return answer.Verdicts, err
}

func (d *DKIMPy) exchange(ctx context.Context, question any) (answer dkimpyAnswer, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer context.AfterFunc(ctx, func() { d.reply.SetReadDeadline(time.Unix(1, 0)) })()
	if err := json.NewEncoder(d.ask).Encode(question); err != nil {
		return answer, d.failed(err)
	}
	line, err := d.answers.ReadBytes('\n')
	if err != nil {
		return answer, d.failed(errors.Join(ctx.Err(), err))
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return answer, d.failed(err)
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("dkimpy: %s", answer.Error)
	}
	return answer, nil
}
