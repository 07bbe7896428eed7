// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// firstPort of the servers, in containers, on the host and in the LAN: below what
// clients bind to.
const firstPort = 80

// morePorts is how many servers a client of crr has whose only address doesn't
// make enough tuples.
const morePorts = 4

// instance is a subject: a world with a client and a server.
type instance struct {
	kind           load.Kind
	env            plan.Env
	subject        plan.Subject
	world          *world.World
	ends           world.Ends
	client, server *load.Side
	job            load.Job
	traffic        world.Traffic
	before         world.Counters
	tool           *tool
}

func (i *instance) start(ctx context.Context) (err error) {
	i.world, err = world.New(ctx, i.env, world.Options{Arm: i.subject.Arm, Containers: i.containers()})
	if err != nil {
		return err
	}
	return i.enter(ctx)
}

// enter puts a client and a server into the world.
func (i *instance) enter(ctx context.Context) (err error) {
	c := i.subject.Case
	if i.ends, err = i.world.Ends(c.Walk, c.Family); err != nil {
		return err
	}
	if err := i.world.Meet(ctx, c.Family); err != nil {
		return err
	}
	i.traffic = world.Traffic{Walk: c.Walk, UDP: i.kind == load.UDPRR}
	if i.before, err = i.world.Counters(ctx); err != nil {
		return err
	}
	if i.kind == load.CRR {
		if err := manyPorts(i.ends.Client.Netns); err != nil {
			return err
		}
	}
	if c.Value(keyTool) != "" {
		return i.startTool(ctx)
	}
	if err := i.startSides(ctx); err != nil {
		return err
	}
	return i.schedule(ctx)
}

// containers are what the walk needs.
func (i *instance) containers() []world.Container {
	proto := "tcp"
	if i.kind == load.UDPRR {
		proto = "udp"
	}
	first := world.Container{Name: "c0"}
	switch i.subject.Case.Walk {
	case plan.LANToPublished, plan.LoopbackToPublished, plan.Hairpin:
		first.Publish = []world.Port{{Proto: proto, Host: firstPort, Container: firstPort, Count: i.ports()}}
	case plan.ContainerToContainer:
		return []world.Container{first, {Name: "c1"}}
	}
	return []world.Container{first}
}

// ports is how many servers there are. A client in the LAN has many addresses
// instead: what is measured is one published port.
func (i *instance) ports() int {
	if i.kind == load.CRR && i.subject.Case.Walk != plan.LANToPublished {
		return morePorts
	}
	return 1
}

// startSides starts server and client, and says what the client is to do.
func (i *instance) startSides(ctx context.Context) (err error) {
	clientCPU, serverCPU, err := i.cpus()
	if err != nil {
		return err
	}
	if i.server, err = load.Start(load.Place{Netns: i.ends.Server.Netns, CPU: serverCPU}); err != nil {
		return err
	}
	if i.client, err = load.Start(load.Place{Netns: i.ends.Client.Netns, CPU: clientCPU}); err != nil {
		return err
	}
	i.job = load.Job{Kind: i.kind, Flows: i.subject.Case.Flows}
	for n := range i.ports() {
		port := uint16(firstPort + n)
		at := netip.AddrPortFrom(i.ends.Server.Addr, port)
		if _, err := i.server.Serve(ctx, load.Service{Kind: i.kind, Addr: at, Flows: i.job.Flows}); err != nil {
			return err
		}
		i.job.Targets = append(i.job.Targets, i.ends.Target(i.proto(), port))
	}
	if i.kind == load.CRR && i.subject.Case.Walk == plan.LANToPublished {
		i.job.Sources = world.LANSources(i.subject.Case.Family)
	}
	return nil
}

func (i *instance) proto() string {
	if i.kind == load.UDPRR {
		return "udp"
	}
	return "tcp"
}

// Slice implements plan.Instance.
func (i *instance) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	if i.kind == load.CRR {
		if err := i.world.Forget(); err != nil {
			return plan.Sample{}, err
		}
	}
	if i.tool != nil {
		return i.toolSlice(ctx, d)
	}
	r, err := i.run(ctx, i.job, d)
	if err != nil {
		return plan.Sample{}, err
	}
	s := plan.Sample{Values: []float64{r.Rate()}, Ops: r.Transactions}
	if i.kind == load.Stream {
		s.Values[0] = r.Throughput()
	}
	if i.kind != load.UDPRR {
		s.Values = append(s.Values, float64(r.Retransmits))
	}
	if i.job.Rate > 0 {
		// In a closed loop it would leave out what the loop waited for.
		s.Latency = r.Latency
	}
	return s, nil
}

// run runs a job of about d, none of whose transactions may fail, and remembers
// what must have crossed the world.
func (i *instance) run(ctx context.Context, j load.Job, d time.Duration) (load.Result, error) {
	j.Warmup = d / 10
	j.Duration = d - j.Warmup
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	r, err := i.client.Run(ctx, j)
	if err == nil {
		err = r.Clean()
	}
	if err != nil {
		return load.Result{}, fmt.Errorf("%s: %w", i.subject.Arm, err)
	}
	add(&i.traffic, i.kind, r)
	return r, nil
}

// Prove implements plan.Instance.
func (i *instance) Prove(ctx context.Context) (plan.Proof, error) {
	return i.world.Prove(ctx, i.before, i.traffic)
}

// Close implements plan.Instance.
func (i *instance) Close() error { return errors.Join(i.leave(), i.world.Close()) }

// leave ends what enter started, as far as there is any.
func (i *instance) leave() error {
	var errs []error
	for _, s := range []*load.Side{i.client, i.server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if i.tool != nil {
		errs = append(errs, i.tool.close())
	}
	return errors.Join(errs...)
}
