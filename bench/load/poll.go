// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller is an epoll instance; what it watches is told by a number.
type poller struct {
	fd     int
	events [128]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() error { return unix.Close(p.fd) }

func (p *poller) add(fd int, events uint32, number int) error {
	event := unix.EpollEvent{Events: events, Fd: int32(number)}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &event)
}

// forever lets wait wait.
const forever = time.Duration(-1)

// wait returns what happened within d, to the nanosecond where the thread's timer
// slack allows; epoll_wait only knows milliseconds.
func (p *poller) wait(d time.Duration) ([]unix.EpollEvent, error) {
	var timeout *unix.Timespec
	if d != forever {
		ts := unix.NsecToTimespec(max(d, 0).Nanoseconds())
		timeout = &ts
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(timeout)), 0, 0)
	switch errno {
	case 0:
		return p.events[:n], nil
	case unix.EINTR:
		return nil, nil
	}
	return nil, fmt.Errorf("epoll: wait: %w", errno)
}

// poll serves many connections on one thread.
func (s *service) poll() error {
	p, err := newPoller()
	if err != nil {
		return err
	}
	const listener = -1
	if err := p.add(s.fd, unix.EPOLLIN, listener); err != nil {
		return err
	}
	// By descriptor, which the kernel keeps small.
	conns := map[int]*conn{}
	for {
		events, err := p.wait(forever)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Fd == listener {
				if err := s.take(p, conns); err != nil {
					return err
				}
				continue
			}
			if fd := int(e.Fd); !s.answer(conns[fd]) {
				delete(conns, fd)
				unix.Close(fd)
				s.ended.Add(1)
			}
		}
	}
}

// take accepts one connection. It stays a blocking one: what epoll reports can be
// read, and responses that don't fit are waited for.
func (s *service) take(p *poller, conns map[int]*conn) error {
	fd, err := accept(s.fd, 0)
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	s.accepted.Add(1)
	conns[fd] = &conn{fd: fd}
	return p.add(fd, unix.EPOLLIN, fd)
}
