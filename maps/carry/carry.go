// SPDX-License-Identifier: Apache-2.0

// Package carry hands connections of tables with another layout to the program that
// enters them in the tables of this one; see bpf/carry.bpf.c.
package carry

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// Batch is how many entries one run takes.
const Batch = int(object.DatapathLimitCARRY_BATCH)

// Outcome is what became of an entry.
type Outcome = object.DatapathCarryOutcome

// Outcomes.
const (
	Entered = object.DatapathCarryOutcomeCARRY_ENTERED
	Known   = object.DatapathCarryOutcomeCARRY_KNOWN
	Taken   = object.DatapathCarryOutcomeCARRY_TAKEN
	Full    = object.DatapathCarryOutcomeCARRY_FULL
)

// Entry is half a connection in the layout of this version's tables.
type Entry = object.DatapathCarried

// Bytes returns the places of a key and of a value of the family in an entry.
func Bytes(e *Entry, v6 bool) (key, value []byte) {
	k, v := unsafe.Pointer(&e.Key), unsafe.Pointer(&e.Flow)
	if v6 {
		return unsafe.Slice((*byte)(k), unsafe.Sizeof(e.Key)), unsafe.Slice((*byte)(v), unsafe.Sizeof(e.Flow))
	}
	return unsafe.Slice((*byte)(k), unsafe.Sizeof(object.DatapathFlow4Key{})),
		unsafe.Slice((*byte)(v), unsafe.Sizeof(object.DatapathFlow4{}))
}

// Carrier runs the program. It isn't safe for concurrent use.
type Carrier struct {
	m     *ebpf.Map
	carry *ebpf.Program
	keys  []uint32
}

// New returns a carrier that uses this map and program, which stay the caller's.
func New(m *object.DatapathMaps, p *object.DatapathPrograms) *Carrier {
	keys := make([]uint32, Batch)
	for i := range keys {
		keys[i] = uint32(i)
	}
	return &Carrier{m: m.Carried, carry: p.Carry, keys: keys}
}

// Carry enters connections, and sets the entries' Outcome. It takes at most Batch entries.
// To hand in the same entry again does no harm.
func (c *Carrier) Carry(entries []Entry) error {
	if len(entries) > Batch {
		return fmt.Errorf("carry %d entries: at most %d at a time", len(entries), Batch)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := c.m.BatchUpdate(c.keys[:len(entries)], entries, nil); err != nil {
		return fmt.Errorf("carry connections over: write entries: %w", err)
	}
	req := object.DatapathCollectRequest{Count: uint32(len(entries))}
	if _, err := c.carry.Run(&ebpf.RunOptions{Context: &req, ContextOut: &req}); err != nil {
		return fmt.Errorf("carry connections over: run program: %w", err)
	}
	var cursor ebpf.MapBatchCursor
	_, err := c.m.BatchLookup(&cursor, c.keys[:len(entries)], entries, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("carry connections over: read entries: %w", err)
	}
	return nil
}
