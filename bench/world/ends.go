// SPDX-License-Identifier: Apache-2.0

package world

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/fairway-project/fairway/bench/plan"
)

// Ends are who talks to whom on a walk. The client sends first.
type Ends struct {
	Client, Server End
	// To is the address that the client sends to, Seen the client's as the server
	// sees it. Seen is zero where it is the proxy's.
	To, Seen netip.Addr
	ports    []Port
}

// End is one side of a walk.
type End struct {
	// Netns is the path of its namespace, Device the interface there.
	Netns, Device string
	Addr          netip.Addr
	// MAC is the interface's, NextHop that of whom its frames go to.
	MAC, NextHop net.HardwareAddr
}

// Target is where the client reaches a port of the server: the published one on
// walks that have any.
func (e Ends) Target(proto string, port uint16) netip.AddrPort {
	for _, p := range e.ports {
		if p.Proto == proto && port >= p.Container && int(port-p.Container) < max(p.Count, 1) {
			return netip.AddrPortFrom(e.To, p.Host+port-p.Container)
		}
	}
	return netip.AddrPortFrom(e.To, port)
}

// Ends returns both sides of a walk. On an arm that has no such walk the error
// wraps plan.ErrUnavailable.
func (w *World) Ends(walk plan.Walk, f plan.Family) (Ends, error) {
	e, err := w.carrier.ends(walk, f)
	if err != nil {
		return e, fmt.Errorf("arm %s: walk %s: %w", w.Arm, walk, err)
	}
	return e, nil
}

func (n *node) addr(f plan.Family) netip.Addr {
	if f == plan.IPv6 {
		return n.ip6
	}
	return n.ip4
}

func hostIP(f plan.Family) netip.Addr {
	if f == plan.IPv6 {
		return hostIP6
	}
	return hostIP4
}

func lanIP(f plan.Family) netip.Addr {
	if f == plan.IPv6 {
		return lanIP6
	}
	return lanIP4
}

func loopback(f plan.Family) netip.Addr {
	if f == plan.IPv6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// bridged are the ends of walks through a host with published ports on a bridge
// with this gateway and MAC.
type bridged struct {
	w        *World
	ip4, ip6 netip.Addr
	mac      net.HardwareAddr
}

func (b *bridged) ends(walk plan.Walk, f plan.Family) (Ends, error) {
	c0, err := b.w.node(0)
	if err != nil {
		return Ends{}, err
	}
	server := End{Netns: c0.netns, Device: device, Addr: c0.addr(f), MAC: c0.mac, NextHop: b.mac}
	switch walk {
	case plan.LANToPublished:
		lan, err := b.w.lanEnd(f)
		return Ends{Client: lan, Server: server, To: hostIP(f), Seen: lan.Addr, ports: c0.Publish}, err
	case plan.ContainerToLAN:
		lan, err := b.w.lanEnd(f)
		return Ends{Client: server, Server: lan, To: lan.Addr, Seen: hostIP(f)}, err
	case plan.ContainerToContainer:
		c1, err := b.w.node(1)
		if err != nil {
			return Ends{}, err
		}
		server.NextHop = c1.mac
		client := End{Netns: c1.netns, Device: device, Addr: c1.addr(f), MAC: c1.mac, NextHop: c0.mac}
		return Ends{Client: client, Server: server, To: server.Addr, Seen: client.Addr}, nil
	case plan.LoopbackToPublished:
		host := End{Netns: b.w.host, Device: "lo", Addr: loopback(f)}
		return Ends{Client: host, Server: server, To: loopback(f), ports: c0.Publish}, nil
	case plan.Hairpin:
		return Ends{Client: server, Server: server, To: hostIP(f), ports: c0.Publish}, nil
	}
	return Ends{}, fmt.Errorf("%w: unknown walk", plan.ErrUnavailable)
}
