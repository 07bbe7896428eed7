// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// lockPins takes the directory of pinned objects for the daemon's life.
func (d *daemon) lockPins() error {
	held, err := lockBPFFS(d.config)
	if err != nil {
		return errors.Join(err, d.before.leavePins(d.config))
	}
	if held == nil {
		return nil
	}
	d.pins = &pins{d.config.BPFFS, held, d.log}
	d.onClose(d.pins.close)
	return d.before.lookAgain(d.config)
}

// lockBPFFS keeps other daemons away from this one's pinned maps and programs. It
// returns nil where there are none: in iptables mode, unless another mode left some.
// Files can't be made there, so the lock is the directory's, and names no PID.
func lockBPFFS(c Config) (*os.File, error) {
	for {
		f, err := openBPFFS(c)
		if f == nil || err != nil {
			return nil, err
		}
		err = flock(f)
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrRunning
		}
		// A start that was refused may have removed the directory meanwhile.
		var there bool
		if err == nil {
			there, err = loader.InPlace(c.BPFFS, f)
		}
		if there {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("bpffs %s: %w", c.BPFFS, err)
		}
	}
}

// openBPFFS opens the directory of pinned objects, or returns nil where there is none
// and none is needed.
func openBPFFS(c Config) (*os.File, error) {
	if c.Datapath == datapath.EBPF {
		if err := loader.PrepareDir(c.BPFFS); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(c.BPFFS)
	if errors.Is(err, fs.ErrNotExist) && c.Datapath != datapath.EBPF {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bpffs: %w", err)
	}
	return f, nil
}
