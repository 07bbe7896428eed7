// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Ports that connections of crr are bound to: all that need no privilege.
const (
	firstPort = 1024
	lastPort  = 65535
)

// tuples goes through all addresses and ports that a side can dial from and to,
// over all of its jobs, so that no connection meets what an earlier one left in a
// table before all others were used.
type tuples struct{ next uint64 }

// tuple is one of them. An invalid source address stands for any.
type tuple struct {
	source netip.AddrPort
	target netip.AddrPort
}

// take returns the next tuple of a job. The port changes each time: what only
// has one source and one target comes around after all ports.
func (t *tuples) take(j *Job) tuple {
	n := t.next
	t.next++
	const ports = lastPort - firstPort + 1
	port := uint16(firstPort + n%ports)
	n /= ports
	source := netip.AddrPortFrom(unspecified(j.Targets[0].Addr()), port)
	if len(j.Sources) > 0 {
		source = netip.AddrPortFrom(j.Sources[n%uint64(len(j.Sources))], port)
		n /= uint64(len(j.Sources))
	}
	return tuple{source: source, target: j.Targets[n%uint64(len(j.Targets))]}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// taken is how many ports in a row others may have, like the resolver of a
// container, which listens somewhere on 127.0.0.11.
const taken = 16

// open returns a socket that is ready to be connected to the target of the next
// tuple. Ports that somebody has are passed over, as the kernel does where the
// choice is its own.
func (t *tuples) open(j *Job, flags int) (fd int, at tuple, err error) {
	for range taken {
		at = t.take(j)
		fd, err = openFlow(j, at, flags)
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return fd, at, err
}

// openFlow opens the socket; only crr cares about what it is bound to.
func openFlow(j *Job, at tuple, flags int) (int, error) {
	typ := unix.SOCK_STREAM
	if j.Kind == UDPRR {
		typ = unix.SOCK_DGRAM
	}
	fd, err := newSocket(at.target.Addr(), typ|flags)
	if err != nil {
		return -1, err
	}
	switch j.Kind {
	case CRR:
		err = bindTo(fd, at.source)
	case RR:
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
