// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
)

// flows is what many connections cost: their packets, their beginning, their end,
// and their memory.
type flows struct{}

// What a case of flows measures.
const (
	measure = "measure"
	// packet costs with so many connections, one after the other.
	ofPackets = "packets"
	// new connections, each by its first packet.
	ofNew = "new"
	// memory of a connection.
	ofMemory = "memory"
	// latency beside connections that expire and are collected.
	ofCollection = "collection"
)

func (flows) Name() string  { return "flows" }
func (flows) About() string { return "many connections: their packets, beginning, end and memory" }

func (flows) Arms() []plan.Arm {
	return []plan.Arm{plan.EBPF, plan.XDP, plan.IPTables, plan.IPTablesLegacy, plan.NFTables, plan.Veth}
}

// manyFlows is how many there are where the number doesn't matter but for being many.
const manyFlows = 131072

// Cases implements plan.Workload.
func (w flows) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return nil
	}
	var cases []plan.Case
	for _, family := range s.FamiliesOr(plan.IPv4) {
		for _, n := range s.FlowsOr(1, 16, 256, 4096, 16384, 65536, 262144) {
			cases = append(cases, w.packets(family, n))
		}
		cases = append(cases, w.opening(plan.LANToPublished, family), w.opening(plan.ContainerToLAN, family),
			w.memory(plan.LANToPublished, family), w.memory(plan.ContainerToLAN, family))
	}
	return append(cases, w.collection(0), w.collection(manyFlows))
}

func (flows) newCase(what string, walk plan.Walk, f plan.Family, n int) plan.Case {
	return plan.Case{Walk: walk, Family: f, Flows: n, Params: []plan.Param{{Key: measure, Value: what}}}
}

func (w flows) packets(f plan.Family, n int) plan.Case {
	c := w.newCase(ofPackets, plan.LANToPublished, f, n)
	c.Arms, c.Axis = []plan.Arm{plan.EBPF, plan.XDP, plan.IPTables, plan.Veth}, "flows"
	c.Metrics, c.Slice = []plan.Metric{plan.NsPerPacket, plan.PacketsPerSec}, rounds(n)
	return c
}

func (w flows) opening(walk plan.Walk, f plan.Family) plan.Case {
	c := w.newCase(ofNew, walk, f, manyFlows)
	c.Arms = []plan.Arm{plan.EBPF, plan.IPTables, plan.IPTablesLegacy, plan.NFTables}
	c.Metrics = []plan.Metric{{Unit: "ns/connection", Better: plan.Lower}, plan.ConnectionsSec}
	return c
}

// memory has both walks: nf_conntrack allocates more for what it masquerades.
func (w flows) memory(walk plan.Walk, f plan.Family) plan.Case {
	c := w.newCase(ofMemory, walk, f, manyFlows)
	c.Arms, c.Pairs = []plan.Arm{plan.EBPF, plan.IPTables}, 3
	c.Metrics = []plan.Metric{plan.BytesPerFlow}
	return c
}

// Start implements plan.Workload.
func (w flows) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	switch s.Case.Value(measure) {
	case ofPackets:
		return pps{}.Start(ctx, env, s)
	case ofNew, ofMemory:
		return w.startOpening(ctx, env, s)
	case ofCollection:
		return w.startCollection(ctx, env, s)
	}
	return nil, fmt.Errorf("case %s: unknown", s.Case.Name())
}

func (flows) startOpening(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	i := &opening{family: s.Case.Family}
	err := i.start(ctx, env, s)
	if err == nil {
		err = i.world.Forget()
	}
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i.measuring(s), nil
}

// measuring is what the case measures of it.
func (i *opening) measuring(s plan.Subject) plan.Instance {
	if s.Case.Value(measure) == ofMemory {
		return &memory{opening: i}
	}
	return i
}

// opening is a world in which connections begin.
type opening struct {
	steady
	family plan.Family
}

// Slice sends packets that each begin a connection, until the time is over or as
// many connections are there as the tables are made for.
func (i *opening) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	if err := i.world.Forget(); err != nil {
		return plan.Sample{}, err
	}
	m, err := i.lane.fresh(ctx, d)
	if err != nil {
		return plan.Sample{}, err
	}
	return plan.Sample{Values: []float64{m.nsPerPacket(), m.perSecond()}, Ops: m.packets}, nil
}

// Prove implements plan.Instance. How many connections are left at the end says
// how many of the last slice's packets began one.
func (i *opening) Prove(ctx context.Context) (plan.Proof, error) {
	t := i.lane.traffic()
	t.Flows = min(t.Flows, i.lane.begun)
	// The first packet of a connection is XDP's to leave to others.
	t.UDP = false
	if err := i.began(ctx, t.Flows); err != nil {
		return plan.Proof{}, err
	}
	return i.world.Prove(ctx, i.before, t)
}

// began waits for the count of connections. Fairway's own is a second old or more, for as long
// as counting took fifty times over.
func (i *opening) began(ctx context.Context, want uint64) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		now, err := i.world.Counters(ctx)
		if err != nil {
			return err
		}
		have := max(now.Flows, now.Tracked)
		if have >= want {
			return nil
		}
		if time.Now().After(deadline) {
			return wrongWay("%d packets began %d connections", want, have)
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// memory is one in which they are looked at.
type memory struct{ *opening }

// Slice implements plan.Instance.
func (i *memory) Slice(ctx context.Context, _ time.Duration) (plan.Sample, error) {
	n := i.lane.there.generator.Flows()
	bytes, err := i.world.ConnectionMemory(ctx, i.family, int(n), i.lane.open)
	return plan.Sample{Values: []float64{bytes}, Ops: n}, err
}

// Prove implements plan.Instance.
func (i *memory) Prove(ctx context.Context) (plan.Proof, error) {
	if err := i.lane.open(ctx); err != nil {
		return plan.Proof{}, err
	}
	i.lane.begun = i.lane.there.generator.Flows()
	return i.opening.Prove(ctx)
}
