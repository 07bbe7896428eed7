// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/expired"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
	"github.com/fairway-project/fairway/userspace/pace"
)

const (
	defaultInterval = 5 * time.Second
	pressedInterval = time.Second
	// Passes take at most this share of the time.
	maxLoad = 50
	// Every so many passes look for halves without an origin.
	sweepEvery = 12
)

// collector removes flows that have expired, and those whose endpoint is gone.
type collector struct {
	log       *slog.Logger
	clock     *loader.Clock
	flows     *flow.Table
	endpoints *endpoint.Table
	shares    *share.Table
	interval  time.Duration
	wake      pace.Signal
	// conntrack is nil where netfilter sees no flows.
	conntrack *conntrack.Table
	// departed are the endpoints that have gone since the last pass but purges.
	departed *departed

	// working is held during a pass: there is one expired map.
	working sync.Mutex
	program *expired.Collector
	passes  uint64

	mu       sync.Mutex
	timeouts expiry.Timeouts
	share    share.Share
	totals   datapath.Collection
	fill     fill
	// counted is when fill was.
	counted time.Time
}

// fill is what the last pass counted.
type fill struct {
	v4, v6  uint64
	origins uint64
}

func newCollector(cfg Config, l *loader.Loader, flows *flow.Table, endpoints *endpoint.Table, shares *share.Table) *collector {
	c := &collector{
		log: cfg.Logger, clock: l.Clock(), flows: flows, endpoints: endpoints, shares: shares,
		timeouts: cfg.Timeouts.WithDefaults(), interval: cfg.CollectInterval,
		wake: pace.NewSignal(), program: expired.New(l.Maps(), l.Programs()),
	}
	if c.interval == 0 {
		c.interval = defaultInterval
	}
	return c
}

// run collects until ctx ends. It calls after following each collection.
func (c *collector) run(ctx context.Context, after func() error) {
	c.repeat(ctx, func() time.Duration {
		took, err := c.pass(nil)
		begin := time.Now()
		err = errors.Join(err, c.forget())
		took += time.Since(begin)
		if err := errors.Join(err, after()); err != nil {
			c.log.Error("collection of expired flows", "err", err)
		}
		return took
	}, c.pause)
}

// repeat calls pass, which returns how long it took, until ctx ends: after the pause that
// follows from that, or sooner where it is asked for.
func (c *collector) repeat(ctx context.Context, pass func() time.Duration, pause func(took time.Duration) time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var rested time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			// Of a hundred endpoints that go each asks for a pass. What they leave is void by
			// its generation and can wait for one pass that is theirs together.
			pace.Sleep(ctx, time.Until(rested))
			c.wake.Clear()
			if ctx.Err() != nil {
				return
			}
		case <-timer.C:
		}
		took := pass()
		rested = time.Now().Add(c.rest(took))
		timer.Reset(pause(took))
	}
}

// rest is the time after a pass before one that is asked for.
func (c *collector) rest(took time.Duration) time.Duration {
	return min(c.interval, took*maxLoad)
}

func (c *collector) pause(took time.Duration) time.Duration {
	v4, v6 := c.fillRatio()
	if expiry.Pressed(max(v4, v6)) {
		return min(c.interval, pressedInterval)
	}
	return max(c.interval, took*maxLoad)
}

// purge removes the flows whose origin half condemn picks, at once. A packet that
// passes in between saves a flow from a pass; it is condemned by the next.
func (c *collector) purge(condemn func(origin *flow.Half) bool) error {
	const attempts = 20
	for range attempts {
		found := false
		_, err := c.pass(func(origin *flow.Half) bool {
			picked := condemn(origin)
			found = found || picked
			return picked
		})
		if err != nil || !found {
			return err
		}
	}
	c.log.Warn("flows that were to be ended are too busy to be removed")
	return nil
}

// stats returns the totals and what the last pass counted.
func (c *collector) stats() (datapath.Collection, fill) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totals, c.fill
}

// recount collects if that was too long ago for what it counted to be true, as long as
// that may take so much of the time: it is asked for as often as somebody wants to know.
func (c *collector) recount() error {
	const old = time.Second
	c.mu.Lock()
	recent := time.Since(c.counted) < max(old, c.totals.LastTime*maxLoad)
	c.mu.Unlock()
	if recent {
		return nil
	}
	_, err := c.pass(nil)
	return err
}

// fillRatio is of what may be used: programs refuse connections long before entries run
// out if some are kept for endpoints with little.
func (c *collector) fillRatio() (v4, v6 float64) {
	max4, max6 := c.flows.Limit()
	c.mu.Lock()
	defer c.mu.Unlock()
	return fillOf(c.fill.v4, max4, c.share, share.IPv4), fillOf(c.fill.v6, max6, c.share, share.IPv6)
}

func (c *collector) setShare(s share.Share) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.share = s
}

// SetTimeouts makes the next collection judge by these; zero is netfilter's default.
func (d *Datapath) SetTimeouts(t expiry.Timeouts) { d.collector.setTimeouts(t) }

func (c *collector) setTimeouts(t expiry.Timeouts) {
	c.mu.Lock()
	c.timeouts = t.WithDefaults()
	c.mu.Unlock()
	c.wake.Raise()
}
