// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestSharesAreLeft: whoever takes all that it gets leaves as much for the next.
func TestSharesAreLeft(t *testing.T) {
	pool := newShares(120)
	var held []*share
	for greedy := range 5 {
		s := &share{of: pool, most: 1000}
		for s.acquire() {
		}
		if s.count() == 0 {
			t.Fatalf("nothing was left for number %d", greedy)
		}
		held = append(held, s)
	}
	if n := held[0].count(); n != 60 {
		t.Errorf("the first has %d of 120, want as many as it left", n)
	}
	for _, s := range held {
		for s.count() > 0 {
			s.release()
		}
	}
	small := &share{of: pool, most: 7}
	for small.acquire() {
	}
	if small.count() != 7 || pool.free != 113 {
		t.Errorf("%d held and %d free, want 7 and 113", small.count(), pool.free)
	}
}

// outOfFiles is a listener of a process that has none left.
type outOfFiles struct {
	net.Listener
	tried int
}

func (l *outOfFiles) Accept() (net.Conn, error) {
	l.tried++
	return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
}

// TestAcceptPauses: the library tries again at once, for as long as it lasts.
func TestAcceptPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		out := &outOfFiles{}
		l := bounded(ctx, out, newShares(1))
		for started := time.Now(); time.Since(started) < time.Second; {
			l.Accept()
			if out.tried > 10 {
				t.Fatalf("tried %d times in %s", out.tried, time.Since(started))
			}
		}
		cancel()
		ended := time.Now()
		l.Accept()
		if time.Since(ended) != 0 {
			t.Errorf("paused for %s after the end", time.Since(ended))
		}
	})
}
