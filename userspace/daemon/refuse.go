// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf"
	"github.com/fairway-project/fairway/userspace/store"
)

// footprint is what wasn't there before the daemon's start. A start that is refused
// takes it back, and nothing else: what an earlier daemon left carries traffic.
type footprint struct {
	// state says that no daemon had kept anything, file that there was no state file,
	// pins that nothing was pinned, and so nothing attached.
	state, file, pins bool
	// mount says that no bpffs was mounted for pinned objects, dirs are the
	// directories on the way to them that didn't exist.
	mount bool
	dirs  []string
	// datapath is what has been opened of it; nil before.
	datapath datapath.Datapath
}

// lookForState is to be called with the directories locked.
func (f *footprint) lookForState(c Config) {
	_, err := os.Lstat(filepath.Join(c.Root, store.FileName))
	f.file = errors.Is(err, fs.ErrNotExist)
	f.state = f.file
}

// lookIntoState is to be called with the state open: a setup of a Docker Engine may have
// made it.
func (f *footprint) lookIntoState(s *store.Store) (err error) {
	f.state, err = s.Bare()
	return err
}

// lookForPins is to be called before lockBPFFS makes their directory.
func (f *footprint) lookForPins(c Config) error {
	if c.Datapath != datapath.EBPF {
		return nil
	}
	mounted, err := loader.OnBPFFS(c.BPFFS)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(c.BPFFS)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f.mount, f.dirs, f.pins = !mounted, missingDirs(c.BPFFS), len(entries) == 0
	return nil
}

// lookAgain is to be called with the directory of pinned objects locked: another daemon
// may have pinned its own since lookForPins.
func (f *footprint) lookAgain(c Config) error {
	if !f.pins {
		return nil
	}
	entries, err := os.ReadDir(c.BPFFS)
	f.pins = err == nil && !slices.ContainsFunc(entries, isPin)
	return err
}

// isPin leaves out what the kernel itself puts into a BPF filesystem that is mounted
// (populate_bpffs in kernel/bpf/inode.c).
func isPin(e fs.DirEntry) bool { return e.Name() != "maps.debug" && e.Name() != "progs.debug" }

// leavePins is to be called where the directory of pinned objects couldn't be locked:
// what is there is another daemon's. Only what isn't on a BPF filesystem is nobody's.
func (f *footprint) leavePins(c Config) error {
	fresh := f.pins
	f.pins = false
	mounted, err := loader.OnBPFFS(c.BPFFS)
	if err != nil || mounted || !fresh {
		return err
	}
	return removeEmptyDirs(f.dirs)
}

// takeBack undoes what the start did to the kernel. Where there was a state, or where
// anything was pinned, programs may be attached and networks carry traffic: they stay.
// To be called with the locks still held, that of the pinned objects above all.
func (d *daemon) takeBack(ctx context.Context) error {
	f := &d.before
	switch {
	case d.engine != nil && f.state && (f.pins || d.config.Datapath == datapath.IPTables && d.alone):
		return errors.Join(d.engine.TakeBack(ctx), d.removePins())
	case d.engine != nil || !f.pins:
		return nil
	case !f.state:
		return d.removePins()
	case f.datapath != nil:
		return errors.Join(f.datapath.Uninstall(ctx), d.removePins())
	}
	// It may have pinned maps before it was refused.
	return errors.Join(ebpf.NewRemains(d.ebpfConfig()).Uninstall(ctx), d.removePins())
}

// removePins removes the place of pinned objects.
func (d *daemon) removePins() error {
	if !d.before.pins {
		return nil
	}
	err := removeEmptyDirs(d.before.dirs)
	if d.before.mount {
		err = errors.Join(err, loader.UnmountStandard(d.config.BPFFS))
	}
	return err
}

// removeState removes the files of a state that is new.
func (d *daemon) removeState() error {
	if !d.before.state {
		return nil
	}
	names := []string{modeFile, modeFile + ".new"}
	if d.before.file {
		names = append(names, store.FileName, store.FileName+".new")
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, removeFile(filepath.Join(d.config.Root, name)))
	}
	return errors.Join(append(errs, d.removeBoxes())...)
}

// removeBoxes removes what an engine would have kept the sandboxes in. Those that run are
// of a daemon with another root: their cgroups are named after the run-dir alone.
func (d *daemon) removeBoxes() error {
	if d.boxes == nil {
		return nil
	}
	return d.boxes.Discard()
}
