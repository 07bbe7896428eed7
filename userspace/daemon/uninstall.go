// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/api"
)

// Uninstall removes every trace of a daemon that isn't running, as the API's
// uninstall does for one that is, and tells removed one line per thing removed. The
// datapath is the one that was used last, whatever c says.
func Uninstall(ctx context.Context, c Config, purge bool, removed func(string)) (err error) {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := checkPrivilege(); err != nil {
		return err
	}
	if err := enterHostMounts(); err != nil {
		return err
	}
	used, err := usedModes(c.Root)
	if err != nil {
		return err
	}
	if len(used) > 0 {
		c.Datapath = used[0]
	}
	// What it has is Docker's own, but for what the datapath knows of it; what its driver
	// made is removed as whatever else is left.
	c.Docker, c.DockerPlugin, c.Netfilter = "", "", ""
	d := newDaemon(c, Parts{})
	// What it opens was there before, and is what it removes.
	d.sweep, d.ready = true, true
	setLimits(d.log)
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.open(ctx); err != nil {
		return err
	}
	if err := d.engine.Uninstall(ctx, purge, removed); err != nil {
		return err
	}
	return errors.Join(removeSocket(c.RunDir), d.removePurged())
}

// removeSocket removes what a daemon that was killed left for clients to find.
func removeSocket(runDir string) error {
	err := os.Remove(filepath.Join(runDir, api.SocketName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
