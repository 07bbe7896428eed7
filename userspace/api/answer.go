// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"

	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// errorBody is every answer with a status of 400 and above.
type errorBody struct {
	Error string `json:"error"`
	// ExitCode is set where a command couldn't be started: 127 for one that does
	// not exist, 126 for one that can't be executed, 125 for what went wrong before.
	ExitCode int `json:"exit_code,omitempty"`
}

func bodyOf(err error) errorBody {
	body := errorBody{Error: err.Error()}
	var start *sandbox.StartError
	if errors.As(err, &start) {
		body.ExitCode = start.Code
	}
	return body
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that went away needs no answer.
	_, _ = w.Write(append(body, '\n'))
	return nil
}

func writeError(w http.ResponseWriter, status int, body errorBody) {
	_ = writeJSON(w, status, body)
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, http.StatusNotFound, errorBody{Error: "no such path: " + r.URL.Path})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, request.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, request.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, request.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, request.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, request.ErrEnding), errors.Is(err, request.ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	if code := bodyOf(err).ExitCode; code == sandbox.CodeNotFound || code == sandbox.CodeNotExecutable {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// refuse says in JSON what mux would say in text: no such path, or another method.
func refuse(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	probe := &statusProbe{header: w.Header()}
	mux.ServeHTTP(probe, r)
	w.Header().Del("X-Content-Type-Options")
	if probe.status == http.StatusMethodNotAllowed {
		text := fmt.Sprintf("%s: method %s not allowed; want %s", r.URL.Path, r.Method, w.Header().Get("Allow"))
		writeError(w, probe.status, errorBody{Error: text})
		return
	}
	notFound(w, r)
}

// statusProbe takes an answer's headers and status and drops its body.
type statusProbe struct {
	header http.Header
	status int
}

func (p *statusProbe) Header() http.Header         { return p.header }
func (p *statusProbe) WriteHeader(status int)      { p.status = status }
func (p *statusProbe) Write(b []byte) (int, error) { return len(b), nil }

// recovered turns a panic into a logged 500: one bad request must not end the
// daemon.
func recovered(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			log.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			writeError(w, http.StatusInternalServerError, errorBody{Error: "internal error; the daemon's log has the details"})
		}()
		next.ServeHTTP(w, r)
	})
}

// boolQuery reads a query parameter; absent is false, present without a value true.
func boolQuery(r *http.Request, key string) (bool, error) {
	values, ok := r.URL.Query()[key]
	if !ok {
		return false, nil
	}
	if values[0] == "" {
		return true, nil
	}
	b, err := strconv.ParseBool(values[0])
	if err != nil {
		return false, request.Errorf(request.ErrInvalid, "query parameter %q: value %q: want true or false", key, values[0])
	}
	return b, nil
}
