// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// Counts is what services did.
type Counts struct {
	// Connections accepted and ended by the client.
	Accepted, Ended uint64
	// Responses sent, or blocks read of a Stream.
	Responses uint64
	// Bytes received.
	Bytes uint64
}

// service is one listening socket with the thread that serves it.
type service struct {
	Service
	fd                                int
	buf, reply                        []byte
	accepted, ended, responses, bytes atomic.Uint64
}

func (w *worker) serve(s Service) (netip.AddrPort, error) {
	flags := 0
	if s.Flows > 1 && s.Kind != UDPRR || s.Kind == HTTP {
		flags = unix.SOCK_NONBLOCK
	}
	fd, bound, err := listenIn(s, flags)
	if err != nil {
		return bound, err
	}
	one := &service{Service: s, fd: fd, buf: make([]byte, s.Request), reply: s.Reply}
	if len(one.reply) == 0 {
		one.reply = make([]byte, s.Response)
	}
	loop := one.serial
	switch {
	case s.Kind == UDPRR:
		loop = one.datagrams
	case s.Kind == HTTP:
		loop = one.http
	case s.Flows > 1:
		loop = one.poll
	}
	w.services = append(w.services, one)
	go func() {
		runtime.LockOSThread()
		// A service ends with its process; before, nothing but a bug ends it.
		fmt.Fprintf(os.Stderr, "service %s on %s: %v\n", s.Kind, bound, loop())
		os.Exit(1)
	}()
	return bound, nil
}

// listenIn listens in the service's namespace. Where a socket is made is where it stays.
func listenIn(s Service, flags int) (fd int, bound netip.AddrPort, err error) {
	if s.Netns == "" {
		return listen(s, flags)
	}
	err = netns.Do(s.Netns, func() (err error) {
		fd, bound, err = listen(s, flags)
		return err
	})
	return fd, bound, err
}

func (w *worker) counts() *Counts {
	var c Counts
	for _, s := range w.services {
		c.Accepted += s.accepted.Load()
		c.Ended += s.ended.Load()
		c.Responses += s.responses.Load()
		c.Bytes += s.bytes.Load()
	}
	return &c
}

// serial serves one connection after the other by blocking calls.
func (s *service) serial() error {
	for {
		fd, err := accept(s.fd, 0)
		if err != nil {
			return err
		}
		s.accepted.Add(1)
		for c := (conn{fd: fd}); s.answer(&c); {
		}
		unix.Close(fd)
		s.ended.Add(1)
	}
}

// conn is a connection of a client.
type conn struct {
	fd int
	// got of the present request, or of the whole stream.
	got uint64
}

// answer reads once and answers if the request is complete. It reports whether
// the connection goes on.
func (s *service) answer(c *conn) bool {
	into := s.buf
	if s.Kind != Stream {
		into = s.buf[c.got:]
	}
	n, err := read(c.fd, into)
	if n > 0 {
		c.got += uint64(n)
		s.bytes.Add(uint64(n))
	}
	if s.Kind == Stream {
		return s.sink(c, n)
	}
	if err != nil || n == 0 {
		return false
	}
	if c.got < uint64(len(s.buf)) {
		return true
	}
	c.got = 0
	s.responses.Add(1)
	return writeAll(c.fd, s.reply) == nil
}

// sink takes what was read of a stream. At its end the client is told how much
// that was.
func (s *service) sink(c *conn, n int) bool {
	if n > 0 {
		s.responses.Add(1)
		return true
	}
	if n == 0 {
		_ = writeAll(c.fd, binary.BigEndian.AppendUint64(nil, c.got))
	}
	return false
}

// datagrams answers whoever sends.
func (s *service) datagrams() error {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buf, 0)
		if err == unix.EINTR || err == unix.ECONNREFUSED {
			continue
		}
		if err != nil {
			return err
		}
		s.bytes.Add(uint64(n))
		// A client that is gone is nothing to stop for.
		if err := unix.Sendto(s.fd, s.reply, 0, from); err == nil {
			s.responses.Add(1)
		}
	}
}
