// SPDX-License-Identifier: Apache-2.0

// Package publish accesses the maps of published ports: the table itself, and
// the bitmap that spares traffic to other ports a lookup in it.
//
// Be aware:
//   - the programs look into the table only where the port's bit is set. A bit
//     without an entry costs a lookup, an entry without a bit is unreachable:
//     add entries before bits, and remove bits after entries;
//   - a bit stands for all entries with its protocol and port on any address:
//     the caller counts them.
package publish

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/userspace/model"
)

// Key is where a port is published.
type Key struct {
	// Addr is of the host, a wildcard for all of its family, or the
	// endpoint's own for Routed entries.
	Addr  netip.Addr
	Port  uint16
	Proto model.Proto
	// Network is the slot of the endpoint's network for Routed entries, and of the network
	// whose service's own address Addr is; else 0.
	Network uint16
}

func (k Key) String() string {
	if k.Network != 0 {
		return fmt.Sprintf("%s/%s in network %d", netip.AddrPortFrom(k.Addr, k.Port), k.Proto, k.Network)
	}
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(k.Addr, k.Port), k.Proto)
}

// Entry is what a published port leads to.
type Entry struct {
	Target netip.AddrPort
	// Endpoint is a slot in package endpoint, Generation that of its owner.
	Endpoint   uint16
	Generation uint16
	// HostOnly entries serve the host's own sockets only.
	HostOnly bool
	// Routed entries open the endpoint's own address and port.
	Routed bool
	// Service entries lead to one of a pool of backends: Endpoint is a slot in package
	// service, Target and Generation are zero.
	Service bool
}

func (e Entry) String() string {
	if e.Service {
		return fmt.Sprintf("pool %d host-only %t", e.Endpoint, e.HostOnly)
	}
	return fmt.Sprintf("%s endpoint %d generation %d host-only %t routed %t", e.Target, e.Endpoint, e.Generation, e.HostOnly, e.Routed)
}

// Table is the two maps together.
type Table struct {
	entries, bits *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{entries: m.PublishedPorts, bits: m.PortBitmap}
}

// Put adds or replaces an entry.
func (t *Table) Put(k Key, e Entry) error {
	v := toValue(e)
	if err := t.entries.Put(toKey(k), &v); err != nil {
		return fmt.Errorf("published port %s: %w", k, err)
	}
	return nil
}

// Get returns an entry, and whether there is one.
func (t *Table) Get(k Key) (Entry, bool, error) {
	var v object.DatapathPublished
	err := t.entries.Lookup(toKey(k), &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("published port %s: %w", k, err)
	}
	return fromValue(&v), true, nil
}

// Delete removes an entry; one that is gone is not an error.
func (t *Table) Delete(k Key) error {
	return table.Delete(t.entries, toKey(k), "published port %s", k)
}

// All returns every entry.
func (t *Table) All() (map[Key]Entry, error) {
	const chunk = 4096
	all := make(map[Key]Entry)
	keys := make([]object.DatapathPublishedKey, chunk)
	values := make([]object.DatapathPublished, chunk)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := t.entries.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, fmt.Errorf("published ports: %w", err)
		}
		for i := range n {
			all[fromKey(&keys[i])] = fromValue(&values[i])
		}
		if err != nil {
			return all, nil
		}
	}
}

func toKey(k Key) *object.DatapathPublishedKey {
	return &object.DatapathPublishedKey{
		Addr: wire.Mapped(k.Addr), Port: wire.Port(k.Port), Proto: uint8(k.Proto), Network: uint32(k.Network),
	}
}

func fromKey(k *object.DatapathPublishedKey) Key {
	return Key{Addr: wire.Addr(k.Addr), Port: wire.Port(k.Port), Proto: model.Proto(k.Proto), Network: uint16(k.Network)}
}

func toValue(e Entry) object.DatapathPublished {
	v := object.DatapathPublished{
		Addr:       wire.Mapped(e.Target.Addr()),
		Port:       wire.Port(e.Target.Port()),
		Endpoint:   e.Endpoint,
		Generation: e.Generation,
	}
	if e.HostOnly {
		v.Flags |= uint16(object.DatapathPublishedFlagPUBLISHED_HOST_ONLY)
	}
	if e.Routed {
		v.Flags |= uint16(object.DatapathPublishedFlagPUBLISHED_ROUTED)
	}
	if e.Service {
		v.Flags |= uint16(object.DatapathPublishedFlagPUBLISHED_SERVICE)
	}
	return v
}

func fromValue(v *object.DatapathPublished) Entry {
	if v.Flags&uint16(object.DatapathPublishedFlagPUBLISHED_SERVICE) != 0 {
		return Entry{
			Endpoint: v.Endpoint, Service: true,
			HostOnly: v.Flags&uint16(object.DatapathPublishedFlagPUBLISHED_HOST_ONLY) != 0,
		}
	}
	return Entry{
		Target:     netip.AddrPortFrom(wire.Addr(v.Addr), wire.Port(v.Port)),
		Endpoint:   v.Endpoint,
		Generation: v.Generation,
		HostOnly:   v.Flags&uint16(object.DatapathPublishedFlagPUBLISHED_HOST_ONLY) != 0,
		Routed:     v.Flags&uint16(object.DatapathPublishedFlagPUBLISHED_ROUTED) != 0,
	}
}
