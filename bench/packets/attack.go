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
	// floodFill comes before: more than the default tables of any arm hold.
	floodFill = 400_000
	floodStep = 5 * time.Millisecond
)

// floodKind is what a flood consists of.
type floodKind string

const (
	synFlood floodKind = "syn"
	// udpFlood are datagrams that the port answers.
	udpFlood floodKind = "udp"
)

func (k floodKind) unit() string { return k.name() + "/s" }

func (k floodKind) name() string {
	if k == udpFlood {
		return "datagrams"
	}
	return "SYN"
}

// rate is what goes on while clients are served, in packets per second.
func (k floodKind) rate() uint64 {
	if k == udpFlood {
		return 10_000
	}
	return 100_000
}

// fillRate is how fast tables are filled at most: datagrams no faster than they are
// answered, since the others give way anyhow. 0 is as fast as can be.
func (k floodKind) fillRate() uint64 {
	if k == udpFlood {
		return 50_000
	}
	return 0
}

func (k floodKind) packets() (proto string, p pktgen.Protocol) {
	if k == udpFlood {
		return "udp", pktgen.UDP
	}
	return "tcp", pktgen.SYN
}

// attack sends the first packets of connections that nobody wants.
type attack struct {
	world     *world.World
	generator *pktgen.Generator
	kind      floodKind
	// first is how many packets come at once, to fill tables.
	first, sent uint64
}

// newAttack makes a generator of packets from everywhere beyond the LAN.
func newAttack(w *world.World, e world.Ends, f plan.Family, k floodKind, cpu int) (*attack, error) {
	sources := netip.MustParsePrefix("10.0.0.0/8")
	if f == plan.IPv6 {
		sources = netip.MustParsePrefix("fd99::/96")
	}
	if err := w.AddBeyondLAN(sources); err != nil {
		return nil, err
	}
	proto, packets := k.packets()
	g, err := pktgen.New(pktgen.Config{
		Netns: e.Client.Netns, Device: e.Client.Device, SrcMAC: e.Client.MAC, DstMAC: e.Client.NextHop, Protocol: packets, CPU: &cpu,
		Flows: pktgen.Flows{
			Src: netip.AddrPortFrom(sources.Addr(), 1024), SrcAddrs: 1 << 24, SrcPorts: 64512,
			Dst: e.Target(proto, floodedPort), Random: true,
		},
	})
	if err != nil {
		return nil, err
	}
	return &attack{world: w, generator: g, kind: k}, nil
}

// otherCPU is one that clients and servers aren't on, if there is any.
func otherCPU(cpu int) int { return (cpu + 1) % runtime.NumCPU() }

// fill has the host receive as many as fit into tables, of datagrams for at most so long.
func (a *attack) fill(ctx context.Context, most time.Duration) error {
	if rate := a.kind.fillRate(); rate != 0 {
		ctx, stop := context.WithTimeout(ctx, min(most, time.Duration(a.first)*time.Second/time.Duration(rate)))
		defer stop()
		return a.steadily(ctx, rate)
	}
	return a.fillAtOnce(ctx)
}

func (a *attack) fillAtOnce(ctx context.Context) error {
	before, _, err := a.world.UplinkReceived()
	if err != nil {
		return err
	}
	// A slow machine takes 25 µs for a SYN that meets a full table of netfilter's.
	const patience = time.Minute
	for received, begin := uint64(0), time.Now(); received < a.first; {
		sent, err := a.generator.Run(ctx, a.first/8)
		if a.sent += sent.Packets; err != nil {
			return err
		}
		now, _, err := a.world.UplinkReceived()
		if err != nil {
			return err
		}
		if received = now - before; received < a.first && time.Since(begin) > patience {
			return fmt.Errorf("flood: the uplink received %d of %d packets in %v", received, a.first, patience)
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
	go func() { done <- a.steadily(ctx, a.kind.rate()) }()
	return func() (float64, error) {
		cancel()
		err := <-done
		return float64(a.sent-before) / time.Since(start).Seconds(), err
	}
}

// steadily makes up for steps that came late, as far as the machine can.
func (a *attack) steadily(ctx context.Context, rate uint64) error {
	tick := time.NewTicker(floodStep)
	defer tick.Stop()
	start, before := time.Now(), a.sent
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due := uint64(time.Since(start).Seconds()*float64(rate)) - (a.sent - before)
		sent, err := a.generator.Run(ctx, min(due, rate/10))
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
