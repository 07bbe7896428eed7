// SPDX-License-Identifier: Apache-2.0

package isolate

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// beInit is PID 1. It ends the process with the exit code of the one inside, and
// returns only errors.
func beInit() error {
	own, err := furnish()
	if err != nil {
		return err
	}
	if err := errors.Join(os.Setenv(stageVar, stageInside), os.Setenv(ownVar, strconv.Itoa(own))); err != nil {
		return err
	}
	inside, err := os.StartProcess("/proc/self/exe", os.Args, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return fmt.Errorf("inside: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	go func() {
		for s := range signals {
			// The terminal sends its own to all of the foreground's processes.
			if s == unix.SIGTERM {
				_ = inside.Signal(s)
			}
		}
	}()
	os.Exit(reap(inside.Pid))
	return nil
}

// reap waits for every child, orphans among them, until pid has ended.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR), err == nil && ended != pid:
			continue
		case err != nil:
			return 1
		case status.Signaled():
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
}

// furnish mounts what the process inside has, and returns the PID of this one as
// the machine knows it.
func furnish() (int, error) {
	const private = unix.MS_REC | unix.MS_PRIVATE
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		{"", "/", "", private, ""},
		{"tmpfs", base, "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0700"},
		{"/proc", base + "/proc", "", unix.MS_BIND | unix.MS_REC, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"bpf", bpffs, "bpf", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "mode=0700"},
	} {
		if m.target == base+"/proc" {
			for _, dir := range []string{"/proc", "/work", "/tmp"} {
				if err := os.Mkdir(base+dir, 0o700); err != nil {
					return 0, err
				}
			}
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return 0, fmt.Errorf("mount %s on %s: %w", m.source, m.target, err)
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return 0, fmt.Errorf("loopback: %w", err)
	}
	self, err := os.Readlink(base + "/proc/self")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(self)
}
