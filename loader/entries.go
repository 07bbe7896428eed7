// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"unsafe"

	"github.com/cilium/ebpf"
)

// chunk is how many entries of a table one system call reads or writes.
const chunk = 4096

// entries are keys or values of a size that isn't known at compile time, side by side.
type entries struct {
	size  int
	raw   []byte
	slice any // the same memory as a slice of arrays, which is what package ebpf takes
}

func newEntries(n int, size uint32) entries {
	s := reflect.MakeSlice(reflect.SliceOf(reflect.ArrayOf(int(size), reflect.TypeFor[byte]())), n, n)
	return entries{int(size), unsafe.Slice((*byte)(s.UnsafePointer()), n*int(size)), s.Interface()}
}

func (e entries) at(i int) []byte { return e.raw[i*e.size : (i+1)*e.size] }

// each yields the keys and values of a table, which are good until the next ones. An
// error ends it.
func each(m *ebpf.Map) iter.Seq2[[2][]byte, error] {
	if m.Type() == ebpf.LPMTrie {
		return eachKey(m) // kernels before 6.x read none in batches
	}
	return func(yield func([2][]byte, error) bool) {
		n := min(chunk, int(m.MaxEntries()))
		keys, values := newEntries(n, m.KeySize()), newEntries(n, m.ValueSize())
		var cursor ebpf.MapBatchCursor
		for {
			n, err := m.BatchLookup(&cursor, keys.slice, values.slice, nil)
			if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				yield([2][]byte{}, fmt.Errorf("read %s: %w", m, err))
				return
			}
			for i := range n {
				if !yield([2][]byte{keys.at(i), values.at(i)}, nil) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

func eachKey(m *ebpf.Map) iter.Seq2[[2][]byte, error] {
	return func(yield func([2][]byte, error) bool) {
		key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
		it := m.Iterate()
		for it.Next(&key, &value) {
			if !yield([2][]byte{key, value}, nil) {
				return
			}
		}
		if err := it.Err(); err != nil {
			yield([2][]byte{}, fmt.Errorf("read %s: %w", m, err))
		}
	}
}
