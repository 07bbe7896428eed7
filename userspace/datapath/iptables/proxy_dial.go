// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout is docker-proxy's patience with a container, roughly: long enough
// for a lost SYN, short enough to be noticed.
const dialTimeout = 10 * time.Second

// dial connects a socket of the namespace, of type SOCK_STREAM or SOCK_DGRAM. Only
// the socket is made on a locked thread: waiting for a container that doesn't
// answer occupies none.
func (p *proxy) dial(typ int, target netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	var f *os.File
	err := p.ns.Do(func() (err error) {
		f, err = beginConnect(typ, target)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer f.Close() // net.FileConn duplicates
	if err := connected(ctx, f); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// beginConnect makes a socket and doesn't wait until it is connected.
func beginConnect(typ int, target netip.AddrPort) (*os.File, error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(target.Port()), Addr: target.Addr().As16()})
	if addr := target.Addr().Unmap(); addr.Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(target.Port()), Addr: addr.As4()}
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return os.NewFile(uintptr(fd), target.String()), nil
}

// connected waits until the socket f is, or ctx ends.
func connected(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var state error
	err = raw.Write(func(fd uintptr) bool {
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if state = err; err == nil && errno != 0 {
			state = os.NewSyscallError("connect", unix.Errno(errno))
		}
		if state != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	return errors.Join(state, err)
}
