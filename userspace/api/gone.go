// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// goneTimeout bounds the wait for a daemon that has said that it ends.
const goneTimeout = 10 * time.Second

// daemonProcess is a descriptor of the process that listens at the socket, which
// the caller closes; -1 where it can't be seen from this PID namespace, and where
// nobody can wait for it.
func (c *Client) daemonProcess() (pidfd int, err error) {
	conn, err := net.Dial("unix", c.socket)
	if err != nil {
		return -1, fmt.Errorf("%w at %s: %w", ErrUnreachable, c.socket, err)
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var peer *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return -1, err
	}
	if peerErr != nil || peer.Pid <= 0 || isOwnOrParents(int(peer.Pid)) {
		return -1, peerErr
	}
	if pidfd, err = unix.PidfdOpen(int(peer.Pid), 0); err != nil {
		return -1, nil
	}
	return pidfd, nil
}

// isOwnOrParents reports a process that doesn't end before this one: its parent may
// be waiting for it.
func isOwnOrParents(pid int) bool { return pid == os.Getpid() || pid == os.Getppid() }

// waitGone waits for the end of the daemon: it removes its files last.
func waitGone(pidfd int) error {
	if pidfd < 0 {
		return nil
	}
	deadline := time.Now().Add(goneTimeout)
	for {
		left := time.Until(deadline)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(left, 0).Milliseconds()))
		if err == unix.EINTR && left > 0 {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for the daemon's end: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("everything is removed, but the daemon doesn't end within %s", goneTimeout)
		}
		return nil
	}
}
