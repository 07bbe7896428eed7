// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/ports"
)

// program publishes the ports of the container whose gateway the endpoint is.
func (d *Driver) program(ctx context.Context, r programConnectivity) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	e, n, err := d.lookup(r.endpointRef)
	if err != nil {
		return err
	}
	specs, err := readSpecs(r.Options.PortMap)
	if err != nil {
		return fmt.Errorf("%w: endpoint %s: %w", errRequest, shortID(e.ID), err)
	}
	if e.External && slices.Equal(e.Specs, specs) && e.NoProxy6To4 == r.Options.NoProxy6To4 {
		return d.applyPorts(ctx, e)
	}
	if err := d.unpublish(ctx, e); err != nil {
		return err
	}
	next := &endpoint{Endpoint: e.Endpoint, SandboxKey: e.SandboxKey, External: true, Specs: specs, NoProxy6To4: r.Options.NoProxy6To4}
	err = d.publish(ctx, n, next)
	if err != nil {
		next.Published = nil
	}
	d.logPorts(next, e.Published, next.Published)
	return err
}

// publish reserves the ports of e and opens them, or does neither.
func (d *Driver) publish(ctx context.Context, n *network, e *endpoint) error {
	translated, families := d.translated(n, e)
	var err error
	if e.Published, err = d.ports.Allocate(e.ID, translated, families, n.Bridge.HostBinding); err != nil {
		return err
	}
	if err = d.commit(func(r *records) { r.Endpoints[e.ID] = e }); err == nil {
		err = d.applyPorts(ctx, e)
	}
	if err != nil {
		return errors.Join(err, d.unpublish(ctx, e))
	}
	return nil
}

// translated returns the publications that translate addresses, and the families
// of those without a host address. Like Docker's bridge, a container without IPv6
// is published at [::] too, for the host itself.
func (d *Driver) translated(n *network, e *endpoint) ([]model.PortSpec, ports.Families) {
	families := ports.Families{IPv4: e.IPv4.IsValid() && policy.Translates(n.Bridge.GatewayMode4)}
	if e.IPv6.IsValid() {
		families.IPv6 = policy.Translates(n.Bridge.GatewayMode6)
	} else {
		families.IPv6 = families.IPv4 && !e.NoProxy6To4
	}
	if n.Internal {
		return nil, families
	}
	var out []model.PortSpec
	for _, s := range e.Specs {
		at := s.HostIP
		if !at.IsValid() {
			at = n.Bridge.HostBinding
		}
		if !at.IsValid() && (families.IPv4 || families.IPv6) || at.Is4() && families.IPv4 || at.Is6() && families.IPv6 {
			out = append(out, s)
		}
	}
	return out, families
}

// revoke ends the publication.
func (d *Driver) revoke(ctx context.Context, r endpointRef) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	e := d.records.Endpoints[r.EndpointID]
	if e == nil || e.NetworkID != r.NetworkID {
		return nil
	}
	err = d.unpublish(ctx, e)
	if err == nil {
		d.logPorts(e, e.Published, nil)
	}
	return err
}

func (d *Driver) unpublish(ctx context.Context, e *endpoint) error {
	if !e.External {
		return nil
	}
	closed := &endpoint{Endpoint: e.Endpoint, SandboxKey: e.SandboxKey}
	if err := d.applyPorts(ctx, closed); err != nil {
		return err
	}
	d.ports.Release(e.ID)
	return d.commit(func(r *records) { r.Endpoints[e.ID] = closed })
}

// applyPorts tells the datapath, unless the endpoint has no devices yet: join does
// it then.
func (d *Driver) applyPorts(ctx context.Context, e *endpoint) error {
	if e.SandboxKey == "" {
		return nil
	}
	if err := d.owner.PutPorts(ctx, e.ID, d.portsOf(e)); err != nil {
		return fmt.Errorf("endpoint %s: published ports: %w", shortID(e.ID), err)
	}
	return nil
}

// portsOf is what the datapath is to do for e.
func (d *Driver) portsOf(e *endpoint) []datapath.Port {
	n := &d.records.Networks[e.NetworkID].Network
	self := policy.Attachment{Endpoint: &e.Endpoint, Network: n}
	var g policy.Gateways
	if e.IPv4.IsValid() {
		g.V4 = &self
	}
	if e.IPv6.IsValid() {
		g.V6 = &self
	}
	var out []datapath.Port
	for _, p := range e.Published {
		if id, port := policy.Carrier(p, g); id != "" {
			out = append(out, port)
		}
	}
	return append(out, policy.Routed(n, e.IPv4.Addr(), e.IPv6.Addr(), policy.Openings(e.Specs))...)
}

// readSpecs checks what Docker wants published.
func readSpecs(bindings []portBinding) ([]model.PortSpec, error) {
	var out []model.PortSpec
	for _, b := range bindings {
		s := model.PortSpec{
			Port: model.Port{Num: b.Port, Proto: model.Proto(b.Proto)}, HostPort: b.HostPort, HostPortEnd: max(b.HostPort, b.HostPortEnd),
		}
		if b.HostPort == 0 {
			s.HostPortEnd = 0
		}
		if _, err := model.ParseProto(s.Port.Proto.String()); err != nil || b.Port == 0 {
			return nil, fmt.Errorf("port %s: want a port of tcp, udp or sctp", s.Port)
		}
		if b.HostIP != "" {
			a, err := netip.ParseAddr(b.HostIP)
			if err != nil || a.Zone() != "" {
				return nil, fmt.Errorf("port %s: host address %q: want an IP address", s.Port, b.HostIP)
			}
			s.HostIP = a.Unmap()
		}
		out = append(out, s)
	}
	return out, nil
}
