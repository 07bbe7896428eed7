// SPDX-License-Identifier: Apache-2.0

package world

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/bench/plan"
)

// Options say what world to build.
type Options struct {
	Arm plan.Arm
	// Containers there are from the beginning; Add makes more.
	Containers []Container
	// DaemonArgs follow the arguments of Fairway's daemon, in arms that have one.
	DaemonArgs []string
	// Connections are how many there will be at the same time, if that is many.
	// The tables of all arms are made large enough for twice that.
	Connections int
}

// Container is one that is to be made. Walks between LAN and container, hairpin and
// loopback are those of the first one, container to container is from the second
// one to the first.
type Container struct {
	// Name is also its namespace's.
	Name    string
	Publish []Port
}

// Port publishes Count ports (zero is one) of the container from Container on, as
// ports of the host from Host on, of each of its addresses.
type Port struct {
	// Proto is "tcp" or "udp".
	Proto           string
	Host, Container uint16
	Count           int
}

// docker is how -p says it, of both families.
func (p Port) docker() string {
	if p.Count <= 1 {
		return fmt.Sprintf("%d:%d/%s", p.Host, p.Container, p.Proto)
	}
	last := uint16(p.Count - 1)
	return fmt.Sprintf("%d-%d:%d-%d/%s", p.Host, p.Host+last, p.Container, p.Container+last, p.Proto)
}

func dockerPorts(ports []Port) (texts []string) {
	for _, p := range ports {
		texts = append(texts, p.docker())
	}
	return texts
}

// Addresses that do not depend on the arm.
var (
	hostIP4, hostIP6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	lanIP4, lanIP6   = netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10")
	// The LAN host has lanMore addresses from these on, beside its own.
	lanFirst4, lanFirst6 = netip.MustParseAddr("192.0.2.16"), netip.MustParseAddr("2001:db8::100")
	network4, network6   = netip.MustParsePrefix("172.30.0.0/24"), netip.MustParsePrefix("fd30::/64")
)

const lanMore = 16

// LANAddresses is how many addresses the LAN host has from LANAddress on.
const LANAddresses = lanMore

// LANAddress is the first of many that the LAN host has, to be a source or a
// destination of more flows than one address has ports for.
func LANAddress(f plan.Family) netip.Addr {
	if f == plan.IPv6 {
		return lanFirst6
	}
	return lanFirst4
}

// containerIP is the address of the n-th container that was ever added.
func containerIP(network netip.Prefix, n int) netip.Addr {
	addr := network.Addr().Next()
	for range n + 1 {
		addr = addr.Next()
	}
	return addr
}
