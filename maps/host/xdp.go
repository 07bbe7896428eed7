// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

const deviceMask = uint32(object.DatapathLimitDEVICE_SLOTS) - 1

// PutXDP tells the XDP programs that the device with this ifindex is an uplink, and
// its MAC address. It reports false, and writes nothing, if the device of an endpoint has the slot (their numbers are
// equal modulo the number of slots): the programs then pass everything.
func (t *Table) PutXDP(index int, mac model.MAC) (bool, error) {
	at := uint32(index) & deviceMask
	var have object.DatapathDevice
	if err := t.devices.Lookup(at, &have); err != nil {
		return false, fmt.Errorf("device slot %d: %w", at, err)
	}
	if have.Flags&uint16(object.DatapathDeviceFlagDEVICE_ENDPOINT) != 0 {
		return false, nil
	}
	want := object.DatapathDevice{
		Ifindex: uint32(index), Mac: mac, Flags: uint16(object.DatapathDeviceFlagDEVICE_UPLINK),
	}
	if want == have {
		return true, nil
	}
	if err := t.devices.Put(at, &want); err != nil {
		return false, fmt.Errorf("device slot %d: %w", at, err)
	}
	return true, nil
}

// DeleteXDP undoes PutXDP.
func (t *Table) DeleteXDP(index int) error {
	at := uint32(index) & deviceMask
	var have object.DatapathDevice
	if err := t.devices.Lookup(at, &have); err != nil {
		return fmt.Errorf("device slot %d: %w", at, err)
	}
	if have.Ifindex != uint32(index) || have.Flags&uint16(object.DatapathDeviceFlagDEVICE_UPLINK) == 0 {
		return nil
	}
	if err := t.devices.Put(at, &object.DatapathDevice{}); err != nil {
		return fmt.Errorf("device slot %d: %w", at, err)
	}
	return nil
}
