// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/service"
)

// memberOf is a sandbox that runs, as services see it.
func memberOf(sb *model.Sandbox, all []attachment) service.Member {
	m := service.Member{ID: sb.ID, Name: sb.Name, Labels: sb.Labels}
	for _, a := range all {
		m.Endpoints = append(m.Endpoints, policy.Reach{
			EndpointID: a.ep.ID, NetworkID: a.net.ID, IPv4: a.ep.IPv4.Addr(), IPv6: a.ep.IPv6.Addr(),
		})
	}
	return m
}

// expectServices takes services and sandboxes in as they are stored.
func (e *Engine) expectServices() {
	var members []service.Member
	for _, sb := range e.state.bySeniority() {
		if sb.State.Status == model.StatusRunning {
			members = append(members, memberOf(sb, e.state.attachments(sb.ID)))
		}
	}
	e.services.Load(e.state.allServices(), members)
}

// restoreVIPs takes the addresses of stored services.
func (e *Engine) restoreVIPs(all []*model.Service) {
	for _, s := range all {
		e.vips.add(allVIPs(s)...)
		for _, in := range s.Networks {
			for _, a := range vipsOf(in) {
				requested := in.Requested4 && a.Is4() || in.Requested6 && a.Is6()
				if err := e.ipam.RestoreAddress(in.NetworkID, a, requested, service.Subject(s)); err != nil {
					e.log.Error("stored addresses contradict each other", "err", err)
				}
			}
		}
	}
}

// restoreServices has the datapath have the services, now that it has their endpoints, and
// from now on follow what becomes of them.
func (e *Engine) restoreServices(ctx context.Context) {
	for _, s := range e.state.allServices() {
		e.mendPorts(ctx, s)
	}
	e.services.Begin(ctx)
}

// remakeServices makes the kernel have the services again after an uninstall that failed.
func (e *Engine) remakeServices(ctx context.Context) {
	for _, s := range e.state.allServices() {
		e.mendPorts(ctx, s)
		_ = e.owner.Mend(ctx, placeSubject(s), e.serviceMend(s.ID))
	}
}

// mendPorts reserves a service's ports on the host, now or, if that fails, later.
func (e *Engine) mendPorts(ctx context.Context, s *model.Service) {
	if len(s.Published) == 0 {
		return
	}
	_ = e.owner.Mend(ctx, portsSubject(s), func(context.Context) error {
		defer e.locks.sandbox(s.ID)()
		now := e.state.service(s.ID)
		if now == nil || e.gate.closed() {
			return nil
		}
		for _, f := range e.ports.Restore(now.ID, now.Published) {
			return f
		}
		return nil
	})
}

func portsSubject(s *model.Service) string { return "ports of " + service.Subject(s) }

// placeSubject is apart from service.Subject: what a sandbox's coming has told well is no
// reason to end a mend that has more to do.
func placeSubject(s *model.Service) string { return "addresses of " + service.Subject(s) }

// mendService makes the kernel have of a service what the state has, all or nothing, after
// failure. It does so later: the caller holds the service's lock.
func (e *Engine) mendService(s *model.Service, failure error) {
	e.owner.MendLater(placeSubject(s), failure, func(ctx context.Context) error {
		if err := e.serviceMend(s.ID)(ctx); err != nil || e.state.service(s.ID) != nil {
			return err
		}
		return e.clearVIPs(ctx, s)
	})
}

// serviceMend makes the kernel have a stored service. The caller doesn't hold its lock.
func (e *Engine) serviceMend(id string) func(context.Context) error {
	return func(ctx context.Context) error {
		s := e.state.service(id)
		if s == nil {
			return nil
		}
		// A service's networks don't change.
		defer e.locks.sandbox(id, serviceNetworkIDs(s)...)()
		now := e.state.service(id)
		if now == nil || e.gate.closed() {
			return nil
		}
		if err := e.place(ctx, now); err != nil {
			return err
		}
		return e.services.Put(ctx, now)
	}
}

// clearVIPs takes the addresses of a service that is gone off the devices, and gives them
// back. Until then nobody gets them.
func (e *Engine) clearVIPs(ctx context.Context, s *model.Service) error {
	defer e.locks.sandbox(s.ID, serviceNetworkIDs(s)...)()
	if err := e.displace(ctx, s); err != nil {
		return err
	}
	e.releaseVIPs(s)
	return nil
}

func (e *Engine) releaseVIPs(s *model.Service) {
	for _, in := range s.Networks {
		for _, a := range vipsOf(in) {
			e.releaseAddress(in.NetworkID, a)
		}
	}
}

// tellServices says the services of a network again, whose device is another one now.
func (e *Engine) tellServices(ctx context.Context, networkID string) {
	for _, s := range e.state.servicesOn(networkID) {
		e.services.Tell(ctx, s.ID)
	}
}

// uninstallService takes a service out of the kernel. It stays in the store unless purge.
func (e *Engine) uninstallService(ctx context.Context, s *model.Service, purge bool) error {
	defer e.locks.sandbox(s.ID, serviceNetworkIDs(s)...)()
	if err := e.takeDownService(ctx, s); err != nil {
		return err
	}
	if purge {
		if err := e.commit(change{goneServices: []*model.Service{s}}); err != nil {
			return err
		}
	}
	e.ports.Release(s.ID)
	return nil
}
