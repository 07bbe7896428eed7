// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

// socket holds a port in the kernel for its users: one reservation, or the two
// wildcard addresses of one owner.
type socket struct{ fd, users int }

// release closes the socket when its last user gives it up. A reservation that
// only the table holds has none: s may be nil.
func (s *socket) release() {
	if s == nil {
		return
	}
	if s.users--; s.users == 0 {
		closeSocket(s.fd)
	}
}

// place is what a socket is bound to. A dual one is bound to [::] and takes in
// 0.0.0.0.
type place struct {
	slot
	ip   netip.Addr
	dual bool
}

func (p place) String() string {
	return fmt.Sprintf("%s/%s", netip.AddrPortFrom(p.ip, p.port), p.proto)
}

// errNoFamily is a kernel without the address family.
var errNoFamily = errors.New("address family not supported by this kernel")

// bindSocket returns a socket bound to p with one user, or nil where the kernel
// lacks SCTP. The neighbours are this package's own sockets of the same port
// with overlapping addresses. With patient, connections of an earlier server in
// TIME_WAIT don't stand in the way.
func bindSocket(p place, neighbours []*socket, patient bool) (*socket, error) {
	fd, err := openSocket(p)
	if p.proto == model.SCTP && (errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT)) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(p, err)
	}
	err = bindBeside(fd, p, neighbours)
	if errors.Is(err, unix.EADDRINUSE) && patient && p.proto != model.UDP && len(neighbours) == 0 {
		// Binding without SO_REUSEADDR comes first: in a port without sockets
		// it makes the kernel check every later bind(2) against ours.
		err = withReuse([]int{fd}, func() error { return bindAddr(fd, p) })
	}
	if err != nil {
		closeSocket(fd)
		return nil, explain(p, err)
	}
	return &socket{fd: fd, users: 1}, nil
}

func openSocket(p place) (fd int, err error) {
	family, kind, v6only := unix.AF_INET, unix.SOCK_STREAM, 1
	if p.ip.Is6() {
		family = unix.AF_INET6
	}
	if p.proto == model.UDP {
		kind = unix.SOCK_DGRAM
	}
	if p.dual {
		v6only = 0
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, int(p.proto))
	if err != nil || family == unix.AF_INET {
		return fd, err
	}
	// Set also when it is 0: the default is a matter of net.ipv6.bindv6only.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, v6only); err != nil {
		closeSocket(fd)
		return 0, err
	}
	return fd, nil
}

// bindBeside binds fd, letting it overlap with the neighbours only.
func bindBeside(fd int, p place, neighbours []*socket) error {
	if len(neighbours) == 0 {
		return bindAddr(fd, p)
	}
	fds := []int{fd}
	for _, n := range neighbours {
		fds = append(fds, n.fd)
	}
	return withReuse(fds, func() error { return bindAddr(fd, p) })
}

// withReuse runs f while SO_REUSEADDR is on for fds. Afterwards nobody can
// listen on their port: the kernel wants the option on both sides.
func withReuse(fds []int, f func() error) (err error) {
	defer func() {
		for _, fd := range fds {
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0))
		}
	}()
	for _, fd := range fds {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	return f()
}

func bindAddr(fd int, p place) error {
	if p.ip.Is4() {
		return unix.Bind(fd, &unix.SockaddrInet4{Port: int(p.port), Addr: p.ip.As4()})
	}
	return unix.Bind(fd, &unix.SockaddrInet6{Port: int(p.port), Addr: p.ip.As16()})
}

func closeSocket(fd int) {
	// close(2) releases the descriptor whatever it returns, and nothing is ever
	// written that it could tell about.
	_ = unix.Close(fd)
}

// explain turns what the kernel says into words about the port.
func explain(p place, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &TakenError{HostIP: p.ip, HostPort: p.port, Proto: p.proto}
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("bind host port %s: %s is %w", p, p.ip, ErrNotLocal)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("bind host port %s: %w", p, ErrTooManyFiles)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("bind host port %s: %w", p, errNoFamily)
	}
	return fmt.Errorf("bind host port %s: %w", p, err)
}
