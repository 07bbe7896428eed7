// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// pinMaps returns every map of spec that outlives the process, adopted from dir or
// made and pinned there. It sets the sizes in spec to those of adopted flow tables.
// The caller closes the maps, also on error.
func pinMaps(spec *ebpf.CollectionSpec, dir string) (map[string]*ebpf.Map, error) {
	pinned := make(map[string]*ebpf.Map)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return pinned, fmt.Errorf("directory of maps: %w", err)
	}
	for name, ms := range spec.Maps {
		if internalMap(name) {
			continue
		}
		m, err := pinMap(ms, filepath.Join(dir, name))
		if err != nil {
			return pinned, err
		}
		pinned[name] = m
	}
	return pinned, nil
}

func pinMap(ms *ebpf.MapSpec, path string) (*ebpf.Map, error) {
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
	if !expendable()[ms.Name] {
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

func closeMaps(all map[string]*ebpf.Map) {
	for _, m := range all {
		m.Close()
	}
}
