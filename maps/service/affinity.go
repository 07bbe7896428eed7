// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// remember gives a slot the table of its clients, or takes it away. One that is there stays
// as it is.
func (t *Table) remember(slot uint16, on bool) error {
	var id ebpf.MapID
	err := t.affinities.Lookup(uint32(slot), &id)
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, ebpf.ErrKeyNotExist):
	case there == on:
		return nil
	case on:
		err = putInner(t.swaps, t.affinities, slot, make([]object.DatapathAffinitySet, object.DatapathLimitAFFINITY_SETS))
	default:
		err = t.swaps.remove(t.affinities, slot)
	}
	if err != nil {
		return fmt.Errorf("clients of pool %d: %w", slot, err)
	}
	return nil
}
