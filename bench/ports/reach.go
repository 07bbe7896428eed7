// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/step"
	"github.com/fairway-project/fairway/bench/world"
)

// reach connects to one of many published ports.
type reach struct {
	host
	subject plan.Subject
	job     load.Job
}

func (r *reach) start(ctx context.Context) error {
	n := number(r.subject.Case, keyPorts)
	at := position(r.subject.Case.Value(keyAt), n)
	if err := r.publishAll(ctx, n); err != nil {
		return err
	}
	// The same on the host and in the container.
	port := firstPort + uint16(at)
	var err error
	if r.server, err = load.Start(load.Place{Netns: r.ends.Server.Netns, CPU: r.env.CPU}); err != nil {
		return err
	}
	if _, err := r.server.Serve(ctx, load.Service{Kind: load.CRR, Addr: netip.AddrPortFrom(r.ends.Server.Addr, port), Flows: 1}); err != nil {
		return err
	}
	r.job = load.Job{
		Kind: load.CRR, Flows: 1, Sources: world.LANSources(plan.IPv4),
		Targets: []netip.AddrPort{netip.AddrPortFrom(r.ends.To, port)},
	}
	r.client, err = load.Start(load.Place{Netns: r.ends.Client.Netns, CPU: r.env.CPU})
	return err
}

// position is that of the tested port among n.
func position(at string, n int) int {
	switch at {
	case first:
		return 0
	case middle:
		return n / 2
	}
	return n - 1
}

// publishAll publishes n ports of one container.
func (r *reach) publishAll(ctx context.Context, n int) error {
	if r.arm == plan.Docker || r.arm == plan.DockerNoProxy {
		return r.build(ctx, world.Container{Name: "c0", Publish: []world.Port{
			{Proto: "tcp", Host: firstPort, Container: firstPort, Count: n},
		}})
	}
	if err := r.build(ctx, world.Container{Name: "c0"}); err != nil {
		return err
	}
	_, err := r.publish(ctx, "c0", step.Range{Host: firstPort, Container: firstPort, Count: n})
	return err
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
	// SYN, request, FIN and its acknowledgement; SYN/ACK, response, FIN.
	r.traffic.ToServer += 4 * result.Transactions
	r.traffic.Packets += 7 * result.Transactions
	return plan.Sample{Values: []float64{result.Rate()}, Latency: result.Connect, Ops: result.Transactions}, nil
}
