// SPDX-License-Identifier: Apache-2.0

// Package expired hands condemned flows to the program that removes them.
//
// The control plane judges flows by what it read a while ago; a packet may have
// passed since. The program compares last_seen of both entries with what was read
// in one step with the condemnation, so a flow that just saw a packet stays.
package expired

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// Batch is how many entries one run takes.
const Batch = int(object.DatapathLimitCOLLECT_BATCH)

// Entry is one flow to remove.
type Entry = object.DatapathExpired

// Collector runs the program. It isn't safe for concurrent use.
type Collector struct {
	m       *ebpf.Map
	collect *ebpf.Program
	keys    []uint32
}

// New returns a collector that uses this map and program, which stay the caller's.
func New(m *object.DatapathMaps, p *object.DatapathPrograms) *Collector {
	keys := make([]uint32, Batch)
	for i := range keys {
		keys[i] = uint32(i)
	}
	return &Collector{m: m.Expired, collect: p.Collect, keys: keys}
}

// Collect removes the flows that are still as they were read, and sets Collected
// in the entries of those that are gone. It takes at most Batch entries.
func (c *Collector) Collect(entries []Entry) error {
	if len(entries) > Batch {
		return fmt.Errorf("collect %d flows: at most %d at a time", len(entries), Batch)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := c.m.BatchUpdate(c.keys[:len(entries)], entries, nil); err != nil {
		return fmt.Errorf("collect: write entries: %w", err)
	}
	req := object.DatapathCollectRequest{Count: uint32(len(entries))}
	if _, err := c.collect.Run(&ebpf.RunOptions{Context: &req, ContextOut: &req}); err != nil {
		return fmt.Errorf("collect: run program: %w", err)
	}
	var cursor ebpf.MapBatchCursor
	_, err := c.m.BatchLookup(&cursor, c.keys[:len(entries)], entries, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("collect: read entries: %w", err)
	}
	return nil
}
