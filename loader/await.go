// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// awaitPrograms returns when no processor runs a program any more that it ran at the call.
// The kernel waits for that when an entry of a map of maps changes, for callers like this one
// (maybe_wait_bpf_programs in kernel/bpf/syscall.c).
func awaitPrograms() error {
	inner := &ebpf.MapSpec{Name: "await", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	m, err := ebpf.NewMap(inner)
	if err != nil {
		return fmt.Errorf("wait for programs: %w", err)
	}
	defer m.Close()
	outer, err := ebpf.NewMap(&ebpf.MapSpec{Name: "await", Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: inner})
	if err != nil {
		return fmt.Errorf("wait for programs: %w", err)
	}
	defer outer.Close()
	if err := outer.Put(uint32(0), m); err != nil {
		return fmt.Errorf("wait for programs: %w", err)
	}
	return nil
}
