package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"milterd/bayes"
	"milterd/internal/store"
)

// A daemon that was succeeded serves its last sessions without a store: its successor
// has it, and answers for it. Only root and the daemon's own user may ask:
//
//	POST /records/get     the values of keys
//	POST /records/apply   a batch, the answer when it is safe
//	POST /records/post    a batch, the answer at once

// maxRecords bounds the body of such a request: the largest batch, in base64.
const maxRecords = 8 << 20

type recordsQuestion struct {
	Space string     `json:"space"`
	Keys  [][]byte   `json:"keys,omitempty"`
	Ops   []store.Op `json:"ops,omitempty"`
}

// recordsAnswer has values with null for nothing and "" for the empty value.
type recordsAnswer struct {
	Values   [][]byte `json:"values,omitempty"`
	Conflict bool     `json:"conflict,omitempty"`
	Error    string   `json:"error,omitempty"`
}

// owned keeps everybody out but root and the daemon's own user.
func owned(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if uid := caller(r); uid != 0 && uid != uint32(os.Geteuid()) {
			http.Error(w, fmt.Sprintf("uid %d may not do that: be root or the daemon's user", uid), http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

func (s *Server) lent(do func(ctx context.Context, q *recordsQuestion) ([][]byte, error)) http.HandlerFunc {
	return owned(func(w http.ResponseWriter, r *http.Request) {
		var q recordsQuestion
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRecords)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		values, err := do(r.Context(), &q)
		a := recordsAnswer{Values: values, Conflict: errors.Is(err, store.ErrConflict)}
		if err != nil {
			a.Error = err.Error()
		}
		answer(w, a)
	})
}

func (s *Server) getRecords(ctx context.Context, q *recordsQuestion) ([][]byte, error) {
	return s.Store.Get(ctx, q.Space, q.Keys...)
}

func (s *Server) applyRecords(ctx context.Context, q *recordsQuestion) ([][]byte, error) {
	if q.Space == bayes.Space { // a lesson, of which the classifier here knows nothing
		defer s.Desk.Classifier.Refresh()
	}
	return nil, s.Store.Apply(ctx, q.Space, q.Ops...)
}

func (s *Server) postRecords(_ context.Context, q *recordsQuestion) ([][]byte, error) {
	return nil, s.Store.Post(q.Space, q.Ops...)
}

// takeover hands the connection to whoever gives the daemon's work away.
func (s *Server) takeover(w http.ResponseWriter, r *http.Request) {
	if s.Takeover == nil {
		http.Error(w, "this daemon hands nothing over", http.StatusConflict)
		return
	}
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	if u, ok := c.(*net.UnixConn); ok {
		s.Takeover(u)
	}
}

// Get asks a daemon's store, see [store.Store].
func (c *Client) Get(ctx context.Context, space string, keys ...[]byte) ([][]byte, error) {
	values, err := c.askRecords(ctx, "get", &recordsQuestion{Space: space, Keys: keys})
	if err == nil && len(values) != len(keys) {
		err = fmt.Errorf("control: %d values for %d keys", len(values), len(keys))
	}
	if err != nil {
		return nil, err
	}
	return values, nil
}

// Write does a batch in a daemon's store, see [store.Store]: waiting until it is safe,
// or not.
func (c *Client) Write(ctx context.Context, safe bool, space string, ops ...store.Op) error {
	how := "post"
	if safe {
		how = "apply"
	}
	_, err := c.askRecords(ctx, how, &recordsQuestion{Space: space, Ops: ops})
	return err
}

func (c *Client) askRecords(ctx context.Context, how string, q *recordsQuestion) ([][]byte, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	var a recordsAnswer
	if err := c.post(ctx, "/records/"+how, nil, bytes.NewReader(body), &a); err != nil {
		return nil, err
	}
	switch {
	case a.Conflict:
		return nil, store.ErrConflict
	case a.Error != "":
		return nil, errors.New(strings.TrimSpace(a.Error))
	}
	return a.Values, nil
}
