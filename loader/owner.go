// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
)

// ErrOccupied is returned where another instance carries the traffic of the network
// namespace, and the kernel has room for one.
var ErrOccupied = errors.New("another instance has its programs on devices of this network namespace; without tcx (before Linux 6.6) there is room for one")

// mapIDs returns the maps that are pinned below a directory, of any schema.
func mapIDs(dir string) (map[ebpf.MapID]bool, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("directory of maps: %w", err)
	}
	ids := make(map[ebpf.MapID]bool)
	for _, path := range paths {
		if filepath.Base(path) == copiedMark {
			continue
		}
		id, err := mapID(path)
		if err != nil {
			return nil, fmt.Errorf("pinned map %s: %w", path, err)
		}
		ids[id] = true
	}
	return ids, nil
}

func mapID(path string) (ebpf.MapID, error) {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return 0, err
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return 0, err
	}
	id, _ := info.ID()
	return id, nil
}

// owns tells a filter of this instance from another's: its program uses the maps that
// this one has pinned.
func (c *clsact) owns(f *netlink.BpfFilter) (bool, error) {
	if c.maps == nil {
		return true, nil
	}
	prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(f.Id))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("device %d: program %d: %w", f.LinkIndex, f.Id, err)
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		return false, fmt.Errorf("device %d: program %d: %w", f.LinkIndex, f.Id, err)
	}
	used, _ := info.MapIDs()
	return slices.ContainsFunc(used, func(id ebpf.MapID) bool { return c.maps[id] }), nil
}

// checkRoom refuses a namespace where filters are another's that works there.
func (c *clsact) checkRoom() error {
	if c.maps == nil {
		return nil
	}
	mine, err := c.list()
	if err != nil {
		return err
	}
	all, err := (&clsact{dir: c.dir}).list()
	if err != nil {
		return err
	}
	if len(mine) < len(all) {
		return ErrOccupied
	}
	return nil
}
