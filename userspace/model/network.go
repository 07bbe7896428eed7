// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Driver names one of the ways a network reaches its endpoints.
type Driver string

// The drivers of this host. Host and Null have one predefined network each,
// "host" and "none", and no other can be made with them, as in Docker.
const (
	DriverBridge Driver = "bridge"
	DriverHost   Driver = "host"
	DriverNull   Driver = "null"
)

// Names of the predefined networks.
const (
	NetworkBridge = "bridge"
	NetworkHost   = "host"
	NetworkNone   = "none"
)

// GatewayMode says how a bridge network meets the world outside it, per
// address family (Docker 28's com.docker.network.bridge.gateway_mode_ipv4/6).
type GatewayMode string

const (
	// GatewayNAT masquerades outgoing traffic, publishes ports by address
	// translation and refuses direct access to container addresses.
	GatewayNAT GatewayMode = "nat"
	// GatewayNATUnprotected is GatewayNAT without the refusal.
	GatewayNATUnprotected GatewayMode = "nat-unprotected"
	// GatewayRouted translates nothing; published ports and ICMP are open to
	// direct access, all else is refused.
	GatewayRouted GatewayMode = "routed"
	// GatewayIsolated gives the bridge no address; internal networks only.
	GatewayIsolated GatewayMode = "isolated"
)

// Subnet is the address pool of a network in one family.
type Subnet struct {
	// Prefix is the subnet, masked.
	Prefix netip.Prefix `json:"prefix"`
	// Gateway is the bridge's own address; the zero Addr in isolated mode.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Range restricts automatic assignment; the zero Prefix means all of Prefix.
	Range netip.Prefix `json:"range,omitzero"`
	// Aux holds addresses reserved by name for things outside the network.
	Aux map[string]netip.Addr `json:"aux,omitempty"`
}

// Bridge holds the parsed options of a bridge network, defaults filled in.
type Bridge struct {
	// Name of the bridge device, at most 15 bytes.
	Name string `json:"name"`
	// Default marks the predefined network "bridge".
	Default bool `json:"default,omitempty"`
	// ICC allows traffic between endpoints of the network.
	ICC bool `json:"icc"`
	// Masquerade hides the endpoints' addresses behind the uplink's in the NAT modes.
	Masquerade bool `json:"masquerade"`
	// HostBinding is the host address of ports published without one; unset means all.
	HostBinding netip.Addr `json:"hostBinding,omitzero"`
	// GatewayMode4 and GatewayMode6 are independent of each other.
	GatewayMode4 GatewayMode `json:"gatewayMode4"`
	GatewayMode6 GatewayMode `json:"gatewayMode6"`
	// MTU of the bridge and of both ends of every veth, in bytes.
	MTU int `json:"mtu"`
	// HostIPv4 and HostIPv6 replace the uplink's address as masquerade source.
	HostIPv4 netip.Addr `json:"hostIPv4,omitzero"`
	HostIPv6 netip.Addr `json:"hostIPv6,omitzero"`
	// TrustedHostInterfaces may reach endpoint addresses directly.
	TrustedHostInterfaces []string `json:"trustedHostInterfaces,omitempty"`
	// InhibitIPv4 leaves the IPv4 gateway address off the bridge.
	InhibitIPv4 bool `json:"inhibitIPv4,omitempty"`
	// IfacePrefix of interface names inside sandboxes; "eth" unless given.
	IfacePrefix string `json:"ifacePrefix"`
}

// Network is a network as the user made it.
type Network struct {
	// ID is 64 lower-case hex digits.
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Driver  Driver    `json:"driver"`
	Created time.Time `json:"created"`
	// IPv4 and IPv6 are nil where the family is off.
	IPv4     *Subnet `json:"ipv4,omitempty"`
	IPv6     *Subnet `json:"ipv6,omitempty"`
	Internal bool    `json:"internal,omitempty"`
	// Options are the driver options as given, for inspection.
	Options map[string]string `json:"options,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Bridge is meaningful for DriverBridge only.
	Bridge Bridge `json:"bridge,omitzero"`
}

// Predefined reports whether n is one of the networks that always exist.
func (n *Network) Predefined() bool {
	return n.Default() || slices.Contains([]Driver{DriverHost, DriverNull}, n.Driver)
}

// Default reports whether n is the network of whoever names none: Docker gives it no
// names, and no addresses that somebody chose.
func (n *Network) Default() bool { return n.Bridge.Default }

// Device is the name of the device that stands for n on this host, "" for none.
func (n *Network) Device() string { return n.Bridge.Name }

// IfacePrefix begins the names of interfaces in sandboxes.
func (n *Network) IfacePrefix() string { return cmp.Or(n.Bridge.IfacePrefix, "eth") }

// GatewayMode returns the gateway mode of the family that addr belongs to.
func (n *Network) GatewayMode(addr netip.Addr) GatewayMode {
	if addr.Is4() {
		return n.Bridge.GatewayMode4
	}
	return n.Bridge.GatewayMode6
}
