// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// createEndpoint takes note of an endpoint. Its devices are made by Join.
func (d *Driver) createEndpoint(ctx context.Context, r createEndpoint) (createEndpointAnswer, error) {
	var none createEndpointAnswer
	leave, err := d.enter()
	if err != nil {
		return none, err
	}
	defer leave()
	n := d.records.Networks[r.NetworkID]
	if n == nil {
		return none, fmt.Errorf("%w: network %s: not known", errRequest, shortID(r.NetworkID))
	}
	e, err := planEndpoint(n, r, d.endpointsOf(n.ID))
	if err != nil {
		return none, fmt.Errorf("%w: network %s: endpoint %s: %w", errRequest, n.Name, shortID(r.EndpointID), err)
	}
	have := d.records.Endpoints[e.ID]
	switch {
	case have == nil:
		if err := d.replaceFormer(ctx, e); err != nil {
			return none, err
		}
		if err := d.commit(func(r *records) { r.Endpoints[e.ID] = e }); err != nil {
			return none, err
		}
	case have.NetworkID != e.NetworkID, have.IPv4 != e.IPv4, have.IPv6 != e.IPv6,
		r.Interface.MacAddress != "" && have.MAC != e.MAC:
		return none, fmt.Errorf("%w: endpoint %s: exists already and is another", errRequest, shortID(e.ID))
	default:
		e = have
	}
	if r.Interface.MacAddress != "" {
		return none, nil
	}
	return createEndpointAnswer{iface{MacAddress: e.MAC.String()}}, nil
}

// replaceFormer removes endpoints that Docker has forgotten without telling: it
// gives an address to one endpoint at a time.
func (d *Driver) replaceFormer(ctx context.Context, e *endpoint) error {
	for _, former := range d.endpointsOf(e.NetworkID) {
		if former.IPv4 != e.IPv4 && former.IPv6 != e.IPv6 ||
			!(e.IPv4.IsValid() && former.IPv4 == e.IPv4 || e.IPv6.IsValid() && former.IPv6 == e.IPv6) {
			continue
		}
		d.Log.Warn("docker plugin: endpoint is gone, its address is another's", "endpoint", shortID(former.ID), "new", shortID(e.ID))
		if err := d.removeEndpoint(ctx, former); err != nil {
			return err
		}
	}
	return nil
}

func planEndpoint(n *network, r createEndpoint, others []*endpoint) (*endpoint, error) {
	if err := checkID("endpoint", r.EndpointID); err != nil {
		return nil, err
	}
	if r.Interface == nil {
		return nil, fmt.Errorf("no interface: want one with addresses")
	}
	e := &endpoint{Endpoint: model.Endpoint{
		ID: r.EndpointID, NetworkID: n.ID, HostIf: "veth" + r.EndpointID[:11], IfName: "veth" + r.EndpointID[11:22],
	}}
	var err error
	if e.IPv4, err = addressIn(n.IPv4, r.Interface.Address); err != nil {
		return nil, err
	}
	if e.IPv6, err = addressIn(n.IPv6, r.Interface.AddressIPv6); err != nil {
		return nil, err
	}
	if !e.IPv4.IsValid() && !e.IPv6.IsValid() {
		return nil, fmt.Errorf("no address: want one of Docker's IPAM")
	}
	if r.Interface.MacAddress == "" {
		e.MAC = policy.MAC(e.IPv4.Addr(), func(m model.MAC) bool {
			// Who has its address is about to go.
			return slices.ContainsFunc(others, func(o *endpoint) bool { return o.MAC == m && o.IPv4 != e.IPv4 })
		})
		return e, nil
	}
	e.MAC, err = model.ParseMAC(r.Interface.MacAddress)
	return e, err
}

// addressIn reads an endpoint's address in a subnet, which is nil for a family
// that is off.
func addressIn(s *model.Subnet, text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	p, err := parseAddress(text)
	if err != nil {
		return p, fmt.Errorf("address %q: %w", text, err)
	}
	if s == nil || !s.Prefix.Contains(p.Addr()) || p.Addr() == s.Gateway {
		return p, fmt.Errorf("address %s: not one of the network's for endpoints", text)
	}
	return netip.PrefixFrom(p.Addr(), s.Prefix.Bits()), nil
}

// deleteEndpoint removes an endpoint, whether Leave came before or not.
func (d *Driver) deleteEndpoint(ctx context.Context, r endpointRef) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	e := d.records.Endpoints[r.EndpointID]
	if e == nil || e.NetworkID != r.NetworkID {
		return nil
	}
	return d.removeEndpoint(ctx, e)
}

func (d *Driver) removeEndpoint(ctx context.Context, e *endpoint) error {
	if err := d.detach(ctx, e); err != nil {
		return err
	}
	d.owner.Report("endpoint "+shortID(e.ID), nil)
	return d.commit(func(r *records) { delete(r.Endpoints, e.ID) })
}

// endpointOperInfo tells what an operator can't see elsewhere.
func (d *Driver) endpointOperInfo(_ context.Context, r endpointRef) (operInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.records.Endpoints[r.EndpointID]
	if e == nil || e.NetworkID != r.NetworkID {
		return operInfo{}, nil
	}
	return operInfo{operValue{HostInterface: e.HostIf, Published: e.Published}}, nil
}

// lookup returns an endpoint and its network. It needs busy.
func (d *Driver) lookup(r endpointRef) (*endpoint, *network, error) {
	e := d.records.Endpoints[r.EndpointID]
	if e == nil || e.NetworkID != r.NetworkID {
		return nil, nil, fmt.Errorf("%w: endpoint %s of network %s: not known", errRequest, shortID(r.EndpointID), shortID(r.NetworkID))
	}
	return e, d.records.Networks[e.NetworkID], nil
}
