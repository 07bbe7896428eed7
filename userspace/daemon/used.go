// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/engine"
	"github.com/fairway-project/fairway/userspace/netns"
)

// ErrUsed is returned where the run-dir has sandboxes that the root doesn't know.
var ErrUsed = errors.New("it has sandboxes of another root, or of a state that is lost")

// checkUnused refuses a state that is new over sandboxes that go on without their daemon:
// the start would take them for leftovers and end them. Most likely the root is mistyped.
// An uninstall of whatever is there is no such start.
func (d *daemon) checkUnused() error {
	if !d.before.state || d.sweep {
		return nil
	}
	running, err := d.boxes.Running()
	if err != nil {
		return err
	}
	kept, err := namespaces(engine.NetnsDir(d.config.RunDir))
	if err != nil {
		return err
	}
	if len(running) == 0 && len(kept) == 0 {
		return nil
	}
	return fmt.Errorf("run-dir %s: %w: start with their --root or with another --run-dir, or remove them with fairway uninstall --root %s",
		d.config.RunDir, ErrUsed, d.config.Root)
}

// namespaces returns the network namespaces that are bound in dir. What a reboot left
// there are files.
func namespaces(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory for namespaces: %w", err)
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); netns.Check(path) == nil {
			paths = append(paths, path)
		}
	}
	return paths, nil
}
