// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/resolvconf"
)

// draft is a sandbox that is being made.
type draft struct {
	sb *model.Sandbox
	// shared is the sandbox whose namespace is used in ModeContainer.
	shared *model.Sandbox
	joins  []join
}

// join is the wish for one endpoint, its network found.
type join struct {
	networkID string
	want      request.EndpointSettings
}

// plan turns a configuration into a draft. It changes nothing.
func (e *Engine) plan(c request.SandboxConfig) (*draft, error) {
	mode, sharedRef, wants, err := c.NetworkMode()
	if err != nil {
		return nil, err
	}
	id := newID()
	d := &draft{sb: &model.Sandbox{
		ID: id, Name: c.Name, Hostname: c.Hostname, Created: time.Now().UTC(), Mode: mode,
		Labels: c.Labels, DNS: c.DNS, DNSSearch: c.DNSSearch, DNSOptions: c.DNSOptions,
		PublishAll: c.PublishAll, State: model.State{Status: model.StatusCreated},
	}}
	if err := overrides(d.sb).Validate(); err != nil {
		return nil, request.Mark(request.ErrInvalid, err)
	}
	if err := e.planMode(d, sharedRef); err != nil {
		return nil, err
	}
	if err := e.planPorts(d.sb, &c); err != nil {
		return nil, err
	}
	if d.sb.ExtraHosts, err = e.extraHosts(c.ExtraHosts); err != nil {
		return nil, err
	}
	if d.sb.Links, err = e.planLinks(d.sb, c.Links); err != nil {
		return nil, err
	}
	d.joins, err = e.findNetworks(wants)
	return d, err
}

// planMode fills in where the namespace comes from and the host name that goes with it.
func (e *Engine) planMode(d *draft, sharedRef string) (err error) {
	switch d.sb.Mode {
	case model.ModeContainer:
		if d.shared, err = e.state.findSandbox(sharedRef); err != nil {
			return err
		}
		if d.shared.Mode == model.ModeContainer {
			return request.Errorf(request.ErrConflict, "sandbox %s: itself shares the namespace of another", d.shared.Name)
		}
		if d.shared.State.Status != model.StatusRunning {
			return request.Errorf(request.ErrConflict, "cannot join network of a non running sandbox: %s", d.shared.Name)
		}
		d.sb.SharedWith, d.sb.Hostname, d.sb.Netns = d.shared.ID, d.shared.Hostname, d.shared.Netns
	case model.ModeHost:
		if d.sb.Hostname == "" {
			d.sb.Hostname, err = os.Hostname()
		}
	default:
		d.sb.Netns = e.netnsPath(d.sb.ID)
	}
	if d.sb.Hostname == "" {
		d.sb.Hostname = shortID(d.sb.ID)
	}
	return err
}

// planPorts takes the port options over. Docker ignores them on the host network.
func (e *Engine) planPorts(sb *model.Sandbox, c *request.SandboxConfig) error {
	specs, err := c.PortSpecs()
	if err != nil {
		return err
	}
	exposed, err := c.Exposed()
	if err != nil {
		return err
	}
	if sb.Mode == model.ModeHost {
		if len(specs) > 0 || sb.PublishAll {
			e.log.Warn("published ports are ignored on the host network", "sandbox", sb.Name)
		}
		sb.PublishAll = false
		sb.Exposed = exposed
		return nil
	}
	sb.Specs = specs
	seen := make(map[model.Port]bool, len(exposed)+len(specs))
	for _, p := range exposed {
		seen[p] = true
	}
	for _, s := range specs {
		if !seen[s.Port] {
			seen[s.Port] = true
			exposed = append(exposed, s.Port)
		}
	}
	sb.Exposed = exposed
	return nil
}

// extraHosts resolves host-gateway to the default network's gateway, which is an
// address of the host, as Docker does.
func (e *Engine) extraHosts(in []request.ExtraHost) ([]model.ExtraHost, error) {
	var out []model.ExtraHost
	for _, h := range in {
		if h.Address != request.HostGateway {
			addr, err := netip.ParseAddr(h.Address)
			if err != nil {
				return nil, request.Errorf(request.ErrInvalid, "extra host %s: address %q: want an IP address or %s", h.Name, h.Address, request.HostGateway)
			}
			out = append(out, model.ExtraHost{Name: h.Name, Addr: addr})
			continue
		}
		gateways := e.state.hostGateways()
		if len(gateways) == 0 {
			return nil, request.Errorf(request.ErrInvalid, "extra host %s: network %s has no gateway for %s", h.Name, model.NetworkBridge, request.HostGateway)
		}
		for _, a := range gateways {
			out = append(out, model.ExtraHost{Name: h.Name, Addr: a})
		}
	}
	return out, nil
}

func (s *state) hostGateways() []netip.Addr {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.networkNamed(model.NetworkBridge)
	if n == nil {
		return nil
	}
	var out []netip.Addr
	for _, sub := range []*model.Subnet{n.IPv4, n.IPv6} {
		if sub != nil && sub.Gateway.IsValid() {
			out = append(out, sub.Gateway)
		}
	}
	return out
}

// planLinks refuses links to what doesn't exist or run, as Docker does.
func (e *Engine) planLinks(sb *model.Sandbox, links []model.Link) ([]model.Link, error) {
	if len(links) > 0 && sb.Mode == model.ModeHost {
		return nil, request.Errorf(request.ErrInvalid, "conflicting options: host type networking can't be used with links")
	}
	out := slices.Clone(links)
	for i, l := range out {
		target, err := e.state.findSandbox(l.Sandbox)
		if err != nil {
			return nil, request.Errorf(request.ErrNotFound, "could not get sandbox for link %s", l.Sandbox)
		}
		if target.State.Status != model.StatusRunning {
			return nil, request.Errorf(request.ErrConflict, "cannot link to a non running sandbox: %s AS %s", target.Name, l.Alias)
		}
		out[i].Sandbox = target.Name
	}
	return out, nil
}

// findNetworks resolves the networks and refuses what Docker refuses on them.
func (e *Engine) findNetworks(wants []request.EndpointSettings) ([]join, error) {
	var out []join
	for _, w := range wants {
		n, err := e.state.findNetwork(w.Network)
		if err != nil {
			return nil, err
		}
		if err := e.checkJoin(n, w); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(j join) bool { return j.networkID == n.ID }) {
			return nil, request.Errorf(request.ErrInvalid, "network %s: given twice", n.Name)
		}
		out = append(out, join{n.ID, w})
	}
	return out, nil
}

func (e *Engine) checkJoin(n *model.Network, w request.EndpointSettings) error {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	if !d.About().Endpoints {
		return request.Errorf(request.ErrInvalid, "network %s: cannot be combined with other networks", n.Name)
	}
	if n.Default() {
		if w.IPv4.IsValid() || w.IPv6.IsValid() {
			return request.Errorf(request.ErrInvalid, "user specified IP address is supported on user defined networks only")
		}
		if len(w.Aliases) > 0 {
			return request.Errorf(request.ErrInvalid, "network-scoped aliases are only supported for user-defined networks")
		}
	}
	for _, f := range []struct {
		addr   netip.Addr
		subnet *model.Subnet
	}{{w.IPv4, n.IPv4}, {w.IPv6, n.IPv6}} {
		if !f.addr.IsValid() {
			continue
		}
		if f.subnet == nil {
			return request.Errorf(request.ErrInvalid, "address %s: network %s has no subnet of that family", f.addr, n.Name)
		}
		if !f.subnet.Prefix.Contains(f.addr) {
			return request.Errorf(request.ErrInvalid, "address %s: outside of subnet %s of network %s", f.addr, f.subnet.Prefix, n.Name)
		}
	}
	return nil
}

// overrides are the resolver options that the user gave for sb.
func overrides(sb *model.Sandbox) resolvconf.Overrides {
	return resolvconf.Overrides{Nameservers: sb.DNS, Search: sb.DNSSearch, Options: sb.DNSOptions}
}
