// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/ports"
	"github.com/fairway-project/fairway/userspace/request"
)

// CreateService makes a service.
func (e *Engine) CreateService(ctx context.Context, req request.ServiceCreate) (request.ServiceView, error) {
	leave, err := e.gate.enter()
	if err != nil {
		return request.ServiceView{}, err
	}
	defer leave()
	s, err := req.Service()
	if err == nil {
		err = e.checkPassive(req.Passive)
	}
	if err != nil {
		return request.ServiceView{}, err
	}
	s.ID, s.Created = newID(), time.Now().UTC()
	if err := e.planNetworks(s, &req); err != nil {
		return request.ServiceView{}, err
	}
	if err := e.checkBackends(s); err != nil {
		return request.ServiceView{}, err
	}
	release, err := e.state.claimService(s)
	if err != nil {
		return request.ServiceView{}, err
	}
	defer release()
	if err := e.makeService(ctx, s, &req); err != nil {
		return request.ServiceView{}, err
	}
	return e.serviceView(s), nil
}

// planNetworks finds the networks that a service is to be in.
func (e *Engine) planNetworks(s *model.Service, req *request.ServiceCreate) error {
	for i, ref := range req.Networks {
		n, err := e.state.findNetwork(ref)
		if err != nil {
			return err
		}
		if n.IPv4 == nil && n.IPv6 == nil {
			return request.Errorf(request.ErrInvalid, "network %s: has no subnets, and so no place for a service", n.Name)
		}
		in := model.ServiceNetwork{NetworkID: n.ID, Internal: n.Internal}
		want := request.EndpointSettings{Network: ref}
		if i == 0 {
			want.IPv4, want.IPv6 = req.IPv4, req.IPv6
			in.Requested4, in.Requested6 = req.IPv4.IsValid(), req.IPv6.IsValid()
		}
		if err := e.checkJoin(n, want); err != nil {
			return err
		}
		if slices.ContainsFunc(s.Networks, func(o model.ServiceNetwork) bool { return o.NetworkID == n.ID }) {
			return request.Errorf(request.ErrInvalid, "network %s: given twice", n.Name)
		}
		s.Networks = append(s.Networks, in)
		if s.EndpointMode != model.EndpointModeVIP {
			continue
		}
		if _, err := e.servingDriver(n); err != nil {
			return err
		}
		for _, sub := range []*model.Subnet{n.IPv4, n.IPv6} {
			if sub != nil && !sub.Gateway.IsValid() {
				return request.Errorf(request.ErrInvalid, "network %s: is isolated, so that its device has no addresses; want --endpoint-mode %s",
					n.Name, model.EndpointModeDNSRR)
			}
		}
	}
	return nil
}

// checkPassive refuses what is asked for by name and the datapath can't.
func (e *Engine) checkPassive(asked *bool) error {
	if asked != nil && *asked && e.datapath.Mode() == datapath.IPTables {
		return request.Errorf(request.ErrInvalid, "passive: with --datapath=%s backends can't be judged by their answers; want --health", datapath.IPTables)
	}
	return nil
}

// checkBackends refuses addresses that aren't outside, of backends that a service had before,
// too: what was outside may be the host's by now.
func (e *Engine) checkBackends(s *model.Service) error {
	for _, b := range s.Backends {
		if !b.Addr.IsValid() {
			continue
		}
		if n := e.state.networkAround(b.Addr); n != nil {
			return request.Errorf(request.ErrInvalid, "backend %s: is in network %s; want the name of a sandbox there", b.Addr, n.Name)
		}
		if slices.Contains(e.facts.hostNow().Addresses, b.Addr) {
			return request.Errorf(request.ErrInvalid, "backend %s: is an address of the host itself; want one of another machine", b.Addr)
		}
	}
	return nil
}

// makeService allocates, stores and builds a service that was planned.
func (e *Engine) makeService(ctx context.Context, s *model.Service, req *request.ServiceCreate) (err error) {
	defer e.locks.sandbox(s.ID, serviceNetworkIDs(s)...)()
	for i, in := range s.Networks {
		// Removed since it was found; from here on the lock keeps it.
		if e.state.network(in.NetworkID) == nil {
			return request.Errorf(request.ErrNotFound, "network %s not found", req.Networks[i])
		}
	}
	var u undo
	defer u.onError(&err)
	if err := e.takeVIPs(s, req, &u); err != nil {
		return err
	}
	if s.Published, err = e.publishService(s, nil, &u); err != nil {
		return err
	}
	u.add(func() error { return e.commit(change{goneServices: []*model.Service{s}}) })
	// Known with its addresses before they are there: whoever looks at the device finds
	// them right.
	if err := e.commit(change{services: []*model.Service{s}}); err != nil {
		return err
	}
	later := context.WithoutCancel(ctx)
	u.add(func() error {
		err := e.displace(later, s)
		if err != nil {
			e.mendService(s, err)
		}
		return err
	})
	if err := e.place(ctx, s); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	u.add(func() error {
		// It names the service as long as it is there.
		err := e.services.Remove(later, s.ID)
		e.names.RemoveService(s.ID)
		return err
	})
	if err := e.services.Put(ctx, s); err != nil {
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	e.audit.ServiceCreated(s)
	return nil
}

// takeVIPs gives a service its addresses.
func (e *Engine) takeVIPs(s *model.Service, req *request.ServiceCreate, u *undo) error {
	if s.EndpointMode != model.EndpointModeVIP {
		return nil
	}
	for i := range s.Networks {
		in := &s.Networks[i]
		n := e.state.network(in.NetworkID)
		if n == nil {
			return request.Errorf(request.ErrNotFound, "network %s not found", req.Networks[i])
		}
		w := request.EndpointSettings{}
		if i == 0 {
			w.IPv4, w.IPv6 = req.IPv4, req.IPv6
		}
		if n.IPv4 != nil {
			p, err := e.takeAddress(n, ipam.IPv4, w.IPv4, u)
			if err != nil {
				return err
			}
			in.IPv4 = p.Addr()
		}
		if n.IPv6 != nil {
			p, err := e.takeAddress(n, ipam.IPv6, w.IPv6, u)
			if err != nil {
				return err
			}
			in.IPv6 = p.Addr()
		}
	}
	return nil
}

// publishService reserves the host ports of a service, given those that it holds.
func (e *Engine) publishService(s *model.Service, held []model.PublishedPort, u *undo) ([]model.PublishedPort, error) {
	var networks []*model.Network
	for _, in := range s.Networks {
		if n := e.state.network(in.NetworkID); n != nil {
			networks = append(networks, n)
		}
	}
	g := policy.ServiceGateways(networks)
	var pubs []publication
	for _, spec := range s.Specs {
		ips := policy.HostAddresses(spec, g, ports.ListensIPv6())
		if len(ips) == 0 {
			return nil, request.Errorf(request.ErrInvalid,
				"published port %s: no network of service %s publishes ports: they are internal, or in gateway mode %s", spec.Port, s.Name, model.GatewayRouted)
		}
		pubs = append(pubs, publication{spec, ips})
	}
	return e.reservePorts(portOwner{s.ID, "service", s.Name}, held, pubs, u)
}

// RemoveService removes a service; flows through it end.
func (e *Engine) RemoveService(ctx context.Context, ref string) error {
	found, err := e.state.findService(ref)
	if err != nil {
		return err
	}
	defer e.locks.sandbox(found.ID, serviceNetworkIDs(found)...)()
	s := e.state.service(found.ID)
	if s == nil {
		return request.Errorf(request.ErrNotFound, "service %s not found", ref)
	}
	ctx = context.WithoutCancel(ctx)
	if err := e.takeDownService(ctx, s); err != nil {
		return err
	}
	if err := e.commit(change{goneServices: []*model.Service{s}}); err != nil {
		e.mendService(s, err)
		return err
	}
	e.ports.Release(s.ID)
	e.releaseVIPs(s)
	for _, subject := range []string{placeSubject(s), portsSubject(s)} {
		e.owner.Report(subject, nil)
	}
	e.audit.ServiceRemoved(s)
	return nil
}

// takeDownService takes a service out of the kernel. It keeps its ports on the host. After an
// error it is as it was, or is being mended.
func (e *Engine) takeDownService(ctx context.Context, s *model.Service) error {
	err := e.services.Remove(ctx, s.ID)
	if err == nil {
		e.names.RemoveService(s.ID)
		err = e.displace(ctx, s)
	}
	if err != nil {
		e.mendService(s, err)
		return fmt.Errorf("service %s: %w", s.Name, err)
	}
	return nil
}

func serviceNetworkIDs(s *model.Service) (ids []string) {
	for _, n := range s.Networks {
		ids = append(ids, n.NetworkID)
	}
	return ids
}
