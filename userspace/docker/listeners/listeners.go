// SPDX-License-Identifier: Apache-2.0

// Package listeners ends the listening of a Docker Engine's own sockets at published ports.
//
// With --userland-proxy=false an engine holds each published port by a socket of its own
// that listens and that nobody accepts from (libnetwork's dummyProxy). Until the port is
// carried, the kernel completes handshakes there, and such a connection hangs for ever.
// A socket that was shut down keeps the port and refuses; what waited in it is reset.
//
// Be aware: the engine isn't told. It only ever closes the socket.
package listeners

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/docker/proxies"
	"github.com/fairway-project/fairway/userspace/docker/setup"
)

// Listeners are the sockets of the dockerd in the caller's network namespace. It is not
// safe for concurrent use.
type Listeners struct {
	// pid and pidfd are the engine's, -1 for none.
	pid, pidfd int
	// known are the local addresses of sockets that listen, by what names them in
	// /proc/PID/fd.
	known map[string]netip.AddrPort
}

// New returns what knows no engine yet.
func New() *Listeners { return &Listeners{pidfd: -1, known: make(map[string]netip.AddrPort)} }

// Close forgets the engine.
func (l *Listeners) Close() {
	if l.pidfd >= 0 {
		unix.Close(l.pidfd)
	}
	l.pid, l.pidfd = 0, -1
	clear(l.known)
}

// Refuse has the engine's own TCP sockets at these addresses refuse connections. A port
// that a docker-proxy serves is left alone: engines from 28 share its socket with it. None
// is found where no engine runs, which is no error.
func (l *Listeners) Refuse(ports []netip.AddrPort) error {
	if err := l.find(); err != nil || l.pidfd < 0 {
		return err
	}
	found, err := l.at(ports)
	if err != nil || len(found) == 0 {
		return err
	}
	served, err := servedPorts()
	if err != nil {
		return err
	}
	var errs []error
	for fd, at := range found {
		if !served[at] {
			errs = append(errs, l.silence(fd, at))
		}
	}
	return errors.Join(errs...)
}

// find looks for the engine if the one that was known has ended.
func (l *Listeners) find() error {
	if l.pidfd >= 0 && unix.PidfdSendSignal(l.pidfd, 0, nil, 0) == nil {
		return nil
	}
	l.Close()
	e, err := setup.FindEngine()
	if err != nil || e.Pid == 0 {
		return err
	}
	fd, err := unix.PidfdOpen(e.Pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dockerd (process %d): %w", e.Pid, err)
	}
	// What is true of the number now is true of the process that was opened.
	if again, err := setup.FindEngine(); err != nil || again.Pid != e.Pid {
		unix.Close(fd)
		return err
	}
	l.pid, l.pidfd = e.Pid, fd
	return nil
}

// at returns the engine's descriptors that listen at one of the addresses.
func (l *Listeners) at(ports []netip.AddrPort) (map[int]netip.AddrPort, error) {
	wanted := make(map[netip.AddrPort]bool)
	for _, p := range ports {
		wanted[p] = true
	}
	dir := filepath.Join("/proc", strconv.Itoa(l.pid), "fd")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("descriptors of dockerd: %w", err)
	}
	found, seen := make(map[int]netip.AddrPort), make(map[string]netip.AddrPort)
	for _, e := range entries {
		name, err := os.Readlink(filepath.Join(dir, e.Name()))
		fd, numErr := strconv.Atoi(e.Name())
		if err != nil || numErr != nil || !strings.HasPrefix(name, "socket:") {
			continue
		}
		at, known := l.known[name]
		if !known {
			if at, err = l.look(fd); err != nil {
				return nil, err
			}
		}
		if at.IsValid() {
			seen[name] = at
		}
		if wanted[at] {
			found[fd] = at
		}
	}
	l.known = seen
	return found, nil
}

// look returns where a descriptor of the engine's listens; invalid if it doesn't, or is
// closed by now.
func (l *Listeners) look(fd int) (at netip.AddrPort, err error) {
	err = l.with(fd, func(own int) error {
		at = listensAt(own)
		return nil
	})
	return at, err
}

// with calls f with a copy of the engine's descriptor.
func (l *Listeners) with(fd int, f func(own int) error) error {
	own, err := unix.PidfdGetfd(l.pidfd, fd, 0)
	if errors.Is(err, unix.EBADF) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("descriptor %d of dockerd (process %d): %w", fd, l.pid, err)
	}
	defer unix.Close(own)
	return f(own)
}

// listensAt returns the local address of a TCP socket that listens, invalid for others.
func listensAt(fd int) (at netip.AddrPort) {
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		return at
	}
	// Go listens by MPTCP where the kernel has it (1.24).
	if proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || proto != unix.IPPROTO_TCP && proto != unix.IPPROTO_MPTCP {
		return at
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return at
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return at
}

// silence ends the listening of a descriptor that still listens there.
func (l *Listeners) silence(fd int, at netip.AddrPort) error {
	return l.with(fd, func(own int) error {
		if listensAt(own) != at {
			return nil
		}
		// Without listening the option would let others listen on the port.
		if err := unix.SetsockoptInt(own, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0); err != nil {
			return fmt.Errorf("socket of dockerd at %s: %w", at, err)
		}
		if err := unix.Shutdown(own, unix.SHUT_RD); err != nil {
			return fmt.Errorf("socket of dockerd at %s: %w", at, err)
		}
		return nil
	})
}

// servedPorts are those that proxies hold.
func servedPorts() (map[netip.AddrPort]bool, error) {
	all, err := proxies.Scan()
	if err != nil {
		return nil, err
	}
	served := make(map[netip.AddrPort]bool, len(all))
	for _, h := range all {
		served[netip.AddrPortFrom(h.HostIP, h.HostPort)] = true
	}
	return served, nil
}
