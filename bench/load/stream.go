// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// streams is the client of bulk transfers.
type streams struct {
	Job
	meter  *meter
	poller *poller
	flows  []bulk
	block  []byte
	blocks uint64
}

// bulk is one transfer.
type bulk struct {
	fd      int
	written uint64
	failed  bool
}

func stream(j Job) (r Result, err error) {
	s := &streams{Job: j, flows: make([]bulk, j.Flows), block: make([]byte, j.Request)}
	if s.poller, err = newPoller(); err != nil {
		return Result{}, err
	}
	defer func() {
		for _, f := range s.flows {
			if f.fd >= 0 {
				unix.Close(f.fd)
			}
		}
		err = errors.Join(err, s.poller.close())
	}()
	s.meter = newMeter(j)
	for i := range s.flows {
		if err := s.open(i); err != nil {
			s.fail(i, err)
		}
	}
	return s.run()
}

func (s *streams) open(i int) (err error) {
	f := &s.flows[i]
	target := s.Targets[i%len(s.Targets)]
	if f.fd, err = newSocket(target.Addr(), unix.SOCK_STREAM); err != nil {
		return err
	}
	if err := limit(f.fd, s.Timeout); err != nil {
		return err
	}
	if err := dial(f.fd, target); err != nil {
		return err
	}
	if s.Flows == 1 {
		return nil
	}
	if err := unix.SetNonblock(f.fd, true); err != nil {
		return err
	}
	return s.poller.add(f.fd, unix.EPOLLOUT, i)
}

// run measures between two moments what the receiver's kernel has confirmed, and
// then compares what both ends say of the whole.
func (s *streams) run() (Result, error) {
	if err := s.fill(s.meter.from); err != nil {
		return Result{}, err
	}
	begun, before, err := s.confirmed()
	if err != nil {
		return Result{}, err
	}
	s.blocks = 0
	if err := s.fill(s.meter.to); err != nil {
		return Result{}, err
	}
	over, after, err := s.confirmed()
	if err != nil {
		return Result{}, err
	}
	for i := range s.flows {
		if f := &s.flows[i]; !f.failed {
			if err := s.finish(f); err != nil {
				s.fail(i, err)
			}
		}
	}
	r := s.meter.result()
	r.Transactions, r.Bytes, r.Elapsed, r.Latency = s.blocks, after-before, over-begun, nil
	return r, nil
}

// fill writes until a moment.
func (s *streams) fill(until time.Duration) error {
	stuck := s.meter.now()
	for now := stuck; now < until; now = s.meter.now() {
		if s.Flows == 1 {
			if s.flows[0].failed {
				return nil
			}
			s.write(0)
			continue
		}
		events, err := s.poller.wait(min(until-now, tick))
		if err != nil {
			return err
		}
		if len(events) > 0 {
			stuck = now
		} else if now-stuck > s.Timeout {
			s.meter.failed(errTimeout)
			return nil
		}
		for _, e := range events {
			s.write(int(e.Fd))
		}
	}
	return nil
}

func (s *streams) write(i int) {
	f := &s.flows[i]
	n, err := write(f.fd, s.block)
	if n > 0 {
		f.written += uint64(n)
		s.blocks++
	}
	if err != nil && (s.Flows == 1 || !errors.Is(err, unix.EAGAIN)) {
		s.fail(i, err)
	}
}

// fail ends a transfer. Closing it takes it out of epoll.
func (s *streams) fail(i int, err error) {
	s.meter.failed(err)
	f := &s.flows[i]
	f.failed = true
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
}

// confirmed is how much the other kernel has taken of all transfers.
func (s *streams) confirmed() (at time.Duration, n uint64, err error) {
	at = s.meter.now()
	for _, f := range s.flows {
		n += f.written
		if f.failed {
			continue
		}
		// What is in the socket's queue is not yet acknowledged (SIOCOUTQ).
		queued, err := unix.IoctlGetInt(f.fd, unix.TIOCOUTQ)
		if err != nil {
			return 0, 0, fmt.Errorf("length of the send queue: %w", err)
		}
		n -= uint64(queued)
	}
	return at, n, nil
}

// finish says that there is no more and asks how much the server got.
func (s *streams) finish(f *bulk) error {
	if err := unix.SetNonblock(f.fd, false); err != nil {
		return err
	}
	if err := unix.Shutdown(f.fd, unix.SHUT_WR); err != nil {
		return err
	}
	var count [8]byte
	for got := 0; got < len(count); {
		n, err := read(f.fd, count[got:])
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("no count from the server")
		}
		got += n
	}
	if got := binary.BigEndian.Uint64(count[:]); got != f.written {
		return fmt.Errorf("the server has %d of %d bytes", got, f.written)
	}
	return nil
}
