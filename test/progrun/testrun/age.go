// SPDX-License-Identifier: Apache-2.0

package testrun

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
)

// Age makes every half of every flow look as if its packets had come this many
// jiffies earlier.
func (h *Host) Age(jiffies uint32) error {
	return errors.Join(
		age(h.Flows4, func(k *object.DatapathFlow4Key, v *object.DatapathFlow4) {
			ageFlow(&v.Flow.LastSeen, &v.Flow.TcpAck, k.Proto, jiffies)
		}),
		age(h.Flows6, func(k *object.DatapathFlow6Key, v *object.DatapathFlow6) {
			ageFlow(&v.Flow.LastSeen, &v.Flow.TcpAck, k.Proto, jiffies)
		}),
	)
}

// AgeHeld makes it look as if the host had last used, or first heard, what it holds of SCTP and of
// protocols without ports so many jiffies earlier.
func (h *Host) AgeHeld(jiffies uint32) error {
	earlier := func(used *uint32) {
		if *used != 0 {
			*used -= jiffies
		}
	}
	return errors.Join(
		age(h.HostTuples, func(_ *object.DatapathFlow6Key, used *uint32) { earlier(used) }),
		age(h.AnswerTuples, func(_ *object.DatapathFlow6Key, used *uint32) { earlier(used) }),
		ageArray(h.HeardTuples, func(v *object.DatapathHeard) { earlier(&v.First) }),
		age(h.HostProtocols, func(_, used *uint32) { earlier(used) }),
	)
}

// HearOthers makes it look as if the host had heard, when it heard something last, tuples that
// nobody uses, one for each place.
func (h *Host) HearOthers() error {
	var last uint32
	return errors.Join(
		ageArray(h.HeardTuples, func(v *object.DatapathHeard) { last = max(last, v.First) }),
		ageArray(h.HeardTuples, func(v *object.DatapathHeard) { v.First, v.Hash = last, ^v.Hash }),
	)
}

// ageFlow knows that when a direction began has the place of TCP's acknowledgement.
func ageFlow(lastSeen, tcpAck *uint32, proto uint8, jiffies uint32) {
	*lastSeen -= jiffies
	if proto != unix.IPPROTO_TCP && *tcpAck != 0 {
		*tcpAck -= jiffies
	}
}

// ageArray is age for all of a large array at once.
func ageArray[V any](m *ebpf.Map, change func(*V)) error {
	return changeArray(m, func(_ int, v *V) { change(v) })
}

func changeArray[V any](m *ebpf.Map, change func(int, *V)) error {
	keys, values := make([]uint32, m.MaxEntries()), make([]V, m.MaxEntries())
	if _, err := m.BatchLookup(new(ebpf.MapBatchCursor), keys, values, nil); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("read %s: %w", m, err)
	}
	for i := range values {
		change(int(keys[i]), &values[i])
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		return fmt.Errorf("write %s: %w", m, err)
	}
	return nil
}

func age[K, V any](m *ebpf.Map, change func(*K, *V)) error {
	var keys []K
	var values []V
	var key K
	var value V
	it := m.Iterate()
	for it.Next(&key, &value) {
		keys, values = append(keys, key), append(values, value)
	}
	if err := it.Err(); err != nil {
		return err
	}
	for i := range keys {
		change(&keys[i], &values[i])
		if err := m.Update(&keys[i], &values[i], ebpf.UpdateExist); err != nil {
			return err
		}
	}
	return nil
}
