// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// many is the client of several flows, or of an open loop: one thread, epoll.
type many struct {
	Job
	tuples  *tuples
	meter   *meter
	poller  *poller
	flows   []flow
	idle    []int
	resting []int
	// begun is how many transactions of an open loop were.
	begun   uint64
	request []byte
	reply   []byte
}

// flow is one of them. It is idle, connecting or waiting for the response.
type flow struct {
	fd         int
	connecting bool
	busy       bool
	// due is when the transaction should have begun, begun when it did.
	due, begun time.Duration
	got        int
}

// tick is how often timeouts are looked for and flows begin again that failed.
const tick = rest

func crowd(j Job, t *tuples) (r Result, err error) {
	p, err := newPoller()
	if err != nil {
		return Result{}, err
	}
	// By default timers may be 50 µs late, which is many responses' time.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return Result{}, errors.Join(fmt.Errorf("timer slack: %w", err), p.close())
	}
	c := &many{
		Job: j, tuples: t, poller: p, flows: make([]flow, j.Flows),
		request: make([]byte, j.Request), reply: make([]byte, j.Response),
	}
	for i := range c.flows {
		c.flows[i].fd = -1
		c.idle = append(c.idle, i)
	}
	defer func() {
		for i := range c.flows {
			c.close(&c.flows[i])
		}
		err = errors.Join(err, p.close())
	}()
	c.meter = newMeter(j)
	if err := c.loop(); err != nil {
		return Result{}, err
	}
	return c.meter.result(), nil
}

// loop runs until all that should have begun is over, or has failed.
func (c *many) loop() error {
	next := tick
	for {
		now := c.meter.now()
		if now >= next {
			c.expire(now)
			next = now + tick
		}
		more := c.beginDue(now)
		if !more && len(c.idle)+len(c.resting) == len(c.flows) {
			return nil
		}
		events, err := c.poller.wait(c.pause(now, next, more))
		if err != nil {
			return err
		}
		for _, e := range events {
			c.step(int(e.Fd))
		}
	}
}

// beginDue begins what should have by now, as far as flows are free, and reports
// whether more is to come.
func (c *many) beginDue(now time.Duration) bool {
	if c.Rate == 0 {
		if now >= c.meter.to {
			return false
		}
		for len(c.idle) > 0 {
			c.begin(now, now)
		}
		return true
	}
	for due := c.nextDue(); due < c.meter.to; due = c.nextDue() {
		if now > c.meter.to+c.Timeout {
			// What never got a turn is not left out of the result.
			c.begun++
			c.meter.failed(errNoTurn)
			continue
		}
		if due > now || len(c.idle) == 0 {
			return true
		}
		if c.meter.counts(due) {
			record(c.meter.late, now-due)
		}
		c.begun++
		c.begin(due, now)
	}
	return false
}

// errNoTurn is for transactions of an open loop for which no flow was free.
var errNoTurn = errors.New("no turn")

func (c *many) nextDue() time.Duration {
	return time.Duration(float64(c.begun) / c.Rate * float64(time.Second))
}

// pause is how long to wait for events.
func (c *many) pause(now, next time.Duration, more bool) time.Duration {
	until := next
	if c.Rate > 0 && more && len(c.idle) > 0 {
		until = min(until, c.nextDue())
	}
	return until - now
}

// begin begins a transaction on a free flow.
func (c *many) begin(due, now time.Duration) {
	// The one that has been free for longest, so that all are used.
	i := c.idle[0]
	c.idle = c.idle[1:]
	f := &c.flows[i]
	f.due, f.begun, f.busy, f.got = due, now, true, 0
	var err error
	if f.fd < 0 {
		err = c.open(i)
	} else {
		err = c.send(f)
	}
	if err != nil {
		c.fail(i, err)
	}
}

// open connects a flow. Edge triggered, both directions: one call to epoll for
// the life of a connection.
func (c *many) open(i int) (err error) {
	f := &c.flows[i]
	var at tuple
	if f.fd, at, err = c.tuples.open(&c.Job, unix.SOCK_NONBLOCK); err != nil {
		return err
	}
	err = dial(f.fd, at.target)
	f.connecting = errors.Is(err, unix.EINPROGRESS)
	if err != nil && !f.connecting {
		return err
	}
	events := uint32(unix.EPOLLIN | unix.EPOLLET)
	if f.connecting {
		events |= unix.EPOLLOUT
	}
	if err := c.poller.add(f.fd, events, i); err != nil {
		return err
	}
	if f.connecting {
		return nil
	}
	return c.send(f)
}

func (c *many) send(f *flow) error {
	n, err := write(f.fd, c.request)
	if err == nil && n < len(c.request) {
		return fmt.Errorf("sent %d of %d bytes", n, len(c.request))
	}
	return err
}

// step goes on with a flow that epoll reported.
func (c *many) step(i int) {
	f := &c.flows[i]
	if !f.busy {
		// The server left between two transactions; the next one shows it.
		return
	}
	if f.connecting {
		if err := c.connected(f); err != nil {
			c.fail(i, err)
		}
		return
	}
	over, err := c.receive(f)
	if err != nil {
		c.fail(i, err)
	}
	if !over {
		return
	}
	now := c.meter.now()
	at := now
	if c.Rate > 0 {
		at = f.due
	}
	c.meter.done(f.due, now, at)
	if c.Kind == CRR {
		c.close(f)
	}
	f.busy = false
	c.idle = append(c.idle, i)
}

func (c *many) connected(f *flow) error {
	if err := socketError(f.fd); err != nil {
		return err
	}
	f.connecting = false
	if now := c.meter.now(); c.meter.connect != nil && c.meter.counts(now) {
		record(c.meter.connect, now-f.begun)
	}
	return c.send(f)
}

// receive reads what is there and reports whether the response is complete.
func (c *many) receive(f *flow) (bool, error) {
	for f.got < len(c.reply) {
		n, err := read(f.fd, c.reply[f.got:])
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case err != nil:
			return false, err
		case n == 0:
			return false, io.ErrUnexpectedEOF
		}
		f.got += n
		if c.Kind == UDPRR && f.got < len(c.reply) {
			return false, fmt.Errorf("response of %d bytes", n)
		}
	}
	return true, nil
}

// fail counts a transaction that failed; the flow begins anew after a rest.
func (c *many) fail(i int, err error) {
	f := &c.flows[i]
	c.meter.failed(err)
	c.close(f)
	f.busy = false
	c.resting = append(c.resting, i)
}

func (c *many) close(f *flow) {
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd, f.connecting = -1, false
	}
}

// expire ends what takes too long, and the rest of those that failed earlier.
func (c *many) expire(now time.Duration) {
	c.idle = append(c.idle, c.resting...)
	c.resting = c.resting[:0]
	for i := range c.flows {
		if f := &c.flows[i]; f.busy && now-f.begun > c.Timeout {
			c.fail(i, errTimeout)
		}
	}
}
