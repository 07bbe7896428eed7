// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// Workloads returns those of this package.
func Workloads() []plan.Workload { return []plan.Workload{pps{}, flows{}, flood{}} }

// pps is what a small packet of an established connection costs.
type pps struct{}

func (pps) Name() string  { return "pps" }
func (pps) About() string { return "small UDP packets made in the kernel, on one core" }

func (pps) Arms() []plan.Arm {
	return []plan.Arm{
		plan.EBPF, plan.XDP, plan.IPTables, plan.IPTablesLegacy, plan.NFTables,
		plan.DockerNoProxy, plan.Redirect, plan.Lookup, plan.Route, plan.Veth,
	}
}

// Cases implements plan.Workload.
func (w pps) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return []plan.Case{w.newCase(plan.LANToPublished, plan.IPv4, 1)}
	}
	var cases []plan.Case
	for _, walk := range []plan.Walk{plan.LANToPublished, plan.ContainerToLAN, plan.ContainerToContainer} {
		for _, family := range s.FamiliesOr(plan.IPv4, plan.IPv6) {
			for _, flows := range s.FlowsOr(1, 65536) {
				cases = append(cases, w.newCase(walk, family, flows))
			}
		}
	}
	return cases
}

func (w pps) newCase(walk plan.Walk, f plan.Family, flows int) plan.Case {
	c := plan.Case{
		Walk: walk, Family: f, Flows: flows,
		Metrics: []plan.Metric{plan.NsPerPacket, plan.PacketsPerSec}, Slice: rounds(flows),
	}
	if walk == plan.ContainerToContainer {
		// The uplink isn't on this walk, and neither is XDP. No connection is looked up.
		c.Arms = without(without(w.Arms(), plan.XDP), plan.Lookup)
	}
	return c
}

// rounds is a slice in which every connection has its turn more than once; 0 if it
// has that in any.
func rounds(flows int) time.Duration {
	const each, always = 4 * time.Microsecond, 10_000
	if flows < always {
		return 0
	}
	return time.Duration(flows) * each
}

func decimal(n int) string { return strconv.Itoa(n) }

// wrongWay is an error that says so.
func wrongWay(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{plan.ErrWrongWay}, args...)...)
}

func without(arms []plan.Arm, arm plan.Arm) (others []plan.Arm) {
	for _, a := range arms {
		if a != arm {
			others = append(others, a)
		}
	}
	return others
}

// Start implements plan.Workload.
func (pps) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	i := &steady{}
	if err := i.start(ctx, env, s); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// steady is a world with established connections in it.
type steady struct {
	world  *world.World
	lane   *lane
	before world.Counters
}

func (i *steady) start(ctx context.Context, env plan.Env, s plan.Subject) error {
	o := world.Options{Arm: s.Arm, Containers: containers(), Connections: s.Case.Flows}
	if err := i.build(ctx, env, s, o); err != nil {
		return err
	}
	return i.lane.open(ctx)
}

// build makes the world and the lane, and sends nothing.
func (i *steady) build(ctx context.Context, env plan.Env, s plan.Subject, o world.Options) (err error) {
	if i.world, err = world.New(ctx, env, o); err != nil {
		return err
	}
	return i.enter(ctx, env, s)
}

// enter makes the lane in the world.
func (i *steady) enter(ctx context.Context, env plan.Env, s plan.Subject) (err error) {
	if err = i.world.Meet(ctx, s.Case.Family); err != nil {
		return err
	}
	if i.before, err = i.world.Counters(ctx); err != nil {
		return err
	}
	i.lane, err = newLane(i.world, env, s.Case)
	return err
}

// containers are those of all walks: one with a published port, and another one.
func containers() []world.Container {
	port := world.Port{Proto: "udp", Host: publishedPort, Container: servicePort}
	return []world.Container{{Name: "c0", Publish: []world.Port{port}}, {Name: "c1"}}
}

// Slice implements plan.Instance.
func (i *steady) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	if err := i.lane.reopen(ctx); err != nil {
		return plan.Sample{}, err
	}
	m, err := i.lane.run(ctx, d)
	if err != nil {
		return plan.Sample{}, err
	}
	return plan.Sample{Values: []float64{m.nsPerPacket(), m.perSecond()}, Ops: m.packets}, nil
}

// Prove implements plan.Instance.
func (i *steady) Prove(ctx context.Context) (plan.Proof, error) {
	return i.world.Prove(ctx, i.before, i.lane.traffic())
}

// Close implements plan.Instance.
func (i *steady) Close() error { return errors.Join(i.leave(), i.world.Close()) }

// leave removes the lane, if there is one.
func (i *steady) leave() error {
	if i.lane == nil {
		return nil
	}
	return i.lane.close()
}
