// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"errors"
	"fmt"
	"iter"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// chunk is how many entries one system call reads. A bucket that holds more
// can't be read at all, which no hash of this size comes near.
const chunk = 4096

// Table is both tables.
type Table struct {
	v4, v6, pressures *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{v4: m.Flows4, v6: m.Flows6, pressures: m.Pressures}
}

// Limit returns how many halves each family's table has room for.
func (t *Table) Limit() (v4, v6 uint32) { return t.v4.MaxEntries(), t.v6.MaxEntries() }

// EarlyDropped returns how many connections of each family were given up for others
// because the table was full.
func (t *Table) EarlyDropped() (v4, v6 uint64, err error) {
	var all [2]object.DatapathPressure
	for family := range all {
		if err := t.pressures.Lookup(uint32(family), &all[family]); err != nil {
			return 0, 0, fmt.Errorf("pressure on the flow tables: %w", err)
		}
	}
	return all[0].EarlyDropped, all[1].EarlyDropped, nil
}

// Lookup returns the half with this key, and whether there is one.
func (t *Table) Lookup(k Key) (Half, bool, error) {
	var h Half
	var err error
	if k.IPv6() {
		key, v := key6(k), object.DatapathFlow6{}
		err = t.v6.Lookup(&key, &v)
		h = from6(&key, &v)
	} else {
		key, v := key4(k), object.DatapathFlow4{}
		err = t.v4.Lookup(&key, &v)
		h = from4(&key, &v)
	}
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return Half{}, false, nil
	}
	if err != nil {
		return Half{}, false, fmt.Errorf("flow %s: %w", k, err)
	}
	return h, true, nil
}

// Put adds or replaces a half. Fields that Half doesn't have become zero.
func (t *Table) Put(h Half) error {
	var err error
	if h.IPv6() {
		key, v := key6(h.Key), to6(&h)
		err = t.v6.Put(&key, &v)
	} else {
		key, v := key4(h.Key), to4(&h)
		err = t.v4.Put(&key, &v)
	}
	if err != nil {
		return fmt.Errorf("flow %s: %w", h.Key, err)
	}
	return nil
}

// Delete removes a half; one that is gone is not an error.
func (t *Table) Delete(k Key) error {
	var err error
	if k.IPv6() {
		key := key6(k)
		err = t.v6.Delete(&key)
	} else {
		key := key4(k)
		err = t.v4.Delete(&key)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("flow %s: %w", k, err)
	}
	return nil
}

// All yields every half of both families, in no order. An error ends the scan.
func (t *Table) All() iter.Seq2[Half, error] {
	return func(yield func(Half, error) bool) {
		_ = scan(t.v4, from4, yield) && scan(t.v6, from6, yield)
	}
}

// V4 is All for IPv4.
func (t *Table) V4() iter.Seq2[Half, error] {
	return func(yield func(Half, error) bool) { scan(t.v4, from4, yield) }
}

// V6 is All for IPv6.
func (t *Table) V6() iter.Seq2[Half, error] {
	return func(yield func(Half, error) bool) { scan(t.v6, from6, yield) }
}

// scan reports whether yield wants more and nothing went wrong.
func scan[K, V any](m *ebpf.Map, half func(*K, *V) Half, yield func(Half, error) bool) bool {
	size := min(chunk, int(m.MaxEntries()))
	keys, values := make([]K, size), make([]V, size)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			yield(Half{}, fmt.Errorf("flows in %s: %w", m, err))
			return false
		}
		for i := range n {
			if !yield(half(&keys[i], &values[i]), nil) {
				return false
			}
		}
		if err != nil {
			return true
		}
	}
}
