// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/netns"
)

// bridge connects containers as Docker does: a bridge with the gateway's addresses,
// br_netfilter on, and the host a router.
type bridge struct {
	bridged
	w *World
}

const bridgeName = "br-" + benchNetwork

func (b *bridge) start(context.Context) error {
	if err := b.make(); err != nil {
		return err
	}
	return setSysctls(b.w.host, map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/default/forwarding": "1",
		"net/bridge/bridge-nf-call-iptables": "1", "net/bridge/bridge-nf-call-ip6tables": "1",
		"net/ipv4/conf/" + bridgeName + "/route_localnet": "1",
	})
}

// make makes the bridge with its addresses, and nothing of the host's settings.
func (b *bridge) make() error {
	b.bridged = bridged{w: b.w, ip4: network4.Addr().Next(), ip6: network6.Addr().Next()}
	err := netns.Do(b.w.host, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = bridgeName
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	on := interfaceOf{netns: b.w.host, name: bridgeName, addrs: []netip.Prefix{
		netip.PrefixFrom(b.ip4, network4.Bits()), netip.PrefixFrom(b.ip6, network6.Bits())}}
	return on.configure()
}

// outerName is what the host calls its end of a container's veth.
func outerName(n *node) string { return "to-" + n.Name }

func (b *bridge) add(_ context.Context, n *node) error {
	err := newNetns(n.netns)
	if err == nil {
		err = b.connect(n)
	}
	if err != nil {
		return errors.Join(err, removeNetns(n.netns))
	}
	return nil
}

func (b *bridge) connect(n *node) error {
	outer := outerName(n)
	err := newPair(
		interfaceOf{netns: n.netns, name: device, addrs: []netip.Prefix{netip.PrefixFrom(n.ip4, network4.Bits()), netip.PrefixFrom(n.ip6, network6.Bits())}},
		interfaceOf{netns: b.w.host, name: outer})
	if err != nil {
		return err
	}
	if err := errors.Join(addRoute(n.netns, device, netip.Prefix{}, b.ip4), addRoute(n.netns, device, netip.Prefix{}, b.ip6)); err != nil {
		return err
	}
	if err := netns.Do(b.w.host, func() error { return enslave(outer) }); err != nil {
		return fmt.Errorf("bridge port %s: %w", outer, err)
	}
	if n.mac, err = macOf(n.netns, device); err != nil {
		return err
	}
	// A bridge without an address of its own takes one of its ports'.
	b.mac, err = macOf(b.w.host, bridgeName)
	return err
}

// enslave sends frames back out of the port that they came from too: hairpin.
func enslave(name string) error {
	port, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	master, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetMaster(port, master), netlink.LinkSetHairpin(port, true))
}

func (b *bridge) remove(_ context.Context, n *node) error { return removeNetns(n.netns) }

func (b *bridge) close(context.Context) error { return nil }
