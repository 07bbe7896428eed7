// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/redirect"
	"github.com/fairway-project/fairway/userspace/netns"
)

// redirecting has a bridge for neighbour discovery, and programs that know everything
// beforehand for the rest. The host is no router: what the programs don't carry
// from or to the LAN is lost. The arm Lookup has them look connections up.
type redirecting struct {
	bridge
	programs *redirect.Programs
}

// start keeps the bridge from taking a port's MAC, so that the programs know it.
func (c *redirecting) start(context.Context) error {
	if err := c.bridge.make(); err != nil {
		return err
	}
	return netns.Do(c.w.host, func() error {
		dev, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return err
		}
		c.mac = dev.Attrs().HardwareAddr
		return netlink.LinkSetHardwareAddr(dev, c.mac)
	})
}

func (c *redirecting) add(ctx context.Context, n *node) error {
	if err := c.bridge.add(ctx, n); err != nil {
		return err
	}
	err := c.carry(n)
	if errors.Is(err, ebpf.ErrNotSupported) {
		err = fmt.Errorf("%w: %w", plan.ErrUnavailable, err)
	}
	if err != nil {
		return errors.Join(err, c.bridge.remove(ctx, n))
	}
	return nil
}

// carry leaves more than two containers to the bridge: no walk has them.
func (c *redirecting) carry(n *node) (err error) {
	container := redirect.Container{Device: outerName(n), MAC: n.mac, IP4: n.ip4, IP6: n.ip6}
	switch len(c.w.nodes) {
	case 0:
		var host redirect.Host
		if host, err = c.host(); err == nil {
			c.programs, err = redirect.New(host, container)
		}
	case 1:
		err = c.programs.Connect(container)
	}
	return err
}

func (c *redirecting) host() (redirect.Host, error) {
	uplink, err1 := macOf(c.w.host, device)
	lan, err2 := macOf(c.w.lan, device)
	host := redirect.Host{
		Netns: c.w.host, Uplink: device, MAC: uplink, IP4: hostIP4, IP6: hostIP6, LAN: lan, Gateway: c.mac,
	}
	if c.w.Arm == plan.Lookup {
		host.Entries = uint32(flowTable(c.w.Connections))
	}
	return host, errors.Join(err1, err2)
}

// ends have no published ports: the container's own are reached at the host's
// address.
func (c *redirecting) ends(walk plan.Walk, f plan.Family) (Ends, error) {
	switch walk {
	case plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer:
		e, err := c.bridge.ends(walk, f)
		e.ports = nil
		return e, err
	}
	return Ends{}, fmt.Errorf("%w: no port is published", plan.ErrUnavailable)
}

func (c *redirecting) count(_ context.Context, n *Counters) (err error) {
	if c.programs == nil {
		return nil
	}
	n.Redirected, err = c.programs.Redirected()
	if err == nil && c.w.Arm == plan.Lookup {
		n.Flows, err = c.programs.Entered()
		n.Flows /= 2
	}
	return err
}

func (c *redirecting) check(before, now Counters, t Traffic) (string, error) {
	lookedUp := nothing("connections looked up", now.Flows)
	if c.w.Arm == plan.Lookup && t.Walk != plan.ContainerToContainer {
		lookedUp = atLeast("connections looked up", now.Flows, t.Flows)
	} else if c.w.Arm == plan.Lookup {
		lookedUp = claim{"between containers none is looked up", true}
	}
	return expect(
		lookedUp,
		nothing("tracked connections", now.Tracked),
		noRules(now.Tables),
		atLeast("redirected packets", now.Redirected-before.Redirected, t.Packets),
		few("routed packets", now.Routed-before.Routed, t.Packets))
}

func (c *redirecting) close(ctx context.Context) error {
	err := c.bridge.close(ctx)
	if c.programs != nil {
		err = errors.Join(err, c.programs.Close())
	}
	return err
}
