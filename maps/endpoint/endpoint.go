// SPDX-License-Identifier: Apache-2.0

// Package endpoint accesses the maps that know endpoints: by host-side device,
// by MAC and by address within a network, and by slot.
//
// Be aware:
//   - slots are assigned by the caller. Slot 0 is never used, so that zeroed
//     memory names no endpoint;
//   - the four maps are written one after the other. The programs believe an
//     endpoint only while it is Ready, so set the references first and Ready last;
//   - a freed slot keeps its generation: flows of its last owner die by it.
package endpoint

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/userspace/model"
)

// MaxSlots is the number of slots; valid ones are 1 to MaxSlots-1.
const MaxSlots = int(object.DatapathLimitMAX_ENDPOINTS)

// ErrDeviceSlot is returned where two devices that exist fall into one slot.
var ErrDeviceSlot = errors.New("device slot is taken")

// Endpoint is the content of a slot.
type Endpoint struct {
	// Index is the ifindex of the host side of the veth; 0 marks a free slot.
	Index int
	IPv4  netip.Addr
	IPv6  netip.Addr
	MAC   model.MAC
	// Generation changes with each new owner of the slot.
	Generation uint16
	// Network is a slot in package network.
	Network uint16
	// Ready endpoints send and receive.
	Ready bool
	// TakesFrames says that the container's end of the veth has NAPI, which frames
	// from an XDP program need.
	TakesFrames bool
}

// SameOwner reports whether both are the same endpoint with the same identity
// on the wire, whatever their generation and readiness.
func (e Endpoint) SameOwner(o Endpoint) bool {
	return e.Index == o.Index && e.IPv4 == o.IPv4 && e.IPv6 == o.IPv6 && e.MAC == o.MAC && e.Network == o.Network
}

func (e Endpoint) String() string {
	return fmt.Sprintf("index %d network %d mac %s ipv4 %s ipv6 %s generation %d ready %t",
		e.Index, e.Network, e.MAC, e.IPv4, e.IPv6, e.Generation, e.Ready)
}

// Table is the four maps together.
type Table struct {
	devices, slots, macs, addrs *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{devices: m.Devices, slots: m.Endpoints, macs: m.EndpointMacs, addrs: m.EndpointAddrs}
}

// Get returns the content of a slot.
func (t *Table) Get(slot uint16) (Endpoint, error) {
	var v object.DatapathEndpoint
	if err := t.slots.Lookup(uint32(slot), &v); err != nil {
		return Endpoint{}, fmt.Errorf("endpoint slot %d: %w", slot, err)
	}
	return fromValue(&v), nil
}

// Put replaces the content of a slot, in one step as far as programs see it
// member by member: set Ready last.
func (t *Table) Put(slot uint16, e Endpoint) error {
	v := toValue(e)
	if err := t.slots.Put(uint32(slot), &v); err != nil {
		return fmt.Errorf("endpoint slot %d: %w", slot, err)
	}
	return nil
}

// All returns the slots in use.
func (t *Table) All() (map[uint16]Endpoint, error) {
	all := make(map[uint16]Endpoint)
	keys := make([]uint32, MaxSlots)
	values := make([]object.DatapathEndpoint, MaxSlots)
	var cursor ebpf.MapBatchCursor
	n, err := t.slots.BatchLookup(&cursor, keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	for i := range n {
		if values[i].Ifindex != 0 {
			all[uint16(keys[i])] = fromValue(&values[i])
		}
	}
	return all, nil
}

func toValue(e Endpoint) object.DatapathEndpoint {
	v := object.DatapathEndpoint{
		Ifindex:    uint32(e.Index),
		Ip4:        wire.Word(e.IPv4),
		Ip6:        wire.Mapped(e.IPv6),
		Mac:        e.MAC,
		Generation: e.Generation,
		Network:    e.Network,
	}
	if e.Ready {
		v.Flags |= uint16(object.DatapathEndpointFlagENDPOINT_READY)
	}
	if e.TakesFrames {
		v.Flags |= uint16(object.DatapathEndpointFlagENDPOINT_TAKES_FRAMES)
	}
	return v
}

func fromValue(v *object.DatapathEndpoint) Endpoint {
	return Endpoint{
		Index:      int(v.Ifindex),
		IPv4:       wire.Optional4(v.Ip4),
		IPv6:       wire.Optional(v.Ip6),
		MAC:        v.Mac,
		Generation: v.Generation,
		Network:    v.Network,
		Ready:      v.Flags&uint16(object.DatapathEndpointFlagENDPOINT_READY) != 0,

		TakesFrames: v.Flags&uint16(object.DatapathEndpointFlagENDPOINT_TAKES_FRAMES) != 0,
	}
}
