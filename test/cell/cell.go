// SPDX-License-Identifier: Apache-2.0

// Package cell runs a test binary in process and mount namespaces of its own. What the
// tests start ends with the binary, however that ends: daemons, engines, containers. What
// they pin and mount goes with them, since bpffs, /run/netns and the directory for
// temporary files are the cell's. So a killed run leaves nothing in force on the machine.
//
// Three processes make a cell: the one that was started, which waits outside; an init,
// which mounts, reaps and watches; and the binary.
//
// Be aware: control groups belong to the machine. Those that are named after a cell
// are removed when it ends, by the cell or by Clean. The network namespace is the caller's.
package cell

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Environment variables of a cell.
const (
	// envInside holds the process ID that the cell has outside.
	envInside = "FAIRWAY_TEST_CELL"
	// envInit tells the init that it is one.
	envInit = "FAIRWAY_TEST_CELL_INIT"
	// EnvProc holds where a cell has the machine's procfs. It is not set elsewhere.
	EnvProc = "FAIRWAY_TEST_PROC"
	// EnvPatience is how long a verbose binary may print nothing, as a Go duration.
	EnvPatience = "FAIRWAY_TEST_PATIENCE"
)

// Inside returns whether the process is in a cell, and the process ID that the cell has
// outside, which no other cell has while this one lives.
func Inside() (id int, inside bool) {
	id, err := strconv.Atoi(os.Getenv(envInside))
	return id, err == nil && os.Getenv(envInit) == ""
}

// Run runs args in a new cell and returns the exit code, for the caller to exit with. It
// starts the calling executable once more as the cell's init, which has to call Run with
// the same args. The cell ends when the calling process does, or its parent.
func Run(args ...string) int {
	// The kernel ends the init when the thread that started it does.
	runtime.LockOSThread()
	role := outside
	if os.Getenv(envInit) != "" {
		role = initialise
	}
	code, err := role(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cell: %v\n", err)
		return 1
	}
	return code
}

// outside starts the init and waits for it.
func outside(args []string) (int, error) {
	if err := endWithParent(); err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	init, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env:   append(os.Environ(), fmt.Sprintf("%s=%d", envInside, os.Getpid()), envInit+"=1"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("start the init of the cell of %v: %w", args, err)
	}
	stop := forward(init.Pid)
	defer stop()
	state, err := init.Wait()
	if err != nil {
		return 0, err
	}
	removeCgroups(os.Getpid())
	return exitCode(state.Sys().(syscall.WaitStatus)), nil
}

// endWithParent has the kernel end this process with its parent, which may have ended
// just before.
func endWithParent() error {
	parent := os.Getppid()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("end with the parent: %w", err)
	}
	if os.Getppid() != parent {
		return fmt.Errorf("the parent %d has ended", parent)
	}
	return nil
}

// forward passes the signals on with which runs are ended or asked for their stacks.
func forward(pid int) (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	go func() {
		for s := range signals {
			_ = syscall.Kill(pid, s.(syscall.Signal))
		}
	}()
	return func() { signal.Stop(signals); close(signals) }
}

// exitCode is a shell's.
func exitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
