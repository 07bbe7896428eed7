// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/fairway-project/fairway/userspace/request"
)

type handlers struct {
	backend Backend
	docker  DockerBackend // nil without --docker
	// config keeps Docker's configuration for the daemon whose state is in root.
	config      DockerConfigBackend
	root        string
	log         *slog.Logger
	uninstalled func()
	// ending ends with ErrEnding when the server is about to.
	ending context.Context
}

// patient returns a context for what waits for a process: it ends with the
// request or the server. The caller calls done with the error of what it waited
// for, which returns the one to answer.
func (h *handlers) patient(r *http.Request) (ctx context.Context, done func(error) error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(h.ending, func() { cancel(context.Cause(h.ending)) })
	return ctx, func(err error) error {
		stop()
		cancel(nil)
		if err != nil && errors.Is(context.Cause(ctx), request.ErrEnding) {
			return request.ErrEnding
		}
		return err
	}
}

// Uninstall asks for the removal of everything.
type Uninstall struct {
	// Purge removes the state on disk too.
	Purge bool `json:"purge,omitempty"`
	// Progress makes the answer a stream: an Uninstalled for each thing removed,
	// as it happens, a line each.
	Progress bool `json:"progress,omitempty"`
}

// Uninstalled tells what was removed, one line each.
type Uninstalled struct {
	Removed []string `json:"removed"`
}

// flowsPerFlush bounds what a slow listing holds back from its reader.
const flowsPerFlush = 256

// streamEnd is the last line of a stream that failed on the way.
type streamEnd struct {
	Error string `json:"error"`
}

func (h *handlers) version(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, request.BuildVersion())
}

func (h *handlers) status(w http.ResponseWriter, r *http.Request) error {
	s, err := h.backend.Status(r.Context())
	if err != nil {
		// What could be read is worth more than the reason why the rest couldn't.
		s.Degraded = append(s.Degraded, err.Error())
	}
	s.Version = request.BuildVersion()
	return writeJSON(w, http.StatusOK, s)
}

func (h *handlers) doctor(w http.ResponseWriter, r *http.Request) error {
	checks, err := h.backend.Doctor(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, append([]request.Check{}, checks...))
}

// flows streams one JSON object per line. An error before the first line is an
// ordinary error answer, a later one the stream's last line.
func (h *handlers) flows(w http.ResponseWriter, r *http.Request) error {
	enc := json.NewEncoder(w)
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	sent := 0
	for f, err := range h.backend.Flows(r.Context()) {
		if err != nil && sent == 0 {
			return err
		}
		if err != nil {
			return enc.Encode(streamEnd{Error: err.Error()})
		}
		if enc.Encode(flowOf(f)) != nil {
			return nil // the client went away
		}
		if sent++; sent%flowsPerFlush == 0 {
			_ = rc.Flush()
		}
	}
	return nil
}
