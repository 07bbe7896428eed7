// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"net/http"
)

func (h *handlers) uninstall(w http.ResponseWriter, r *http.Request) error {
	var req Uninstall
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	answer := h.uninstallAtOnce
	if req.Progress {
		answer = h.uninstallByLine
	}
	done, err := answer(w, r, req.Purge)
	if !done {
		return err
	}
	_ = http.NewResponseController(w).Flush()
	if h.uninstalled != nil {
		h.uninstalled()
	}
	return err
}

// uninstallAtOnce answers when all is done.
func (h *handlers) uninstallAtOnce(w http.ResponseWriter, r *http.Request, purge bool) (done bool, err error) {
	all := Uninstalled{Removed: []string{}}
	err = h.backend.Uninstall(r.Context(), purge, func(line string) { all.Removed = append(all.Removed, line) })
	if err != nil {
		return false, err
	}
	return true, writeJSON(w, http.StatusOK, all)
}

// uninstallByLine answers with what is removed as it is. An error before the first
// line is an ordinary error answer, a later one the stream's last line. A client
// that goes away changes nothing.
func (h *handlers) uninstallByLine(w http.ResponseWriter, r *http.Request, purge bool) (done bool, err error) {
	enc, rc, sent := json.NewEncoder(w), http.NewResponseController(w), false
	w.Header().Set("Content-Type", "application/x-ndjson")
	err = h.backend.Uninstall(r.Context(), purge, func(line string) {
		_ = enc.Encode(Uninstalled{Removed: []string{line}})
		_ = rc.Flush()
		sent = true
	})
	if err != nil && sent {
		return false, enc.Encode(streamEnd{Error: err.Error()})
	}
	return err == nil, err
}
