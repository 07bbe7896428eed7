// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"iter"
	"time"

	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/expired"
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/share"
	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
)

// pass is one walk through both tables.
type pass struct {
	*collector
	// judges are of the family that is walked through, now is the time in jiffies.
	*judges
	now uint32
	// condemn picks flows by their origin half, besides those that expired.
	condemn func(origin *flow.Half) bool
	// sweep looks at halves whose origin may be missing.
	sweep  bool
	owners map[uint16]endpoint.Endpoint
	batch  []expired.Entry
	// tracks are netfilter's connections of the batch, where it has some.
	tracks  []*conntrack.Tuple
	removed uint64
	tally   fill
	// census is of the family that is walked through.
	census census
}

// pass collects once and returns how long it took.
func (c *collector) pass(condemn func(*flow.Half) bool) (time.Duration, error) {
	c.working.Lock()
	defer c.working.Unlock()
	begin := time.Now()
	now, err := c.clock.Jiffies()
	if err != nil {
		return 0, err
	}
	owners, err := c.endpoints.All()
	if err != nil {
		return 0, err
	}
	c.passes++
	p := &pass{collector: c, condemn: condemn, owners: owners, sweep: c.passes%sweepEvery == 0, now: now}
	open, err := c.shares.Snapshot(p.slots())
	if err != nil {
		return 0, err
	}
	if open, err = p.walkCounting(share.IPv4, c.flows.V4(), &p.tally.v4, open); err != nil {
		return 0, err
	}
	if _, err = p.walkCounting(share.IPv6, c.flows.V6(), &p.tally.v6, open); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	c.note(p, took)
	return took, nil
}

func (c *collector) note(p *pass, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fill, c.counted = p.tally, time.Now()
	c.totals.Runs++
	c.totals.Expired += p.removed
	c.totals.LastTime = took
	c.totals.Total += took
}

// slots are how many of the counts of endpoints a pass reads. What is counted of those that
// are gone is looked at by the first pass and by those that sweep.
func (p *pass) slots() int {
	if p.sweep || p.passes == 1 {
		return share.All
	}
	slots := 0
	for slot := range p.owners {
		slots = max(slots, int(slot)+1)
	}
	return min(slots, share.All)
}

// walkCounting is walk, and corrects what is counted of endpoints by what it finds. before
// was read ahead of it, what it returns is for the next walk.
func (p *pass) walkCounting(family int, halves iter.Seq2[flow.Half, error], count *uint64, before *share.Snapshot) (*share.Snapshot, error) {
	p.census, p.judges = newCensus(), p.collector.judges(p.now, family, before)
	if err := p.walk(halves, count); err != nil {
		return nil, err
	}
	return p.shares.Correct(family, p.census, before)
}

func (p *pass) walk(halves iter.Seq2[flow.Half, error], count *uint64) error {
	for h, err := range halves {
		if err != nil {
			return err
		}
		*count++
		p.census.count(&h)
		if h.Origin() {
			p.tally.origins++
		}
		e, dead, err := p.look(&h)
		if err != nil {
			return err
		}
		if !dead {
			continue
		}
		p.tracks = append(p.tracks, p.trackOf(&h))
		if p.batch = append(p.batch, e); len(p.batch) == expired.Batch {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return p.flush()
}

func (p *pass) flush() error {
	err := p.program.Collect(p.batch)
	for i, e := range p.batch {
		p.removed += uint64(e.Collected)
		if e.Collected != 0 && p.tracks[i] != nil {
			err = errors.Join(err, p.conntrack.RemoveTuple(*p.tracks[i]))
		}
	}
	p.batch, p.tracks = p.batch[:0], p.tracks[:0]
	return err
}

// trackOf returns netfilter's view of the connection that h is a half of, nil if
// there is none that has to be removed.
func (p *pass) trackOf(h *flow.Half) *conntrack.Tuple {
	if p.conntrack == nil {
		return nil
	}
	t, tracked := trackOf(h)
	if !tracked {
		return nil
	}
	return &t
}

// look decides about the connection that h is a half of. Connections are judged
// once, at their origin half; the other half counts only if that is missing.
func (p *pass) look(h *flow.Half) (expired.Entry, bool, error) {
	owned, err := p.owned(h)
	if err != nil {
		return expired.Entry{}, false, err
	}
	// What is condemned and still here was left by a removal that failed half-way.
	void := !owned || h.LastSeen == uint32(object.DatapathFlowLastSeenFLOW_DEAD)
	if !h.Origin() {
		return p.lookAtReply(h, void)
	}
	picked := p.condemn != nil && p.condemn(h)
	if !void && !picked && p.common.Fresh(h.LastSeen) {
		return expired.Entry{}, false, nil
	}
	twin, found, err := p.flows.Lookup(h.Twin())
	if err != nil {
		return expired.Entry{}, false, err
	}
	if !found {
		return entry(h, nil), void || picked || p.common.OrphanExpired(h.LastSeen), nil
	}
	left := p.of(&twin).Left(expiry.ConnectionOf(h, &twin))
	return entry(h, &twin), void || picked || left <= 0, nil
}

func (p *pass) lookAtReply(h *flow.Half, void bool) (expired.Entry, bool, error) {
	if !void && (!p.sweep || !p.common.OrphanExpired(h.LastSeen)) {
		return expired.Entry{}, false, nil
	}
	origin, found, err := p.flows.Lookup(h.Twin())
	if err != nil {
		return expired.Entry{}, false, err
	}
	if !found {
		return entry(h, nil), true, nil
	}
	return entry(&origin, h), void, nil
}

// owned reports whether the endpoint of a half is still the one it was made for.
// A half that is younger than what was read at the begin isn't condemned by that.
func (p *pass) owned(h *flow.Half) (bool, error) {
	if p.owners[h.Endpoint].Generation == h.EndpointGeneration {
		return p.owners[h.Endpoint].Index != 0, nil
	}
	o, err := p.endpoints.Get(h.Endpoint)
	if err != nil {
		return false, err
	}
	p.owners[h.Endpoint] = o
	return o.Index != 0 && o.Generation == h.EndpointGeneration, nil
}

// entry is the order to remove a flow whose halves were as given; twin is nil if
// there is none.
func entry(h, twin *flow.Half) expired.Entry {
	e := expired.Entry{Key: flow.ExpiredKey(h.Key), LastSeen: h.LastSeen}
	if twin != nil {
		e.TwinLastSeen = twin.LastSeen
	} else {
		e.TwinLastSeen = uint32(object.DatapathFlowLastSeenFLOW_DEAD)
	}
	if h.IPv6() {
		e.Ipv6 = 1
	}
	return e
}
