// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
)

// Who makes the networks and containers that are carried.
const (
	OwnerFairway = "fairway"
	// OwnerDocker is a Docker Engine with bridge networks of its own (--docker),
	// OwnerDockerPlugin one that asks Fairway's network driver (--docker-plugin).
	OwnerDocker       = "docker"
	OwnerDockerPlugin = "docker-plugin"
)

// Carried is what others made and the daemon carries. Views in it have an Owner.
type Carried struct {
	Networks []NetworkView
	// Containers are those that run and have an endpoint.
	Containers []SandboxView
}

// CarriedCount is how much of one owner's is carried.
type CarriedCount struct {
	Owner     string `json:"owner"`
	Networks  int    `json:"networks"`
	Endpoints int    `json:"endpoints"`
	Ports     int    `json:"ports"`
}

// Counts returns the counts by owner, in their alphabetical order.
func (c Carried) Counts() []CarriedCount {
	var all []CarriedCount
	of := func(owner string) *CarriedCount {
		i := slices.IndexFunc(all, func(n CarriedCount) bool { return n.Owner == owner })
		if i < 0 {
			i = len(all)
			all = append(all, CarriedCount{Owner: owner})
		}
		return &all[i]
	}
	for _, n := range c.Networks {
		of(n.Owner).Networks++
	}
	for _, v := range c.Containers {
		count := of(v.Owner)
		count.Endpoints += len(v.Endpoints)
		count.Ports += len(v.Published)
	}
	slices.SortFunc(all, func(a, b CarriedCount) int { return cmp.Compare(a.Owner, b.Owner) })
	return all
}

// PublishedBy is a published port with whose it is.
type PublishedBy struct {
	PortBinding
	Sandbox   string `json:"sandbox"`
	SandboxID string `json:"sandbox_id"`
	Owner     string `json:"owner"`
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
	slices.SortFunc(list, func(a, b PublishedBy) int {
		return cmp.Or(cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Proto, b.Proto), a.HostIP.Compare(b.HostIP))
	})
	return writeJSON(w, http.StatusOK, list)
}

// everySandbox lists sandboxes, and the containers of others after them.
func (h *handlers) everySandbox(ctx context.Context) ([]SandboxView, error) {
	own, err := h.backend.Sandboxes(ctx)
	if err != nil {
		return nil, err
	}
	carried, err := h.backend.Carried(ctx)
	return append(own, carried.Containers...), err
}

// everyNetwork lists networks, and those of others after them.
func (h *handlers) everyNetwork(ctx context.Context) ([]NetworkView, error) {
	own, err := h.backend.Networks(ctx)
	if err != nil {
		return nil, err
	}
	carried, err := h.backend.Carried(ctx)
	return append(own, carried.Networks...), err
}

// container finds one of the containers of others as a Backend finds a sandbox.
func container(all []SandboxView, ref string) (SandboxView, bool) {
	var found []SandboxView
	for _, v := range all {
		switch {
		case v.Name == ref, v.ID == ref:
			return v, true
		case len(ref) > 0 && len(v.ID) > len(ref) && v.ID[:len(ref)] == ref:
			found = append(found, v)
		}
	}
	if len(found) != 1 {
		return SandboxView{}, false
	}
	return found[0], true
}

// tellWhose says of what isn't found, though lists show it, that it is another's.
func (h *handlers) tellWhose(r *http.Request, err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	carried, carriedErr := h.backend.Carried(r.Context())
	if carriedErr != nil {
		return err
	}
	if ref := r.PathValue("sandbox"); ref != "" {
		_, own := h.backend.Sandbox(r.Context(), ref)
		if _, ok := container(carried.Containers, ref); ok && errors.Is(own, ErrNotFound) {
			return Errorf(ErrNotFound, "%s is no sandbox, but a container of Docker's: use docker for it", ref)
		}
	}
	if ref := r.PathValue("network"); ref != "" {
		_, own := h.backend.Network(r.Context(), ref)
		if network(carried.Networks, ref) && errors.Is(own, ErrNotFound) {
			return Errorf(ErrNotFound, "network %s is Docker's: use docker for it", ref)
		}
	}
	return err
}

// network tells whether one of the networks of others is meant.
func network(all []NetworkView, ref string) bool {
	return slices.ContainsFunc(all, func(n NetworkView) bool { return n.Name == ref || n.ID == ref })
}

// ownerOf names Fairway as the owner of what has no other.
func ownerOf(owner string) string { return cmp.Or(owner, OwnerFairway) }
