// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/fairway-project/fairway/userspace/request"
)

// ServiceChanged is the answer to a create and to an update.
type ServiceChanged struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Warnings say what keeps the service from serving as it is.
	Warnings []string `json:"warnings"`
}

func changed(v request.ServiceView) ServiceChanged {
	return ServiceChanged{ID: v.ID, Name: v.Name, Warnings: append([]string{}, v.Warnings...)}
}

func (h *handlers) listServices(w http.ResponseWriter, r *http.Request) error {
	filters, err := ParseFilters(r.URL.Query()["filter"], ServiceFilterKeys())
	if err == nil {
		err = filters.checkPatterns("id", "name")
	}
	if err != nil {
		return err
	}
	all, err := h.everyService(r.Context())
	if err != nil {
		return err
	}
	if err := h.checkServiceNetworks(r.Context(), filters, all); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(v request.ServiceView) bool { return !filters.matchService(v) })
	if err := h.count(r, all); err != nil {
		return err
	}
	list := []ServiceSummary{}
	for _, v := range all {
		list = append(list, summarizeService(v))
	}
	return writeJSON(w, http.StatusOK, list)
}

// count adds the connections to services, if the request asks for them.
func (h *handlers) count(r *http.Request, all []request.ServiceView) error {
	asked, err := boolQuery(r, "counts")
	if err != nil || !asked {
		return err
	}
	return h.countAll(r.Context(), all)
}

func (h *handlers) countAll(ctx context.Context, all []request.ServiceView) error {
	var ids []string
	for i := range all {
		ids = append(ids, all[i].ID)
	}
	counts, err := h.backend.CountServices(ctx, ids...)
	if err != nil {
		return err
	}
	for i := range all {
		c := counts[all[i].ID]
		all[i].Counts = &c
	}
	return nil
}

// checkServiceNetworks refuses networks that don't exist.
func (h *handlers) checkServiceNetworks(ctx context.Context, f Filters, all []request.ServiceView) error {
	if len(f["network"]) == 0 {
		return nil
	}
	networks, err := h.everyNetwork(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range networks {
		names = append(names, n.Name)
	}
	return f.CheckNames("network", func(want string) bool {
		return slices.ContainsFunc(networks, func(n request.NetworkView) bool { return meant(want, n.Name, n.ID) }) ||
			slices.ContainsFunc(all, func(v request.ServiceView) bool { return serviceOnNetwork(v, want) })
	}, names)
}

func (h *handlers) createService(w http.ResponseWriter, r *http.Request) error {
	var req request.ServiceCreate
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	v, err := h.backend.CreateService(r.Context(), req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, changed(v))
}

func (h *handlers) updateService(w http.ResponseWriter, r *http.Request) error {
	var req request.ServiceUpdate
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	v, err := h.backend.UpdateService(r.Context(), r.PathValue("service"), req)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, changed(v))
}

func (h *handlers) inspectService(w http.ResponseWriter, r *http.Request) error {
	v, err := h.findService(r.Context(), r.PathValue("service"))
	if err != nil {
		return err
	}
	asked, err := boolQuery(r, "counts")
	if err != nil {
		return err
	}
	one := []request.ServiceView{v}
	if asked {
		// All else is known, and who looks for what is wrong is to see it.
		if err := h.countAll(r.Context(), one); err != nil {
			one[0].Warnings = append(slices.Clone(v.Warnings), fmt.Sprintf("its connections can't be counted: %v", err))
		}
	}
	return writeJSON(w, http.StatusOK, inspectService(one[0]))
}

func (h *handlers) removeService(w http.ResponseWriter, r *http.Request) error {
	if err := h.backend.RemoveService(r.Context(), r.PathValue("service")); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}

func (h *handlers) serviceBackends(w http.ResponseWriter, r *http.Request) error {
	filters, err := ParseFilters(r.URL.Query()["filter"], BackendFilterKeys())
	if err == nil {
		err = filters.checkPatterns("name")
	}
	if err != nil {
		return err
	}
	v, err := h.findService(r.Context(), r.PathValue("service"))
	if err != nil {
		return err
	}
	one := []request.ServiceView{v}
	if err := h.count(r, one); err != nil {
		return err
	}
	list := []BackendSummary{}
	for _, b := range v.Backends {
		if filters.pattern("name", backendName(b)) && filters.exact("state", string(b.State)) {
			list = append(list, summarizeBackend(b, one[0].Counts))
		}
	}
	return writeJSON(w, http.StatusOK, list)
}

func (h *handlers) drainService(w http.ResponseWriter, r *http.Request) error {
	var req request.ServiceDrain
	if err := decodeBody(r, &req); err != nil {
		return err
	}
	if err := h.backend.DrainService(r.Context(), r.PathValue("service"), req); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, empty{})
}

// everyService lists services, and those of others after them.
func (h *handlers) everyService(ctx context.Context) ([]request.ServiceView, error) {
	own, err := h.backend.Services(ctx)
	if err != nil {
		return nil, err
	}
	carried, err := h.backend.Carried(ctx)
	return append(own, carried.Services...), err
}

// findService finds a service, or one of others where none of Fairway's is meant:
// nobody else can show those.
func (h *handlers) findService(ctx context.Context, ref string) (request.ServiceView, error) {
	v, err := h.backend.Service(ctx, ref)
	if !errors.Is(err, request.ErrNotFound) {
		return v, err
	}
	carried, carriedErr := h.backend.Carried(ctx)
	if carriedErr != nil {
		return v, carriedErr
	}
	if other, ok := carriedService(carried.Services, ref); ok {
		return other, nil
	}
	return v, err
}

// carriedService finds one of the services of others by its name or ID.
func carriedService(all []request.ServiceView, ref string) (request.ServiceView, bool) {
	i := slices.IndexFunc(all, func(v request.ServiceView) bool { return v.Name == ref || v.ID == ref })
	if i < 0 {
		return request.ServiceView{}, false
	}
	return all[i], true
}
