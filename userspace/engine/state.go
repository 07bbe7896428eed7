// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// state is the desired state in memory, what the store holds on disk. The
// values behind the pointers never change: an edit puts a new value in place,
// so that a reader may keep what it got.
type state struct {
	mu        sync.RWMutex
	networks  map[string]*model.Network
	sandboxes map[string]*model.Sandbox
	endpoints map[string]*model.Endpoint
	services  map[string]*model.Service
	// ofNetwork and ofSandbox hold the endpoint IDs of each.
	ofNetwork map[string]map[string]bool
	ofSandbox map[string]map[string]bool
	// servicesOf holds the IDs of each network's services, and servicesNamed how many of them
	// are called so.
	servicesOf    map[string]map[string]bool
	servicesNamed map[serviceName]int
	// claimed counts, by names with a prefix for their kind, objects that are being made and
	// nobody sees yet.
	claimed map[string]int
}

func newState() *state {
	return &state{
		networks:   make(map[string]*model.Network),
		sandboxes:  make(map[string]*model.Sandbox),
		endpoints:  make(map[string]*model.Endpoint),
		services:   make(map[string]*model.Service),
		ofNetwork:  make(map[string]map[string]bool),
		ofSandbox:  make(map[string]map[string]bool),
		servicesOf: make(map[string]map[string]bool),
		claimed:    make(map[string]int),

		servicesNamed: make(map[serviceName]int),
	}
}

// claimNetwork keeps name and the name of its device, if any, for a network that
// is being made until release.
func (s *state) claimNetwork(name, device string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.networkNamed(name) != nil || s.claimed["network "+name] > 0 {
		return nil, request.Errorf(request.ErrConflict, "network with name %s already exists", name)
	}
	for _, n := range s.networks {
		if device != "" && n.Device() == device {
			return nil, request.Errorf(request.ErrConflict, "device name %s: already used by network %s", device, n.Name)
		}
	}
	if device == "" {
		return s.claim("network " + name), nil
	}
	if s.claimed["device "+device] > 0 {
		return nil, request.Errorf(request.ErrConflict, "device name %s: already used by another network", device)
	}
	return s.claim("network "+name, "device "+device), nil
}

// claimSandbox keeps name for a sandbox that is being made until release.
func (s *state) claimSandbox(name string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sb := range s.sandboxes {
		if sb.Name == name {
			return nil, request.Errorf(request.ErrConflict,
				"sandbox name %q: already in use by sandbox %s", name, shortID(sb.ID))
		}
	}
	if s.claimed["sandbox "+name] > 0 {
		return nil, request.Errorf(request.ErrConflict, "sandbox name %q: already in use", name)
	}
	return s.claim("sandbox " + name), nil
}

// claimNamespace keeps an adopted namespace for a sandbox that is being made
// until release.
func (s *state) claimNamespace(id netns.ID) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprintf("namespace %d:%d", id.Dev, id.Ino)
	if s.claimed[key] > 0 {
		return nil, request.Errorf(request.ErrConflict, "namespace %d: another sandbox is being made around it", id.Ino)
	}
	return s.claim(key), nil
}

// claim needs the lock, and what it returns must not have it.
func (s *state) claim(keys ...string) (release func()) {
	for _, key := range keys {
		s.claimed[key]++
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, key := range keys {
			if s.claimed[key]--; s.claimed[key] == 0 {
				delete(s.claimed, key)
			}
		}
	}
}

func (s *state) networkNamed(name string) *model.Network {
	for _, n := range s.networks {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// findNetwork resolves a name, an ID or an unambiguous prefix of an ID.
func (s *state) findNetwork(ref string) (*model.Network, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return find(s.networks, "network", ref, func(n *model.Network) string { return n.Name })
}

// findSandbox resolves a name, an ID or an unambiguous prefix of an ID.
func (s *state) findSandbox(ref string) (*model.Sandbox, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return find(s.sandboxes, "sandbox", ref, func(sb *model.Sandbox) string { return sb.Name })
}

func find[T any](all map[string]*T, kind, ref string, name func(*T) string) (*T, error) {
	var byPrefix []*T
	if v := all[ref]; v != nil {
		return v, nil
	}
	for id, v := range all {
		if name(v) == ref {
			return v, nil
		}
		if ref != "" && strings.HasPrefix(id, ref) {
			byPrefix = append(byPrefix, v)
		}
	}
	switch len(byPrefix) {
	case 0:
		return nil, request.Errorf(request.ErrNotFound, "%s %s not found", kind, ref)
	case 1:
		return byPrefix[0], nil
	}
	return nil, request.Errorf(request.ErrInvalid, "%s %s: %d IDs begin so, want more digits", kind, ref, len(byPrefix))
}

func (s *state) network(id string) *model.Network {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.networks[id]
}

func (s *state) sandbox(id string) *model.Sandbox {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sandboxes[id]
}

// attachments returns the endpoints of a sandbox in the order of their interfaces.
func (s *state) attachments(sandboxID string) []attachment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.attachmentsLocked(sandboxID)
}

func (s *state) attachmentsLocked(sandboxID string) []attachment {
	var out []attachment
	for id := range s.ofSandbox[sandboxID] {
		ep := s.endpoints[id]
		out = append(out, attachment{ep, s.networks[ep.NetworkID]})
	}
	slices.SortFunc(out, func(a, b attachment) int { return compareIfNames(a.ep.IfName, b.ep.IfName) })
	return out
}

// compareIfNames puts eth2 before eth10.
func compareIfNames(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// put makes the values the present ones. The caller gives up the right to
// change them.
func (s *state) put(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range c.networks {
		s.networks[n.ID] = n
	}
	for _, sb := range c.sandboxes {
		s.sandboxes[sb.ID] = sb
	}
	for _, ep := range c.endpoints {
		s.endpoints[ep.ID] = ep
		index(s.ofNetwork, ep.NetworkID, ep.ID)
		index(s.ofSandbox, ep.SandboxID, ep.ID)
	}
	for _, svc := range c.services {
		s.dropService(svc.ID)
		s.services[svc.ID] = svc
		for _, n := range svc.Networks {
			index(s.servicesOf, n.NetworkID, svc.ID)
			s.servicesNamed[nameOn(n.NetworkID, svc.Name)]++
		}
	}
	for _, svc := range c.goneServices {
		s.dropService(svc.ID)
	}
	for _, ep := range c.goneEndpoints {
		delete(s.endpoints, ep.ID)
		unindex(s.ofNetwork, ep.NetworkID, ep.ID)
		unindex(s.ofSandbox, ep.SandboxID, ep.ID)
	}
	for _, id := range c.goneSandboxes {
		delete(s.sandboxes, id)
	}
	for _, id := range c.goneNetworks {
		delete(s.networks, id)
	}
}

func index(m map[string]map[string]bool, key, id string) {
	if m[key] == nil {
		m[key] = make(map[string]bool)
	}
	m[key][id] = true
}

func unindex(m map[string]map[string]bool, key, id string) {
	delete(m[key], id)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}
