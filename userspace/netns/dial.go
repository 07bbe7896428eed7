// SPDX-License-Identifier: Apache-2.0

package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects a socket of the namespace, of type SOCK_STREAM or SOCK_DGRAM. Only the
// socket is made on a locked thread: waiting for who doesn't answer occupies none.
func (n *NS) Dial(ctx context.Context, typ int, to netip.AddrPort) (net.Conn, error) {
	var fd int
	err := n.Do(func() error {
		sa, family, err := sockaddr(to)
		if err != nil {
			return err
		}
		fd, err = unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			unix.Close(fd)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", to, err)
	}
	f := os.NewFile(uintptr(fd), to.String())
	defer f.Close() // net.FileConn duplicates
	if err := connected(ctx, f); err != nil {
		return nil, fmt.Errorf("connect %s: %w", to, err)
	}
	return net.FileConn(f)
}

// sockaddr runs in the namespace whose interface a zone names.
func sockaddr(to netip.AddrPort) (unix.Sockaddr, int, error) {
	addr := to.Addr().Unmap()
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(to.Port()), Addr: addr.As4()}, unix.AF_INET, nil
	}
	sa := &unix.SockaddrInet6{Port: int(to.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		dev, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, 0, fmt.Errorf("zone %q: %w", zone, err)
		}
		sa.ZoneId = uint32(dev.Index)
	}
	return sa, unix.AF_INET6, nil
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
			state = unix.Errno(errno)
		}
		if state != nil {
			return true
		}
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	return errors.Join(state, err)
}
