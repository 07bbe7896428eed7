// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

const (
	// floodRate is what goes on while clients are served, in packets per second.
	floodRate = 100_000
	// floodFill comes before: more than the default tables of any arm hold.
	floodFill = 400_000
	floodStep = 5 * time.Millisecond
)

// attack sends the first packets of connections that nobody wants.
type attack struct {
	world     *world.World
	generator *pktgen.Generator
	sent      uint64
}

// newAttack makes a generator of SYN from everywhere beyond the LAN.
func newAttack(w *world.World, e world.Ends, f plan.Family, cpu int) (*attack, error) {
	sources := netip.MustParsePrefix("10.0.0.0/8")
	if f == plan.IPv6 {
		sources = netip.MustParsePrefix("fd99::/96")
	}
	if err := w.AddBeyondLAN(sources); err != nil {
		return nil, err
	}
	g, err := pktgen.New(pktgen.Config{
		Netns: e.Client.Netns, Device: e.Client.Device, SrcMAC: e.Client.MAC, DstMAC: e.Client.NextHop, Protocol: pktgen.SYN, CPU: &cpu,
		Flows: pktgen.Flows{
			Src: netip.AddrPortFrom(sources.Addr(), 1024), SrcAddrs: 1 << 24, SrcPorts: 64512,
			Dst: e.Target("tcp", floodedPort), Random: true,
		},
	})
	if err != nil {
		return nil, err
	}
	return &attack{world: w, generator: g}, nil
}

// otherCPU is one that clients and servers aren't on, if there is any.
func otherCPU(cpu int) int { return (cpu + 1) % runtime.NumCPU() }

// fill has the host receive as many as fit into tables, as fast as can be.
func (a *attack) fill(ctx context.Context) error {
	before, _, err := a.world.UplinkReceived()
	if err != nil {
		return err
	}
	// A slow machine takes 25 µs for a SYN that meets a full table of netfilter's.
	const step, patience = floodFill / 8, time.Minute
	for received, begin := uint64(0), time.Now(); received < floodFill; {
		sent, err := a.generator.Run(ctx, step)
		if a.sent += sent.Packets; err != nil {
			return err
		}
		now, _, err := a.world.UplinkReceived()
		if err != nil {
			return err
		}
		if received = now - before; received < floodFill && time.Since(begin) > patience {
			return fmt.Errorf("flood: the uplink received %d of %d packets in %v", received, floodFill, patience)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// begin sends at a rate until the function that it returns is called, which tells
// what the rate was.
func (a *attack) begin(ctx context.Context) func() (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	start, before := time.Now(), a.sent
	done := make(chan error, 1)
	go func() { done <- a.steadily(ctx) }()
	return func() (float64, error) {
		cancel()
		err := <-done
		return float64(a.sent-before) / time.Since(start).Seconds(), err
	}
}

// steadily makes up for steps that came late, as far as the machine can.
func (a *attack) steadily(ctx context.Context) error {
	tick := time.NewTicker(floodStep)
	defer tick.Stop()
	start, before := time.Now(), a.sent
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due := uint64(time.Since(start).Seconds()*floodRate) - (a.sent - before)
		sent, err := a.generator.Run(ctx, min(due, floodRate/10))
		a.sent += sent.Packets
		if err != nil {
			return err
		}
	}
}

// pending is a job that runs.
type pending struct {
	result load.Result
	err    error
	done   chan struct{}
}

func start(run func() (load.Result, error)) *pending {
	p := &pending{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.result, p.err = run()
	}()
	return p
}

func (p *pending) wait() (load.Result, error) {
	<-p.done
	return p.result, p.err
}

func (p *pending) drop() error {
	_, err := p.wait()
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
