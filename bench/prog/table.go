// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/wire"
	"github.com/fairway-project/fairway/test/progrun/testrun"
)

// foreign is a protocol number that no packet of a path has: entries with it only
// take room.
const foreign = 253

// filler is a port of flows that only fill the table, too, but that the datapath
// opened.
const filler = 33333

// flowTable is the table of one family.
type flowTable interface {
	// fill adds foreign entries to those that there are until there are n.
	fill(n int) error
	// flows counts the entries of flows, and keeps the keys of those that don't
	// only fill the table for close.
	flows() (all, own int, err error)
	// close removes the entries whose keys flows kept. All have to be there.
	close() error
	// clear removes everything, in a hundredth of the time that it takes one by one.
	clear() error
}

func newFlowTable(h *testrun.Host, v6 bool) flowTable {
	if v6 {
		return &table[object.DatapathFlow6Key, object.DatapathFlow6]{
			m: h.Flows6,
			of: func(k *object.DatapathFlow6Key) (uint8, uint16, uint16) {
				return k.Proto, wire.Port(k.Sport), wire.Port(k.Dport)
			},
			foreign: func(i uint32) object.DatapathFlow6Key {
				return object.DatapathFlow6Key{Saddr: [4]uint32{i}, Proto: foreign}
			},
		}
	}
	return &table[object.DatapathFlow4Key, object.DatapathFlow4]{
		m: h.Flows4,
		of: func(k *object.DatapathFlow4Key) (uint8, uint16, uint16) {
			return k.Proto, wire.Port(k.Sport), wire.Port(k.Dport)
		},
		foreign: func(i uint32) object.DatapathFlow4Key { return object.DatapathFlow4Key{Saddr: i, Proto: foreign} },
	}
}

type table[K, V any] struct {
	m       *ebpf.Map
	of      func(*K) (proto uint8, source, destination uint16)
	foreign func(uint32) K
	own     []K
}

func (t *table[K, V]) fill(n int) error {
	have, _, err := t.flows()
	if err != nil || have >= n {
		return err
	}
	keys := make([]K, n-have)
	for i := range keys {
		keys[i] = t.foreign(uint32(i))
	}
	done, err := t.m.BatchUpdate(keys, make([]V, len(keys)), nil)
	if err != nil || done != len(keys) {
		return fmt.Errorf("fill flow table: %d of %d entries: %w", done, len(keys), err)
	}
	return nil
}

func (t *table[K, V]) keys() ([]K, error) {
	keys, values := make([]K, t.m.MaxEntries()), make([]V, t.m.MaxEntries())
	n, err := t.m.BatchLookup(new(ebpf.MapBatchCursor), keys, values, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil, fmt.Errorf("read flow table: %w", err)
	}
	return keys[:n], nil
}

func (t *table[K, V]) clear() error {
	keys, err := t.keys()
	if err != nil || len(keys) == 0 {
		return err
	}
	if n, err := t.m.BatchDelete(keys, nil); err != nil {
		return fmt.Errorf("clear flow table: %d of %d entries: %w", n, len(keys), err)
	}
	return nil
}

func (t *table[K, V]) flows() (all, own int, err error) {
	t.own = nil
	keys, err := t.keys()
	if err != nil {
		return 0, 0, err
	}
	for i := range keys {
		proto, source, destination := t.of(&keys[i])
		if proto == foreign {
			continue
		}
		all++
		if source != filler && destination != filler {
			t.own = append(t.own, keys[i])
		}
	}
	return all, len(t.own), nil
}

func (t *table[K, V]) close() error {
	n, err := t.m.BatchDelete(t.own, nil)
	if err != nil {
		return fmt.Errorf("%w: %d of %d entries to remove: %w", plan.ErrWrongWay, n, len(t.own), err)
	}
	return nil
}
