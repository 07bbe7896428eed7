// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// Networks returns all networks, ordered by name.
func (e *Engine) Networks(context.Context) ([]request.NetworkView, error) {
	e.state.mu.RLock()
	defer e.state.mu.RUnlock()
	out := make([]request.NetworkView, 0, len(e.state.networks))
	for _, n := range e.state.networks {
		out = append(out, e.state.networkView(n))
	}
	slices.SortFunc(out, func(a, b request.NetworkView) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Network returns the network that ref names.
func (e *Engine) Network(_ context.Context, ref string) (request.NetworkView, error) {
	n, err := e.state.findNetwork(ref)
	if err != nil {
		return request.NetworkView{}, err
	}
	e.state.mu.RLock()
	defer e.state.mu.RUnlock()
	return e.state.networkView(n), nil
}

// networkView needs the read lock.
func (s *state) networkView(n *model.Network) request.NetworkView {
	v := request.NetworkView{Network: *n}
	for id := range s.ofNetwork[n.ID] {
		ep := s.endpoints[id]
		view := request.NetworkEndpoint{Endpoint: *ep}
		if sb := s.sandboxes[ep.SandboxID]; sb != nil {
			view.SandboxName = sb.Name
		}
		v.Endpoints = append(v.Endpoints, view)
	}
	slices.SortFunc(v.Endpoints, func(a, b request.NetworkEndpoint) int {
		return cmp.Or(cmp.Compare(a.SandboxName, b.SandboxName), cmp.Compare(a.ID, b.ID))
	})
	return v
}

// Sandboxes returns all sandboxes, the newest first, as docker ps does.
func (e *Engine) Sandboxes(context.Context) ([]request.SandboxView, error) {
	e.state.mu.RLock()
	defer e.state.mu.RUnlock()
	out := make([]request.SandboxView, 0, len(e.state.sandboxes))
	for _, sb := range e.state.sandboxes {
		out = append(out, e.sandboxView(sb))
	}
	slices.SortFunc(out, func(a, b request.SandboxView) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Sandbox returns the sandbox that ref names.
func (e *Engine) Sandbox(_ context.Context, ref string) (request.SandboxView, error) {
	sb, err := e.state.findSandbox(ref)
	if err != nil {
		return request.SandboxView{}, err
	}
	e.state.mu.RLock()
	defer e.state.mu.RUnlock()
	return e.sandboxView(sb), nil
}

// sandboxView needs the state's read lock.
func (e *Engine) sandboxView(sb *model.Sandbox) request.SandboxView {
	v := request.SandboxView{Sandbox: *sb, Dir: filepath.Dir(e.boxes.Files(sb.ID).Hosts)}
	if owner := e.state.sandboxes[sb.SharedWith]; owner != nil {
		v.SharedWithName = owner.Name
	}
	all := e.state.attachmentsLocked(sb.ID)
	g := elect(all)
	for _, a := range all {
		v.Endpoints = append(v.Endpoints, endpointView(sb, a, g))
	}
	return v
}

func endpointView(sb *model.Sandbox, a attachment, g policy.Gateways) request.SandboxEndpoint {
	return request.SandboxEndpoint{
		Endpoint: *a.ep, NetworkName: a.net.Name, DNSNames: dnsNames(sb, a.ep, a.net),
		Default4: g.V4.Is(a.ep.ID), Default6: g.V6.Is(a.ep.ID),
		Gateway4: a.policy().Gateway4(), Gateway6: a.policy().Gateway6(),
	}
}
