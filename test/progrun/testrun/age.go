// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// Age makes every half of every flow look as if its last packet had been this
// many jiffies earlier.
func (h *Host) Age(jiffies uint32) error {
	return errors.Join(
		age(h.Flows4, func(v *object.DatapathFlow4) { v.Flow.LastSeen -= jiffies }, object.DatapathFlow4Key{}),
		age(h.Flows6, func(v *object.DatapathFlow6) { v.Flow.LastSeen -= jiffies }, object.DatapathFlow6Key{}),
	)
}

// AgeHeld makes it look as if the host had last used what it holds of SCTP and of
// protocols without ports so many jiffies earlier.
func (h *Host) AgeHeld(jiffies uint32) error {
	earlier := func(used *uint32) {
		if *used != 0 {
			*used -= jiffies
		}
	}
	return errors.Join(age(h.HostTuples, earlier, object.DatapathFlow6Key{}), age(h.HostProtocols, earlier, uint32(0)))
}

func age[K, V any](m *ebpf.Map, change func(*V), key K) error {
	var keys []K
	var values []V
	var value V
	it := m.Iterate()
	for it.Next(&key, &value) {
		keys, values = append(keys, key), append(values, value)
	}
	if err := it.Err(); err != nil {
		return err
	}
	for i := range keys {
		change(&values[i])
		if err := m.Update(&keys[i], &values[i], ebpf.UpdateExist); err != nil {
			return err
		}
	}
	return nil
}
