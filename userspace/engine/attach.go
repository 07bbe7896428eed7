// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// attach has the driver make the endpoint's interface and put it in service. It passes
// nothing until the datapath guards it. u withdraws it.
func (e *Engine) attach(ctx context.Context, sb *model.Sandbox, a attachment, u *undo) error {
	d, err := e.Drivers.Find(a.net.Driver)
	if err != nil {
		return err
	}
	u.add(func() error { return e.withdraw(context.WithoutCancel(ctx), a) })
	_, err = d.Attach(ctx, e.plug(ctx, sb, a))
	return err
}

func (e *Engine) plug(ctx context.Context, sb *model.Sandbox, a attachment) driver.Plug {
	made := e.facts.made.get(a.net.ID)
	return driver.Plug{
		Network: a.net, Endpoint: a.ep, Made: made, Netns: sb.Netns,
		Guard: func(dev link.Device) error { return e.guard(ctx, sb, a, dev.Index) },
	}
}

// guard tells the datapath of an endpoint whose host-side device has this index.
func (e *Engine) guard(ctx context.Context, sb *model.Sandbox, a attachment, index int) error {
	if e.carried(a) {
		if err := e.owner.PutEndpoint(ctx, e.datapathEndpoint(sb, a, index)); err != nil {
			return fmt.Errorf("endpoint of %s on network %s: %w", sb.Name, a.net.Name, err)
		}
	}
	e.facts.attached.set(a.ep.ID, index)
	return nil
}

// carried reports whether the datapath knows of the endpoint's network: not every driver
// leaves it packets.
func (e *Engine) carried(a attachment) bool {
	d, err := e.Drivers.Find(a.net.Driver)
	return err == nil && d.Told(a.net, link.Device{}) != nil
}

func (e *Engine) datapathEndpoint(sb *model.Sandbox, a attachment, index int) datapath.Endpoint {
	ep := datapath.Endpoint{
		ID: a.ep.ID, NetworkID: a.ep.NetworkID, HostIf: a.ep.HostIf, HostIndex: index, Netns: sb.Netns,
		MAC: a.ep.MAC, IPv4: a.ep.IPv4.Addr(), IPv6: a.ep.IPv6.Addr(),
	}
	if a.net.Default() {
		ep.Links = holes(e.state.defaultLinks(sb))
	}
	return ep
}

// detach takes the endpoint out of service: first the device, so that nothing
// passes unguarded, then the datapath's knowledge of it. What is gone already
// is no error. What can't be detached goes on as it is.
func (e *Engine) detach(ctx context.Context, a attachment) error {
	err := e.unplug(ctx, a)
	if err == nil {
		err = e.owner.DeleteEndpoint(ctx, a.ep.ID)
	}
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(a.ep.ID), err)
	}
	e.facts.attached.forget(a.ep.ID)
	return nil
}

// withdraw is detach of an endpoint that isn't wanted any more, whatever comes of it: while
// it can't be detached it stays guarded, keeps its addresses, and is tried again.
func (e *Engine) withdraw(ctx context.Context, a attachment) error {
	subject := "end of endpoint " + shortID(a.ep.ID)
	err := e.owner.Withdraw(ctx, subject, a.ep.ID, func(ctx context.Context) error { return e.unplug(ctx, a) }, func() {
		e.facts.attached.forget(a.ep.ID)
		e.releaseAddresses(a)
	})
	if err != nil {
		return fmt.Errorf("endpoint %s: %w", shortID(a.ep.ID), err)
	}
	return nil
}

// unplug removes the endpoint's device. Without its driver nobody knows of one, and the
// datapath is to forget the endpoint.
func (e *Engine) unplug(ctx context.Context, a attachment) error {
	d, err := e.Drivers.Find(a.net.Driver)
	if err != nil {
		return errors.Join(err, e.owner.DeleteEndpoint(ctx, a.ep.ID))
	}
	return d.Detach(ctx, driver.Plug{Network: a.net, Endpoint: a.ep})
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
