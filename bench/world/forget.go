// SPDX-License-Identifier: Apache-2.0

package world

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/netns"
)

// Forget empties the tables of connections, so that what earlier slices left there
// is in nobody's way. Nothing may be in flight.
func (w *World) Forget() error {
	var err error
	switch w.Arm {
	case plan.Redirect, plan.Lookup, plan.Route, plan.Veth, plan.VethXDP, plan.HAProxy:
	case plan.EBPF, plan.XDP:
		err = errors.Join(
			emptyPinned[object.DatapathFlow4Key, object.DatapathFlow4](w.env.BPFFS, object.DatapathMapFlows4),
			emptyPinned[object.DatapathFlow6Key, object.DatapathFlow6](w.env.BPFFS, object.DatapathMapFlows6),
			// The programs count what they delete themselves.
			zeroPinned[object.DatapathFlowUse](w.env.BPFFS, object.DatapathMapFlowUses),
			zeroPinned[object.DatapathFlowCorrection](w.env.BPFFS, object.DatapathMapFlowCorrections),
			zeroPinned[int32](w.env.BPFFS, object.DatapathMapPortUses))
	default:
		err = netns.Do(w.host, func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
	}
	if err != nil {
		return fmt.Errorf("arm %s: forget connections: %w", w.Arm, err)
	}
	return nil
}

// emptyPinned deletes all entries of one of the daemon's maps.
func emptyPinned[K, V any](bpffs, name string) (err error) {
	m, err := openPinned(bpffs, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	const chunk = 4096
	keys, values := make([]K, chunk), make([]V, chunk)
	var cursor ebpf.MapBatchCursor
	for {
		_, err := m.BatchLookupAndDelete(&cursor, keys, values, nil)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("pinned map %s: %w", name, err)
		}
	}
}

// zeroPinned makes all elements of one of the daemon's arrays zero.
func zeroPinned[V any](bpffs, name string) (err error) {
	m, err := openPinned(bpffs, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	keys, values := make([]uint32, m.MaxEntries()), make([]V, m.MaxEntries())
	for i := range keys {
		keys[i] = uint32(i)
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		return fmt.Errorf("pinned map %s: %w", name, err)
	}
	return nil
}
