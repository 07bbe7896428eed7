// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// ServiceStats reads the datapath's counters of these services, or of all owners' if none is
// named.
func (e *Engine) ServiceStats(ctx context.Context, ids ...string) ([]datapath.ServiceStats, error) {
	serving, can := e.datapath.(datapath.Serving)
	if !can {
		return nil, nil
	}
	return serving.ServiceStats(ctx, ids...)
}

func (e *Engine) serviceConnections(ctx context.Context) (sum request.ServiceConnections, err error) {
	stats, err := e.ServiceStats(ctx)
	for _, s := range stats {
		sum.Opened += s.Flows
		sum.Refused += s.Refused
		sum.Strangers += s.Strangers
	}
	return sum, err
}

// CountServices returns the connections of these services, whoever's they are, by ID. It walks
// all connections once, to find those that are open, and all sockets of who was led to a backend.
func (e *Engine) CountServices(ctx context.Context, ids ...string) (map[string]request.ServiceCounts, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	stats, err := e.ServiceStats(ctx, ids...)
	if err != nil {
		return nil, err
	}
	counts := countsOf(stats)
	// Those of others, too: the most specific front tells whose a connection is.
	fronts := frontsOf(e.everyonesServices(ctx))
	count := func(f datapath.Flow) {
		id := fronts.of(f).id
		c, asked := counts[id]
		if !asked || !isOpen(f) {
			return
		}
		c.Open++
		b := c.Backends[f.NATDst.Addr()]
		b.Open++
		c.Backends[f.NATDst.Addr()] = b
		counts[id] = c
	}
	for f, err := range e.datapath.Flows(ctx) {
		if err != nil {
			return nil, err
		}
		count(f)
	}
	led, err := e.ledSockets(ctx)
	for _, s := range led {
		count(datapath.Flow{Proto: s.Proto, Dst: s.Origin, NATDst: s.Target})
	}
	return counts, err
}

func (e *Engine) ledSockets(ctx context.Context) ([]datapath.LedSocket, error) {
	leading, leads := e.datapath.(datapath.Leading)
	if !leads {
		return nil, nil
	}
	return leading.LedSockets(ctx)
}

// countsOf sums what was counted of a backend in several pools.
func countsOf(stats []datapath.ServiceStats) map[string]request.ServiceCounts {
	all := make(map[string]request.ServiceCounts, len(stats))
	for _, s := range stats {
		c := request.ServiceCounts{Opened: s.Flows, Refused: s.Refused, Strangers: s.Strangers, PassedOver: s.PassedOver, Backends: make(map[netip.Addr]request.BackendCounts)}
		for _, b := range s.Backends {
			of := c.Backends[b.Target.Addr()]
			of.Opened += b.Flows
			of.PassedOver = of.PassedOver || b.PassedOver
			c.Backends[b.Target.Addr()] = of
		}
		all[s.ServiceID] = c
	}
	return all
}

// isOpen tells a connection from what is remembered of one that has ended.
func isOpen(f datapath.Flow) bool { return f.State != "TIME_WAIT" && f.State != "CLOSE" }
