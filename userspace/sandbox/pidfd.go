// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pidfd refers to one process for good, unlike its number (pidfd_open(2)). It is
// watched by the runtime's poller: no thread waits for it.
type pidfd struct {
	file *os.File
}

func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrFinished
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: open pidfd: %w", pid, err)
	}
	return newPidfd(fd)
}

// newPidfd takes ownership of fd.
func newPidfd(fd int) (*pidfd, error) {
	// The poller takes only what doesn't block.
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("pidfd: %w", err), unix.Close(fd))
	}
	return &pidfd{file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// waitEnd returns when the process has ended; a child is a zombie then.
func (p *pidfd) waitEnd() error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var pollErr error
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if errors.Is(err, unix.EINTR) {
			return false
		}
		pollErr = err
		return err != nil || n > 0
	})
	return errors.Join(err, pollErr)
}

// ended reports whether the process has ended.
func (p *pidfd) ended() bool {
	var ready int
	closed := p.control(func(fd int) {
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return closed != nil || ready > 0
}

func (p *pidfd) signal(pid int, sig unix.Signal) error {
	var err error
	closed := p.control(func(fd int) { err = unix.PidfdSendSignal(fd, sig, nil, 0) })
	if closed != nil || errors.Is(err, unix.ESRCH) {
		return ErrFinished
	}
	if err != nil {
		return fmt.Errorf("process %d: send signal %d: %w", pid, sig, err)
	}
	return nil
}

// duplicate returns a descriptor of the caller's own.
func (p *pidfd) duplicate() (*os.File, error) {
	var dup int
	var err error
	if closed := p.control(func(fd int) { dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }); closed != nil {
		return nil, ErrFinished
	}
	if err != nil {
		return nil, fmt.Errorf("duplicate pidfd: %w", err)
	}
	return os.NewFile(uintptr(dup), "pidfd"), nil
}

// control runs f with the descriptor, which stays open meanwhile.
func (p *pidfd) control(f func(fd int)) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { f(int(fd)) })
}

func (p *pidfd) close() error { return p.file.Close() }

// startTime returns field 22 of proc_pid_stat(5), or ErrFinished if there is no
// such process or only a zombie.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return 0, ErrFinished
	}
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	// The second field is the program's name in brackets, which may hold any
	// character; the third follows the last bracket.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: stat has %d fields after the name, want 20", pid, len(fields))
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return 0, ErrFinished
	}
	t, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	return t, nil
}

// BootID is the kernel's name for the time since the machine started.
func BootID() (string, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw)), err
}
