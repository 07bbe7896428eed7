// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Connect attaches a running sandbox to one more network.
func (e *Engine) Connect(ctx context.Context, ref string, want request.EndpointSettings) error {
	leave, err := e.gate.enter()
	if err != nil {
		return err
	}
	defer leave()
	sb, err := e.state.findSandbox(ref)
	if err != nil {
		return err
	}
	n, err := e.state.findNetwork(want.Network)
	if err != nil {
		return err
	}
	if err := checkConnect(sb, n); err != nil {
		return err
	}
	if err := e.checkJoin(n, want); err != nil {
		return err
	}
	unlock := e.locks.sandbox(sb.ID, e.state.networksOf(sb.ID, n.ID)...)
	err = e.connect(ctx, sb.ID, join{n.ID, want})
	unlock()
	if err == nil {
		e.refreshLinks(ctx, sb.Name)
	}
	return err
}

// checkConnect refuses what Docker refuses.
func checkConnect(sb *model.Sandbox, n *model.Network) error {
	if sb.Mode != model.ModeNetworks {
		return request.Errorf(request.ErrConflict,
			"sandbox %s: sharing a network namespace with another sandbox or the host, it cannot be connected to any other network", sb.Name)
	}
	if n.Driver == model.DriverHost {
		return request.Errorf(request.ErrConflict, "sandbox %s: cannot be connected to host network, it has a namespace of its own", sb.Name)
	}
	return nil
}

func (e *Engine) connect(ctx context.Context, sandboxID string, j join) (err error) {
	sb, before, err := e.runningSandbox(sandboxID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(before, func(a attachment) bool { return a.net.ID == j.networkID }) {
		return request.Errorf(request.ErrConflict, "sandbox %s is already attached to network %s", sb.Name, e.state.network(j.networkID).Name)
	}
	release, err := e.state.claimNames(sb.Name, []join{j})
	if err != nil {
		return err
	}
	defer release()
	var u undo
	defer u.onError(&err)
	taken, err := interfaceNames(sb)
	if err != nil {
		return err
	}
	for _, a := range before {
		taken = append(taken, a.ep.IfName)
	}
	added, err := e.allocateAll(sb, []join{j}, taken, &u)
	if err != nil {
		return err
	}
	after := append(slices.Clone(before), added...)
	now := *sb
	if now.Published, err = e.publish(sb, sb.Published, elect(after), &u); err != nil {
		return err
	}
	u.add(func() error {
		return e.commit(change{sandboxes: []*model.Sandbox{sb}, goneEndpoints: endpointsOf(added)})
	})
	if err := e.commit(change{sandboxes: []*model.Sandbox{&now}, endpoints: endpointsOf(added)}); err != nil {
		return err
	}
	u.add(func() error { return e.restore(context.WithoutCancel(ctx), sb, before) })
	if err := e.attach(ctx, &now, added[0], &u); err != nil {
		return err
	}
	if err := e.connectUp(ctx, &now, after, &u); err != nil {
		return err
	}
	e.audit.EndpointConnected(auditOf(&now, added[0]))
	e.audit.Ports(now.Name, sb.Published, now.Published)
	e.services.SetMember(context.WithoutCancel(ctx), memberOf(&now, after))
	return nil
}

// restore brings routes, ports and names back to what they were before an edit
// that failed.
func (e *Engine) restore(ctx context.Context, sb *model.Sandbox, before []attachment) error {
	return errors.Join(
		e.setDefaultRoutes(sb, before),
		e.applyPorts(ctx, sb, before),
		e.resolve(ctx, sb, before),
	)
}

// runningSandbox returns the present value of a sandbox that is being edited
// and its endpoints.
func (e *Engine) runningSandbox(id string) (*model.Sandbox, []attachment, error) {
	sb := e.state.sandbox(id)
	if sb == nil {
		return nil, nil, request.Errorf(request.ErrNotFound, "sandbox %s not found", shortID(id))
	}
	if sb.State.Status != model.StatusRunning {
		return nil, nil, request.Errorf(request.ErrConflict, "sandbox %s is not running", sb.Name)
	}
	return sb, e.state.attachments(id), nil
}

// networksOf lists the networks of a sandbox, and more, for locking.
func (s *state) networksOf(sandboxID string, more ...string) []string {
	ids := slices.Clone(more)
	for _, a := range s.attachments(sandboxID) {
		ids = append(ids, a.net.ID)
	}
	return ids
}

// Disconnect detaches a sandbox from a network.
func (e *Engine) Disconnect(ctx context.Context, network, ref string, force bool) error {
	n, err := e.state.findNetwork(network)
	if err != nil {
		return err
	}
	sb, err := e.state.findSandbox(ref)
	if err != nil {
		return err
	}
	if sb.Mode == model.ModeHost && n.Driver == model.DriverHost {
		return request.Errorf(request.ErrConflict, "sandbox %s: cannot be disconnected from host network", sb.Name)
	}
	unlock := e.locks.sandbox(sb.ID, e.state.networksOf(sb.ID, n.ID)...)
	err = e.disconnect(ctx, sb.ID, n, force)
	unlock()
	if err == nil {
		e.refreshLinks(ctx, sb.Name)
	}
	return err
}

func (e *Engine) disconnect(ctx context.Context, sandboxID string, n *model.Network, force bool) (err error) {
	sb, before, err := e.runningSandbox(sandboxID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(before, func(a attachment) bool { return a.net.ID == n.ID })
	if i < 0 {
		return request.Errorf(request.ErrConflict, "sandbox %s is not connected to network %s", sb.Name, n.Name)
	}
	leaving := before[i]
	after := slices.Delete(slices.Clone(before), i, i+1)
	var u undo
	defer u.onError(&err)
	now := *sb
	if now.Published, err = e.publish(sb, sb.Published, elect(after), &u); err != nil {
		return err
	}
	u.add(func() error {
		e.register(sb, before)
		e.services.SetMember(context.WithoutCancel(ctx), memberOf(sb, before))
		return nil
	})
	e.names.Remove(leaving.ep.ID)
	// Before its device goes, so that no flow is opened to it then.
	e.services.SetMember(ctx, memberOf(&now, after))
	// The other endpoints take over before this one ends, in the order in which
	// nothing is without a route or a resolver for longer than it must.
	u.add(func() error { return e.restore(context.WithoutCancel(ctx), sb, before) })
	if err := e.takeOver(ctx, &now, leaving, after); err != nil && !force {
		return err
	}
	if err := e.detach(ctx, leaving); err != nil {
		return err
	}
	c := change{sandboxes: []*model.Sandbox{&now}, goneEndpoints: []*model.Endpoint{leaving.ep}}
	if err := e.commit(c); err != nil {
		u.add(func() error { return e.attach(ctx, sb, leaving, new(undo)) })
		return err
	}
	e.audit.Ports(now.Name, sb.Published, now.Published)
	e.audit.EndpointDisconnected(auditOf(&now, leaving))
	e.releaseAddresses(leaving)
	return nil
}

// takeOver moves default routes, ports and name resolution to the endpoints
// that stay.
func (e *Engine) takeOver(ctx context.Context, sb *model.Sandbox, leaving attachment, after []attachment) error {
	return errors.Join(
		e.setDefaultRoutes(sb, after),
		e.owner.PutPorts(ctx, leaving.ep.ID, nil),
		e.applyPorts(ctx, sb, after),
		e.resolve(ctx, sb, after),
	)
}

// releaseAddresses gives an endpoint's addresses back, once nothing uses them. Another
// endpoint may have one already: where the save at a sandbox's end failed, the next
// start finds that it has ended again.
func (e *Engine) releaseAddresses(a attachment) {
	for _, addr := range []netip.Addr{a.ep.IPv4.Addr(), a.ep.IPv6.Addr()} {
		e.releaseAddress(a.net.ID, addr)
	}
}

func (e *Engine) releaseAddress(networkID string, addr netip.Addr) {
	// One that a device has still, as it couldn't be taken away, is released with that.
	if addr.IsValid() && !e.state.addressUsed(networkID, addr) && e.owner.EndpointAt(addr) == "" && !e.vips.has(addr) {
		e.ipam.Release(networkID, addr)
	}
}

// addressUsed reports whether an endpoint or a service has the address.
func (s *state) addressUsed(networkID string, addr netip.Addr) bool {
	if slices.Contains(s.vipsOn(networkID), addr) {
		return true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for id := range s.ofNetwork[networkID] {
		if ep := s.endpoints[id]; ep.IPv4.Addr() == addr || ep.IPv6.Addr() == addr {
			return true
		}
	}
	return false
}

// refreshLinks brings those up to date that link to the sandbox called name,
// after its address on the default network changed. It holds one sandbox's
// lock at a time and none of the caller's.
func (e *Engine) refreshLinks(ctx context.Context, name string) {
	for _, id := range e.state.linkedTo(name) {
		if err := e.refreshLinksOf(ctx, id); err != nil {
			e.log.Error("links not updated", "sandbox", shortID(id), "err", err)
		}
	}
}

func (e *Engine) refreshLinksOf(ctx context.Context, sandboxID string) error {
	defer e.locks.sandbox(sandboxID, e.state.networksOf(sandboxID)...)()
	sb, all, err := e.runningSandbox(sandboxID)
	if err != nil {
		// Gone meanwhile.
		return nil
	}
	errs := []error{e.writeHosts(sb, all)}
	for _, a := range all {
		if index := e.facts.attached.get(a.ep.ID); a.net.Default() && index != 0 {
			errs = append(errs, e.guard(ctx, sb, a, index))
		}
	}
	return errors.Join(errs...)
}

// linkedTo lists the running sandboxes on the default network with a link to name.
func (s *state) linkedTo(name string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var ids []string
	for id, sb := range s.sandboxes {
		links := slices.ContainsFunc(sb.Links, func(l model.Link) bool { return l.Sandbox == name })
		if links && sb.State.Status == model.StatusRunning && s.defaultEndpoint(id) != nil {
			ids = append(ids, id)
		}
	}
	return ids
}
