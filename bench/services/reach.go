// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// reach connects to a service, or to a container without one.
type reach struct {
	host
	subject plan.Subject
	job     load.Job
}

// Ports: a client with one address has too few tuples for one.
const (
	firstPort     = 80
	morePorts     = 4
	publishedPort = 8080
)

// portsEach is how many ports a service has that only makes many of few.
const (
	firstOther = 10000
	portsEach  = 250
)

func (r *reach) start(ctx context.Context) error {
	c := r.subject.Case
	first := world.Container{Name: "c0"}
	if c.Walk == plan.LANToPublished && c.Value(keyTo) == toContainer {
		first.Publish = []world.Port{{Proto: "tcp", Host: publishedPort, Container: firstPort}}
	}
	// The second one is the client of walks between containers.
	if err := r.build(ctx, c.Walk, first, world.Container{Name: "c1"}, world.Container{Name: "c2"}); err != nil {
		return err
	}
	if c.Value(keyTo) == toService {
		if err := r.serve(ctx, number(c, keyServices)); err != nil {
			return err
		}
	}
	if err := r.startServers(ctx, "c0", "c2"); err != nil {
		return err
	}
	r.job = load.Job{Kind: r.kind(), Flows: c.Flows}
	for n := range r.ports() {
		r.job.Targets = append(r.job.Targets, r.ends.Target("tcp", firstPort+uint16(n)))
	}
	if c.Walk == plan.LANToPublished {
		r.job.Sources = world.LANSources(plan.IPv4)
	}
	return r.ready(ctx)
}

func (r *reach) kind() load.Kind {
	if r.subject.Case.Value(keyOp) == opRR {
		return load.RR
	}
	return load.CRR
}

// ports is how many the client uses. From the LAN it has many addresses instead.
func (r *reach) ports() int {
	if r.subject.Case.Walk == plan.LANToPublished {
		return 1
	}
	return morePorts
}

// serve makes so many services, the last one of which is used.
func (r *reach) serve(ctx context.Context, services int) error {
	backends := []string{"c0", "c2"}
	others := max(services-1, 0)
	for n := 0; others > 0; n++ {
		ports := min(others, portsEach)
		err := r.world.Serve(ctx, world.Service{
			Name: fmt.Sprintf("other%d", n), Number: 1 + n, First: firstOther, Ports: ports, Containers: backends,
		})
		if err != nil {
			return err
		}
		others -= ports
	}
	s := world.Service{Name: "web", First: firstPort, Ports: r.ports(), Containers: backends}
	if r.subject.Case.Walk == plan.LANToPublished {
		s.Published = publishedPort
	}
	r.ends = r.ends.UseService(r.subject.Case.Walk, s)
	return r.world.Serve(ctx, s)
}

// startServers has one process serve in all backends.
func (r *reach) startServers(ctx context.Context, containers ...string) error {
	for _, name := range containers {
		path, addr, err := r.world.Netns(name)
		if err != nil {
			return err
		}
		for n := range r.ports() {
			at := netip.AddrPortFrom(addr, firstPort+uint16(n))
			if _, err := r.server.Serve(ctx, load.Service{Kind: r.kind(), Netns: path, Addr: at, Flows: r.subject.Case.Flows}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Slice implements plan.Instance.
func (r *reach) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	if err := r.world.Forget(); err != nil {
		return plan.Sample{}, err
	}
	j := r.job
	j.Warmup = d / 10
	j.Duration = d - j.Warmup
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	result, err := r.client.Run(ctx, j)
	if err == nil {
		err = result.Clean()
	}
	if err != nil {
		return plan.Sample{}, fmt.Errorf("%s: %w", r.arm, err)
	}
	// Request and response; or SYN, request, FIN and its acknowledgement, and SYN/ACK,
	// response, FIN.
	toServer, toClient := result.Transactions, result.Transactions
	if j.Kind == load.CRR {
		toServer, toClient = 4*result.Transactions, 3*result.Transactions
	}
	r.traffic.ToServer += toServer
	r.traffic.Packets += toServer + toClient
	return plan.Sample{Values: []float64{result.Rate()}, Ops: result.Transactions}, nil
}
