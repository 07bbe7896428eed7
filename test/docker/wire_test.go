// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"sync"
)

// badWire is between the daemon and the engine, and bad.
type badWire struct {
	socket string

	mu sync.Mutex
	// fate is what becomes of an event; nil passes it on.
	fate fate
	// held keeps answers back until it is closed.
	held chan struct{}
	// cut ends the event streams.
	cut context.CancelFunc
	// streams is done when they end.
	streams context.Context
	// passed and asked count events and questions.
	passed, asked int
}

// fate turns one event into those that arrive instead.
type fate func(event string) []string

// between puts a badWire in front of the engine's socket for a daemon that hasn't started.
func (d *engine) between() *badWire {
	d.t.Helper()
	w := &badWire{socket: filepath.Join(d.dir, "w")}
	w.streams, w.cut = context.WithCancel(context.Background())
	l, err := net.Listen("unix", w.socket)
	if err != nil {
		d.t.Fatal(err)
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.socket)
	}
	transport := &http.Transport{DialContext: dial}
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine" },
		Transport:    transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/events"):
			w.stream(rw, r, transport)
		case w.waits(r):
			proxy.ServeHTTP(rw, r)
		}
	})}
	go server.Serve(l)
	d.t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	for i, arg := range d.Daemon.Args {
		if strings.HasPrefix(arg, "--docker=") {
			d.Daemon.Args[i] = "--docker=unix://" + w.socket
		}
	}
	return w
}

// waits returns when an answer may go; false if nobody wants it any more.
func (w *badWire) waits(r *http.Request) bool {
	w.mu.Lock()
	held := w.held
	w.asked++
	w.mu.Unlock()
	if held == nil {
		return true
	}
	select {
	case <-held:
		return true
	case <-r.Context().Done():
		return false
	}
}

// stream passes events on as fate will have it.
func (w *badWire) stream(rw http.ResponseWriter, r *http.Request, transport *http.Transport) {
	w.mu.Lock()
	streams := w.streams
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(streams, cancel)()
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", "engine", ""
	resp, err := transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	flush := http.NewResponseController(rw).Flush
	if flush() != nil {
		return
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		for _, event := range w.become(lines.Text()) {
			if _, err := rw.Write([]byte(event + "\n")); err != nil || flush() != nil {
				return
			}
		}
	}
}

func (w *badWire) become(event string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passed++
	if w.fate == nil {
		return []string{event}
	}
	return w.fate(event)
}

// suffers changes the fate of events.
func (w *badWire) suffers(f fate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fate = f
}

// hold keeps answers back until release is called.
func (w *badWire) hold() (release func()) {
	held := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = held
	return sync.OnceFunc(func() {
		w.mu.Lock()
		w.held = nil
		w.mu.Unlock()
		close(held)
	})
}

// snap ends the event streams that there are.
func (w *badWire) snap() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut()
	w.streams, w.cut = context.WithCancel(context.Background())
}

// questions counts what was asked so far.
func (w *badWire) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

func lost(string) []string { return nil }

func doubled(event string) []string { return []string{event, event, event} }

// reversed keeps three events back and lets the fourth go first.
func reversed() fate {
	var kept []string
	return func(event string) []string {
		kept = append([]string{event}, kept...)
		if len(kept) < 4 {
			return nil
		}
		out := kept
		kept = nil
		return out
	}
}
