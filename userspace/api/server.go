// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/fairway-project/fairway/userspace/request"
)

// Limits on a client that is slow or says too much.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 64 << 10
)

// Server answers the API on one listener.
type Server struct {
	http     *http.Server
	handlers *handlers
	// end ends the answers that only wait for a process.
	end context.CancelCauseFunc
}

// NewServer returns a server of b. Uninstalled, if not nil, is called once
// after the answer to a successful uninstall has been written.
func NewServer(b Backend, log *slog.Logger, uninstalled func()) *Server {
	ending, end := context.WithCancelCause(context.Background())
	s := &Server{handlers: &handlers{backend: b, log: log, uninstalled: uninstalled, ending: ending}, end: end}
	h := newHandler(s.handlers, log)
	s.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on l until Shutdown or Close, and then returns nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown stops listening and waits for the answers under way until ctx ends;
// then it breaks them off. Those that wait for the end of a process, which may
// be far off, fail at once with ErrEnding. Foreground processes go on without
// their client.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end(request.ErrEnding)
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// Close ends the server at once.
func (s *Server) Close() error {
	s.end(request.ErrEnding)
	return s.http.Close()
}
