// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

const modeFile = "datapath"

// usedModes returns the datapaths that may have objects in the kernel: the one
// of the last daemon with this root, and more where that died while it changed
// from one to another.
func usedModes(root string) ([]datapath.Mode, error) {
	content, err := os.ReadFile(filepath.Join(root, modeFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("last datapath: %w", err)
	}
	var modes []datapath.Mode
	for _, word := range strings.Fields(string(content)) {
		modes = append(modes, datapath.Mode(word))
	}
	return modes, nil
}

// noteModes replaces what usedModes will return.
func noteModes(root string, modes ...datapath.Mode) error {
	var text strings.Builder
	for _, m := range modes {
		fmt.Fprintln(&text, m)
	}
	path := filepath.Join(root, modeFile)
	if err := os.WriteFile(path+".new", []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("last datapath: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("last datapath: %w", err)
	}
	return nil
}

// noteSwitch records, before anything is made, that from now on the present
// datapath may have objects too, and returns the others that do.
func noteSwitch(c Config) (others []datapath.Mode, err error) {
	used, err := usedModes(c.Root)
	if err != nil {
		return nil, err
	}
	others = slices.DeleteFunc(used, func(m datapath.Mode) bool { return m == c.Datapath })
	return others, noteModes(c.Root, append([]datapath.Mode{c.Datapath}, others...)...)
}

// retire removes what datapaths of earlier daemons left, once the present one
// carries the traffic.
func (d *daemon) retire(ctx context.Context, modes []datapath.Mode) error {
	for _, m := range modes {
		d.log.Info("datapath changes", "from", m, "to", d.config.Datapath)
		old, err := d.openFormer(m)
		if err != nil {
			return fmt.Errorf("remove the %s datapath: %w", m, err)
		}
		err = errors.Join(d.wanted.Retire(ctx, old), old.Close())
		if err == nil {
			err = d.engine.Retired(ctx)
		}
		if err != nil {
			return fmt.Errorf("remove the %s datapath: %w", m, err)
		}
	}
	return noteModes(d.config.Root, d.config.Datapath)
}
