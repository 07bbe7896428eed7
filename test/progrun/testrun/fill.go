// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/model"
)

// Generation of the endpoints that a Host begins with.
const Generation = 7

// Flags of networks.
const (
	IPv4     = object.DatapathNetworkFlagNETWORK_IPV4
	IPv6     = object.DatapathNetworkFlagNETWORK_IPV6
	ICC      = object.DatapathNetworkFlagNETWORK_ICC
	Internal = object.DatapathNetworkFlagNETWORK_INTERNAL
	Masq4    = object.DatapathNetworkFlagNETWORK_MASQ4
	Masq6    = object.DatapathNetworkFlagNETWORK_MASQ6
	Open4    = object.DatapathNetworkFlagNETWORK_OPEN4
	Open6    = object.DatapathNetworkFlagNETWORK_OPEN6
	Routed4  = object.DatapathNetworkFlagNETWORK_ROUTED4
	Routed6  = object.DatapathNetworkFlagNETWORK_ROUTED6
	Trusts   = object.DatapathNetworkFlagNETWORK_TRUSTS

	// Default is what a network has that was created without options.
	Default = IPv4 | IPv6 | ICC | Masq4 | Masq6
)

// Restore empties every map and fills in the standard world.
func (h *Host) Restore() error {
	errs := []error{h.empty()}
	for _, n := range []Network{h.Net1, h.Net2} {
		errs = append(errs, h.PutNetwork(n, Default))
	}
	for _, e := range []Endpoint{h.Web, h.App, h.DB} {
		errs = append(errs, h.PutEndpoint(e, Generation))
	}
	for _, u := range []Uplink{h.Eth0, h.Eth1} {
		errs = append(errs, h.PutUplink(u), h.State.DeleteXDP(h.Index[u.Device]),
			h.State.PutAddress(u.Addr(false), host.NoNetwork), h.State.PutAddress(u.Addr(true), host.NoNetwork))
	}
	return errors.Join(append(errs, h.State.PutAddress(netip.MustParseAddr("10.9.0.1"), host.NoNetwork))...)
}

// PutNetwork fills in a network with these flags, replacing what it was.
func (h *Host) PutNetwork(n Network, flags network.Flags) error {
	return h.PutNetworkSNAT(n, flags, netip.Addr{}, netip.Addr{})
}

// PutNetworkSNAT is PutNetwork with addresses to masquerade with.
func (h *Host) PutNetworkSNAT(n Network, flags network.Flags, snat4, snat6 netip.Addr) error {
	return errors.Join(
		h.Networks.Put(n.Slot, network.Network{
			BridgeIndex: h.Index[n.Device], Flags: flags,
			Gateway4: n.Gateway(false), Gateway6: n.Gateway(true), GatewayMAC: n.MAC, MTU: mtu,
			SNAT4: snat4, SNAT6: snat6, Subnet4: n.Subnet4, Subnet6: n.Subnet6,
		}),
		h.State.PutAddress(n.Gateway(false), host.Gateway(n.Slot)),
		h.State.PutAddress(n.Gateway(true), host.Gateway(n.Slot)),
		h.Networks.PutSubnet(n.Subnet4, n.Slot),
		h.Networks.PutSubnet(n.Subnet6, n.Slot),
	)
}

// Trust lets what comes in on a device reach the network's ports directly.
func (h *Host) Trust(n Network, device string) error {
	return h.Networks.PutTrust(network.Trust{Slot: n.Slot, Index: h.Index[device]})
}

// PutEndpoint makes e ready in its slot, as the owner with this generation.
func (h *Host) PutEndpoint(e Endpoint, generation uint16) error {
	v := endpoint.Endpoint{
		Index: h.Index[e.Name], IPv4: e.IPv4, IPv6: e.IPv6, MAC: e.MAC,
		Generation: generation, Network: e.Network, Ready: true,
	}
	return errors.Join(h.Endpoints.Refer(e.Slot, v, func(uint16) bool { return true }), h.Endpoints.Put(e.Slot, v))
}

// RelaySlot is that of PutRelay's endpoint.
const RelaySlot = 12

// PutRelay fills in the endpoint that answers for what the host passes on from outside to outside,
// by way of a network.
func (h *Host) PutRelay(n Network) error {
	return h.Endpoints.Put(RelaySlot, endpoint.Endpoint{Index: h.Index[n.Device], Generation: Generation, Network: n.Slot, Ready: true})
}

// Unready is what happens first to an endpoint that goes.
func (h *Host) Unready(e Endpoint) error {
	v, err := h.Endpoints.Get(e.Slot)
	if err != nil {
		return err
	}
	v.Ready = false
	return h.Endpoints.Put(e.Slot, v)
}

// TakesFrames lets XDP send frames to an endpoint.
func (h *Host) TakesFrames(e Endpoint) error {
	v, err := h.Endpoints.Get(e.Slot)
	if err != nil {
		return err
	}
	v.TakesFrames = true
	return h.Endpoints.Put(e.Slot, v)
}

// PutXDP makes an uplink known to the XDP programs.
func (h *Host) PutXDP(u Uplink) error {
	fits, err := h.State.PutXDP(h.Index[u.Device], u.MAC)
	if err == nil && !fits {
		err = fmt.Errorf("slot of %s: %w", u.Device, endpoint.ErrDeviceSlot)
	}
	return err
}

// PutUplink fills in an uplink with its addresses.
func (h *Host) PutUplink(u Uplink) error {
	return h.State.PutUplink(h.Index[u.Device], host.Uplink{
		IPv4: []netip.Prefix{u.Prefix4}, IPv6: []netip.Addr{u.Prefix6.Addr()},
	})
}

// Publish opens a port of the host, on addr or a wildcard, to e's port.
func (h *Host) Publish(addr netip.Addr, port uint16, proto model.Proto, e Endpoint, target uint16) error {
	return h.PublishEntry(publish.Key{Addr: addr, Port: port, Proto: proto}, publish.Entry{
		Target: netip.AddrPortFrom(e.Addr(addr.Is6()), target), Endpoint: e.Slot, Generation: Generation,
	})
}

// PublishEntry is Publish with everything said.
func (h *Host) PublishEntry(k publish.Key, e publish.Entry) error {
	return errors.Join(h.Published.Put(k, e), h.Published.SetBit(k.Proto, k.Port, true))
}

// Unpublish closes a port.
func (h *Host) Unpublish(k publish.Key) error {
	return errors.Join(h.Published.Delete(k), h.Published.SetBit(k.Proto, k.Port, false))
}

// Any is the wildcard of the family.
func Any(v6 bool) netip.Addr {
	if v6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
