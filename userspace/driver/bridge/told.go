// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// Told is what the datapath is told of a network whose bridge this is, the zero Device
// while there is none.
func Told(n *model.Network, bridge link.Device) *datapath.Network {
	b := &n.Bridge
	return &datapath.Network{
		ID: n.ID, Name: n.Name, Created: n.Created, Device: datapath.Device{Name: b.Name, Index: bridge.Index, MAC: bridge.MAC},
		IPv4: subnet(n.IPv4, b.GatewayMode4, b.HostIPv4), IPv6: subnet(n.IPv6, b.GatewayMode6, b.HostIPv6),
		Internal: n.Internal, ICC: b.ICC, Masquerade: b.Masquerade, HostGateway: b.Default,
		MTU: b.MTU, Trusted: b.TrustedHostInterfaces,
	}
}

func subnet(s *model.Subnet, mode model.GatewayMode, source netip.Addr) *datapath.Subnet {
	if s == nil {
		return nil
	}
	return &datapath.Subnet{Prefix: s.Prefix, Gateway: s.Gateway, Mode: mode, Source: source}
}
