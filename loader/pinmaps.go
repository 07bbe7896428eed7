// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cilium/ebpf"
)

// pinMaps returns every map that outlives the process and its programs, adopted from where
// it belongs or made and pinned there. It sets the sizes in the survey's spec to those of
// adopted flow tables. The caller closes the maps, also on error.
func pinMaps(s *survey) (map[string]*ebpf.Map, error) {
	pinned := make(map[string]*ebpf.Map)
	for _, g := range s.groups {
		for _, name := range g.tables {
			ms, ok := s.spec.Maps[name]
			if !ok {
				continue
			}
			m, err := pinMap(ms, s.path(g, name), g.bring == anew)
			if err != nil {
				return pinned, err
			}
			pinned[name] = m
		}
	}
	return pinned, nil
}

// pinMap makes a map anew in the place of one of another layout if it is expendable.
func pinMap(ms *ebpf.MapSpec, path string, expendable bool) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return newPinnedMap(ms, path)
	}
	if err != nil {
		return nil, explain(fmt.Errorf("pinned map %s: %w", path, err))
	}
	if sizedByFlows(ms.Name) {
		ms.MaxEntries = m.MaxEntries()
	}
	incompatible := ms.Compatible(m)
	if incompatible == nil {
		return m, nil
	}
	if err := m.Close(); err != nil {
		return nil, fmt.Errorf("pinned map %s: %w", path, err)
	}
	if !expendable {
		return nil, fmt.Errorf("pinned map %s: %w", path, incompatible)
	}
	if err := os.Remove(path); err != nil {
		return nil, fmt.Errorf("pinned map: %w", err)
	}
	return newPinnedMap(ms, path)
}

func newPinnedMap(ms *ebpf.MapSpec, path string) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(ms)
	if err != nil {
		return nil, explain(fmt.Errorf("map %s with %d entries: %w", ms.Name, ms.MaxEntries, err))
	}
	if err := m.Pin(path); err != nil {
		return nil, errors.Join(explain(fmt.Errorf("pin map %s: %w", path, err)), m.Close())
	}
	return m, nil
}

func closeAll(all ...*ebpf.Map) {
	for _, m := range all {
		m.Close()
	}
}
