package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"milterd/bayes"
	"milterd/internal/dovecot"
	"milterd/internal/learning"
	"milterd/internal/store"
)

// Server answers.
type Server struct {
	Desk *learning.Desk
	// Store is what is dumped and loaded.
	Store interface {
		store.Store
		store.Walker
	}
	// Verdicts answers GET /verdicts.
	Verdicts http.HandlerFunc
	// Open says that the mode of the socket lets everybody in.
	Open bool
	Now  func() time.Time
	// Takeover, if set, gives the daemon's work to the process at the other end, which
	// is root's or the daemon's own user's. It has the connection until it returns.
	Takeover func(c *net.UnixConn)

	// busy bounds the requests that hold messages in memory.
	busy chan struct{}
}

// maxBusy is how many bodies are in memory at once; others wait.
const maxBusy = 4

type peerKey struct{}

// ConnContext is for [http.Server.ConnContext]: it notes who is at the other end.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	peer, err := dovecot.PeerOf(c)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// nobody is a caller of whom the kernel says nothing.
const nobody = ^uint32(0)

func caller(r *http.Request) uint32 {
	if p, ok := r.Context().Value(peerKey{}).(dovecot.Peer); ok {
		return p.UID
	}
	return nobody
}

// Handler returns the handler of all requests.
func (s *Server) Handler() http.Handler {
	s.busy = make(chan struct{}, maxBusy)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /lessons", s.lessons)
	mux.HandleFunc("POST /import", s.imports)
	mux.HandleFunc("DELETE /import", s.imports)
	mux.HandleFunc("GET /store", owned(s.dump))
	mux.HandleFunc("POST /store", owned(s.load))
	mux.HandleFunc("POST /records/get", s.lent(s.getRecords))
	mux.HandleFunc("POST /records/apply", s.lent(s.applyRecords))
	mux.HandleFunc("POST /records/post", s.lent(s.postRecords))
	mux.HandleFunc("POST /takeover", owned(s.takeover))
	verdicts := s.Verdicts
	if s.Open {
		verdicts = owned(verdicts)
	}
	mux.HandleFunc("GET /verdicts", verdicts)
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who has gone needs no answer
}

// show in place of a class asks what was said of messages.
const show bayes.Class = "show"

func (s *Server) lessons(w http.ResponseWriter, r *http.Request) {
	uid := caller(r)
	name := r.URL.Query().Get("user")
	if name == "" && !s.Desk.Rights.All(uid) {
		name = s.Desk.Rights.Caller(uid) // who may not teach the site teaches himself
	}
	user, err := learning.User(name)
	class := bayes.Class(r.URL.Query().Get("class"))
	switch {
	case class != bayes.Spam && class != bayes.Ham && class != bayes.Forget && class != show:
		http.Error(w, fmt.Sprintf("class %.20q, expected spam, ham, forget or show", class), http.StatusBadRequest)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case !s.Desk.Rights.MaySpeak(uid, user):
		http.Error(w, fmt.Sprintf("uid %d may not speak for %.80q", uid, user), http.StatusForbidden)
		return
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	case <-r.Context().Done():
		return
	}
	deadline := time.Now().Add(time.Minute)
	_ = http.NewResponseController(w).SetReadDeadline(deadline) // a unix socket has them
	raw, err := readMessages(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	report := Report{User: user}
	if len(raw) == 0 { // somebody asks who is here
		answer(w, report)
		return
	}
	if class == show {
		report.Taught, err = s.Desk.Taught(r.Context(), user, raw...)
	} else {
		report.Results, err = s.Desk.Teach(r.Context(), learning.Lesson{User: user, Class: class, By: s.Desk.Rights.Caller(uid), Source: learning.FromCommand}, raw...)
	}
	if err != nil {
		report.Error = err.Error()
	}
	answer(w, report)
}

func (s *Server) dump(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // as long as somebody reads
	w.Header().Set("Content-Type", "application/jsonl")
	if _, err := store.Dump(r.Context(), s.Store, w); err != nil {
		panic(http.ErrAbortHandler) // the last line is missing, so the reader knows
	}
}

func (s *Server) load(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // as long as somebody writes
	records, err := store.Load(r.Context(), s.Store, r.Body, s.Now)
	s.Desk.Classifier.Refresh()
	loaded := Loaded{Records: records}
	if err != nil {
		loaded.Error, loaded.Dump = err.Error(), errors.Is(err, store.ErrDump)
	}
	answer(w, loaded)
}
