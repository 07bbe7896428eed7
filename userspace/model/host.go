// SPDX-License-Identifier: Apache-2.0

package model

import "net/netip"

// Host is what a datapath has to know of the host that it works in.
type Host struct {
	Uplinks []Uplink
	// Addresses are all addresses of the host, of loopback and bridges too.
	Addresses []netip.Addr
}

// Uplink is a device that leads outside.
type Uplink struct {
	Name  string
	Index int
	MAC   MAC
	// L3 devices carry packets without an Ethernet header: tun, WireGuard, PPP.
	L3 bool
	// Addresses are the device's global addresses with their prefix lengths,
	// primary ones first: candidates for the masquerade source.
	Addresses []netip.Prefix
}
