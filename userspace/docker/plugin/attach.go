// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// join makes the devices of an endpoint, closed but for what the datapath lets
// through, and tells Docker which one to move into the container.
func (d *Driver) join(ctx context.Context, r join) (joinAnswer, error) {
	var none joinAnswer
	leave, err := d.enter()
	if err != nil {
		return none, err
	}
	defer leave()
	e, n, err := d.lookup(r.endpointRef)
	if err != nil {
		return none, err
	}
	if r.SandboxKey == "" {
		return none, fmt.Errorf("%w: endpoint %s: no sandbox key", errRequest, shortID(e.ID))
	}
	if err := d.mendBridge(ctx, n); err != nil {
		return none, err
	}
	dev, err := d.Links.Find(e.HostIf)
	switch {
	case err == nil && dev.Owner == e.ID && e.SandboxKey == r.SandboxKey:
		err = d.guard(ctx, e, dev)
	case err == nil || errors.Is(err, link.ErrNotFound):
		err = d.attach(ctx, n, e, r.SandboxKey)
	}
	if err != nil {
		return none, err
	}
	return joinedAnswer(n, e), nil
}

// mendBridge makes a bridge again that somebody has deleted.
func (d *Driver) mendBridge(ctx context.Context, n *network) error {
	dev, err := d.Links.Find(n.Device())
	if err == nil && dev.Index == d.bridges[n.ID] {
		return nil
	}
	if err != nil && !errors.Is(err, link.ErrNotFound) {
		return err
	}
	return d.apply(ctx, n)
}

func (d *Driver) attach(ctx context.Context, n *network, e *endpoint, sandboxKey string) error {
	dev, err := d.Links.CreatePair(bridge.Veth(&n.Network, &e.Endpoint))
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(e.ID), err)
	}
	err = d.guard(ctx, e, dev)
	if err == nil {
		joined := *e
		joined.SandboxKey = sandboxKey
		err = d.commit(func(r *records) { r.Endpoints[e.ID] = &joined })
	}
	if err != nil {
		return errors.Join(err, d.unplug(ctx, e))
	}
	joined := d.records.Endpoints[e.ID]
	d.audit.EndpointConnected(d.auditOf(joined))
	d.logPorts(joined, nil, joined.Published)
	return nil
}

// guard has the datapath carry the endpoint, and only then lets packets in.
func (d *Driver) guard(ctx context.Context, e *endpoint, dev link.Device) error {
	err := d.owner.PutEndpoint(ctx, datapathEndpoint(e, dev))
	if err == nil && e.External {
		err = d.owner.PutPorts(ctx, e.ID, d.portsOf(e))
	}
	if err == nil {
		err = d.Links.SetUp(dev.Name)
	}
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(e.ID), err)
	}
	return nil
}

func datapathEndpoint(e *endpoint, dev link.Device) datapath.Endpoint {
	return datapath.Endpoint{
		ID: e.ID, NetworkID: e.NetworkID, HostIf: dev.Name, HostIndex: dev.Index,
		MAC: e.MAC, IPv4: e.IPv4.Addr(), IPv6: e.IPv6.Addr(),
	}
}

func joinedAnswer(n *network, e *endpoint) joinAnswer {
	a := joinAnswer{InterfaceName: interfaceName{SrcName: e.IfName, DstPrefix: n.IfacePrefix()}}
	if !n.Internal {
		a.Gateway = gateway(n.IPv4, e.IPv4, auxGateway4)
		a.GatewayIPv6 = gateway(n.IPv6, e.IPv6, auxGateway6)
	}
	a.DisableGatewayService = a.Gateway == "" && a.GatewayIPv6 == ""
	return a
}

// gateway is the container's in one family, empty for none.
func gateway(s *model.Subnet, addr netip.Prefix, aux string) string {
	if s == nil || !addr.IsValid() {
		return ""
	}
	if a, ok := s.Aux[aux]; ok {
		return a.String()
	}
	if !s.Gateway.IsValid() {
		return ""
	}
	return s.Gateway.String()
}

// leave takes the devices of an endpoint away. It ends the publication of its
// ports too: after a restart Docker 29 doesn't say so.
func (d *Driver) leave(ctx context.Context, r endpointRef) error {
	done, err := d.enter()
	if err != nil {
		return err
	}
	defer done()
	e := d.records.Endpoints[r.EndpointID]
	if e == nil || e.NetworkID != r.NetworkID {
		return nil
	}
	return d.detach(ctx, e)
}

// unplug removes the endpoint's devices first, so that nothing passes unguarded, then what
// the datapath knows of it.
func (d *Driver) unplug(ctx context.Context, e *endpoint) error {
	err := d.Links.DeleteVeth(e.HostIf, e.ID)
	if err == nil {
		err = d.owner.DeleteEndpoint(ctx, e.ID)
	}
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(e.ID), err)
	}
	return nil
}

// detach closes the endpoint and makes it like one that was never joined. One whose devices
// can't be removed stays as it is.
func (d *Driver) detach(ctx context.Context, e *endpoint) error {
	if err := d.unplug(ctx, e); err != nil {
		return err
	}
	d.ports.Release(e.ID)
	d.owner.Report(portsSubject(e), nil)
	alone := &endpoint{Endpoint: e.Endpoint}
	if err := d.commit(func(r *records) { r.Endpoints[e.ID] = alone }); err != nil {
		return err
	}
	if e.SandboxKey != "" {
		d.logPorts(e, e.Published, nil)
		d.audit.EndpointDisconnected(d.auditOf(e))
	}
	return nil
}
