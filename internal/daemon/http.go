package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"time"

	"milterd/internal/config"
	"milterd/internal/control"
	"milterd/internal/journal"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// public is what the address of key http answers: figures and health, nothing
// about single messages.
func (d *daemon) public() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !d.serving.Load() {
			http.Error(w, "not serving", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ready\n"))
	})
	return mux
}

// controlled is what the control socket answers to milterd's own commands.
func (d *daemon) controlled(cfg *config.Config) http.Handler {
	s := control.Server{Desk: d.desk, Store: d.store, Verdicts: d.findVerdicts, Open: cfg.Control.Mode&0o006 != 0, Now: time.Now}
	s.Takeover = d.handOver
	return s.Handler()
}

// findVerdicts answers with what the journal has.
func (d *daemon) findVerdicts(w http.ResponseWriter, r *http.Request) {
	found, err := journal.Find(d.verdicts, r.FormValue("key"), maxFound)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(found)
}

// maxFound bounds the answer to one question.
const maxFound = 100

// serveHTTP serves until stop is closed.
func (d *daemon) serveHTTP(l net.Listener, h http.Handler, stop <-chan struct{}) {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       control.ConnContext,
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("HTTP ended", "address", l.Addr().String(), "err", err)
		}
	}()
	<-stop
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		s.Close()
	}
	<-ended
}
