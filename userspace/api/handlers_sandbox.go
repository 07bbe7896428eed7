// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Started tells which process was started.
type Started struct {
	// ID and Name are the sandbox's.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Pid in the daemon's PID namespace; 0 for an adopted sandbox.
	Pid int `json:"pid"`
}

// Exit tells how a process ended.
type Exit struct {
	// Code is 128+n after signal n.
	Code int `json:"code"`
}

func (h *handlers) listSandboxes(w http.ResponseWriter, r *http.Request) error {
	filters, err := ParseFilters(r.URL.Query()["filter"], SandboxFilterKeys())
	if err == nil {
		err = filters.checkPatterns("id", "name")
	}
	if err != nil {
		return err
	}
	every, err := boolQuery(r, "all")
	if err != nil {
		return err
	}
	// As in Docker, to ask for a status is to ask for all.
	every = every || len(filters["status"]) > 0
	all, err := h.everySandbox(r.Context())
	if err != nil {
		return err
	}
	if err := h.checkNetworks(r.Context(), filters, all); err != nil {
		return err
	}
	match := sandboxFilter(filters)
	list := []SandboxSummary{}
	for _, v := range all {
		if match(v) && (every || v.State.Status == model.StatusRunning) {
			list = append(list, summarizeSandbox(v))
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

func (h *handlers) checkNetworks(ctx context.Context, f Filters, all []request.SandboxView) error {
	if len(f["network"]) == 0 {
		return nil
	}
	networks, err := h.everyNetwork(ctx)
	if err != nil {
		return err
	}
	return f.checkNetworks(networks, all)
}

func (h *handlers) add(w http.ResponseWriter, r *http.Request) error {
	var req request.Add
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	v, err := h.backend.Add(r.Context(), req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, Started{ID: v.ID, Name: v.Name})
}

func (h *handlers) inspectSandbox(w http.ResponseWriter, r *http.Request) error {
	v, err := h.backend.Sandbox(r.Context(), r.PathValue("sandbox"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, inspectSandbox(v))
}

func (h *handlers) removeSandbox(w http.ResponseWriter, r *http.Request) error {
	force, err := boolQuery(r, "force")
	if err != nil {
		return err
	}
	if err := h.backend.Remove(r.Context(), r.PathValue("sandbox"), force); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}

func (h *handlers) ports(w http.ResponseWriter, r *http.Request) error {
	ref := r.PathValue("sandbox")
	v, err := h.backend.Sandbox(r.Context(), ref)
	if errors.Is(err, request.ErrNotFound) {
		carried, carriedErr := h.backend.Carried(r.Context())
		if other, ok := container(carried.Containers, ref); ok || carriedErr != nil {
			v, err = other, carriedErr
		}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, bindings(v))
}

func (h *handlers) stop(w http.ResponseWriter, r *http.Request) error {
	var req request.Stop
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	if err := h.backend.Stop(r.Context(), r.PathValue("sandbox"), req); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}

func (h *handlers) wait(w http.ResponseWriter, r *http.Request) error {
	ctx, done := h.patient(r)
	code, err := h.backend.Wait(ctx, r.PathValue("sandbox"))
	if err := done(err); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, Exit{Code: code})
}
