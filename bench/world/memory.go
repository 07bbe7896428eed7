// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/maps/object"
)

// ConnectionMemory is how many bytes of the kernel's memory one of n connections
// takes, where open makes that many beside none. With programs it is a connection's
// share of their tables, which are there whether they are used or not. Otherwise it is
// what nf_conntrack allocates for each, and a share of its buckets: those have to
// be as many as connections may be, which is where the machine's own default is.
func (w *World) ConnectionMemory(ctx context.Context, f plan.Family, n int, open func(context.Context) error) (float64, error) {
	if w.Arm == plan.EBPF || w.Arm == plan.XDP {
		return w.tableShare(f)
	}
	if err := w.Forget(); err != nil {
		return 0, err
	}
	before, err := readSlabs()
	if err != nil {
		return 0, err
	}
	if err := open(ctx); err != nil {
		return 0, err
	}
	after, err := readSlabs()
	if err != nil {
		return 0, err
	}
	bytes, err := perConnection(before, after, n)
	return bytes + bucket, err
}

// bucket is the head of one of nf_conntrack's lists.
const bucket = 8

// tableShare is the memory of a flow table, and of the ring of connections opened
// last, over the connections that the table can have: two entries for each.
func (w *World) tableShare(f plan.Family) (float64, error) {
	flows, recent := object.DatapathMapFlows4, object.DatapathMapRecent4
	if f == plan.IPv6 {
		flows, recent = object.DatapathMapFlows6, object.DatapathMapRecent6
	}
	table, entries, err := mapMemory(w.env.BPFFS, flows)
	if err != nil {
		return 0, err
	}
	ring, _, err := mapMemory(w.env.BPFFS, recent)
	return float64(table+ring) / float64(entries/2), err
}

// mapMemory is what the kernel says that a pinned map takes, and for how many entries.
func mapMemory(bpffs, name string) (bytes uint64, entries uint32, err error) {
	m, err := openPinned(bpffs, name)
	if err != nil {
		return 0, 0, err
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return 0, 0, fmt.Errorf("map %s: %w", name, err)
	}
	bytes, ok := info.Memlock()
	if !ok || bytes == 0 {
		return 0, 0, fmt.Errorf("map %s: the kernel doesn't tell its memory", name)
	}
	return bytes, info.MaxEntries, nil
}

func openPinned(bpffs, name string) (*ebpf.Map, error) {
	paths, err := filepath.Glob(filepath.Join(bpffs, "maps", "*", name))
	if err == nil && len(paths) != 1 {
		err = fmt.Errorf("there are %d", len(paths))
	}
	var m *ebpf.Map
	if err == nil {
		m, err = ebpf.LoadPinnedMap(paths[0], nil)
	}
	if err != nil {
		return nil, fmt.Errorf("pinned map %s: %w", name, err)
	}
	return m, nil
}

// slab is one of the kernel's caches of objects.
type slab struct{ objects, size uint64 }

// readSlabs reads /proc/slabinfo: name, active objects, all objects, size, ...
func readSlabs() (map[string]slab, error) {
	raw, err := os.ReadFile("/proc/slabinfo")
	if err != nil {
		return nil, err
	}
	slabs := map[string]slab{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[0] == "#" || f[0] == "slabinfo" {
			continue
		}
		objects, err1 := strconv.ParseUint(f[1], 10, 64)
		size, err2 := strconv.ParseUint(f[3], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("slabinfo: %w", err)
		}
		slabs[f[0]] = slab{objects, size}
	}
	return slabs, nil
}

// perConnection adds up the caches that grew by one object per connection: the
// connection itself, and its extensions (struct nf_ct_ext) among the general ones.
func perConnection(before, after map[string]slab, n int) (sum float64, err error) {
	for name, now := range after {
		if name != "nf_conntrack" && !strings.HasPrefix(name, "kmalloc-") {
			continue
		}
		grown := float64(now.objects) - float64(before[name].objects)
		// What others allocate meanwhile is less than half of one per connection.
		if each := grown / float64(n); each > 0.5 {
			sum += float64(int(each+0.5)) * float64(now.size)
		}
	}
	if sum == 0 {
		return 0, fmt.Errorf("no cache of the kernel grew by %d connections", n)
	}
	return sum, nil
}
