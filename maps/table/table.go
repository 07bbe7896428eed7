// SPDX-License-Identifier: Apache-2.0

// Package table has what all tables do in the same way. K and V are a map's key and
// value as the kernel has them.
package table

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// Delete removes an entry; one that is gone is no error. The error names what it was.
func Delete(m *ebpf.Map, key any, format string, args ...any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
	}
	return nil
}

// All reads a map, entry by entry; what is written meanwhile may be missing. The error
// names what they are.
func All[K, V any, Key comparable, Value any](m *ebpf.Map, what string, key func(*K) Key, value func(*V) Value) (map[Key]Value, error) {
	all := make(map[Key]Value)
	var k K
	var v V
	it := m.Iterate()
	for it.Next(&k, &v) {
		all[key(&k)] = value(&v)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// Same is for keys and values that are what the kernel has.
func Same[T any](v *T) T { return *v }

// Slot is for values that are the number of a slot.
func Slot(v *uint32) uint16 { return uint16(*v) }
