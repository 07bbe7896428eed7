// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// rest is how long a flow that failed waits until it tries again, so that a
// target that refuses doesn't turn the measurement into one of refusals.
const rest = 10 * time.Millisecond

// lone is the client of one flow in a closed loop, by blocking calls.
type lone struct {
	Job
	tuples  *tuples
	meter   *meter
	fd      int
	request []byte
	reply   []byte
}

func alone(j Job, t *tuples) (Result, error) {
	c := &lone{Job: j, tuples: t, fd: -1, request: make([]byte, j.Request), reply: make([]byte, j.Response)}
	defer c.close()
	c.meter = newMeter(j)
	for due := c.meter.now(); due < c.meter.to; {
		err := c.transaction(due)
		over := c.meter.now()
		if err != nil {
			c.meter.failed(err)
			c.close()
			time.Sleep(rest)
			due = c.meter.now()
			continue
		}
		c.meter.done(due, over, over)
		due = over
	}
	return c.meter.result(), nil
}

func (c *lone) close() {
	if c.fd >= 0 {
		unix.Close(c.fd)
		c.fd = -1
	}
}

func (c *lone) transaction(begun time.Duration) error {
	if c.fd < 0 {
		if err := c.open(begun); err != nil {
			return err
		}
	}
	if err := writeAll(c.fd, c.request); err != nil {
		return err
	}
	if err := c.response(); err != nil {
		return err
	}
	if c.Kind == CRR {
		c.close()
	}
	return nil
}

// response reads a whole one. A datagram of another length is no response.
func (c *lone) response() error {
	for got := 0; got < len(c.reply); {
		n, err := read(c.fd, c.reply[got:])
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		got += n
		if c.Kind == UDPRR && got < len(c.reply) {
			return fmt.Errorf("response of %d bytes", n)
		}
	}
	return nil
}

func (c *lone) open(begun time.Duration) (err error) {
	at := c.tuples.take(&c.Job)
	if c.fd, err = openFlow(&c.Job, at, 0); err != nil {
		return err
	}
	if err := limit(c.fd, c.Timeout); err != nil {
		return err
	}
	if err := dial(c.fd, at.target); err != nil {
		return err
	}
	if connected := c.meter.now(); c.meter.connect != nil && c.meter.counts(connected) {
		record(c.meter.connect, connected-begun)
	}
	return nil
}

// openFlow returns a socket that is ready to be connected; only crr cares about
// what it is bound to.
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

func dial(fd int, to netip.AddrPort) error { return unix.Connect(fd, sockaddr(to)) }
