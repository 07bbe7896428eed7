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
	var at tuple
	if c.fd, at, err = c.tuples.open(&c.Job, 0); err != nil {
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

func dial(fd int, to netip.AddrPort) error { return unix.Connect(fd, sockaddr(to)) }
