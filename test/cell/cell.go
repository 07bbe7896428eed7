// SPDX-License-Identifier: Apache-2.0

// Package cell runs a program in process and mount namespaces of its own: a test binary, or
// the benchmark. What the program starts ends with it, however that ends: daemons, engines,
// containers. What it pins and mounts goes with it, since bpffs, /run/netns and the directory
// for temporary files are the cell's. So a killed run leaves nothing in force on the machine.
//
// Three processes make a cell: the one that was started, which waits outside; an init,
// which mounts, reaps and watches; and the program.
//
// Be aware: control groups belong to the machine. Those that are named after a cell (Named)
// are removed when it ends, by the cell or by Clean.
package cell

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
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

// Cell says what a program has beside process and mount namespaces of its own.
type Cell struct {
	// Namespaces are more of them, as unix.CLONE_NEWNET. Without, the caller's network
	// namespace is the program's.
	Namespaces uintptr
	// Prepare is called in the namespaces before the program starts.
	Prepare func() error
	// Env is added to the program's environment.
	Env []string
}

// Inside returns whether the process is in a cell, and the process ID that the cell has
// outside, which no other cell has while this one lives.
func Inside() (id int, inside bool) {
	id, err := strconv.Atoi(os.Getenv(envInside))
	return id, err == nil && !IsInit()
}

// IsInit reports whether the process is started as the init of a cell: what has to be done
// once, outside, isn't its to do.
func IsInit() bool { return os.Getenv(envInit) != "" }

// Run runs args in a new cell and returns the exit code, for the caller to exit with. It
// starts the calling executable once more as the cell's init, which has to call Run with
// the same args. The cell ends when the calling process does, or its parent.
func Run(args ...string) int {
	if !IsInit() {
		if err := endWithParent(); err != nil {
			fmt.Fprintf(os.Stderr, "cell: %v\n", err)
			return 1
		}
	}
	state, err := Cell{}.Run(args...)
	if err != nil {
		fmt.Fprintf(os.Stderr, "cell: %v\n", err)
		return 1
	}
	return exitCode(state.Sys().(syscall.WaitStatus))
}

// Run runs args in a new cell and returns how that ended. It starts the calling executable
// once more, with the same arguments, as the cell's init, which has to call Run with the
// same args too; there it doesn't return. The cell ends when the calling process does.
func (c Cell) Run(args ...string) (*os.ProcessState, error) {
	// The kernel ends the init when the thread that started it does.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if IsInit() {
		code, err := c.initialise(args)
		if err != nil {
			fmt.Fprintf(os.Stderr, "cell: %v\n", err)
			code = 1
		}
		os.Exit(code)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	init, err := os.StartProcess(self, os.Args, &os.ProcAttr{
		Env:   environ(fmt.Sprintf("%s=%d", envInside, os.Getpid()), envInit+"=1"),
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | c.Namespaces, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return nil, fmt.Errorf("start the init of the cell of %v: %w", args, err)
	}
	stop := forward(init.Pid)
	defer stop()
	state, err := init.Wait()
	if err != nil {
		return nil, err
	}
	removeCgroups(os.Getpid())
	return state, nil
}

// environ is the process's environment with these variables, and without those whose names
// end in a minus.
func environ(changes ...string) []string {
	env := os.Environ()
	for _, change := range changes {
		name, _, set := strings.Cut(change, "=")
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, strings.TrimSuffix(name, "-")+"=") })
		if set {
			env = append(env, change)
		}
	}
	return env
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

// forward passes the signals on with which runs are ended or asked for their stacks, and
// outlives them. What a terminal sends to all of the foreground's processes comes twice then.
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
