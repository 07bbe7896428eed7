// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Sizes of what services let wait.
const backlog = 4096

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// newSocket returns a socket of SOCK_STREAM or SOCK_DGRAM, with flags like
// SOCK_NONBLOCK.
func newSocket(a netip.Addr, typ int) (int, error) {
	return unix.Socket(family(a), typ|unix.SOCK_CLOEXEC, 0)
}

// bindTo takes an address though connections that were bound to it are in
// TIME_WAIT.
func bindTo(fd int, a netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.Bind(fd, sockaddr(a))
}

// limit lets blocking calls, connect too, end with EAGAIN or EINPROGRESS.
func limit(fd int, timeout time.Duration) error {
	tv := unix.NsecToTimeval(timeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return err
	}
	return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &tv)
}

// listen opens the socket of a service and returns what it is bound to.
func listen(s Service, flags int) (fd int, bound netip.AddrPort, err error) {
	typ := unix.SOCK_STREAM
	if s.Kind == UDPRR {
		typ = unix.SOCK_DGRAM
	}
	if fd, err = newSocket(s.Addr.Addr(), typ|flags); err != nil {
		return -1, bound, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := bindTo(fd, s.Addr); err != nil {
		return -1, bound, fmt.Errorf("bind to %s: %w", s.Addr, err)
	}
	if typ == unix.SOCK_STREAM {
		// Accepted connections have it from the listener.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return -1, bound, fmt.Errorf("no delay: %w", err)
		}
		if err := unix.Listen(fd, backlog); err != nil {
			return -1, bound, fmt.Errorf("listen on %s: %w", s.Addr, err)
		}
	}
	port, err := localPort(fd)
	return fd, netip.AddrPortFrom(s.Addr.Addr(), port), err
}

func localPort(fd int) (uint16, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(a.Port), nil
	case *unix.SockaddrInet6:
		return uint16(a.Port), nil
	}
	return 0, fmt.Errorf("socket of an unknown family")
}

// accept takes a connection without asking whose it is.
func accept(fd, flags int) (int, error) {
	for {
		conn, _, errno := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, uintptr(flags|unix.SOCK_CLOEXEC), 0, 0)
		switch errno {
		case 0:
			return int(conn), nil
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return -1, errno
		}
	}
}

// read and write are the system calls, again when a signal interrupted them.
func read(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		if err != unix.EINTR {
			return n, err
		}
	}
}

func write(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Write(fd, p)
		if err != unix.EINTR {
			return n, err
		}
	}
}

// writeAll writes p to a blocking socket.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := write(fd, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// socketError is why a connection attempt failed, nil if it didn't.
func socketError(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}
