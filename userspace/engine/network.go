// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/ipam"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/resolvconf"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// CreateNetwork makes a network.
func (e *Engine) CreateNetwork(ctx context.Context, req request.NetworkCreate) (model.Network, error) {
	leave, err := e.gate.enter()
	if err != nil {
		return model.Network{}, err
	}
	defer leave()
	if err := req.Validate(); err != nil {
		return model.Network{}, err
	}
	n, want, err := e.planNetwork(req)
	if err != nil {
		return model.Network{}, request.Mark(request.ErrInvalid, err)
	}
	release, err := e.state.claimNetwork(n.Name, n.Device())
	if err != nil {
		return model.Network{}, err
	}
	defer release()
	if err := e.makeNetwork(ctx, n, want); err != nil {
		return model.Network{}, err
	}
	return *n, nil
}

// makeNetwork allocates, stores and builds a network that was planned.
func (e *Engine) makeNetwork(ctx context.Context, n *model.Network, want ipam.NetworkRequest) (err error) {
	defer e.locks.network(n.ID)()
	if want.Host, err = e.avoid(n.Device()); err != nil {
		return err
	}
	var u undo
	defer u.onError(&err)
	if n.IPv4, n.IPv6, err = e.ipam.AddNetwork(want); err != nil {
		return ipamKind(err)
	}
	u.add(func() error { e.ipam.RemoveNetwork(n.ID); return nil })
	u.add(func() error { return e.commit(change{goneNetworks: []string{n.ID}}) })
	if err := e.persist(change{networks: []*model.Network{n}}); err != nil {
		return err
	}
	u.add(func() error { return e.tearDownNetwork(context.WithoutCancel(ctx), n) })
	if err := e.applyNetwork(ctx, n); err != nil {
		return err
	}
	// The gateway is an address of the host now.
	if err := e.refreshHost(ctx, false); err != nil {
		return err
	}
	// Seen only now that it works: a sandbox can't join half a network.
	e.state.put(change{networks: []*model.Network{n}})
	e.audit.NetworkCreated(n)
	return nil
}

// avoid tells which addresses a new network must keep clear of. Routes through
// the device that the network adopts are its own.
func (e *Engine) avoid(device string) (ipam.Host, error) {
	routes, err := e.links.Routes()
	if err != nil {
		return ipam.Host{}, err
	}
	own := e.state.subnets()
	routes = slices.DeleteFunc(routes, func(p netip.Prefix) bool { return slices.Contains(own, p) })
	adopted, err := addressesOf(device)
	if err != nil {
		return ipam.Host{}, err
	}
	routes = slices.DeleteFunc(routes, func(p netip.Prefix) bool { return slices.Contains(adopted, p) })
	h := ipam.Host{Routes: routes}
	if f, err := resolvconf.LoadHost(); err == nil {
		h.Nameservers = f.Nameservers
	}
	return h, nil
}

// addressesOf lists the subnets of a device's addresses, none where there is no
// such device.
func addressesOf(device string) ([]netip.Prefix, error) {
	d, err := net.InterfaceByName(device)
	if err != nil {
		return nil, nil
	}
	addrs, err := d.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", device, err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

func (s *state) subnets() []netip.Prefix {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []netip.Prefix
	for _, n := range s.networks {
		for _, sub := range []*model.Subnet{n.IPv4, n.IPv6} {
			if sub != nil {
				out = append(out, sub.Prefix)
			}
		}
	}
	return out
}

// applyNetwork makes the kernel have the network's device and its rules.
func (e *Engine) applyNetwork(ctx context.Context, n *model.Network) error {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	made, err := d.Make(ctx, n)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	e.facts.made.set(n.ID, made)
	if err := e.owner.PutNetwork(ctx, e.wish(n, made)); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	return nil
}

// wish is a network as the engine wants it, with this device.
func (e *Engine) wish(n *model.Network, made link.Device) wanted.Network {
	w := wanted.Network{Network: *n}
	if d, err := e.Drivers.Find(n.Driver); err == nil {
		w.Told = d.Told(n, made)
	}
	return w
}

// tearDownNetwork is the reverse of applyNetwork.
func (e *Engine) tearDownNetwork(ctx context.Context, n *model.Network) error {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	if err := e.owner.DeleteNetwork(ctx, n.ID); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	if err := d.Remove(ctx, n); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	e.facts.made.forget(n.ID)
	e.facts.remade.forget(n.ID)
	return nil
}

// RemoveNetwork removes a network that has no endpoints.
func (e *Engine) RemoveNetwork(ctx context.Context, ref string) error {
	n, err := e.state.findNetwork(ref)
	if err != nil {
		return err
	}
	if n.Predefined() {
		return request.Errorf(request.ErrInvalid, "%s is a pre-defined network and cannot be removed", n.Name)
	}
	return e.removeNetwork(ctx, n)
}

func (e *Engine) removeNetwork(ctx context.Context, n *model.Network) (err error) {
	var u undo
	// After the lock is given back, which mending takes.
	defer u.onError(&err)
	defer e.locks.network(n.ID)()
	if e.state.network(n.ID) == nil {
		return request.Errorf(request.ErrNotFound, "network %s not found", n.Name)
	}
	if users := e.state.usersOf(n.ID); len(users) > 0 {
		return request.Errorf(request.ErrConflict, "error while removing network: network %s has active endpoints (%s)",
			n.Name, strings.Join(users, ", "))
	}
	if services := e.state.servicesOn(n.ID); len(services) > 0 {
		return request.Errorf(request.ErrConflict, "error while removing network: network %s has services (%s)",
			n.Name, strings.Join(serviceNames(services), ", "))
	}
	u.add(func() error { e.mendNetwork(context.WithoutCancel(ctx), n); return nil })
	if err := e.tearDownNetwork(ctx, n); err != nil {
		return err
	}
	if err := e.commit(change{goneNetworks: []string{n.ID}}); err != nil {
		return err
	}
	e.audit.NetworkRemoved(n)
	e.ipam.RemoveNetwork(n.ID)
	e.owner.Report(networkSubject(n), nil)
	if err := e.refreshHost(ctx, false); err != nil {
		e.log.Error("datapath not told that addresses went away", "network", n.Name, "err", err)
	}
	return nil
}

// usersOf lists the endpoints of a network as Docker's error does.
func (s *state) usersOf(networkID string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []string
	for id := range s.ofNetwork[networkID] {
		name, ep := "unknown", s.endpoints[id]
		if sb := s.sandboxes[ep.SandboxID]; sb != nil {
			name = sb.Name
		} else if ep.Host != "" {
			name = "on " + ep.Host
		}
		out = append(out, fmt.Sprintf("name:%q id:%q", name, shortID(id)))
	}
	slices.Sort(out)
	return out
}

// PruneNetworks removes the networks that nothing uses and match says yes to.
func (e *Engine) PruneNetworks(ctx context.Context, match func(model.Network) bool) ([]string, error) {
	views, err := e.Networks(ctx)
	if err != nil {
		return nil, err
	}
	var removed []string
	var errs []error
	for _, v := range views {
		if v.Predefined() || len(v.Endpoints) > 0 || !match(v.Network) {
			continue
		}
		switch err := e.removeNetwork(ctx, &v.Network); {
		case err == nil:
			removed = append(removed, v.Name)
		case !errors.Is(err, request.ErrConflict) && !errors.Is(err, request.ErrNotFound):
			// Else somebody joined or removed it meanwhile.
			errs = append(errs, err)
		}
	}
	return removed, errors.Join(errs...)
}
