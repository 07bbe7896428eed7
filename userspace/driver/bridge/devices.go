// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"encoding/hex"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// Of is the bridge of a network. Its MAC address is made from the network's ID, so that it
// stays the same over restarts.
func Of(n *model.Network) link.Bridge {
	b := link.Bridge{Name: n.Device(), NetworkID: n.ID, MAC: model.MAC{0x02, 0x66}, MTU: n.Bridge.MTU}
	if id, err := hex.DecodeString(n.ID[:min(8, len(n.ID))]); err == nil {
		copy(b.MAC[2:], id)
	}
	if n.IPv4 != nil && n.IPv4.Gateway.IsValid() && !n.Bridge.InhibitIPv4 {
		b.IPv4 = netip.PrefixFrom(n.IPv4.Gateway, n.IPv4.Prefix.Bits())
	}
	if n.IPv6 != nil && n.IPv6.Gateway.IsValid() {
		b.IPv6 = netip.PrefixFrom(n.IPv6.Gateway, n.IPv6.Prefix.Bits())
	}
	return b
}

// Veth is the pair of devices of an endpoint.
func Veth(n *model.Network, e *model.Endpoint) link.Veth {
	return link.Veth{
		EndpointID: e.ID, HostName: e.HostIf, PeerName: e.IfName,
		MAC: e.MAC, MTU: n.Bridge.MTU, Bridge: n.Device(),
	}
}
