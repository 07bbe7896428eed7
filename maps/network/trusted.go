// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
)

// Trust lets what comes in on a device reach a network's published ports by the
// endpoints' own addresses. It counts only while the network has the flag TRUSTS.
type Trust struct {
	// Slot is the network's.
	Slot uint16
	// Index is the device's ifindex.
	Index int
}

func (k Trust) key() *object.DatapathTrustedKey {
	return &object.DatapathTrustedKey{Network: uint32(k.Slot), Ifindex: uint32(k.Index)}
}

// PutTrust adds k.
func (t *Table) PutTrust(k Trust) error {
	if err := t.trusted.Put(k.key(), uint32(1)); err != nil {
		return fmt.Errorf("trusted device %d of network slot %d: %w", k.Index, k.Slot, err)
	}
	return nil
}

// DeleteTrust removes k; one that is gone is not an error.
func (t *Table) DeleteTrust(k Trust) error {
	return table.Delete(t.trusted, k.key(), "trusted device %d of network slot %d", k.Index, k.Slot)
}

// Trusts returns all that were put.
func (t *Table) Trusts() (map[Trust]bool, error) {
	return table.All(t.trusted, "trusted devices",
		func(k *object.DatapathTrustedKey) Trust { return Trust{uint16(k.Network), int(k.Ifindex)} },
		func(*uint32) bool { return true })
}
