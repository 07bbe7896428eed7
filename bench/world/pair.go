// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/bench/plan"
)

// pair has nothing between two ends but a veth: what no arm can be faster than.
// The first container is the LAN host's neighbour and has the host's address; each
// further one is a neighbour of the first.
type pair struct{ w *World }

func (c *pair) start(context.Context) error { return newNetns(c.w.lan) }

func (c *pair) add(_ context.Context, n *node) (err error) {
	if err := newNetns(n.netns); err != nil {
		return err
	}
	if len(c.w.nodes) == 0 {
		err = newPair(
			interfaceOf{netns: n.netns, name: device, addrs: []netip.Prefix{netip.PrefixFrom(hostIP4, 24), netip.PrefixFrom(hostIP6, 64)}},
			interfaceOf{netns: c.w.lan, name: device, addrs: lanPrefixes()})
	} else {
		first := c.w.nodes[0]
		err = newPair(
			interfaceOf{netns: n.netns, name: device, addrs: []netip.Prefix{netip.PrefixFrom(n.ip4, 24), netip.PrefixFrom(n.ip6, 64)}},
			interfaceOf{netns: first.netns, name: c.innerName(n), addrs: []netip.Prefix{netip.PrefixFrom(first.ip4, 24), netip.PrefixFrom(first.ip6, 64)}})
	}
	if err == nil {
		n.mac, err = macOf(n.netns, device)
	}
	if err != nil {
		return errors.Join(err, removeNetns(n.netns))
	}
	return nil
}

// innerName is what the first container calls its device to another one.
func (c *pair) innerName(n *node) string { return "to-" + n.Name }

func (c *pair) remove(_ context.Context, n *node) error { return removeNetns(n.netns) }

func (c *pair) close(context.Context) error { return nil }

func (c *pair) ends(walk plan.Walk, f plan.Family) (Ends, error) {
	first, err := c.w.node(0)
	if err != nil {
		return Ends{}, err
	}
	switch walk {
	case plan.LANToPublished, plan.ContainerToLAN:
		mac, err := macOf(c.w.lan, device)
		lan := End{Netns: c.w.lan, Device: device, Addr: lanIP(f), MAC: mac, NextHop: first.mac}
		inner := End{Netns: first.netns, Device: device, Addr: hostIP(f), MAC: first.mac, NextHop: mac}
		if walk == plan.ContainerToLAN {
			return Ends{Client: inner, Server: lan, To: lan.Addr, Seen: inner.Addr}, err
		}
		return Ends{Client: lan, Server: inner, To: inner.Addr, Seen: lan.Addr}, err
	case plan.ContainerToContainer:
		second, err := c.w.node(1)
		if err != nil {
			return Ends{}, err
		}
		mac, err := macOf(first.netns, c.innerName(second))
		client := End{Netns: second.netns, Device: device, Addr: second.addr(f), MAC: second.mac, NextHop: mac}
		server := End{Netns: first.netns, Device: c.innerName(second), Addr: first.addr(f), MAC: mac, NextHop: second.mac}
		return Ends{Client: client, Server: server, To: server.Addr, Seen: client.Addr}, err
	}
	return Ends{}, fmt.Errorf("%w: there is no host", plan.ErrUnavailable)
}

// check has nothing to look at: there is no other way.
func (c *pair) check(Counters, Counters, Traffic) (string, error) {
	return "the two ends are each other's peers", nil
}
