// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// Backend is a backend of a service as it is now.
type Backend struct {
	// Key is what a drained backend is called in model.Service: a sandbox's ID or an
	// address; empty for a name that no sandbox has.
	Key string
	// SandboxID and Name are empty for an address outside.
	SandboxID string
	Name      string
	// IPv4 and IPv6 are where the service reaches it; Endpoints are all of the sandbox's.
	IPv4, IPv6 netip.Addr
	Endpoints  []policy.Reach
	Port       uint16
	Weight     int
	State      model.BackendState
	// Reason says why the state isn't active.
	Reason string
}

// Backends returns the backends of a service by their names and addresses, named ones of
// which no sandbox runs among them, and a sentence for each thing that keeps the service
// from serving.
func (m *Manager) Backends(id string) (all []Backend, warnings []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.services[id]
	if e == nil {
		return nil, nil
	}
	all = make([]Backend, 0, max(len(e.backends), len(e.spec.Backends)))
	for key, b := range e.backends {
		v := b.view(e.spec, key)
		if !b.reached(e.spec) {
			warnings = append(warnings, fmt.Sprintf("backend %s %s", v.Name, v.Reason))
		}
		all = append(all, v)
	}
	for _, b := range e.spec.Backends {
		if b.Name != "" && m.named[b.Name] == nil {
			const reason = "no sandbox of this name runs"
			all = append(all, Backend{Name: b.Name, Port: b.Port, Weight: b.Weight, State: model.BackendDown, Reason: reason})
			warnings = append(warnings, fmt.Sprintf("backend %s: %s", b.Name, reason))
		}
	}
	slices.SortFunc(all, func(a, b Backend) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.IPv4.Compare(b.IPv4), a.IPv6.Compare(b.IPv6), cmp.Compare(a.SandboxID, b.SandboxID))
	})
	slices.Sort(warnings)
	switch {
	case len(all) > 0:
	case len(e.spec.Selector) > 0:
		warnings = append(warnings, fmt.Sprintf("selector %s: no sandbox that runs has these labels", selectorText(e.spec.Selector)))
	default:
		warnings = append(warnings, "no backends are named, and there is no selector")
	}
	return all, warnings
}

func (b *backend) view(s *model.Service, key string) Backend {
	v := Backend{Key: key, Port: b.spec.Port, Weight: b.spec.Weight}
	v.State, v.Reason = b.shown(s, key)
	p := b.policy(s, key)
	_, v.IPv4 = policy.Address(s, &p, false)
	_, v.IPv6 = policy.Address(s, &p, true)
	if b.member != nil {
		v.SandboxID, v.Name, v.Endpoints = b.member.ID, b.member.Name, p.Endpoints
	}
	return v
}

// shown is state with what keeps the service from reaching the backend.
func (b *backend) shown(s *model.Service, key string) (state model.BackendState, reason string) {
	if !b.reached(s) {
		return model.BackendDown, "is in none of the service's networks"
	}
	return b.state(s, key)
}

// reached reports whether the backend has an address that the service reaches it by, as
// policy.Address says it.
func (b *backend) reached(s *model.Service) bool {
	if b.spec.Addr.IsValid() || b.member == nil {
		return b.spec.Addr.IsValid()
	}
	for i := range s.Networks {
		for j := range b.member.Endpoints {
			at := &b.member.Endpoints[j]
			if at.NetworkID == s.Networks[i].NetworkID && (at.IPv4.IsValid() || at.IPv6.IsValid()) {
				return true
			}
		}
	}
	return false
}

func selectorText(selector map[string]string) string {
	var texts []string
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		texts = append(texts, key+"="+selector[key])
	}
	return strings.Join(texts, ",")
}
