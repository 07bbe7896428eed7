// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"

	"github.com/fairway-project/fairway/userspace/request"
)

func (h *handlers) run(w http.ResponseWriter, r *http.Request) error {
	var req request.Run
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	attached, err := boolQuery(r, "attach")
	if err != nil {
		return err
	}
	start := func(ctx context.Context, stdio *request.Stdio) (Started, request.Process, error) {
		v, proc, err := h.backend.Run(ctx, req, stdio)
		return Started{ID: v.ID, Name: v.Name, Pid: v.State.Pid}, proc, err
	}
	if attached {
		if !wantsUpgrade(r) {
			return request.Errorf(request.ErrInvalid, "attach: want the headers Connection: Upgrade and Upgrade: %s", Protocol)
		}
		return h.attach(w, req.TTY, start)
	}
	if req.TTY {
		return errNoTTY()
	}
	started, _, err := start(r.Context(), nil)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, started)
}

func errNoTTY() error {
	return request.Errorf(request.ErrInvalid, "tty: only a process that is attached has a terminal")
}

// exec attaches if it is asked to; else it waits and answers with the output.
func (h *handlers) exec(w http.ResponseWriter, r *http.Request) error {
	var req request.Exec
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	ref := r.PathValue("sandbox")
	v, err := h.backend.Sandbox(r.Context(), ref)
	if err != nil {
		return err
	}
	start := func(ctx context.Context, stdio *request.Stdio) (Started, request.Process, error) {
		proc, err := h.backend.Exec(ctx, v.ID, req, stdio)
		if err != nil {
			return Started{}, nil, err
		}
		return Started{ID: v.ID, Name: v.Name, Pid: proc.Pid()}, proc, nil
	}
	if wantsUpgrade(r) {
		return h.attach(w, req.TTY, start)
	}
	if req.TTY {
		return errNoTTY()
	}
	ctx, done := h.patient(r)
	out, err := capture(ctx, start)
	if err := done(err); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}
