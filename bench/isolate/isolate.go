// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/cell"
)

// Place is what the process inside has.
type Place struct {
	// Dir is on a tmpfs that no other process sees.
	Dir string
	// BPFFS is a bpffs that no other process sees.
	BPFFS string
	// Proc is the machine's procfs, /proc is the PID namespace's. Own is this
	// run's first process in it.
	Proc string
	Own  int
}

const (
	lockFile = "/run/fairway-bench.lock"
	bpffs    = "/sys/fs/bpf"
	// insideVar tells the process inside that it is.
	insideVar = "FAIRWAY_BENCH_INSIDE"
)

// Enter returns the place if this process is inside. Otherwise it runs this
// program with the same arguments inside and returns how that ended: nil, an
// *exec.ExitError with its exit code, or why it could not run. Between outside and
// inside the standard files are the same ones. With wait it lets another run end
// first, without it there must be none.
func Enter(ctx context.Context, wait bool) (place Place, inside bool, err error) {
	if os.Getenv(insideVar) != "" {
		place, err = arrive()
		return place, true, err
	}
	return Place{}, false, outside(ctx, wait)
}

func arrive() (Place, error) {
	own, inside := cell.Inside()
	if !inside {
		return Place{}, fmt.Errorf("%s is set, and this is no cell", insideVar)
	}
	p := Place{Dir: filepath.Join(os.TempDir(), "work"), BPFFS: bpffs, Proc: os.Getenv(cell.EnvProc), Own: own}
	// Children aren't told.
	return p, errors.Join(os.Unsetenv(insideVar), os.Mkdir(p.Dir, 0o700))
}

// outside runs twice: as the process that was started, and as the init of its cell.
func outside(ctx context.Context, wait bool) error {
	if os.Geteuid() != 0 {
		return errors.New("the benchmark makes network namespaces and loads eBPF programs: run it as root")
	}
	c := cell.Cell{Namespaces: unix.CLONE_NEWNET | unix.CLONE_NEWIPC, Prepare: loopbackUp, Env: []string{insideVar + "=1"}}
	if !cell.IsInit() {
		unlock, err := lock(ctx, lockFile, wait)
		if err != nil {
			return err
		}
		defer unlock()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	state, err := c.Run(append([]string{self}, os.Args[1:]...)...)
	if err != nil {
		return fmt.Errorf("namespaces for the benchmark: %w", err)
	}
	if !state.Success() {
		return &exec.ExitError{ProcessState: state}
	}
	return nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}
