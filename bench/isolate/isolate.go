// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// base exists outside, empty; inside it is a tmpfs.
const base = "/run/fairway-bench"

const bpffs = "/sys/fs/bpf"

// What a process is told by its environment.
const (
	stageVar = "FAIRWAY_BENCH_STAGE"
	ownVar   = "FAIRWAY_BENCH_OWN"

	stageInit   = "init"
	stageInside = "inside"
)

// grace is what the process inside has to clean up after an interrupt.
const grace = time.Minute

// Enter returns the place if this process is inside. Otherwise it runs this
// program with the same arguments inside and returns how that ended: nil, an
// *exec.ExitError with its exit code, or why it could not run. Between outside and
// inside the standard files are the same ones. With wait it lets another run end
// first, without it there must be none.
func Enter(ctx context.Context, wait bool) (place Place, inside bool, err error) {
	switch os.Getenv(stageVar) {
	case stageInside:
		place, err = arrive()
		return place, true, err
	case stageInit:
		return Place{}, false, beInit()
	}
	return Place{}, false, outside(ctx, wait)
}

func arrive() (Place, error) {
	own, err := strconv.Atoi(os.Getenv(ownVar))
	if err != nil {
		return Place{}, fmt.Errorf("%s: %w", ownVar, err)
	}
	p := Place{Dir: base + "/work", BPFFS: bpffs, Proc: base + "/proc", Own: own}
	// Children are no stages, and their temporary files end here too.
	return p, errors.Join(os.Unsetenv(stageVar), os.Unsetenv(ownVar), os.Setenv("TMPDIR", base+"/tmp"))
}

func outside(ctx context.Context, wait bool) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the benchmark makes network namespaces and loads eBPF programs: run it as root")
	}
	unlock, err := lock(ctx, base+".lock", wait)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(base, 0o700); err != nil {
		return err
	}
	before, err := cgroups()
	if err != nil {
		return err
	}
	err = again(ctx, stageInit, unix.CLONE_NEWPID|unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWIPC)
	return errors.Join(err, removeNew(before), os.Remove(base))
}

// again runs this program in another stage. The thread stays this goroutine's:
// its end would be the parent's death for the kernel.
func again(ctx context.Context, stage string, flags uintptr) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageVar+"="+stage)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = grace
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || err == nil {
		return err
	}
	return fmt.Errorf("namespaces for the benchmark: %w", err)
}
