// SPDX-License-Identifier: Apache-2.0

// Package testrun loads the datapath's programs for BPF_PROG_TEST_RUN: unpinned and
// attached to nothing, in a network namespace of their own that has the devices,
// addresses and routes of a small host.
//
//	eth0  198.51.100.10/24  2001:db8:1::10/64   uplink, default route by .1 and ::1
//	eth1  203.0.113.10/24   2001:db8:2::10/64   uplink
//	tun0  10.9.0.1/24                           a device that is no uplink
//	br1   172.18.0.1/16     fd00:1::1/64        network 1: web, app
//	br2   172.19.0.1/16     fd00:2::1/64        network 2: db
//
// Be aware:
//   - redirects are not followed: where a packet goes is known by the counters
//     of the endpoint that receives it and by the flow table;
//   - test runs can't set skb->tc_index, nor show it: what an uplink lets pass
//     because a program of ours sent it there is tested with real traffic;
//   - packets are CHECKSUM_NONE and linear: offloads are tested with real traffic.
package testrun

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// Endpoint is a container's place in the world.
type Endpoint struct {
	Name    string
	Slot    uint16
	Network uint16
	MAC     model.MAC
	IPv4    netip.Addr
	IPv6    netip.Addr
}

// Addr returns the address of the family.
func (e Endpoint) Addr(v6 bool) netip.Addr {
	if v6 {
		return e.IPv6
	}
	return e.IPv4
}

// Network is a bridge with its gateway addresses.
type Network struct {
	Slot    uint16
	Device  string
	MAC     model.MAC
	Subnet4 netip.Prefix
	Subnet6 netip.Prefix
}

// Gateway returns the network's first address of the family.
func (n Network) Gateway(v6 bool) netip.Addr {
	if v6 {
		return n.Subnet6.Addr().Next()
	}
	return n.Subnet4.Addr().Next()
}

// Uplink is a device to the outside.
type Uplink struct {
	Device  string
	MAC     model.MAC
	Prefix4 netip.Prefix
	Prefix6 netip.Prefix
}

// Addr returns the uplink's address of the family.
func (u Uplink) Addr(v6 bool) netip.Addr {
	if v6 {
		return u.Prefix6.Addr()
	}
	return u.Prefix4.Addr()
}

// Router returns the next hop of the default route.
func (u Uplink) Router(v6 bool) netip.Addr {
	if v6 {
		return u.Prefix6.Masked().Addr().Next()
	}
	return u.Prefix4.Masked().Addr().Next()
}

// World is what every Host begins with.
type World struct {
	Eth0, Eth1   Uplink
	Net1, Net2   Network
	Web, App, DB Endpoint
	// RouterMAC is who speaks on the uplinks.
	RouterMAC model.MAC
}

// Standard returns the world of the package's comment.
func Standard() World {
	return World{
		Eth0: Uplink{"eth0", model.MAC{2, 0, 0, 0, 0, 0x10}, netip.MustParsePrefix("198.51.100.10/24"), netip.MustParsePrefix("2001:db8:1::10/64")},
		Eth1: Uplink{"eth1", model.MAC{2, 0, 0, 0, 0, 0x11}, netip.MustParsePrefix("203.0.113.10/24"), netip.MustParsePrefix("2001:db8:2::10/64")},
		Net1: Network{1, "br1", model.MAC{2, 0, 0, 0, 1, 1}, netip.MustParsePrefix("172.18.0.0/16"), netip.MustParsePrefix("fd00:1::/64")},
		Net2: Network{2, "br2", model.MAC{2, 0, 0, 0, 2, 1}, netip.MustParsePrefix("172.19.0.0/16"), netip.MustParsePrefix("fd00:2::/64")},
		Web:  Endpoint{"web", 1, 1, model.MAC{2, 0x42, 172, 18, 0, 2}, netip.MustParseAddr("172.18.0.2"), netip.MustParseAddr("fd00:1::2")},
		App:  Endpoint{"app", 2, 1, model.MAC{2, 0x42, 172, 18, 0, 3}, netip.MustParseAddr("172.18.0.3"), netip.MustParseAddr("fd00:1::3")},
		DB:   Endpoint{"db", 3, 2, model.MAC{2, 0x42, 172, 19, 0, 2}, netip.MustParseAddr("172.19.0.2"), netip.MustParseAddr("fd00:2::2")},

		RouterMAC: model.MAC{2, 0, 0, 0, 0, 1},
	}
}
