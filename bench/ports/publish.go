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

// firstPresent of the ports that are there all the time.
const firstPresent = 20000

// probeEvery is the time between two SYNs to a port that isn't there yet.
const probeEvery = 100 * time.Microsecond

// patience is how long any of this may take.
const patience = 2 * time.Minute

// publish publishes and withdraws ports of one container, with those of another
// one present.
type publish struct {
	host
	count, present int
	container      step.Endpoint
}

func (p *publish) start(ctx context.Context) (err error) {
	if err := p.build(ctx, world.Container{Name: "c0"}, world.Container{Name: "c1"}); err != nil {
		return err
	}
	if p.present > 0 {
		if _, err := p.host.publish(ctx, "c1", step.Range{Host: firstPresent, Container: firstPresent, Count: p.present}); err != nil {
			return err
		}
	}
	if p.container, err = p.datapath.Endpoint(ctx, "c0"); err != nil {
		return err
	}
	if p.server, err = load.Start(load.Place{Netns: p.ends.Server.Netns, CPU: p.env.CPU}); err != nil {
		return err
	}
	at := netip.AddrPortFrom(p.ends.Server.Addr, p.lastPort())
	if _, err := p.server.Serve(ctx, load.Service{Kind: load.CRR, Addr: at, Flows: 1}); err != nil {
		return err
	}
	p.client, err = load.Start(load.Place{Netns: p.ends.Client.Netns, CPU: p.env.CPU})
	return err
}

// lastPort is the same on the host and in the container.
func (p *publish) lastPort() uint16 { return firstPort + uint16(p.count-1) }

// Slice implements plan.Instance: at least one operation.
func (p *publish) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	h := plan.NewHistogram()
	for end := time.Now().Add(d); h.TotalCount() == 0 || time.Now().Before(end); {
		took, err := p.once(ctx)
		if err != nil {
			return plan.Sample{}, fmt.Errorf("%s: %w", p.arm, err)
		}
		if err := h.RecordValue(took.Nanoseconds()); err != nil {
			return plan.Sample{}, err
		}
	}
	return plan.Sample{
		Values: []float64{float64(h.ValueAtQuantile(50))}, Latency: h, Ops: uint64(h.TotalCount()),
	}, nil
}

// once is from the call until the last of the ports answers.
func (p *publish) once(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	target := netip.AddrPortFrom(p.ends.To, p.lastPort())
	if err := p.client.Probe(ctx, load.Probe{Target: target, Every: probeEvery, Timeout: patience}); err != nil {
		return 0, err
	}
	took, err := p.datapath.Publish(ctx, p.container, step.Range{Host: firstPort, Container: firstPort, Count: p.count})
	if err != nil {
		return 0, err
	}
	answer, err := p.client.Await(ctx)
	if err != nil {
		return 0, err
	}
	if answer.At < took.Begun {
		return 0, fmt.Errorf("%w: %s answered before it was published", plan.ErrWrongWay, target)
	}
	// SYN, acknowledgement and FIN; SYN/ACK and FIN.
	p.traffic.ToServer += 3
	p.traffic.Packets += 5
	return answer.At - took.Begun, p.withdraw(ctx)
}

// withdraw ends the publication. With the nft variant of iptables each rule of so
// many takes tens of milliseconds to delete, so rules are dropped instead, and the
// daemon makes those anew that there are to be.
func (p *publish) withdraw(ctx context.Context) error {
	if p.count > 1 {
		if err := p.world.DropRules(ctx); err != nil {
			return err
		}
	}
	_, err := p.datapath.Publish(ctx, p.container)
	return err
}
