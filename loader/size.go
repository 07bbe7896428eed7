// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Bounds of the default size of a flow table, in entries.
const (
	MinFlowEntries = 65536
	MaxFlowEntries = 1 << 19 // 262,144 connections, as nf_conntrack_max has by default
)

// DefaultFlowEntries is the rule for the size of each of the two flow tables: two
// entries, which is one connection, per 64 KiB of memory, at least MinFlowEntries
// and at most MaxFlowEntries. A preallocated entry takes 128 bytes for IPv4 and 192
// for IPv6, so both tables together stay below 1 % of the memory.
func DefaultFlowEntries(memory uint64) uint32 {
	const perConnection, halves = 64 << 10, 2
	return uint32(min(max(memory/perConnection*halves, MinFlowEntries), MaxFlowEntries))
}

// recentEntries is the size of the ring of connections opened last, for a flow
// table of this size: a quarter of the connections that the table has room for, as a
// power of two. The older ones of a flood's half-open connections are the collector's.
func recentEntries(flowEntries uint32) uint32 {
	const entriesPerConnection, part = 2, 4
	n := uint32(1)
	for n < flowEntries/entriesPerConnection/part {
		n *= 2
	}
	return n
}

func totalMemory() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("size of memory: %w", err)
	}
	return uint64(info.Totalram) * uint64(info.Unit), nil
}

func flowEntries(wanted uint32) (uint32, error) {
	if wanted != 0 {
		return wanted, nil
	}
	memory, err := totalMemory()
	if err != nil {
		return 0, err
	}
	return DefaultFlowEntries(memory), nil
}
