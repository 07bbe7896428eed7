// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
)

const deviceMask = uint32(object.DatapathLimitDEVICE_SLOTS) - 1

// Refer makes the endpoint in slot known by its device, MAC and addresses. It
// fails with ErrDeviceSlot if another device has the device slot; what belonged
// to a slot that stale reports to be nobody's is taken over.
func (t *Table) Refer(slot uint16, e Endpoint, stale func(slot uint16) bool) error {
	if err := t.referDevice(slot, e, stale); err != nil {
		return err
	}
	if err := t.macs.Put(macKey(e), uint32(slot)); err != nil {
		return fmt.Errorf("endpoint mac %s: %w", e.MAC, err)
	}
	for _, a := range addresses(e) {
		if err := t.addrs.Put(addrKey(e.Network, a), uint32(slot)); err != nil {
			return fmt.Errorf("endpoint address %s: %w", a, err)
		}
	}
	return nil
}

// Forget undoes Refer. References that another slot has taken over stay.
func (t *Table) Forget(slot uint16, e Endpoint) error {
	var errs []error
	var d object.DatapathDevice
	at := uint32(e.Index) & deviceMask
	if err := t.devices.Lookup(at, &d); err != nil {
		errs = append(errs, fmt.Errorf("device slot %d: %w", at, err))
	} else if d.Endpoint == uint32(slot) && d.Ifindex == uint32(e.Index) {
		if err := t.devices.Put(at, &object.DatapathDevice{}); err != nil {
			errs = append(errs, fmt.Errorf("device slot %d: %w", at, err))
		}
	}
	errs = append(errs, deleteOwn(t.macs, macKey(e), slot))
	for _, a := range addresses(e) {
		errs = append(errs, deleteOwn(t.addrs, addrKey(e.Network, a), slot))
	}
	return errors.Join(errs...)
}

// ByMAC returns the slot that a MAC belongs to in the network in slot network.
func (t *Table) ByMAC(network uint16, e Endpoint) (slot uint16, found bool, err error) {
	e.Network = network
	return lookup(t.macs, macKey(e))
}

// ByAddr returns the slot that an address belongs to in the network in slot network.
func (t *Table) ByAddr(network uint16, a netip.Addr) (slot uint16, found bool, err error) {
	return lookup(t.addrs, addrKey(network, a))
}

// ByDevice returns the slot of the device with this ifindex.
func (t *Table) ByDevice(index int) (slot uint16, found bool, err error) {
	var d object.DatapathDevice
	if err := t.devices.Lookup(uint32(index)&deviceMask, &d); err != nil {
		return 0, false, fmt.Errorf("device %d: %w", index, err)
	}
	return uint16(d.Endpoint), isEndpoint(d) && d.Ifindex == uint32(index), nil
}

func isEndpoint(d object.DatapathDevice) bool {
	return d.Flags&uint16(object.DatapathDeviceFlagDEVICE_ENDPOINT) != 0
}

func (t *Table) referDevice(slot uint16, e Endpoint, stale func(uint16) bool) error {
	at := uint32(e.Index) & deviceMask
	var d object.DatapathDevice
	if err := t.devices.Lookup(at, &d); err != nil {
		return fmt.Errorf("device slot %d: %w", at, err)
	}
	owner := uint16(d.Endpoint)
	// An uplink has it only to run XDP, which it can do without.
	if isEndpoint(d) && d.Ifindex != uint32(e.Index) && owner != slot && !stale(owner) {
		return fmt.Errorf("device %d: %w by device %d (their numbers are equal modulo %d)",
			e.Index, ErrDeviceSlot, d.Ifindex, deviceMask+1)
	}
	d = object.DatapathDevice{
		Ifindex: uint32(e.Index), Endpoint: uint32(slot), Flags: uint16(object.DatapathDeviceFlagDEVICE_ENDPOINT),
	}
	if err := t.devices.Put(at, &d); err != nil {
		return fmt.Errorf("device slot %d: %w", at, err)
	}
	return nil
}

func lookup(m *ebpf.Map, key any) (uint16, bool, error) {
	var slot uint32
	err := m.Lookup(key, &slot)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, false, nil
	}
	return uint16(slot), err == nil, err
}

func deleteOwn(m *ebpf.Map, key any, slot uint16) error {
	owner, found, err := lookup(m, key)
	if err != nil {
		return fmt.Errorf("endpoint slot %d: %w", slot, err)
	}
	if !found || owner != slot {
		return nil
	}
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("endpoint slot %d: %w", slot, err)
	}
	return nil
}

func addresses(e Endpoint) []netip.Addr {
	var all []netip.Addr
	for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

func macKey(e Endpoint) *object.DatapathMacKey {
	return &object.DatapathMacKey{Network: uint32(e.Network), Mac: e.MAC}
}

func addrKey(network uint16, a netip.Addr) *object.DatapathEndpointAddrKey {
	return &object.DatapathEndpointAddrKey{Network: uint32(network), Addr: wire.Mapped(a)}
}
