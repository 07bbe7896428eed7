// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/bench/plan"
)

// route forwards by the kernel's routing table and nothing else: each container is
// behind a link of its own, and reached by its own address.
type route struct{ w *World }

func (c *route) start(context.Context) error {
	return setSysctls(c.w.host, map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/default/forwarding": "1",
		"net/ipv4/conf/all/send_redirects": "0", "net/ipv4/conf/default/send_redirects": "0",
	})
}

func (c *route) add(_ context.Context, n *node) error {
	err := newNetns(n.netns)
	if err == nil {
		err = c.connect(n)
	}
	if err != nil {
		return errors.Join(err, removeNetns(n.netns))
	}
	return nil
}

// connect gives the container all of its address, and the host's end of its link
// the network's first one, as every other container's link has it.
func (c *route) connect(n *node) (err error) {
	gateway4, gateway6 := network4.Addr().Next(), network6.Addr().Next()
	outer := "to-" + n.Name
	err = newPair(
		interfaceOf{netns: n.netns, name: device, addrs: []netip.Prefix{netip.PrefixFrom(n.ip4, 24), netip.PrefixFrom(n.ip6, 64)}},
		interfaceOf{netns: c.w.host, name: outer, addrs: []netip.Prefix{netip.PrefixFrom(gateway4, 32), netip.PrefixFrom(gateway6, 128)}})
	if err != nil {
		return err
	}
	for _, addr := range []netip.Addr{n.ip4, n.ip6} {
		if err := addDeviceRoute(c.w.host, outer, netip.PrefixFrom(addr, addr.BitLen())); err != nil {
			return err
		}
	}
	if err := errors.Join(
		addRoute(n.netns, device, netip.Prefix{}, gateway4), addRoute(n.netns, device, netip.Prefix{}, gateway6),
		c.routeNeighbours(n, gateway4, gateway6),
	); err != nil {
		return err
	}
	n.mac, err = macOf(n.netns, device)
	return err
}

// routeNeighbours leads to the other containers, which are in the same network and
// not on the same link.
func (c *route) routeNeighbours(n *node, gateway4, gateway6 netip.Addr) error {
	for _, other := range c.w.nodes {
		for _, r := range []struct {
			netns    string
			dst, via netip.Addr
		}{
			{n.netns, other.ip4, gateway4}, {n.netns, other.ip6, gateway6},
			{other.netns, n.ip4, gateway4}, {other.netns, n.ip6, gateway6},
		} {
			if err := addRoute(r.netns, device, netip.PrefixFrom(r.dst, r.dst.BitLen()), r.via); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *route) remove(_ context.Context, n *node) error { return removeNetns(n.netns) }

func (c *route) close(context.Context) error { return nil }

func (c *route) ends(walk plan.Walk, f plan.Family) (Ends, error) {
	first, err := c.w.node(0)
	if err != nil {
		return Ends{}, err
	}
	lan, err := c.w.lanEnd(f)
	if err != nil {
		return Ends{}, err
	}
	inner, err := c.end(first, f)
	if err != nil {
		return Ends{}, err
	}
	switch walk {
	case plan.LANToPublished:
		return Ends{Client: lan, Server: inner, To: inner.Addr, Seen: lan.Addr}, nil
	case plan.ContainerToLAN:
		return Ends{Client: inner, Server: lan, To: lan.Addr, Seen: inner.Addr}, nil
	case plan.ContainerToContainer:
		second, err := c.w.node(1)
		if err != nil {
			return Ends{}, err
		}
		client, err := c.end(second, f)
		return Ends{Client: client, Server: inner, To: inner.Addr, Seen: client.Addr}, err
	}
	return Ends{}, fmt.Errorf("%w: no port is published", plan.ErrUnavailable)
}

func (c *route) end(n *node, f plan.Family) (End, error) {
	hop, err := macOf(c.w.host, "to-"+n.Name)
	return End{Netns: n.netns, Device: device, Addr: n.addr(f), MAC: n.mac, NextHop: hop}, err
}

func (c *route) check(before, now Counters, t Traffic) (string, error) {
	return expect(
		nothing("tracked connections", now.Tracked),
		noRules(now.Tables),
		atLeast("routed packets", now.Routed-before.Routed, t.Packets),
	)
}
