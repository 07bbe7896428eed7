// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// Probe tries to connect to a target again and again, from before it is there,
// to tell the moment from which it answers.
type Probe struct {
	// Netns to probe from, "" for the side's own: one side can probe from a
	// namespace that was not there when it began.
	Netns  string
	Target netip.AddrPort
	// Every is the time between two attempts, each with a socket of its own:
	// TCP's own second attempt comes after a second.
	Every time.Duration
	// Timeout of the whole.
	Timeout time.Duration
	// Gone says that the target is there, for some of the attempts at least, and that
	// the moment is wanted after which none succeeds.
	Gone bool
	// Early says that the target may answer the first attempt, which otherwise
	// shows that whatever is measured was there before.
	Early bool
}

// Answer is what a probe found.
type Answer struct {
	// At is when the first connection was there, by Clock; of Probe.Gone, when the last
	// one was asked for that succeeded.
	At time.Duration
	// Attempts, the successful one among them.
	Attempts int
}

// Clock is the machine's monotonic clock, which is the same in all processes.
func Clock() time.Duration {
	var ts unix.Timespec
	// The clock exists on every Linux.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// openAttempts is how many attempts may wait for an answer at once; older ones
// are given up.
const openAttempts = 512

// probe answers twice: by itself when the first attempt is out, and by what it
// returns.
func (w *worker) probe(p Probe) (a *Answer, err error) {
	run := func() error {
		a, err = (&prober{Probe: p, armed: func() { w.answer(response{}) }}).run()
		return err
	}
	if p.Netns != "" {
		return a, netns.Do(p.Netns, run)
	}
	return a, run()
}

// prober is a probe that runs.
type prober struct {
	Probe
	armed    func()
	poller   *poller
	attempts int
	sockets  map[int]int
	// begun is when each attempt was whose answer is still waited for. last is the last one
	// that succeeded, of Probe.Gone, and lastBegun when it was.
	begun     map[int]time.Duration
	last      int
	lastBegun time.Duration
}

// failures in a row of a target that a fifth of all attempts reached: by chance that happens
// once in 10^19.
const failures = 200

func (p *prober) run() (answer *Answer, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("timer slack: %w", err)
	}
	if p.poller, err = newPoller(); err != nil {
		return nil, err
	}
	p.sockets, p.begun = map[int]int{}, map[int]time.Duration{}
	defer func() {
		for _, fd := range p.sockets {
			unix.Close(fd)
		}
		err = errors.Join(err, p.poller.close())
	}()
	return p.loop()
}

func (p *prober) loop() (*Answer, error) {
	begun, armed := Clock(), false
	for due := begun; ; due += p.Every {
		there, err := p.attempt()
		if err == nil && !there {
			there, err = p.await(due + p.Every)
		}
		now := Clock()
		switch {
		case err != nil:
			return nil, err
		case p.Gone && p.last > 0 && p.attempts-p.last > failures:
			return &Answer{At: p.lastBegun, Attempts: p.attempts}, nil
		case there && p.attempts == 1 && !p.Early:
			return nil, fmt.Errorf("probe of %s: answered before anything was done", p.Target)
		case !there && now-begun > p.Timeout:
			return nil, fmt.Errorf("probe of %s: no answer within %v to %d attempts", p.Target, p.Timeout, p.attempts)
		}
		if !armed && (!p.Gone || p.last > 0) {
			p.armed()
			armed = true
		}
		if there {
			return &Answer{At: now, Attempts: p.attempts}, nil
		}
		// An attempt that took long is not made up for.
		due = max(due, Clock()-p.Every)
	}
}

// attempt begins one. Without a route there is none to wait for.
func (p *prober) attempt() (there bool, err error) {
	p.attempts++
	p.begun[p.attempts] = Clock()
	fd, err := newSocket(p.Target.Addr(), unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
	if err != nil {
		return false, fmt.Errorf("probe of %s: %w", p.Target, err)
	}
	if err := dial(fd, p.Target); !errors.Is(err, unix.EINPROGRESS) {
		return p.answered(p.attempts, fd, err), nil
	}
	p.sockets[p.attempts] = fd
	if old := p.attempts - openAttempts; p.sockets[old] != 0 {
		p.forget(old, p.sockets[old])
	}
	return false, p.poller.add(fd, unix.EPOLLOUT, p.attempts)
}

// await looks at answers until the next attempt is due, and at those that are there
// if it is already.
func (p *prober) await(until time.Duration) (there bool, err error) {
	for {
		events, err := p.poller.wait(until - Clock())
		if err != nil {
			return false, err
		}
		for _, e := range events {
			fd := p.sockets[int(e.Fd)]
			if p.answered(int(e.Fd), fd, socketError(fd)) {
				return true, nil
			}
		}
		if Clock() >= until {
			return false, nil
		}
	}
}

// answered notes what became of an attempt and reports whether that is what is waited for.
func (p *prober) answered(attempt, fd int, err error) bool {
	if err == nil && attempt > p.last {
		p.last, p.lastBegun = attempt, p.begun[attempt]
	}
	p.forget(attempt, fd)
	return err == nil && !p.Gone
}

func (p *prober) forget(attempt, fd int) {
	unix.Close(fd)
	delete(p.sockets, attempt)
	delete(p.begun, attempt)
}
