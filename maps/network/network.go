// SPDX-License-Identifier: Apache-2.0

// Package network accesses the maps that know networks: by slot and by subnet.
//
// Be aware:
//   - slots are assigned by the caller. Slot 0 is never used;
//   - a network whose subnets are not in the map is the outside to the programs.
package network

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/userspace/model"
)

// MaxSlots is the number of slots; valid ones are 1 to MaxSlots-1.
const MaxSlots = int(object.DatapathLimitMAX_NETWORKS)

// Flags say what a network may do; the generated NETWORK_* constants.
type Flags = object.DatapathNetworkFlag

// Network is the content of a slot.
type Network struct {
	// BridgeIndex is the ifindex of the bridge; 0 marks a free slot.
	BridgeIndex int
	Flags       Flags
	// Subnet4 and Subnet6 tell the network's own addresses from others; the zero Prefix
	// where the family is off.
	Subnet4  netip.Prefix
	Subnet6  netip.Prefix
	Gateway4 netip.Addr
	Gateway6 netip.Addr
	// SNAT4 and SNAT6 replace the uplink's address as masquerade source.
	SNAT4      netip.Addr
	SNAT6      netip.Addr
	GatewayMAC model.MAC
	// MTU in bytes.
	MTU uint16
}

func (n Network) String() string {
	return fmt.Sprintf("bridge %d flags %s subnets %s %s gateway %s %s %s mtu %d", n.BridgeIndex, flagNames(n.Flags),
		n.Subnet4, n.Subnet6, n.GatewayMAC, n.Gateway4, n.Gateway6, n.MTU)
}

// Table is the three maps together.
type Table struct {
	slots, subnets, trusted *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{slots: m.Networks, subnets: m.Subnets, trusted: m.TrustedDevices}
}

// Get returns the content of a slot.
func (t *Table) Get(slot uint16) (Network, error) {
	var v object.DatapathNetwork
	if err := t.slots.Lookup(uint32(slot), &v); err != nil {
		return Network{}, fmt.Errorf("network slot %d: %w", slot, err)
	}
	return fromValue(&v), nil
}

// Put replaces the content of a slot.
func (t *Table) Put(slot uint16, n Network) error {
	v := toValue(n)
	if err := t.slots.Put(uint32(slot), &v); err != nil {
		return fmt.Errorf("network slot %d: %w", slot, err)
	}
	return nil
}

// All returns the slots in use.
func (t *Table) All() (map[uint16]Network, error) {
	all := make(map[uint16]Network)
	keys := make([]uint32, MaxSlots)
	values := make([]object.DatapathNetwork, MaxSlots)
	var cursor ebpf.MapBatchCursor
	n, err := t.slots.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("networks: %w", err)
	}
	for i := range n {
		if values[i].BridgeIfindex != 0 {
			all[uint16(keys[i])] = fromValue(&values[i])
		}
	}
	return all, nil
}

// PutSubnet makes p a subnet of the network in slot.
func (t *Table) PutSubnet(p netip.Prefix, slot uint16) error {
	if err := t.subnets.Put(subnetKey(p), uint32(slot)); err != nil {
		return fmt.Errorf("subnet %s: %w", p, err)
	}
	return nil
}

// DeleteSubnet takes p away from whatever network has it.
func (t *Table) DeleteSubnet(p netip.Prefix) error {
	return table.Delete(t.subnets, subnetKey(p), "subnet %s", p)
}

// Subnets returns all subnets with the slot of their network.
func (t *Table) Subnets() (map[netip.Prefix]uint16, error) {
	return table.All(t.subnets, "subnets", prefix, table.Slot)
}

// The trie is over 128 bits: IPv4 prefixes lie below ::ffff:0:0/96.
func subnetKey(p netip.Prefix) *object.DatapathSubnetKey {
	k := &object.DatapathSubnetKey{Prefixlen: uint32(p.Bits()), Addr: wire.Mapped(p.Masked().Addr())}
	if p.Addr().Is4() {
		k.Prefixlen += 96
	}
	return k
}

func prefix(k *object.DatapathSubnetKey) netip.Prefix {
	a := wire.Addr(k.Addr)
	if a.Is4() {
		return netip.PrefixFrom(a, int(k.Prefixlen)-96)
	}
	return netip.PrefixFrom(a, int(k.Prefixlen))
}

func toValue(n Network) object.DatapathNetwork {
	v := object.DatapathNetwork{
		BridgeIfindex: uint32(n.BridgeIndex),
		Flags:         uint32(n.Flags),
		Gateway4:      wire.Word(n.Gateway4),
		Snat4:         wire.Word(n.SNAT4),
		Gateway6:      wire.Mapped(n.Gateway6),
		Snat6:         wire.Mapped(n.SNAT6),
		GatewayMac:    n.GatewayMAC,
		Mtu:           n.MTU,
	}
	if n.Subnet4.IsValid() {
		v.Subnet4, v.Mask4 = wire.Word(n.Subnet4.Masked().Addr()), wire.Word(mask(n.Subnet4))
	}
	if n.Subnet6.IsValid() {
		v.Subnet6, v.Mask6 = wire.Mapped(n.Subnet6.Masked().Addr()), wire.Mapped(mask(n.Subnet6))
	}
	return v
}

// mask is the address in which the bits of the prefix are 1.
func mask(p netip.Prefix) netip.Addr {
	ones := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	if p.Addr().Is4() {
		ones = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return netip.PrefixFrom(ones, p.Bits()).Masked().Addr()
}

// subnet is the inverse: of an address and its mask, which is zero where there is none.
func subnet(addr, mask netip.Addr) netip.Prefix {
	n := 0
	for _, b := range mask.AsSlice() {
		n += bits.OnesCount8(b)
	}
	if n == 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, n)
}

func fromValue(v *object.DatapathNetwork) Network {
	return Network{
		BridgeIndex: int(v.BridgeIfindex),
		Flags:       Flags(v.Flags),
		Gateway4:    wire.Optional4(v.Gateway4),
		Gateway6:    wire.Optional(v.Gateway6),
		SNAT4:       wire.Optional4(v.Snat4),
		SNAT6:       wire.Optional(v.Snat6),
		GatewayMAC:  v.GatewayMac,
		MTU:         v.Mtu,
		Subnet4:     subnet(wire.Addr4(v.Subnet4), wire.Addr4(v.Mask4)),
		Subnet6:     subnet(netip.AddrFrom16(v.Subnet6), netip.AddrFrom16(v.Mask6)),
	}
}

func flagNames(f Flags) string {
	var names []string
	for _, n := range []struct {
		bit  Flags
		name string
	}{
		{object.DatapathNetworkFlagNETWORK_IPV4, "ipv4"},
		{object.DatapathNetworkFlagNETWORK_IPV6, "ipv6"},
		{object.DatapathNetworkFlagNETWORK_ICC, "icc"},
		{object.DatapathNetworkFlagNETWORK_INTERNAL, "internal"},
		{object.DatapathNetworkFlagNETWORK_MASQ4, "masquerade4"},
		{object.DatapathNetworkFlagNETWORK_MASQ6, "masquerade6"},
		{object.DatapathNetworkFlagNETWORK_OPEN4, "open4"},
		{object.DatapathNetworkFlagNETWORK_OPEN6, "open6"},
		{object.DatapathNetworkFlagNETWORK_ROUTED4, "routed4"},
		{object.DatapathNetworkFlagNETWORK_ROUTED6, "routed6"},
		{object.DatapathNetworkFlagNETWORK_TRUSTS, "trusts"},
	} {
		if f&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}
