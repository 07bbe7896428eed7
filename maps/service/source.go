// SPDX-License-Identifier: Apache-2.0

package service

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
	"github.com/fairway-project/fairway/maps/wire"
)

// Source is a prefix from which a slot's pool may be used.
type Source struct {
	Slot   uint16
	Prefix netip.Prefix
}

func (s Source) String() string { return fmt.Sprintf("source %s of pool %d", s.Prefix, s.Slot) }

// PutSource lets flows from the prefix use the pool.
func (t *Table) PutSource(s Source) error {
	if err := t.sources.Put(toSourceKey(s), uint32(1)); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// DeleteSource takes that back.
func (t *Table) DeleteSource(s Source) error {
	return table.Delete(t.sources, toSourceKey(s), "%s", s)
}

// Sources returns those of all pools.
func (t *Table) Sources() (map[Source]bool, error) {
	return table.All(t.sources, "sources of services", fromSourceKey, func(*uint32) bool { return true })
}

// slotBits, with the family, stand before the address in the trie's keys, mappedBits before an
// IPv4 one.
const (
	slotBits   = 32
	mappedBits = 96
	ipv6       = uint32(object.DatapathLimitSOURCE_IPV6)
)

func toSourceKey(s Source) *object.DatapathSourceKey {
	slot, bits := uint32(s.Slot), uint32(s.Prefix.Bits())
	if s.Prefix.Addr().Is4() {
		bits += mappedBits
	} else {
		slot |= ipv6
	}
	return &object.DatapathSourceKey{Prefixlen: slotBits + bits, Slot: slot, Addr: wire.Mapped(s.Prefix.Masked().Addr())}
}

func fromSourceKey(k *object.DatapathSourceKey) Source {
	addr, bits := netip.AddrFrom16(k.Addr), int(k.Prefixlen)-slotBits
	if k.Slot&ipv6 == 0 {
		addr, bits = addr.Unmap(), bits-mappedBits
	}
	return Source{Slot: uint16(k.Slot), Prefix: netip.PrefixFrom(addr, bits)}
}
