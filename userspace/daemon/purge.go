// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/docker/plugin"
	"github.com/fairway-project/fairway/userspace/store"
)

// removePurged deletes the state on disk after an uninstall that asked for it. What the
// undo of a Docker Engine's setup needs stays, in a file.
func (d *daemon) removePurged() error {
	if !d.engine.Purged() {
		return nil
	}
	if err := d.kept.PutAside(context.Background()); err != nil {
		return fmt.Errorf("purge: %w", err)
	}
	return d.purgeDirs()
}

// purgeDirs removes the daemon's files by name: what else is in a directory that
// was given as --root is not its to delete, and keeps the directory.
func (d *daemon) purgeDirs() error {
	var errs []error
	for _, name := range []string{store.FileName, store.FileName + ".new", modeFile, modeFile + ".new", plugin.FormerFile, plugin.Migrated, lockName} {
		errs = append(errs, removeFile(filepath.Join(d.config.Root, name)))
	}
	errs = append(errs, removeFile(filepath.Join(d.config.RunDir, lockName)),
		d.removeEmpty(d.config.Root), d.removeEmpty(d.config.RunDir))
	return errors.Join(errs...)
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("purge: %w", err)
	}
	return nil
}

// removeEmpty removes a directory of the daemon's unless something is left in it.
func (d *daemon) removeEmpty(dir string) error {
	err := removeFile(dir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EBUSY) {
		d.log.Info("directory stays, it has files of others or is a mount point", "dir", dir)
		return nil
	}
	return err
}
