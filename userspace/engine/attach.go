// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// attach makes the endpoint's veth and puts it in service. Both ends stay down
// until the datapath guards the endpoint. u detaches.
func (e *Engine) attach(ctx context.Context, sb *model.Sandbox, a attachment, u *undo) error {
	box, err := link.OpenSandbox(sb.Netns)
	if err != nil {
		return err
	}
	defer box.Close()
	u.add(func() error { return e.detach(context.WithoutCancel(ctx), a.ep) })
	dev, err := e.links.CreateVeth(link.Veth{
		EndpointID: a.ep.ID, HostName: a.ep.HostIf, PeerName: a.ep.IfName,
		MAC: a.ep.MAC, MTU: a.net.Bridge.MTU, Bridge: a.net.Bridge.Name,
	}, box)
	if err != nil {
		return err
	}
	if err := e.guard(ctx, sb, a, dev.Index); err != nil {
		return err
	}
	iface := link.Interface{Name: a.ep.IfName, IPv4: a.ep.IPv4, IPv6: a.ep.IPv6}
	if err := box.Configure(a.ep.IfName, iface); err != nil {
		return err
	}
	if err := e.links.SetUp(a.ep.HostIf); err != nil {
		return err
	}
	if err := box.SetUp(iface); err != nil {
		return err
	}
	if err := e.links.AwaitCarrier(ctx, a.ep.HostIf); err != nil {
		return err
	}
	if err := box.Announce(iface); err != nil {
		// Peers that remember a former owner of the address find out by themselves.
		e.log.Warn("endpoint not announced to its network", "sandbox", sb.Name, "network", a.net.Name, "err", err)
	}
	return nil
}

// guard tells the datapath of an endpoint whose host-side device has this index.
func (e *Engine) guard(ctx context.Context, sb *model.Sandbox, a attachment, index int) error {
	if err := e.owner.PutEndpoint(ctx, e.datapathEndpoint(sb, a, index)); err != nil {
		return fmt.Errorf("endpoint of %s on network %s: %w", sb.Name, a.net.Name, err)
	}
	e.facts.setHostIndex(a.ep.ID, index)
	return nil
}

func (e *Engine) datapathEndpoint(sb *model.Sandbox, a attachment, index int) datapath.Endpoint {
	ep := datapath.Endpoint{
		ID: a.ep.ID, NetworkID: a.ep.NetworkID, HostIf: a.ep.HostIf, HostIndex: index, Netns: sb.Netns,
		MAC: a.ep.MAC, IPv4: a.ep.IPv4.Addr(), IPv6: a.ep.IPv6.Addr(),
	}
	if a.net.Bridge.Default {
		ep.Links = holes(e.state.defaultLinks(sb))
	}
	return ep
}

// detach takes the endpoint out of service: first the device, so that nothing
// passes unguarded, then the datapath's knowledge of it. What is gone already
// is no error.
func (e *Engine) detach(ctx context.Context, ep *model.Endpoint) error {
	err := e.links.DeleteVeth(ep.HostIf, ep.ID)
	if errors.Is(err, link.ErrForeign) {
		e.log.Warn("device of an endpoint is not Fairway's any more, left alone", "device", ep.HostIf, "endpoint", ep.ID)
		err = nil
	}
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(ep.ID), err)
	}
	if err := e.owner.DeleteEndpoint(ctx, ep.ID); err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(ep.ID), err)
	}
	e.facts.forgetEndpoint(ep.ID)
	return nil
}

// setDefaultRoutes makes the sandbox's default routes lead through its gateway
// endpoints. An adopted namespace keeps a default route of its own.
func (e *Engine) setDefaultRoutes(sb *model.Sandbox, all []attachment) error {
	g := elect(all)
	var v4, v6 link.Gateway
	if g.V4 != nil {
		v4 = link.Gateway{Interface: g.V4.Endpoint.IfName, Via: g.V4.Gateway4()}
	}
	if g.V6 != nil {
		v6 = link.Gateway{Interface: g.V6.Endpoint.IfName, Via: g.V6.Gateway6()}
	}
	box, err := link.OpenSandbox(sb.Netns)
	if err != nil {
		return err
	}
	defer box.Close()
	err = box.SetDefaultGateway(v4, v6)
	if errors.Is(err, link.ErrRouteExists) && sb.Adopted {
		e.log.Warn("adopted namespace keeps its default route", "sandbox", sb.Name, "err", err)
		return nil
	}
	return err
}
