// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Flows keeps connections busy while a test does something else, and counts
// what goes wrong with them.
type Flows struct {
	// Pace is the time between two messages of one flow.
	Pace time.Duration

	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	errs    []error
	packets atomic.Int64
}

// NewFlows starts nothing yet.
func NewFlows(t testing.TB) *Flows {
	f := &Flows{Pace: pace, stop: make(chan struct{})}
	t.Cleanup(f.end)
	return f
}

// pace is for a handful of flows.
const pace = 5 * time.Millisecond

// TCP opens a connection and sends numbered lines on it.
func (fl *Flows) TCP(t testing.TB, n *Netns, dst string) {
	t.Helper()
	c, err := DialTCP(n, dst)
	if err != nil {
		t.Fatalf("flow %s → %s: %v", n.Name, dst, err)
	}
	fl.run(fmt.Sprintf("tcp %s → %s", n.Name, dst), func(serial int) error { return c.Echo(fmt.Sprint(serial)) }, c.Close)
}

// UDP opens a socket and sends numbered datagrams from it. One that isn't
// answered is lost: nothing is sent twice. A busy machine may answer late.
func (fl *Flows) UDP(t testing.TB, n *Netns, dst string) {
	t.Helper()
	c, err := DialUDP(n, dst)
	if err != nil {
		t.Fatalf("flow %s → %s: %v", n.Name, dst, err)
	}
	fl.run(fmt.Sprintf("udp %s → %s", n.Name, dst), func(int) error {
		_, err := c.Exchange(8, Patience)
		return err
	}, c.Close)
}

// Forbidden tries again and again to reach what must not be reached.
func (fl *Flows) Forbidden(n *Netns, dst string) {
	fl.run(fmt.Sprintf("forbidden %s → %s", n.Name, dst), func(int) error {
		if r, err := GetTCP(n, dst, Within(30*time.Millisecond)); err == nil {
			return fmt.Errorf("answered by %s", r.Tag)
		}
		return nil
	}, nil)
}

func (fl *Flows) run(name string, step func(serial int) error, end func() error) {
	fl.done.Add(1)
	go func() {
		defer fl.done.Done()
		if end != nil {
			defer end()
		}
		tick := time.NewTicker(fl.Pace)
		defer tick.Stop()
		for serial := 1; ; serial++ {
			if err := step(serial); err != nil {
				fl.mu.Lock()
				fl.errs = append(fl.errs, fmt.Errorf("%s, message %d: %w", name, serial, err))
				fl.mu.Unlock()
				return
			}
			fl.packets.Add(1)
			select {
			case <-fl.stop:
				return
			case <-tick.C:
			}
		}
	}()
}

// Advance waits until count more messages were answered.
func (fl *Flows) Advance(t testing.TB, count int64) {
	t.Helper()
	goal := fl.packets.Load() + count
	Eventually(t, "flows to advance", func() error {
		if now := fl.packets.Load(); now < goal {
			return fmt.Errorf("%d messages to go; %v", goal-now, fl.failed())
		}
		return nil
	})
}

// Stop ends the flows and reports what went wrong.
func (fl *Flows) Stop(t testing.TB) {
	t.Helper()
	fl.end()
	for _, err := range fl.failed() {
		t.Error(err)
	}
}

func (fl *Flows) failed() []error {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.errs
}

func (fl *Flows) end() {
	fl.mu.Lock()
	select {
	case <-fl.stop:
	default:
		close(fl.stop)
	}
	fl.mu.Unlock()
	fl.done.Wait()
}
