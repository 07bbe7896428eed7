// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// choice is what a proxied port leads to: its one target, or the backends of a service.
type choice struct {
	mu sync.Mutex
	of []backend
	// keep is how long the last target stays the one for the host, which is the only
	// client that the proxy has.
	keep time.Duration
	last netip.AddrPort
	at   time.Time
}

func choiceOf(target netip.AddrPort) *choice {
	return &choice{of: []backend{{Backend: datapath.Backend{Target: target, Weight: 1}}}}
}

func (c *choice) set(of []backend, keep time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of, c.keep = of, keep
}

// target returns where the next flow goes; ok is false where nothing takes it.
func (c *choice) target() (to netip.AddrPort, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.of) == 0 {
		return to, false
	}
	now := time.Now()
	last := slices.IndexFunc(c.of, func(b backend) bool { return b.Target == c.last })
	if last < 0 || c.keep == 0 || now.Sub(c.at) >= c.keep {
		c.last = c.draw()
	}
	c.at = now
	return c.last, true
}

// draw takes each backend as often as its weight says.
func (c *choice) draw() netip.AddrPort {
	sum := 0
	for i := range c.of {
		sum += weight(&c.of[i])
	}
	n := rand.IntN(sum)
	for i := range c.of {
		if n -= weight(&c.of[i]); n < 0 {
			return c.of[i].Target
		}
	}
	return c.of[len(c.of)-1].Target
}
