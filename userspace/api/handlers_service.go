// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
	// One at a time: the backends of ten thousand services are many.
	list := []ServiceSummary{}
	for v := range all {
		if filters.matchService(v) {
			list = append(list, summarizeService(v))
		}
	}
	if err := h.countListed(r, list); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, list)
}

// countListed adds the connections to services, if the request asks for them.
func (h *handlers) countListed(r *http.Request, list []ServiceSummary) error {
	asked, err := boolQuery(r, "counts")
	if err != nil || !asked {
		return err
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	counts, err := h.backend.CountServices(r.Context(), ids...)
	if err != nil {
		return err
	}
	for i := range list {
		c := counts[ids[i]]
		list[i].Connections = connectionsOf(&c)
	}
	return nil
}

// count adds the connections to a service.
func (h *handlers) count(ctx context.Context, v *request.ServiceView) error {
	counts, err := h.backend.CountServices(ctx, v.ID)
	if err != nil {
		return err
	}
	c := counts[v.ID]
	v.Counts = &c
	return nil
}

// checkServiceNetworks refuses networks that don't exist.
func (h *handlers) checkServiceNetworks(ctx context.Context, f Filters, all iter.Seq[request.ServiceView]) error {
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
			anyService(all, func(v request.ServiceView) bool { return serviceOnNetwork(v, want) })
	}, names)
}

func anyService(all iter.Seq[request.ServiceView], is func(request.ServiceView) bool) bool {
	for v := range all {
		if is(v) {
			return true
		}
	}
	return false
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
	if asked {
		// All else is known, and who looks for what is wrong is to see it.
		if err := h.count(r.Context(), &v); err != nil {
			v.Warnings = append(slices.Clone(v.Warnings), fmt.Sprintf("its connections can't be counted: %v", err))
		}
	}
	return writeJSON(w, http.StatusOK, inspectService(v))
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
	asked, err := boolQuery(r, "counts")
	if err == nil && asked {
		err = h.count(r.Context(), &v)
	}
	if err != nil {
		return err
	}
	list := []BackendSummary{}
	for _, b := range v.Backends {
		if filters.pattern("name", backendName(b)) && filters.exact("state", string(b.State)) {
			list = append(list, summarizeBackend(b, v.Counts))
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
func (h *handlers) everyService(ctx context.Context) (iter.Seq[request.ServiceView], error) {
	carried, err := h.backend.Carried(ctx)
	return request.Chain(h.backend.Services(ctx), slices.Values(carried.Services)), err
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
