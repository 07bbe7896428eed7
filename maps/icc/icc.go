// SPDX-License-Identifier: Apache-2.0

// Package icc accesses the map of holes in networks with icc=false: which
// endpoint may reach which port of which other.
package icc

import (
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/userspace/model"
)

// Hole lets From reach Port of To, and the replies come back.
type Hole struct {
	// Network is the slot of the network that both are in.
	Network  uint16
	From, To netip.Addr
	Port     uint16
	Proto    model.Proto
}

func (h Hole) String() string {
	return fmt.Sprintf("network %d %s -> %s/%s", h.Network, h.From, netip.AddrPortFrom(h.To, h.Port), h.Proto)
}

// Table is the map.
type Table struct{ m *ebpf.Map }

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table { return &Table{m: m.IccLinks} }

// Put adds a hole, on behalf of the endpoint in slot.
func (t *Table) Put(h Hole, slot uint16) error {
	if err := t.m.Put(toKey(h), uint32(slot)); err != nil {
		return fmt.Errorf("link %s: %w", h, err)
	}
	return nil
}

// Delete removes a hole; one that is gone is not an error.
func (t *Table) Delete(h Hole) error {
	return table.Delete(t.m, toKey(h), "link %s", h)
}

// All returns all holes with the slots they were made for.
func (t *Table) All() (map[Hole]uint16, error) {
	return table.All(t.m, "links", fromKey, table.Slot)
}

func toKey(h Hole) *object.DatapathLinkKey {
	return &object.DatapathLinkKey{
		Network: uint32(h.Network),
		From:    wire.Mapped(h.From), To: wire.Mapped(h.To), Port: wire.Port(h.Port), Proto: uint8(h.Proto),
	}
}

func fromKey(k *object.DatapathLinkKey) Hole {
	return Hole{
		Network: uint16(k.Network),
		From:    wire.Addr(k.From), To: wire.Addr(k.To), Port: wire.Port(k.Port), Proto: model.Proto(k.Proto),
	}
}
