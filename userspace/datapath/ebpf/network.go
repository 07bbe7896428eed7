// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// EnsureNetwork implements datapath.Datapath.
func (d *Datapath) EnsureNetwork(_ context.Context, n datapath.Network) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n.Device.Index <= 0 {
		return fmt.Errorf("network %s: device %q has no index", n.Name, n.Device.Name)
	}
	if err := d.rules.check(n); err != nil {
		return err
	}
	if err := forwardFrom(n); err != nil {
		return err
	}
	if err := d.networks.ensure(n); err != nil {
		return err
	}
	if err := d.relays.follow(n.ID, d.networks.byID[n.ID]); err != nil {
		return err
	}
	return d.followNetworks()
}

// DeleteNetwork implements datapath.Datapath. Endpoints go before their network.
func (d *Datapath) DeleteNetwork(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, ok := d.networks.byID[id]
	if !ok {
		// The last call may have come no further.
		return errors.Join(d.dropRelays(), d.followNetworks())
	}
	if eid, attached := d.endpoints.on(id); attached {
		return fmt.Errorf("network %s: endpoint %s is still attached", st.name, eid)
	}
	if err := errors.Join(d.networks.delete(id), d.dropRelays()); err != nil {
		return err
	}
	return d.followNetworks()
}

// followNetworks brings up to date what depends on which networks there are.
func (d *Datapath) followNetworks() error {
	return errors.Join(d.networks.syncTrusted(d.uplinks.names), d.syncAddresses())
}

// trusted returns the names of the devices through which the network's published
// ports are reached directly. Internal networks publish nothing.
func trusted(n datapath.Network) []string {
	if n.Internal {
		return nil
	}
	return n.Trusted
}

func subnets(n datapath.Network) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range []*datapath.Subnet{n.IPv4, n.IPv6} {
		if s != nil {
			all = append(all, s.Prefix.Masked())
		}
	}
	return all
}

func gateways(n datapath.Network) []netip.Addr {
	var all []netip.Addr
	for _, s := range []*datapath.Subnet{n.IPv4, n.IPv6} {
		if s != nil && s.Gateway.IsValid() {
			all = append(all, s.Gateway)
		}
	}
	return all
}

func networkValue(n datapath.Network) network.Network {
	v := network.Network{
		BridgeIndex: n.Device.Index,
		GatewayMAC:  n.Device.MAC,
		MTU:         uint16(n.MTU),
	}
	if n.IPv4 != nil {
		v.Gateway4, v.SNAT4, v.Subnet4 = n.IPv4.Gateway, n.IPv4.Source, n.IPv4.Prefix.Masked()
		v.Flags |= object.DatapathNetworkFlagNETWORK_IPV4
		v.Flags |= familyFlags(n, n.IPv4.Mode, object.DatapathNetworkFlagNETWORK_MASQ4,
			object.DatapathNetworkFlagNETWORK_OPEN4, object.DatapathNetworkFlagNETWORK_ROUTED4)
	}
	if n.IPv6 != nil {
		v.Gateway6, v.SNAT6, v.Subnet6 = n.IPv6.Gateway, n.IPv6.Source, n.IPv6.Prefix.Masked()
		v.Flags |= object.DatapathNetworkFlagNETWORK_IPV6
		v.Flags |= familyFlags(n, n.IPv6.Mode, object.DatapathNetworkFlagNETWORK_MASQ6,
			object.DatapathNetworkFlagNETWORK_OPEN6, object.DatapathNetworkFlagNETWORK_ROUTED6)
	}
	if n.ICC {
		v.Flags |= object.DatapathNetworkFlagNETWORK_ICC
	}
	if n.Internal {
		v.Flags |= object.DatapathNetworkFlagNETWORK_INTERNAL
	}
	if len(trusted(n)) > 0 {
		v.Flags |= object.DatapathNetworkFlagNETWORK_TRUSTS
	}
	return v
}

// familyFlags says how one family of a network meets the outside. Internal
// networks don't.
func familyFlags(n datapath.Network, mode model.GatewayMode, masquerade, open, routed network.Flags) network.Flags {
	if n.Internal {
		return 0
	}
	var f network.Flags
	switch mode {
	case model.GatewayNAT, "":
	case model.GatewayNATUnprotected:
		f |= open
	case model.GatewayRouted:
		return routed
	default:
		return 0
	}
	if n.Masquerade {
		f |= masquerade
	}
	return f
}
