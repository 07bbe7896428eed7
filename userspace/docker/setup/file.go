// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// file is a daemon.json, key by key; keys that aren't ours are kept as they are.
type file map[string]json.RawMessage

// readFile returns no keys for a file that isn't there.
func readFile(path string) (file, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, nil
	}
	if err != nil {
		return nil, err
	}
	f := file{}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// text returns a value as a flag would give it; empty if it isn't there.
func (f file) text(key string) string {
	raw, ok := f[key]
	if !ok {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// with returns a copy with other keys.
func (f file) with(edits []Edit) file {
	out := maps.Clone(f)
	for _, e := range edits {
		out[e.Key] = json.RawMessage(e.New)
	}
	return out
}

// write replaces the file at path, so that a reader sees the old one or the new.
func (f file) write(path string) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return replace(path, append(raw, '\n'))
}

func replace(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	temp := path + ".fairway"
	if err := os.WriteFile(temp, content, mode); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Edit is a key of daemon.json and its values in JSON; Old is empty if the key is
// new.
type Edit struct{ Key, Old, New string }

func (e Edit) String() string {
	if e.Old == "" {
		return fmt.Sprintf("add %q: %s", e.Key, e.New)
	}
	return fmt.Sprintf("change %q from %s to %s", e.Key, e.Old, e.New)
}

// edits are what f lacks of the wanted values.
func (f file) edits(want map[string]string) []Edit {
	var out []Edit
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if old := string(f[key]); old != want[key] {
			out = append(out, Edit{key, old, want[key]})
		}
	}
	return out
}
