// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// PublishedBy is a published port with whose it is.
type PublishedBy struct {
	// ContainerPort is the service's where the port is one of a service.
	PortBinding
	Sandbox   string `json:"sandbox"`
	SandboxID string `json:"sandbox_id"`
	// Service is set in place of Sandbox where the port is one of a service.
	Service string      `json:"service,omitempty"`
	Owner   model.Owner `json:"owner"`
}

// allPorts answers with all published ports of the host.
func (h *handlers) allPorts(w http.ResponseWriter, r *http.Request) error {
	all, err := h.everySandbox(r.Context())
	if err != nil {
		return err
	}
	list := []PublishedBy{}
	for _, v := range all {
		for _, p := range bindings(v) {
			if p.HostPort != 0 {
				list = append(list, PublishedBy{PortBinding: p, Sandbox: v.Name, SandboxID: v.ID, Owner: ownerOf(v.Owner)})
			}
		}
	}
	services, err := h.everyService(r.Context())
	if err != nil {
		return err
	}
	for v := range services {
		for _, p := range v.Published {
			binding := PortBinding{ContainerPort: p.Port.Num, Proto: p.Port.Proto, HostIP: p.HostIP, HostPort: p.HostPort}
			list = append(list, PublishedBy{PortBinding: binding, Service: v.Name, Owner: ownerOf(v.Owner)})
		}
	}
	slices.SortFunc(list, func(a, b PublishedBy) int {
		return cmp.Or(cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Proto, b.Proto), a.HostIP.Compare(b.HostIP))
	})
	return writeJSON(w, http.StatusOK, list)
}

// everySandbox lists sandboxes, and the containers of others after them.
func (h *handlers) everySandbox(ctx context.Context) ([]request.SandboxView, error) {
	own, err := h.backend.Sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	carried, err := h.backend.Carried(ctx)
	return append(own, carried.Containers...), err
}

// everyNetwork lists networks, and those of others after them.
func (h *handlers) everyNetwork(ctx context.Context) ([]request.NetworkView, error) {
	own, err := h.backend.Networks(ctx)
	if err != nil {
		return nil, err
	}
	carried, err := h.backend.Carried(ctx)
	return append(own, carried.Networks...), err
}

// container finds one of the containers of others as a Backend finds a sandbox.
func container(all []request.SandboxView, ref string) (request.SandboxView, bool) {
	var found []request.SandboxView
	for _, v := range all {
		switch {
		case v.Name == ref, v.ID == ref:
			return v, true
		case len(ref) > 0 && len(v.ID) > len(ref) && v.ID[:len(ref)] == ref:
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		return request.SandboxView{}, false
	}
	return found[0], true
}

// tellWhose says of what isn't found, though lists show it, that it is another's.
func (h *handlers) tellWhose(r *http.Request, err error) error {
	if !errors.Is(err, request.ErrNotFound) {
		return err
	}
	carried, carriedErr := h.backend.Carried(r.Context())
	if carriedErr != nil {
		return err
	}
	if ref := r.PathValue("sandbox"); ref != "" {
		_, own := h.backend.Sandbox(r.Context(), ref)
		if _, ok := container(carried.Containers, ref); ok && errors.Is(own, request.ErrNotFound) {
			return request.Errorf(request.ErrNotFound, "%s is no sandbox, but a container of Docker's: use docker for it", ref)
		}
	}
	if ref := r.PathValue("network"); ref != "" {
		_, own := h.backend.Network(r.Context(), ref)
		if network(carried.Networks, ref) && errors.Is(own, request.ErrNotFound) {
			return request.Errorf(request.ErrNotFound, "network %s is Docker's: use docker for it", ref)
		}
	}
	if ref := r.PathValue("service"); ref != "" {
		_, own := h.backend.Service(r.Context(), ref)
		if v, ok := carriedService(carried.Services, ref); ok && errors.Is(own, request.ErrNotFound) {
			return request.Errorf(request.ErrNotFound, "service %s is made by labels of Docker's containers: change these", v.Name)
		}
	}
	return err
}

// network tells whether one of the networks of others is meant.
func network(all []request.NetworkView, ref string) bool {
	return slices.ContainsFunc(all, func(n request.NetworkView) bool { return n.Name == ref || n.ID == ref })
}

// ownerOf names Fairway as the owner of what has no other.
func ownerOf(owner model.Owner) model.Owner { return cmp.Or(owner, model.OwnerFairway) }
