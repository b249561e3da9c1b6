package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"milterd/internal/learning"
	"milterd/internal/spamassassin/tokens"
)

// What another filter has learned is the business of those who may speak for
// everybody: it is large, and one cannot see who taught it.
//
//	POST /import?user=joe      a backup of SpamAssassin's Bayes
//	DELETE /import?user=joe    forget it

// maxBackup bounds a backup, in bytes: three times what a million tokens need.
const maxBackup = 192 << 20

// importAnswer is what became of it.
type importAnswer struct {
	learning.Imported
	Error string `json:"error,omitempty"`
	// Backup says that it is the backup that is wrong, not the store.
	Backup bool `json:"backup,omitempty"`
}

func (s *Server) imports(w http.ResponseWriter, r *http.Request) {
	uid := caller(r)
	if !s.Desk.Rights.All(uid) {
		http.Error(w, fmt.Sprintf("uid %d may not do that: be root, the daemon's user or one of training.users", uid), http.StatusForbidden)
		return
	}
	user, by := r.URL.Query().Get("user"), s.Desk.Rights.Caller(uid)
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-r.Context().Done():
		return
	}
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Time{}) // as long as somebody writes
	var a importAnswer
	var err error
	if r.Method == http.MethodDelete {
		a.Imported, err = s.Desk.DropImport(r.Context(), user, by)
	} else {
		a.Imported, err = s.Desk.Import(r.Context(), user, by, http.MaxBytesReader(w, r.Body, maxBackup))
	}
	if err != nil {
		a.Error, a.Backup = err.Error(), errors.Is(err, tokens.ErrBackup)
	}
	answer(w, a)
}

// Import keeps a backup of SpamAssassin's Bayes for a user, or with an empty name for
// the site. An error that wraps [tokens.ErrBackup] is about the backup.
func (c *Client) Import(ctx context.Context, user string, backup io.Reader) (learning.Imported, error) {
	return c.askImport(ctx, http.MethodPost, user, backup)
}

// DropImport forgets what was imported.
func (c *Client) DropImport(ctx context.Context, user string) (learning.Imported, error) {
	return c.askImport(ctx, http.MethodDelete, user, http.NoBody)
}

func (c *Client) askImport(ctx context.Context, method, user string, body io.Reader) (i learning.Imported, err error) {
	resp, err := c.ask(ctx, method, "/import", url.Values{"user": {user}}, body)
	if err != nil {
		return i, err
	}
	defer resp.Body.Close()
	var a importAnswer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return i, err
	}
	switch {
	case a.Error == "":
		return a.Imported, nil
	case a.Backup:
		_, text, _ := strings.Cut(a.Error, tokens.ErrBackup.Error())
		return a.Imported, fmt.Errorf("%w%s", tokens.ErrBackup, text)
	}
	return a.Imported, errors.New(a.Error)
}
