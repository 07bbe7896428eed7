// SPDX-License-Identifier: Apache-2.0

package attach

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

// newcomer attaches and detaches one endpoint, with others present.
type newcomer struct {
	crowd
	present        int
	made           int
	prober, server *load.Side
	target         netip.AddrPort
	before         world.Counters
	traffic        world.Traffic
}

// How the newcomer asks the LAN.
const (
	port       = 80
	probeEvery = 100 * time.Microsecond
	patience   = time.Minute
)

func (n *newcomer) start(ctx context.Context) (err error) {
	if err := n.build(ctx); err != nil {
		return err
	}
	if err := n.world.Meet(ctx, plan.IPv4); err != nil {
		return err
	}
	if err := n.fill(ctx, n.present); err != nil {
		return err
	}
	ends, err := n.world.Ends(plan.ContainerToLAN, plan.IPv4)
	if err != nil {
		return err
	}
	n.traffic.Walk = plan.ContainerToLAN
	if n.before, err = n.world.Counters(ctx); err != nil {
		return err
	}
	if n.server, err = load.Start(load.Place{Netns: ends.Server.Netns, CPU: n.env.CPU}); err != nil {
		return err
	}
	at := netip.AddrPortFrom(ends.Server.Addr, port)
	if n.target, err = n.server.Serve(ctx, load.Service{Kind: load.CRR, Addr: at, Flows: 1}); err != nil {
		return err
	}
	n.prober, err = load.Start(load.Place{CPU: n.env.CPU})
	return err
}

// Slice implements plan.Instance: at least one endpoint.
func (n *newcomer) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	h := plan.NewHistogram()
	for end := time.Now().Add(d); h.TotalCount() == 0 || time.Now().Before(end); {
		took, err := n.once(ctx)
		if err == nil {
			err = h.RecordValue(took.Nanoseconds())
		}
		if err != nil {
			return plan.Sample{}, fmt.Errorf("%s: %w", n.arm, err)
		}
	}
	return plan.Sample{Values: []float64{float64(h.ValueAtQuantile(50))}, Latency: h, Ops: uint64(h.TotalCount())}, nil
}

// once is from the call until the new endpoint was answered. No two have the same
// name: Fairway remembers those that were.
func (n *newcomer) once(ctx context.Context) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	name := fmt.Sprintf("n%d", n.made)
	n.made++
	if err := n.namespace(name); err != nil {
		return 0, err
	}
	defer func() {
		n.namespaces = n.namespaces[:len(n.namespaces)-1]
		err = errors.Join(err, n.forget(name))
	}()
	begun := load.Clock()
	if err := n.attach(ctx, name); err != nil {
		return 0, err
	}
	// As a container does, which runs once the call has returned.
	probe := load.Probe{Netns: n.path(name), Target: n.target, Every: probeEvery, Timeout: patience, Early: true}
	if err := n.prober.Probe(ctx, probe); err != nil {
		return 0, err
	}
	answer, err := n.prober.Await(ctx)
	if err != nil {
		return 0, err
	}
	// SYN, acknowledgement and FIN; SYN/ACK and FIN.
	n.traffic.ToServer += 3
	n.traffic.Packets += 5
	return answer.At - begun, n.detach(ctx, name)
}

// Prove implements plan.Instance.
func (n *newcomer) Prove(ctx context.Context) (plan.Proof, error) {
	return n.world.Prove(ctx, n.before, n.traffic)
}

// Close implements plan.Instance.
func (n *newcomer) Close() error {
	var errs []error
	for _, s := range []*load.Side{n.prober, n.server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, n.crowd.Close())...)
}
