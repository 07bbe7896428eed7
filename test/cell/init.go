// SPDX-License-Identifier: Apache-2.0

package cell

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tmp gets a filesystem in memory for what is temporary: state is synced to disk often, and
// paths of sockets have to be short.
const tmp = "/media"

// places returns where a cell has its temporary files and the machine's procfs, which /proc
// was, with the machine's own threads. A cell in a cell hides nothing of the outer one's: what
// runs in it may lie there.
func places() (files, proc, machine string) {
	files, machine = tmp, "/proc"
	if outer := os.Getenv(EnvProc); outer != "" {
		files, machine = filepath.Join(filepath.Dir(outer), "in"), outer
	}
	return files, filepath.Join(files, "proc"), machine
}

// defaultPatience is long enough for the slowest test on a machine that is much slower
// than any of today's.
const defaultPatience = 10 * time.Minute

// initialise is the init: it makes the mounts, starts the binary, reaps whatever ends, and
// exits with the binary's code. Its end ends everything in the cell.
func (c Cell) initialise(args []string) (int, error) {
	if err := mounts(); err != nil {
		return 0, err
	}
	if c.Prepare != nil {
		if err := c.Prepare(); err != nil {
			return 0, err
		}
	}
	patience, err := patience(args)
	if err != nil {
		return 0, err
	}
	pid, output, err := c.start(args, patience > 0)
	if err != nil {
		return 0, err
	}
	stop := forward(pid)
	defer stop()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		if output != nil {
			watch(os.Stdout, output, patience, func() { giveUp(pid, patience) })
		}
	}()
	code := reap(pid)
	// What the binary started may hold its output open.
	select {
	case <-copied:
	case <-time.After(time.Second):
	}
	return code, nil
}

func mounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	files, proc, machine := places()
	for _, m := range []struct {
		kind, at string
		flags    uintptr
	}{
		{"tmpfs", files, 0}, {machine, proc, unix.MS_BIND | unix.MS_REC},
		{"proc", "/proc", 0}, {"bpf", "/sys/fs/bpf", 0}, {"tmpfs", "/run/netns", 0},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
		}
	}
	return unix.Mount("", "/run/netns", "", unix.MS_SHARED, "")
}

// patience is zero, which is for ever, where nobody says that something is printed.
func patience(args []string) (time.Duration, error) {
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "-test.v") }) {
		return 0, nil
	}
	value := os.Getenv(EnvPatience)
	if value == "" {
		return defaultPatience, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", EnvPatience, err)
	}
	return d, nil
}

// start starts the program, with its standard output in a pipe if it is watched.
func (c Cell) start(args []string, watched bool) (pid int, output *os.File, err error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 0, nil, err
	}
	stdout := os.Stdout
	if watched {
		if output, stdout, err = os.Pipe(); err != nil {
			return 0, nil, err
		}
		defer stdout.Close()
	}
	files, proc, _ := places()
	env := append([]string{envInit + "-", "TMPDIR=" + files, EnvProc + "=" + proc}, c.Env...)
	p, err := os.StartProcess(path, args, &os.ProcAttr{
		Env: environ(env...), Files: []*os.File{os.Stdin, stdout, os.Stderr},
	})
	if err != nil {
		if output != nil {
			err = errors.Join(err, output.Close())
		}
		return 0, nil, err
	}
	return p.Pid, output, nil
}

// reap waits for every process of the cell that has no other parent, until the binary
// ends, and returns its exit code.
func reap(binary int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			fmt.Fprintf(os.Stderr, "cell: wait: %v\n", err)
			return 1
		case pid == binary && (status.Exited() || status.Signaled()):
			return exitCode(status)
		}
	}
}

// giveUp ends a binary that has stopped printing: first so that it shows its stacks.
func giveUp(pid int, silence time.Duration) {
	fmt.Fprintf(os.Stderr, "cell: nothing was printed for %s: the tests hang\n", silence)
	_ = syscall.Kill(pid, syscall.SIGQUIT)
	time.AfterFunc(30*time.Second, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
}
