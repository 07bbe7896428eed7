// SPDX-License-Identifier: Apache-2.0

// Package host accesses the maps that know the host: its uplinks with the
// addresses to masquerade with, its own addresses, the protocols that it listens
// for, and what changes while the programs run.
package host

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
	"github.com/fairway-project/fairway/maps/wire"
)

// MaxAddresses is how many masquerade candidates per family an uplink has.
const MaxAddresses = int(object.DatapathLimitUPLINK_ADDRS)

// Uplink holds the masquerade candidates of a device, the preferred ones first.
type Uplink struct {
	IPv4 []netip.Prefix
	IPv6 []netip.Addr
}

// Table is the maps together. devices is shared with package endpoint.
type Table struct {
	uplinks, addrs, state, devices, listeners *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{uplinks: m.Uplinks, addrs: m.HostAddrs, state: m.HostState, devices: m.Devices, listeners: m.HostListeners}
}

// PutUplink makes the device with this ifindex an uplink. Addresses beyond
// MaxAddresses of a family are ignored.
func (t *Table) PutUplink(index int, u Uplink) error {
	var v object.DatapathUplink
	for i, p := range u.IPv4[:min(len(u.IPv4), MaxAddresses)] {
		v.V4[i].Addr = wire.Word(p.Addr())
		v.V4[i].Mask = wire.Word(mask(p))
	}
	for i, a := range u.IPv6[:min(len(u.IPv6), MaxAddresses)] {
		v.V6[i].Addr = wire.Mapped(a)
	}
	if err := t.uplinks.Put(uint32(index), &v); err != nil {
		return fmt.Errorf("uplink %d: %w", index, err)
	}
	return nil
}

// DeleteUplink makes the device an uplink no more; one that isn't is no error.
func (t *Table) DeleteUplink(index int) error {
	return table.Delete(t.uplinks, uint32(index), "uplink %d", index)
}

// Uplinks returns all uplinks by ifindex.
func (t *Table) Uplinks() (map[int]Uplink, error) {
	return table.All(t.uplinks, "uplinks", func(i *uint32) int { return int(*i) }, fromValue)
}

// PutAddress makes a an address of the host. network is the slot of the network
// that a is the gateway of, or NoNetwork.
func (t *Table) PutAddress(a netip.Addr, network uint32) error {
	if err := t.addrs.Put(addrKey(a), network); err != nil {
		return fmt.Errorf("host address %s: %w", a, err)
	}
	return nil
}

// DeleteAddress takes an address from the host; one that it hasn't is no error.
func (t *Table) DeleteAddress(a netip.Addr) error {
	return table.Delete(t.addrs, addrKey(a), "host address %s", a)
}

// Addresses returns the host's addresses with the values that PutAddress took.
func (t *Table) Addresses() (map[netip.Addr]uint32, error) {
	return table.All(t.addrs, "host addresses", func(k *object.DatapathAddrKey) netip.Addr { return wire.Addr(k.Addr) }, table.Same[uint32])
}

// NoNetwork is the value of addresses that are no gateway.
const NoNetwork uint32 = 0

// Gateway is the value of the gateway address of the network in slot.
func Gateway(slot uint16) uint32 { return 1 + uint32(slot) }

// NetworkOf is the slot of the network of an address with a value of Gateway.
func NetworkOf(value uint32) uint16 { return uint16(value - 1) }

// NewRoutes makes every flow ask for its route again. The generation wraps around.
func (t *Table) NewRoutes() error {
	var s object.DatapathHostState
	if err := t.state.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("host state: %w", err)
	}
	s.RouteGeneration++
	if err := t.state.Put(uint32(0), &s); err != nil {
		return fmt.Errorf("host state: %w", err)
	}
	return nil
}

// NewRules makes netfilter judge every flow again, in first-packet mode. The
// generation is never 0, which flows have that were never judged.
func (t *Table) NewRules() error {
	var s object.DatapathHostState
	if err := t.state.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("host state: %w", err)
	}
	if s.RulesGeneration = (s.RulesGeneration + 1) & maxRules; s.RulesGeneration == 0 {
		s.RulesGeneration = 1
	}
	if err := t.state.Put(uint32(0), &s); err != nil {
		return fmt.Errorf("host state: %w", err)
	}
	return nil
}

// maxRules is the largest generation of rules that fits beside the flag in a flow.
const maxRules = 1<<15 - 1

// RulesGeneration returns the generation that NewRules began last.
func (t *Table) RulesGeneration() (uint16, error) {
	var s object.DatapathHostState
	if err := t.state.Lookup(uint32(0), &s); err != nil {
		return 0, fmt.Errorf("host state: %w", err)
	}
	return s.RulesGeneration, nil
}

// RouteGeneration returns how often NewRoutes was called.
func (t *Table) RouteGeneration() (uint16, error) {
	var s object.DatapathHostState
	if err := t.state.Lookup(uint32(0), &s); err != nil {
		return 0, fmt.Errorf("host state: %w", err)
	}
	return s.RouteGeneration, nil
}

func fromValue(v *object.DatapathUplink) Uplink {
	var u Uplink
	for _, c := range v.V4 {
		if c.Addr == 0 {
			break
		}
		u.IPv4 = append(u.IPv4, netip.PrefixFrom(wire.Addr4(c.Addr), bits(wire.Addr4(c.Mask))))
	}
	for _, c := range v.V6 {
		if c.Addr == ([16]byte{}) {
			break
		}
		u.IPv6 = append(u.IPv6, wire.Addr(c.Addr))
	}
	return u
}

func mask(p netip.Prefix) netip.Addr {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), p.Bits()).Masked().Addr()
}

func bits(mask netip.Addr) int {
	n := 0
	for _, b := range mask.As4() {
		for ; b != 0; b <<= 1 {
			n++
		}
	}
	return n
}

func addrKey(a netip.Addr) *object.DatapathAddrKey {
	return &object.DatapathAddrKey{Addr: wire.Mapped(a)}
}
