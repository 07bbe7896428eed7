// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Network is what the network of all containers is called.
const Network = benchNetwork

// Service is one that is to be made: an IPv4 address and TCP ports in front of containers.
type Service struct {
	Name string
	// Number tells its address; no two services of a world have the same.
	Number int
	// First of Ports ports, which are the same at the containers. Published is a port of
	// the host that leads to the first one; 0 for none.
	First     uint16
	Ports     int
	Published uint16
	// Containers are the backends by their names, at least one.
	Containers []string
}

// Address is where containers reach it.
func (s Service) Address() netip.Addr {
	a := network4.Addr().As4()
	a[3] = byte(firstService + s.Number)
	return netip.AddrFrom4(a)
}

// firstService is the last part of the first service's address: beyond those of containers.
const firstService = 200

// serving is a carrier that has services.
type serving interface {
	serve(ctx context.Context, s Service, backends []*node) error
}

// Serve makes a service. Arms without any say so by an error that wraps
// plan.ErrUnavailable.
func (w *World) Serve(ctx context.Context, s Service) error {
	carrier, ok := w.carrier.(serving)
	if !ok {
		return fmt.Errorf("%w: arm %s has no services", plan.ErrUnavailable, w.Arm)
	}
	var backends []*node
	for _, name := range s.Containers {
		i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.Name == name })
		if i < 0 {
			return fmt.Errorf("service %s: container %s isn't there", s.Name, name)
		}
		backends = append(backends, w.nodes[i])
	}
	w.served++
	if err := carrier.serve(ctx, s, backends); err != nil {
		return fmt.Errorf("arm %s: service %s: %w", w.Arm, s.Name, err)
	}
	return nil
}

// Netns is the namespace of a container, and its address.
func (w *World) Netns(name string) (path string, addr netip.Addr, err error) {
	for _, n := range w.nodes {
		if n.Name == name {
			return n.netns, n.ip4, nil
		}
	}
	return "", netip.Addr{}, fmt.Errorf("container %s: isn't there", name)
}

// UseService has the client of a walk send to a service: by its address, or by its
// published port from the LAN.
func (e Ends) UseService(walk plan.Walk, s Service) Ends {
	e.ports = nil
	if walk == plan.LANToPublished {
		e.ports = []Port{{Proto: "tcp", Host: s.Published, Container: s.First}}
		return e
	}
	e.To = s.Address()
	return e
}

// have gives the bridge a service's address.
func (b *bridge) have(s Service) error {
	return netns.Do(b.w.host, func() error {
		link, err := netlink.LinkByName(bridgeName)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.Address(), 32))})
	})
}

// AnswerBeyondLAN has the LAN host be all addresses of a network, whose ports nobody listens
// at: each is refused at once.
func (w *World) AnswerBeyondLAN(network netip.Prefix) error {
	err := netns.Do(w.lan, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(network), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST})
	})
	return errors.Join(err, w.AddBeyondLAN(network))
}
