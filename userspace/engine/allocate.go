// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
)

// allocateAll makes the endpoints of the joins, with addresses taken; u gives
// them back. taken are the interface names that the namespace already has.
func (e *Engine) allocateAll(sb *model.Sandbox, joins []join, taken []string, u *undo) ([]attachment, error) {
	var out []attachment
	for _, j := range joins {
		n := e.state.network(j.networkID)
		if n == nil {
			return nil, request.Errorf(request.ErrNotFound, "network %s not found", j.want.Network)
		}
		ep, err := e.allocate(sb, n, j.want, u)
		if err != nil {
			return nil, err
		}
		ep.IfName = freeIfName(n.IfacePrefix(), taken)
		taken = append(taken, ep.IfName)
		out = append(out, attachment{ep, n})
	}
	return out, nil
}

func (e *Engine) allocate(sb *model.Sandbox, n *model.Network, w request.EndpointSettings, u *undo) (*model.Endpoint, error) {
	id := newID()
	ep := &model.Endpoint{
		ID: id, NetworkID: n.ID, SandboxID: sb.ID, Aliases: slices.Clone(w.Aliases), GwPriority: w.GwPriority,
		Requested4: w.IPv4.IsValid(), Requested6: w.IPv6.IsValid(), HostIf: "veth" + id[:11],
	}
	var err error
	if n.IPv4 != nil {
		if ep.IPv4, err = e.takeAddress(n, ipam.IPv4, w.IPv4, u); err != nil {
			return nil, err
		}
	}
	if n.IPv6 != nil {
		if ep.IPv6, err = e.takeAddress(n, ipam.IPv6, w.IPv6, u); err != nil {
			return nil, err
		}
	}
	ep.MAC = w.MAC
	if ep.MAC == (model.MAC{}) {
		ep.MAC = policy.MAC(ep.IPv4.Addr(), func(m model.MAC) bool { _, taken := e.state.macOwner(n.ID, m); return taken })
	} else if owner, taken := e.state.macOwner(n.ID, ep.MAC); taken {
		return nil, request.Errorf(request.ErrConflict, "mac address %s: already in use by %s on network %s", ep.MAC, owner, n.Name)
	}
	return ep, nil
}

func (e *Engine) takeAddress(n *model.Network, f ipam.Family, want netip.Addr, u *undo) (p netip.Prefix, err error) {
	if want.IsValid() {
		p, err = e.ipam.Request(n.ID, want)
	} else {
		p, err = e.ipam.Allocate(n.ID, f)
	}
	if err != nil {
		return p, ipamKind(err)
	}
	u.add(func() error { e.releaseAddress(n.ID, p.Addr()); return nil })
	return p, nil
}

// ipamKind gives an error of package ipam the kind that clients know.
func ipamKind(err error) error {
	switch {
	case errors.Is(err, ipam.ErrInUse), errors.Is(err, ipam.ErrOverlap), errors.Is(err, ipam.ErrExhausted), errors.Is(err, ipam.ErrNoPool):
		return request.Mark(request.ErrConflict, err)
	case errors.Is(err, ipam.ErrInvalid), errors.Is(err, ipam.ErrUnknownNetwork):
		return request.Mark(request.ErrInvalid, err)
	}
	return err
}

// macOwner says in words whose endpoint of the network has the MAC.
func (s *state) macOwner(networkID string, mac model.MAC) (owner string, taken bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.ofNetwork[networkID] {
		ep := s.endpoints[id]
		switch sb := s.sandboxes[ep.SandboxID]; {
		case ep.MAC != mac:
		case ep.Host != "":
			return fmt.Sprintf("endpoint %s on host %s", shortID(id), ep.Host), true
		case sb != nil:
			return "sandbox " + sb.Name, true
		default:
			return "endpoint " + shortID(id), true
		}
	}
	return "", false
}

// freeIfName returns the first of prefix0, prefix1... that isn't taken.
func freeIfName(prefix string, taken []string) string {
	for i := 0; ; i++ {
		if name := fmt.Sprintf("%s%d", prefix, i); !slices.Contains(taken, name) {
			return name
		}
	}
}
