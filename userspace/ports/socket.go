// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// noSocket stands for a reservation that only the table holds.
const noSocket = -1

// errNoFamily is a kernel without the address family.
var errNoFamily = errors.New("address family not supported by this kernel")

// bindSocket returns a socket bound to the host side of pub. The neighbours are
// this package's own sockets of the same port with overlapping addresses. With
// patient, connections of an earlier server in TIME_WAIT don't stand in the way.
func bindSocket(pub model.PublishedPort, neighbours []int, patient bool) (int, error) {
	fd, err := openSocket(pub)
	if err != nil || fd == noSocket {
		return noSocket, err
	}
	err = bindBeside(fd, pub, neighbours)
	if err == unix.EADDRINUSE && patient && pub.Port.Proto != model.UDP && len(neighbours) == 0 {
		// Binding without SO_REUSEADDR comes first: in a port without sockets
		// it makes the kernel check every later bind(2) against ours.
		err = withReuse([]int{fd}, func() error { return bindAddr(fd, pub) })
	}
	if err != nil {
		closeSocket(fd)
		return noSocket, explain(pub, err)
	}
	return fd, nil
}

func openSocket(pub model.PublishedPort) (int, error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if pub.HostIP.Is6() {
		family = unix.AF_INET6
	}
	if pub.Port.Proto == model.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, int(pub.Port.Proto))
	if pub.Port.Proto == model.SCTP && (err == unix.EPROTONOSUPPORT || err == unix.ESOCKTNOSUPPORT) {
		return noSocket, nil
	}
	if err != nil {
		return noSocket, explain(pub, err)
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			closeSocket(fd)
			return noSocket, explain(pub, err)
		}
	}
	return fd, nil
}

// bindBeside binds fd, letting it overlap with the neighbours only.
func bindBeside(fd int, pub model.PublishedPort, neighbours []int) error {
	if len(neighbours) == 0 {
		return bindAddr(fd, pub)
	}
	socks := append([]int{fd}, neighbours...)
	return withReuse(socks, func() error { return bindAddr(fd, pub) })
}

// withReuse runs f while SO_REUSEADDR is on for socks. Afterwards nobody can
// listen on their port: the kernel wants the option on both sides.
func withReuse(socks []int, f func() error) (err error) {
	defer func() {
		for _, fd := range socks {
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0))
		}
	}()
	for _, fd := range socks {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	return f()
}

func bindAddr(fd int, pub model.PublishedPort) error {
	if pub.HostIP.Is4() {
		return unix.Bind(fd, &unix.SockaddrInet4{Port: int(pub.HostPort), Addr: pub.HostIP.As4()})
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Port: int(pub.HostPort), Addr: pub.HostIP.As16()})
}

func closeSocket(fd int) {
	if fd != noSocket {
		// close(2) releases the descriptor whatever it returns, and nothing is
		// ever written that it could tell about.
		_ = unix.Close(fd)
	}
}

// explain turns what the kernel says into words about the port.
func explain(pub model.PublishedPort, err error) error {
	at := netip.AddrPortFrom(pub.HostIP, pub.HostPort)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &TakenError{HostIP: pub.HostIP, HostPort: pub.HostPort, Proto: pub.Port.Proto}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("bind host port %s/%s: %s is %w", at, pub.Port.Proto, pub.HostIP, ErrNotLocal)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("bind host port %s/%s: %w", at, pub.Port.Proto, ErrTooManyFiles)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("bind host port %s/%s: %w", at, pub.Port.Proto, errNoFamily)
	}
	return fmt.Errorf("bind host port %s/%s: %w", at, pub.Port.Proto, err)
}
