// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/fairway-project/fairway/userspace/request"
)

const (
	// maxBody bounds a request in bytes. A thousand published ports take 100 KiB.
	maxBody = 4 << 20
	// headTimeout bounds how slowly a client may begin, bodyTimeout all of a request.
	headTimeout, bodyTimeout = 5 * time.Second, 30 * time.Second
)

// errRequest marks a request that can't be carried out as it is.
var errRequest = errors.New("invalid request")

// Server answers Docker. Shutdown ends it.
type Server struct {
	http *http.Server
}

// NewServer returns a server of d's calls.
func NewServer(d *Driver, log *slog.Logger) *Server {
	return &Server{&http.Server{
		Handler: handler(d, log), ReadHeaderTimeout: headTimeout, ReadTimeout: bodyTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// Serve answers on l until Shutdown, and closes l.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("docker plugin: %w", err)
	}
	return nil
}

// Shutdown lets the calls under way finish until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	return errors.Join(s.http.Shutdown(ctx), s.http.Close())
}

// call reads a request, carries it out and returns the answer.
type call func(ctx context.Context, body []byte) (any, error)

// of makes a call of a function with messages of their own types. An empty body
// is an empty message.
func of[Request, Answer any](f func(context.Context, Request) (Answer, error)) call {
	return func(ctx context.Context, body []byte) (any, error) {
		var r Request
		if len(body) > 0 {
			if err := json.Unmarshal(body, &r); err != nil {
				return nil, fmt.Errorf("%w: %w", errRequest, err)
			}
		}
		return f(ctx, r)
	}
}

// done makes an empty answer of one that has none.
func done[Request any](f func(context.Context, Request) error) call {
	return of(func(ctx context.Context, r Request) (empty, error) { return empty{}, f(ctx, r) })
}

func always[Answer any](a Answer) call {
	return of(func(context.Context, empty) (Answer, error) { return a, nil })
}

func calls(d *Driver) map[string]call {
	return map[string]call{
		"/Plugin.Activate": always(activation{[]string{"NetworkDriver"}}),
		"/NetworkDriver.GetCapabilities": always(capabilities{
			Scope: "local", ConnectivityScope: "local", GwAllocChecker: true,
		}),
		"/NetworkDriver.GwAllocCheck":                of(d.gwAllocCheck),
		"/NetworkDriver.AllocateNetwork":             done(refuseSwarm),
		"/NetworkDriver.FreeNetwork":                 always(empty{}),
		"/NetworkDriver.CreateNetwork":               done(d.createNetwork),
		"/NetworkDriver.DeleteNetwork":               done(d.deleteNetwork),
		"/NetworkDriver.CreateEndpoint":              of(d.createEndpoint),
		"/NetworkDriver.DeleteEndpoint":              done(d.deleteEndpoint),
		"/NetworkDriver.EndpointOperInfo":            of(d.endpointOperInfo),
		"/NetworkDriver.Join":                        of(d.join),
		"/NetworkDriver.Leave":                       done(d.leave),
		"/NetworkDriver.ProgramExternalConnectivity": done(d.program),
		"/NetworkDriver.RevokeExternalConnectivity":  done(d.revoke),
		"/NetworkDriver.DiscoverNew":                 always(empty{}),
		"/NetworkDriver.DiscoverDelete":              always(empty{}),
	}
}

func refuseSwarm(context.Context, empty) error {
	return fmt.Errorf("%w: networks of swarm's scope aren't supported", errRequest)
}

func handler(d *Driver, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for path, c := range calls(d) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { serve(w, r, path, c, log) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusNotFound, failure{fmt.Sprintf("%s %s: not a call of a network driver", r.Method, r.URL.Path)})
	})
	return mux
}

// serve carries out one request. What Docker began is finished even if it doesn't
// wait any more: it counts on either all or nothing.
func serve(w http.ResponseWriter, r *http.Request, path string, c call, log *slog.Logger) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		answer(w, http.StatusRequestEntityTooLarge, failure{fmt.Sprintf("request of more than %d bytes", maxBody)})
		return
	}
	if err != nil {
		answer(w, http.StatusBadRequest, failure{err.Error()})
		return
	}
	result, err := c(context.WithoutCancel(r.Context()), body)
	switch {
	case errors.Is(err, errRequest), errors.Is(err, request.ErrConflict):
		log.Warn("docker plugin: request refused", "call", path, "err", err)
		answer(w, http.StatusBadRequest, failure{err.Error()})
	case err != nil:
		log.Error("docker plugin: call not carried out", "call", path, "err", err)
		answer(w, http.StatusInternalServerError, failure{err.Error()})
	default:
		log.Debug("docker plugin: call", "call", path)
		answer(w, http.StatusOK, result)
	}
}

func answer(w http.ResponseWriter, status int, message any) {
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	// An error here means that the client is gone.
	_ = json.NewEncoder(w).Encode(message)
}
