package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"milterd/bayes"
	"milterd/internal/store"
)

// ErrNoDaemon is a socket behind which nobody is.
var ErrNoDaemon = errors.New("no daemon answers")

// Client asks a daemon. Close it at the end.
type Client struct{ http http.Client }

// NewClient returns a client of the daemon with that control socket, an address as
// unix:PATH. It causes no traffic.
func NewClient(address string) *Client {
	_, path, _ := strings.Cut(address, ":")
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// Close ends the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ask sends a request. The error wraps [ErrNoDaemon], [fs.ErrPermission], or is what
// the daemon says.
func (c *Client) ask(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://milterd"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", ErrNoDaemon, err)
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusOK:
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	err = fmt.Errorf("the daemon answers %s: %s", resp.Status, bytes.TrimSpace(text))
	if resp.StatusCode == http.StatusForbidden {
		err = fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return nil, err
}

func (c *Client) post(ctx context.Context, path string, query url.Values, body io.Reader, into any) error {
	resp, err := c.ask(ctx, http.MethodPost, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// Present reports whether a daemon answers.
func (c *Client) Present(ctx context.Context) (bool, error) {
	resp, err := c.ask(ctx, http.MethodPost, "/lessons", url.Values{"class": {"ham"}}, http.NoBody)
	if errors.Is(err, ErrNoDaemon) {
		return false, nil
	}
	if err == nil {
		resp.Body.Close()
	}
	return err == nil || errors.Is(err, fs.ErrPermission), err
}

// Learn teaches messages of one class: for a user, or with an empty name for the site
// if the caller may, else for himself. Split says how many fit.
func (c *Client) Learn(ctx context.Context, user string, class bayes.Class, raw ...[]byte) (Report, error) {
	size := 0
	for _, r := range raw {
		size += 4 + len(r)
	}
	body := make([]byte, 0, size)
	for _, r := range raw {
		body = appendMessage(body, r)
	}
	var report Report
	err := c.post(ctx, "/lessons", url.Values{"class": {string(class)}, "user": {user}}, bytes.NewReader(body), &report)
	if err == nil && report.Error != "" {
		err = errors.New(report.Error)
	}
	return report, err
}

// Taught returns what was said of messages, nil of those of which nothing was said; of
// whom it is asked is as with Learn.
func (c *Client) Taught(ctx context.Context, user string, raw ...[]byte) ([]*bayes.Record, error) {
	report, err := c.Learn(ctx, user, show, raw...)
	if err == nil && len(report.Taught) != len(raw) {
		err = fmt.Errorf("control: %d answers to %d messages", len(report.Taught), len(raw))
	}
	if err != nil {
		return nil, err
	}
	return report.Taught, nil
}

// ErrReadOnly is an attempt to write by somebody who may look only.
var ErrReadOnly = errors.New("control: the daemon's store is for reading here")

// Reader is the daemon's store for those who look and change nothing: the scan of a
// message asks it for what was learned. Root and the daemon's user may.
type Reader struct{ *Client }

// Apply is [ErrReadOnly].
func (Reader) Apply(context.Context, string, ...store.Op) error { return ErrReadOnly }

// Post is [ErrReadOnly].
func (Reader) Post(string, ...store.Op) error { return ErrReadOnly }

// Dump writes all that is in the daemon's store to w.
func (c *Client) Dump(ctx context.Context, w io.Writer) error {
	resp, err := c.ask(ctx, http.MethodGet, "/store", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// Load puts a dump into the daemon's store and returns how many records are stored.
// An error that wraps [store.ErrDump] is about the dump.
func (c *Client) Load(ctx context.Context, r io.Reader) (records int, err error) {
	var loaded Loaded
	if err := c.post(ctx, "/store", nil, r, &loaded); err != nil {
		return 0, err
	}
	switch {
	case loaded.Error == "":
		return loaded.Records, nil
	case loaded.Dump:
		return loaded.Records, fmt.Errorf("%w: %s", store.ErrDump, strings.TrimPrefix(loaded.Error, store.ErrDump.Error()+": "))
	}
	return loaded.Records, errors.New(loaded.Error)
}

// Verdicts decodes what the journal has on a transaction id, queue id or Message-ID.
func (c *Client) Verdicts(ctx context.Context, key string, into any) error {
	resp, err := c.ask(ctx, http.MethodGet, "/verdicts", url.Values{"key": {key}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}
