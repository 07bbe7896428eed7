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

// lockBPFFS keeps other daemons away from this one's pinned maps and programs. It
// returns nil where there are none: in iptables mode, unless another mode left some.
// Files can't be made there, so the lock is the directory's, and names no PID.
func lockBPFFS(c Config) (*os.File, error) {
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
	err = flock(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrRunning
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("bpffs %s: %w", c.BPFFS, err)
	}
	return f, nil
}
