// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
)

// written are the keys that a setup may have written.
var written = []string{"iptables", "ip6tables", "userland-proxy-path", "ip-forward"}

// Undo gives the keys that were set up the values that they had before and tells what
// it did. What else was changed in the engine's file since then stays. Where no file is
// kept nothing was set up, and nothing is done. Rules that were removed come back when
// the engine starts.
func Undo(ctx context.Context, o Options, k Keeper) ([]string, error) {
	if err := CheckPrivilege(); err != nil {
		return nil, err
	}
	if o.Config == "" {
		e, err := FindEngine()
		if err != nil {
			return nil, err
		}
		o.Config = e.Config
	}
	saved, kept, err := k.Kept(ctx)
	if err != nil {
		return nil, err
	}
	if !kept {
		return []string{"nothing to undo: dockerd's configuration was not set up with this state"}, nil
	}
	done, err := restore(o.Config, saved)
	if err != nil {
		return nil, err
	}
	if err := k.Forget(ctx); err != nil {
		return nil, err
	}
	return []string{done, "restart dockerd, which makes its own rules again: systemctl restart docker"}, nil
}

// restore undoes the edits in the file at path, which was saved before them; empty if
// there was none.
func restore(path string, saved []byte) (done string, err error) {
	before := file{}
	if len(saved) > 0 {
		if err := json.Unmarshal(saved, &before); err != nil {
			return "", fmt.Errorf("saved copy of %s: %w", path, err)
		}
	}
	now, err := readFile(path)
	if err != nil {
		return "", err
	}
	for _, key := range written {
		if old, there := before[key]; there {
			now[key] = old
		} else {
			delete(now, key)
		}
	}
	switch same := maps.EqualFunc(now, before, sameJSON); {
	case !same:
		return path + ": settings as before, and what was changed since then", now.write(path)
	case len(saved) > 0:
		return path + ": as it was before", replace(path, saved)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return path + ": removed, as there was none before", nil
}

// sameJSON compares values but for white space.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}
