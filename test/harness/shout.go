// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Shout sends datagrams all the time, whether there is a way or not: some thousand a second,
// since one that never waited would take a processor from what it is to catch.
type Shout struct {
	sent atomic.Int64
	stop chan struct{}
	done chan struct{}
}

// NewShout starts at once.
func NewShout(t testing.TB, n *Netns, dst string, port int) *Shout {
	t.Helper()
	s := &Shout{stop: make(chan struct{}), done: make(chan struct{})}
	var pc net.PacketConn
	err := n.Do(func() (err error) {
		pc, err = net.ListenPacket("udp4", "0.0.0.0:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp4", net.JoinHostPort(dst, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.done)
		defer pc.Close()
		for {
			select {
			case <-s.stop:
				return
			default:
			}
			if _, err := pc.WriteTo([]byte("shout"), to); err == nil {
				s.sent.Add(1)
			}
			time.Sleep(50 * time.Microsecond)
		}
	}()
	return s
}

// Wait waits until count datagrams found a route.
func (s *Shout) Wait(t testing.TB, count int64) {
	t.Helper()
	Eventually(t, "datagrams to be sent", func() error {
		if n := s.sent.Load(); n < count {
			return fmt.Errorf("%d so far", n)
		}
		return nil
	})
}

// Stop ends it.
func (s *Shout) Stop() { close(s.stop); <-s.done }
