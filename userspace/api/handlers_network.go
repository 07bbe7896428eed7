// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"time"

	"github.com/fairway-project/fairway/userspace/request"
)

// NetworkCreated is the answer to a create.
type NetworkCreated struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Pruned is the answer to a prune.
type Pruned struct {
	// NetworksDeleted are names.
	NetworksDeleted []string `json:"networks_deleted"`
	// Error says why others couldn't be removed; empty if there are none.
	Error string `json:"error,omitempty"`
}

// empty is the answer where there is nothing to say.
type empty struct{}

func (h *handlers) listNetworks(w http.ResponseWriter, r *http.Request) error {
	match, err := networkFilter(r.URL.Query()["filter"])
	if err != nil {
		return err
	}
	all, err := h.everyNetwork(r.Context())
	if err != nil {
		return err
	}
	list := []NetworkSummary{}
	for _, n := range all {
		if match(n) {
			list = append(list, summarizeNetwork(n))
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

func (h *handlers) createNetwork(w http.ResponseWriter, r *http.Request) error {
	var req request.NetworkCreate
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	n, err := h.backend.CreateNetwork(r.Context(), req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, NetworkCreated{ID: n.ID, Name: n.Name})
}

func (h *handlers) pruneNetworks(w http.ResponseWriter, r *http.Request) error {
	match, err := pruneFilter(r.URL.Query()["filter"], time.Now())
	if err != nil {
		return err
	}
	names, err := h.backend.PruneNetworks(r.Context(), match)
	if err != nil && len(names) == 0 {
		return err
	}
	answer := Pruned{NetworksDeleted: append([]string{}, names...)}
	if err != nil {
		answer.Error = err.Error()
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (h *handlers) inspectNetwork(w http.ResponseWriter, r *http.Request) error {
	n, err := h.backend.Network(r.Context(), r.PathValue("network"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, inspectNetwork(n))
}

func (h *handlers) removeNetwork(w http.ResponseWriter, r *http.Request) error {
	if err := h.backend.RemoveNetwork(r.Context(), r.PathValue("network")); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}

func (h *handlers) connect(w http.ResponseWriter, r *http.Request) error {
	var req request.Connect
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	if err := h.backend.Connect(r.Context(), req.Sandbox, req.Settings(r.PathValue("network"))); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}

func (h *handlers) disconnect(w http.ResponseWriter, r *http.Request) error {
	var req request.Disconnect
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	if err := h.backend.Disconnect(r.Context(), r.PathValue("network"), req.Sandbox, req.Force); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}
